"""The command of a descriptor: JSON of known keys, bounded, refused in one line."""

from __future__ import annotations

import json

import pytest

from sxdask.core.errors import RecipeError, RequestError, RequestTooLargeError
from sxdask.service.flight.requests import MOST_COMMAND_BYTES, parse_command


def parsed(**values):
    return parse_command(json.dumps(values).encode())


def test_a_request_is_read():
    request = parsed(language="tcut", selection="MET_pt > 1", dataset=["a.root"], tree="Events")
    assert (request.language, request.selection, request.names) == (
        "tcut",
        "MET_pt > 1",
        ["a.root"],
    )


def test_outputs_of_one_request_share_its_digest_and_other_requests_have_others():
    one = parsed(dataset="a.root", output="x")
    assert one.digest == parsed(dataset="a.root", output="y").digest
    assert one.digest != parsed(dataset="b.root").digest
    assert parse_command(one.canonical).digest == one.digest


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[1]", "no JSON object"),
        (b'{"selection": ""}', "no 'dataset'"),
        (b'{"dataset": 7}', "dataset"),
        (b'{"dataset": "a", "datset": "b"}', "key 'datset'"),
        (b'{"dataset": "a", "storage_options": {}}', "key 'storage_options'"),
        (b'{"dataset": "a", "partition_bytes": 0}', "partition_bytes"),
        (b'{"dataset": "a", "language": "recipe", "selection": {"selct": []}}', "key 'selct'"),
    ],
)
def test_a_mistake_is_named(command, problem):
    with pytest.raises(RecipeError, match=problem) as caught:
        parse_command(command)
    assert "\n" not in caught.value.problem


def test_an_oversize_command_is_refused():
    with pytest.raises(RequestTooLargeError, match="allowed"):
        parse_command(b" " * (MOST_COMMAND_BYTES + 1))


def test_a_recipe_gives_its_keys_and_what_is_beside_it_wins():
    recipe = {
        "title": "muons",
        "dataset": {"files": "a.root"},
        "where": "MET_pt > 1",
        "select": ["MET_pt"],
    }
    request = parsed(language="recipe", selection=recipe, title="mine")
    assert (request.language, request.dataset, request.title) == ("native", "a.root", "mine")
    assert request.selection == {"where": "MET_pt > 1", "define": {}, "select": ["MET_pt"]}


def test_a_recipe_may_not_make_the_server_write_files():
    recipe = {"dataset": {"generate": {"num_events": 10}}}
    with pytest.raises(RequestError, match="generates its data"):
        parsed(language="recipe", selection=recipe)
    assert parsed(language="recipe", selection=recipe, dataset="a.root").dataset == "a.root"


def test_histograms_are_refused():
    hist = {"met": {"column": "MET_pt", "bins": 1, "start": 0, "stop": 1}}
    with pytest.raises(RequestError, match="histograms"):
        parsed(language="recipe", selection={"hist": hist}, dataset="a.root")

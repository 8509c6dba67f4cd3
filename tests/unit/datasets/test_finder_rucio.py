"""Rucio's datasets, containers and files; and what its server may do instead of answering.

`tests.rucio_rest` answers in the form that a Rucio server was recorded to; the
same questions go to a real one in ``tests/services``.
"""

from __future__ import annotations

import logging
import sys

import pytest
from rucio.common.config import clean_cached_config

import sxdask.datasets.finders.rucio as module
from sxdask.core.errors import (
    AccessDeniedError,
    EmptyDatasetError,
    FileMissingError,
    MissingExtraError,
    ReadFailedError,
    RequestError,
)
from sxdask.datasets.address import parse_address
from sxdask.datasets.finders.rucio import RucioFinder
from sxdask.datasets.replicas import Preference
from tests.rucio_rest import PASSWORD, TOKEN, serve_rucio


@pytest.fixture
def server(tmp_path, monkeypatch):
    with serve_rucio() as rucio:
        monkeypatch.setenv("RUCIO_CONFIG", str(rucio.config(tmp_path)))
        monkeypatch.setattr("rucio.client.baseclient.MAX_RETRY_BACK_OFF_SECONDS", 0)
        clean_cached_config()
        yield rucio
    clean_cached_config()


@pytest.fixture
def container(server):
    """Return a container of 45 datasets with two files each, some below a second container."""
    names = []
    for number in range(45):
        files = [
            server.file(f"f{number:02}.{half}.root", f"A=root://a//f{number:02}.{half}.root")
            for half in "ab"
        ]
        names.append(server.group(f"d{number:02}", files))
    inner = server.group("inner", names[40:], "CONTAINER")
    return server.group("outer", [*names[:40], inner, "d00"], "CONTAINER")


def find(name, finder=None):
    address = parse_address(f"rucio://user.ada:{name}")
    return (finder or RucioFinder()).find(address, storage_options={})


def test_a_dataset_has_its_files_with_replicas_and_facts(server):
    places = ("FAR=root://far//f.root", "NEAR=davs://near/f.root")
    server.group("data", [server.file("f.root", *places)])
    (entry,) = find("data:Events", RucioFinder(Preference(sites=("NEAR",))))
    assert entry.places == ("https://near/f.root", "root://far//f.root")
    assert (entry.tree, entry.size, entry.events, entry.adler32) == (
        "Events",
        1000,
        100,
        "0cc737eb",
    )


def test_a_single_file_is_a_dataset_too(server):
    server.file("f.root", "A=root://a//f.root")
    assert [entry.url for entry in find("f.root")] == ["root://a//f.root"]


def test_a_container_is_expanded_at_any_depth_each_dataset_once(server, container):
    found = find(container)
    assert [entry.url for entry in found] == sorted(entry.url for entry in found)
    assert len(found) == 90
    bulk = [body["dids"] for path, body in server.asked if path == "/dids/bulkfiles"]
    assert [len(dids) for dids in bulk] == [20, 20, 5]


def test_files_are_there_before_the_last_dataset_is_known(server, container):
    stream = RucioFinder().stream(
        parse_address(f"rucio://user.ada:{container}"), storage_options={}
    )
    next(stream)
    assert len([path for path, _ in server.asked if path == "/replicas/list"]) == 1
    assert len(list(stream)) == 89


def test_a_file_in_two_datasets_is_there_once(server):
    file = server.file("f.root", "A=root://a//f.root")
    pair = [server.group(name, [file]) for name in ("one", "two")]
    server.group("both", pair, "CONTAINER")
    assert len(find("both")) == 1


def test_a_file_on_tape_or_without_a_known_protocol_cannot_be_had(server):
    files = [
        server.file("disk.root", "A=root://a//disk.root"),
        server.file("tape.root", "T=root://t//tape.root", tape=True),
        server.file("none.root"),
        server.file("srm.root", "S=srm://s/srm.root"),
    ]
    server.group("mixed", files)
    with pytest.raises(AccessDeniedError, match=r"tape\.root.*none\.root") as caught:
        find("mixed")
    assert "get=available" in str(caught.value)


def test_only_what_is_available_on_demand(server, caplog):
    files = [server.file("a.root", "A=root://a//a.root"), server.file("b.root")]
    server.group("mixed", files)
    with caplog.at_level(logging.WARNING):
        assert len(find("mixed?get=available")) == 1
    assert "1 files have no replica" in caplog.text
    server.group("lost", files[1:])
    with pytest.raises(EmptyDatasetError, match="no file that can be had"):
        find("lost?get=available")


@pytest.mark.parametrize("kind", ["DATASET", "CONTAINER"])
def test_an_empty_dataset_exists(server, kind):
    server.group("empty", [], kind)
    with pytest.raises(EmptyDatasetError, match="has no files") as caught:
        find("empty")
    assert caught.value.context["exists"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("data18_13TeV.00348885.physics_Main", "rucio://data18_13TeV:data18_13TeV.00348885."),
        ("user.ada.selection", "rucio://user.ada:user.ada.selection"),
        ("nonsense", "rucio://scope:name"),
        ("", "rucio://scope:name"),
        ("scope:", "rucio://scope:name"),
        ("scope:data*", "rucio://scope:name"),
        ("a scope:data", "rucio://scope:name"),
        ("a:b:c:d", "rucio://scope:name"),
        ("scope/../x:data", "rucio://scope:name"),
    ],
)
def test_a_bad_name_is_known_before_anybody_is_asked(server, name, hint):
    with pytest.raises(RequestError) as caught:
        RucioFinder().find(parse_address(f"rucio://{name}"), storage_options={})
    assert hint in str(caught.value)
    assert server.asked == []


def test_a_name_that_rucio_does_not_know_takes_one_question(server):
    with pytest.raises(FileMissingError, match=r"user\.ada:nothing"):
        find("nothing")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("faults", "kind", "words"),
    [
        ([(500, "DatabaseException")], ReadFailedError, "DatabaseException"),
        ([(400, "InvalidObject")], RequestError, "does not accept"),
        ([(401, "CannotAuthenticate")] * 3, AccessDeniedError, "does not let"),
        ([(403, "AccessDenied")], AccessDeniedError, "does not let"),
        ([503, 503, 503], ReadFailedError, "does not answer"),
        (["page"], ReadFailedError, "does not answer"),
        ([None, "cut"], ReadFailedError, "does not answer"),
        ([None, None, "cut"], ReadFailedError, "does not answer"),
    ],
)
def test_what_the_server_does_instead_of_answering_is_one_readable_line(
    server, faults, kind, words
):
    server.group("data", [server.file("f.root", "A=root://a//f.root")])
    server.faults.extend(faults)
    with pytest.raises(kind, match=words) as caught:
        find("data")
    text = str(caught.value)
    assert TOKEN not in text
    assert PASSWORD not in text
    assert "\n" not in caught.value.problem


def test_a_server_that_comes_back_is_asked_again(server):
    server.group("data", [server.file("f.root", "A=root://a//f.root")])
    server.faults.extend([503, 502])
    assert len(find("data")) == 1


def test_a_token_that_ran_out_is_renewed(server, tmp_path):
    server.group("data", [server.file("f.root", "A=root://a//f.root")])
    (tmp_path / "rucio-token").write_text("an-old-token")
    assert len(find("data")) == 1


def test_no_password_and_no_token_is_in_the_log(server, caplog):
    server.group("data", [server.file("f.root", "A=root://a//f.root")])
    server.faults.extend([503, 503])
    with caplog.at_level(logging.DEBUG):
        find("data")
    assert "server returned 503" in caplog.text
    assert PASSWORD not in caplog.text
    assert TOKEN not in caplog.text


def test_a_server_that_hangs_is_given_up(server, monkeypatch):
    monkeypatch.setattr(module, "_SECONDS", 0.3)
    server.group("data", [server.file("f.root", "A=root://a//f.root")])
    server.faults.extend(["hang"] * 20)
    with pytest.raises(ReadFailedError, match="does not answer"):
        find("data")


def test_without_a_configuration_it_says_what_to_set(tmp_path, monkeypatch):
    monkeypatch.setenv("RUCIO_CONFIG", str(tmp_path / "none.cfg"))
    clean_cached_config()
    with pytest.raises(AccessDeniedError, match="RUCIO_CONFIG") as caught:
        find("data")
    assert caught.value.fault == "system"
    with pytest.raises(AccessDeniedError, match="RUCIO_CONFIG"):
        RucioFinder().check()
    clean_cached_config()


def test_without_rucios_client_it_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "rucio.client.client", None)
    with pytest.raises(MissingExtraError, match=r"sxdask\[rucio\]"):
        find("data")


def test_an_operator_is_told_which_server_answers_and_as_whom(server):
    assert RucioFinder().check() == f"Rucio 41.5.1 at {server.url} knows this process as root"
    server.faults.extend([503] * 3)
    with pytest.raises(ReadFailedError, match="does not answer"):
        RucioFinder().check()


def test_where_the_caller_is_comes_from_the_variables_of_rucio(server, monkeypatch):
    server.group("data", [server.file("f.root", "A=root://a//f.root")])
    monkeypatch.setenv("SITE_NAME", "MWT2")
    find("data")
    (body,) = [body for path, body in server.asked if path == "/replicas/list"]
    assert body["client_location"] == {"site": "MWT2"}
    assert body["ignore_availability"] is False
    assert {"root", "https", "davs"} <= set(body["schemes"])


def test_the_name_of_the_program_stays(server, monkeypatch):
    server.group("data", [server.file("f.root", "A=root://a//f.root")])
    monkeypatch.setattr(sys, "argv", ["/usr/bin/sxdask", "serve"])
    find("data")
    assert sys.argv == ["/usr/bin/sxdask", "serve"]

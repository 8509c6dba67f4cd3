"""Tokens: read from a file or the environment, known by name, never shown."""

from __future__ import annotations

import pytest

from sxdask.api.remote.protocol import decode_error, encode_error, line_of
from sxdask.core.errors import (
    FileMissingError,
    ReadFailedError,
    RequestError,
    UnknownBranchError,
)
from sxdask.service.flight.auth import Tokens, read_tokens
from tests.flights import ALICE, BOB, TOKENS


def test_a_token_names_its_holder():
    tokens = Tokens(TOKENS)
    assert (tokens.name_of(ALICE), tokens.name_of(BOB)) == ("alice", "bob")
    assert tokens.name_of(ALICE[:-1]) is None
    assert tokens.name_of("") is None


def test_a_file_has_a_name_and_a_token_a_line(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"# who may ask\nalice {ALICE}\n\nbob: {BOB}\n")
    tokens = read_tokens(file, {})
    assert (tokens.name_of(ALICE), tokens.name_of(BOB)) == ("alice", "bob")


def test_the_environment_may_hold_one():
    tokens = read_tokens(None, {"SXDASK_FLIGHT_TOKEN": ALICE})
    assert tokens.name_of(ALICE) == "environment"
    assert len(read_tokens(None, {})) == 0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no token"),
        ("alice short", "fewer than 16"),
        (f"alice {ALICE} more", "line 1"),
        (f"alice {ALICE}\nalice {BOB}", "line 2"),
    ],
)
def test_a_mistake_in_the_file_is_told_without_its_secrets(tmp_path, text, problem):
    file = tmp_path / "tokens"
    file.write_text(text)
    with pytest.raises(RequestError, match=problem) as caught:
        read_tokens(file, {})
    assert ALICE not in str(caught.value)
    assert "short" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileMissingError, match="tokens"):
        read_tokens(tmp_path / "tokens", {})


def test_an_error_arrives_as_it_was():
    error = UnknownBranchError.among("MET_ptt", ["MET_pt"], tree="Events")
    found = decode_error(encode_error(error))
    assert type(found) is UnknownBranchError
    assert str(found) == str(error)
    assert found.context == {"tree": "Events", "branch": "MET_ptt"}


@pytest.mark.parametrize("data", [b"", b"1", b"{}", b'{"code": "SX100"}', b"\xff"])
def test_what_is_no_error_is_told_from_one(data):
    assert decode_error(data) is None


@pytest.mark.parametrize(
    "secret",
    [
        "GET https://me:hunter2secret@host/a.root failed",
        "X-Amz-Signature=hunter2secret",
        "header Authorization: Bearer hunter2secret",
        "{'token': 'hunter2secret'}",
        "aws_secret_access_key=hunter2secret",
    ],
)
def test_no_secret_of_the_server_travels_with_an_error(secret):
    error = ReadFailedError(secret, hint=secret, traceback=secret, file=secret)
    assert "hunter2" not in line_of(error)
    assert b"hunter2" not in encode_error(error).replace(b"failed", b"")

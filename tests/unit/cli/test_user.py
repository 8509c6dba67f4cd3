"""``sxdask user``: the first administrator, approval, tokens that the service takes."""

from __future__ import annotations

import jwt
import pytest
from typer.testing import CliRunner

from sxdask.cli.main import app
from sxdask.service.auth.tokens import Tokens


@pytest.fixture
def call(tmp_path):
    def run(*words: str) -> tuple[int, str]:
        folder = ["--data-dir", str(tmp_path / "data")]
        result = CliRunner().invoke(app, ["user", *words, *folder])
        return result.exit_code, result.output

    return run


def test_the_first_administrator_is_made_and_has_a_token(call, tmp_path):
    assert call("create", "alice", "--email", "alice@example.org", "--admin")[0] == 0
    status, printed = call("token", "alice@example.org")
    secret = (tmp_path / "data" / "token-secret").read_text().strip()
    claims = Tokens(secret.encode()).read(printed.strip(), "refresh")
    assert (status, claims.user_id) == (0, 1)
    _, listed = call("list")
    assert listed.split() == ["1", "alice", "alice@example.org", "administrator"]
    assert secret not in listed
    assert (tmp_path / "data" / "token-secret").stat().st_mode & 0o077 == 0


def test_a_token_for_requests_ends_and_goes_to_a_file_of_ones_own(call, tmp_path):
    call("create", "bob")
    file = tmp_path / "token"
    status, printed = call("token", "bob", "--access", "--hours", "2", "--file", str(file))
    assert status == 0
    token = file.read_text().strip()
    assert token not in printed
    assert file.stat().st_mode & 0o077 == 0
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 7200


def test_renewing_changes_the_token(call):
    call("create", "bob")
    first, again = call("token", "bob")[1], call("token", "bob")[1]
    renewed = call("token", "bob", "--renew")[1]

    def number(token: str) -> str:
        return str(jwt.decode(token.strip(), options={"verify_signature": False})["jti"])

    assert number(first) == number(again) != number(renewed)


def test_who_waits_is_approved_and_who_leaves_removed(call):
    call("create", "carol", "--pending")
    assert "waits for approval" in call("list")[1]
    assert call("approve", "carol")[0] == 0
    assert "waits" not in call("list")[1]
    assert call("remove", "carol")[0] == 0
    assert call("list")[1] == ""


@pytest.mark.parametrize("words", [("token", "carl"), ("approve", "carl"), ("create", "carol")])
def test_a_mistake_is_told_with_what_is_there(call, words):
    call("create", "carol")
    status, printed = call(*words)
    assert status == 2
    assert "carol" in printed

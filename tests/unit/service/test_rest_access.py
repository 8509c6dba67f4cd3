"""Who may do what: tokens, users, owners, and addresses that guess."""

from __future__ import annotations

import base64
import json
import time

import jwt
import pytest

from sxdask.core.errors import RequestError
from sxdask.service.auth.attempts import Attempts
from sxdask.service.auth.tokens import TokenRefusedError, Tokens
from sxdask.service.database import users
from sxdask.service.database.users import Users
from sxdask.service.rest import replies
from tests.asgi import Browser
from tests.rest_parts import body, open_site

BASE = "/servicex/transformation"
SECRET = b"a secret of the tests, long enough for every algorithm that there is in JWT"


@pytest.fixture
def site(tmp_path):
    with open_site(tmp_path, auth=True) as made:
        yield made


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_without_authentication_any_token_gets_one_that_ends(tmp_path):
    """Client 3.3.1 decodes it, and fails on anything that is no JWT with ``exp``."""
    with open_site(tmp_path) as site:
        found = site.client.post("/token/refresh", headers=bearer("whatever")).json()
        assert found["auth_disabled"] is True
        claims = jwt.decode(found["access_token"], options={"verify_signature": False})
        assert claims["exp"] > time.time() + 3600
        answer = site.client.get(BASE, headers=bearer(found["access_token"]))
        assert answer.status_code == 200


def test_a_refresh_token_gives_access_until_it_is_renewed(site):
    alice = site.user("alice")
    refresh = site.parts.tokens.refresh(alice.id, alice.token_id)
    found = site.client.post("/token/refresh", headers=bearer(refresh)).json()
    replies.AccessToken.model_validate(found, strict=True)
    access = bearer(found["access_token"])
    assert site.client.get(BASE, headers=access).status_code == 200
    renewed = site.parts.users.renew_token(alice.id)
    assert site.client.post("/token/refresh", headers=bearer(refresh)).status_code == 401
    answer = site.client.get(BASE, headers=access)
    assert (answer.status_code, answer.json()["message"]) == (401, "this token was revoked")
    again = site.parts.tokens.refresh(alice.id, renewed)
    assert site.client.post("/token/refresh", headers=bearer(again)).status_code == 200


def test_what_another_process_revokes_is_revoked_a_second_later(site, monkeypatch):
    """`sxdask user token --renew` is a program of its own."""
    alice = site.user("alice")
    access = site.headers(alice)
    assert site.client.get(BASE, headers=access).status_code == 200
    Users(site.parts.users.engine).renew_token(alice.id)
    monkeypatch.setattr(users, "_KNOWN_SECONDS", 0.0)  # that second is over
    assert site.client.get(BASE, headers=access).status_code == 401


def test_a_user_that_asks_again_costs_no_question(site, monkeypatch):
    alice = site.user("alice")
    access = site.headers(alice)
    monkeypatch.setattr(users, "_KNOWN_SECONDS", 3600.0)
    asked = []
    get = site.parts.users.get

    def counted(user_id):
        asked.append(user_id)
        return get(user_id)

    monkeypatch.setattr(site.parts.users, "get", counted)
    for _ in range(3):
        assert site.client.get(BASE, headers=access).status_code == 200
    assert asked == [alice.id]


def test_a_change_while_a_user_is_read_is_not_missed(site, monkeypatch):
    found = site.parts.users
    alice = site.user("alice")
    one = found._one

    def changed_meanwhile(condition):
        before = one(condition)
        found.renew_token(alice.id)
        return before

    monkeypatch.setattr(found, "_one", changed_meanwhile)
    assert found.get(alice.id) == alice
    assert found.known(alice.id) is None


def test_tokens_of_the_other_kind_are_refused(site):
    alice = site.user("alice")
    refresh = site.parts.tokens.refresh(alice.id, alice.token_id)
    access = site.parts.tokens.access(alice.id, parent=alice.token_id)
    assert site.client.get(BASE, headers=bearer(refresh)).status_code == 401
    assert site.client.post("/token/refresh", headers=bearer(access)).status_code == 401


def forged(**changes) -> str:
    claims = {"iss": "sxdask", "sub": "1", "jti": "x", "type": "access", "iat": 0, "exp": 2**33}
    return jwt.encode(claims | changes, SECRET, "HS256")


def unsigned() -> str:
    parts = [{"alg": "none", "typ": "JWT"}, {"sub": "1", "jti": "x", "type": "access"}]
    coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b".".join([*coded, b""]).decode()


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        "authentication_disabled",
        unsigned(),
        jwt.encode({"sub": "1"}, b"another secret, also long enough for it", "HS256"),
        jwt.encode({"sub": "1", "jti": "x", "type": "access"}, SECRET, "HS512"),
        forged(exp=1),
        forged(sub="1 or 1=1"),
        forged(sub="-1"),
        forged(iss="elsewhere"),
        forged(type="refresh"),
        "x" * 100_000,
        "ключ",
    ],
    ids=lambda token: token[:20],
)
def test_a_token_that_is_none_is_refused(site, token):
    site.user("alice")
    answer = site.client.get(BASE, headers={"Authorization": f"Bearer {token}".encode()})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert token == "" or token not in answer.text


def test_a_forged_token_would_pass_with_the_right_claims(site):
    """The claims of the test before are not refused for another reason than what they change."""
    site.user("alice")
    assert site.client.get(BASE, headers=bearer(forged())).status_code == 200


@pytest.mark.parametrize("header", ["", "Basic YTpi", "Bearer", "bearer", "Token x", "Bearer  "])
def test_a_header_without_a_token_is_refused(site, header):
    headers = {"Authorization": header} if header else {}
    assert site.client.get(BASE, headers=headers).status_code == 401


def test_who_waits_or_is_gone_is_not_let_in(site):
    bob = site.user("bob", pending=True)
    answer = site.client.get(BASE, headers=site.headers(bob))
    assert (answer.status_code, "approval" in answer.json()["message"]) == (401, True)
    site.parts.users.approve(bob.id)
    assert site.client.get(BASE, headers=site.headers(bob)).status_code == 200
    site.parts.users.remove(bob.id)
    assert site.client.get(BASE, headers=site.headers(bob)).status_code == 401


def test_transforms_of_others_are_neither_seen_nor_changed(site):
    alice, bob, root = site.user("alice"), site.user("bob"), site.user("root", admin=True)
    request_id = site.submit(site.headers(alice))
    site.report(request_id, True, False)
    calls = [
        ("GET", f"{BASE}/{request_id}"),
        ("GET", f"{BASE}/{request_id}/status"),
        ("GET", f"{BASE}/{request_id}/results"),
        ("GET", f"{BASE}/{request_id}/logs"),
        ("GET", f"{BASE}/{request_id}/deployment-status"),
        ("GET", f"{BASE}/{request_id}/cancel"),
        ("POST", f"{BASE}/{request_id}/cancel"),
        ("POST", f"{BASE}/{request_id}/resubmit-failed"),
        ("DELETE", f"{BASE}/{request_id}"),
        ("GET", f"{BASE}?submitted_by={alice.id}"),
    ]
    for method, path in calls:
        answer = site.client.request(method, path, headers=site.headers(bob))
        assert (path, answer.status_code) == (path, 403)
    signing = {"request_id": request_id, "file_list": []}
    for user, status in ((bob, 403), (alice, 200), (root, 200)):
        headers = site.headers(user)
        answer = site.client.post("/servicex/file-urls", json=signing, headers=headers)
        assert answer.status_code == status
        seen = status == 200
        assert site.client.get(f"{BASE}/{request_id}", headers=headers).is_success == seen
        assert len(site.client.get(BASE, headers=headers).json()["requests"]) == int(seen)


def test_an_answer_of_another_user_is_not_given(site):
    alice, bob = site.user("alice"), site.user("bob")
    request_id = site.submit(site.headers(alice))
    site.report(request_id, True, True)
    assert site.submit(site.headers(alice)) == request_id
    assert site.submit(site.headers(bob)) != request_id


def test_cancel_all_ends_ones_own_transforms(site):
    alice, bob = site.user("alice"), site.user("bob")
    mine = [site.submit(site.headers(alice), title=str(n)) for n in range(2)]
    other = site.submit(site.headers(bob))
    done = site.submit(site.headers(alice), file_list=["root://eospublic.cern.ch//c.root"])
    site.report(done, True)
    answer = site.client.get(f"{BASE}/cancel-all", headers=site.headers(alice)).json()
    assert answer == {"canceled": mine}
    assert site.client.post(f"{BASE}/cancel-all", headers=site.headers(alice)).json() == {
        "canceled": []
    }
    assert site.store.transform(other).state.status == "Running"


def test_cancel_all_needs_users(tmp_path):
    with open_site(tmp_path) as site:
        assert site.client.get(f"{BASE}/cancel-all").status_code == 400


def test_priority_above_others_is_for_administrators(site):
    alice, root = site.user("alice"), site.user("root", admin=True)
    ids = [site.submit(site.headers(user), priority=9) for user in (alice, root)]
    assert [site.store.transform(item).new.priority for item in ids] == [0, 9]


def test_users_are_for_administrators(site):
    alice, root = site.user("alice"), site.user("root", admin=True)
    carol, dave = site.user("carol", pending=True), site.user("dave", pending=True)
    for method, path, content in (
        ("GET", "/users", None),
        ("GET", "/pending", None),
        ("DELETE", "/pending", None),
        ("DELETE", f"/users/{root.id}", None),
        ("POST", "/accept", {"email": "carol@example.org"}),
    ):
        answer = site.client.request(method, path, json=content, headers=site.headers(alice))
        assert (path, answer.status_code) == (path, 401)
    headers = site.headers(root)
    found = site.client.get("/users", headers=headers).json()
    replies.UserList.model_validate(found, strict=True)
    assert [user["id"] for user in found["users"]] == [alice.id, root.id, carol.id, dave.id]
    assert alice.token_id not in str(found)
    accepted = site.client.post("/accept", json={"email": carol.email}, headers=headers)
    assert accepted.status_code == 200
    assert site.client.post("/accept", json={"email": "x@y"}, headers=headers).status_code == 404
    waiting = site.client.get("/pending", headers=headers).json()["users"]
    assert [user["name"] for user in waiting] == ["dave"]
    assert "1 users" in site.client.delete("/pending", headers=headers).json()["message"]
    assert site.client.delete(f"/users/{carol.id}", headers=headers).status_code == 200
    assert site.client.delete(f"/users/{carol.id}", headers=headers).status_code == 404


def test_what_a_removed_user_asked_for_is_nobodys(site):
    alice, bob = site.user("alice"), site.user("bob")
    request_id = site.submit(site.headers(alice))
    site.parts.users.remove(alice.id)
    assert site.client.get(f"{BASE}/{request_id}", headers=site.headers(bob)).status_code == 403


def test_an_address_that_guesses_waits_and_others_behind_it_do_not(site):
    alice = site.user("alice")
    good = site.headers(alice)
    assert site.client.get(BASE, headers=good).status_code == 200
    statuses = [site.client.get(BASE, headers=bearer(f"guess{n}")).status_code for n in range(25)]
    assert statuses == [401] * 20 + [429] * 5
    refused = site.client.post("/token/refresh", headers=bearer("guess"))
    assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (429, True)
    assert site.client.get(BASE, headers=good).status_code == 200
    elsewhere = Browser(site.app, address="192.0.2.7")
    assert elsewhere.get(BASE, headers=bearer("guess")).status_code == 401


def test_failures_are_forgotten_after_a_while():
    now = [0.0]
    attempts = Attempts(most=2, seconds=10, clock=lambda: now[0])
    attempts.failed("a")
    attempts.failed("a")
    assert attempts.wait("a", "x") == 10
    now[0] = 10.5
    assert attempts.wait("a", "x") == 0
    attempts.failed("a")
    assert attempts.wait("a", "x") == 0


def test_a_new_secret_reads_tokens_of_the_old_one_for_a_while():
    old = Tokens(b"o" * 32)
    token = old.access(7)
    assert Tokens(b"n" * 32, previous=(b"o" * 32,)).read(token, "access").user_id == 7
    with pytest.raises(TokenRefusedError):
        Tokens(b"n" * 32).read(token, "access")
    with pytest.raises(RequestError, match="16 bytes"):
        Tokens(b"n" * 32, previous=(b"o" * 16,))


def test_a_large_body_is_for_who_has_a_token(site):
    """Bodies are read before anybody asks who sends them."""
    large = body(selection="x" * 100_000)
    assert site.client.post(BASE, json=large).status_code == 413
    assert site.client.post(BASE, json=large, headers=bearer("bad")).status_code == 413
    alice = site.user("alice")
    answer = site.client.post(BASE, json=large, headers=site.headers(alice))
    assert "not JSON" in answer.json()["message"]


def test_a_token_that_was_good_is_refused_when_it_has_expired(monkeypatch):
    tokens = Tokens(b"s" * 32)
    token = tokens.access(7, seconds=60)
    assert tokens.read(token, "access") == tokens.read(token, "access")
    with pytest.raises(TokenRefusedError, match="not a token for refresh"):
        tokens.read(token, "refresh")
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(TokenRefusedError, match="expired"):
        tokens.read(token, "access")


def test_tokens_that_were_read_are_forgotten_before_there_are_too_many(monkeypatch):
    monkeypatch.setattr("sxdask.service.auth.tokens._MOST_READ", 2)
    tokens = Tokens(b"s" * 32)
    made = [tokens.access(number) for number in range(5)]
    assert [tokens.read(token, "access").user_id for token in made * 2] == [0, 1, 2, 3, 4] * 2
    assert len(tokens._read) == 2

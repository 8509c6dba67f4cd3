"""Signing in, sessions, tokens and who sees what on the pages, with a real OpenID provider."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric import rsa

from sxdask.service.auth.oidc import Admission, Identity, Oidc, admit
from sxdask.service.auth.tokens import TokenRefusedError
from tests.oidc_provider import CLIENT, SECRET, oidc_provider
from tests.pages import Visitor, app_of, make_parts, report, submit


@pytest.fixture(scope="module")
def running_provider():
    with oidc_provider() as provider:
        yield provider


@pytest.fixture
def provider(running_provider):
    running_provider.changes, running_provider.signs_with = {}, None
    running_provider.asked.clear()
    return running_provider


@pytest.fixture
def parts(tmp_path, provider):
    oidc = Oidc(provider.metadata_url, CLIENT, SECRET)
    made = replace(make_parts(tmp_path, auth=True), oidc=oidc)
    yield made
    made.users.engine.dispose()


@pytest.fixture
def app(parts):
    return app_of(parts)


def log_in(browser: Visitor, path: str = "/") -> httpx.Response:
    """Go to the provider and come back, as a browser does."""
    return browser.get(callback_of(browser, path))


def callback_of(browser: Visitor, path: str = "/") -> str:
    """Go to the provider; return the address that it leads back to."""
    answer = browser.get(f"/sign-in/provider?next={path}", follow_redirects=False)
    assert answer.status_code == 302
    back = httpx.get(answer.headers["location"], follow_redirects=False)
    return back.headers["location"].removeprefix("http://localhost")


def signed_in(app, parts, name: str, *, admin: bool = False) -> Visitor:
    """Return the browser of a new user who signed in with her token."""
    user = parts.users.add(name, admin=admin, pending=False, name=name, email=f"{name}@x.org")
    browser = Visitor(app)
    token = parts.tokens.refresh(user.id, user.token_id)
    browser.post("/sign-in", data={"csrf": browser.csrf("/sign-in"), "token": token})
    return browser


def test_who_is_not_signed_in_is_led_to_the_sign_in_page_and_back(app, parts, provider):
    parts.users.add(f"{provider.url} 4711", pending=False, name="Marie Curie")
    browser = Visitor(app)
    answer = browser.get("/datasets?text=a%26b")
    assert answer.url.path == "/sign-in"
    wanted = parse_qs(urlsplit(str(answer.url)).query)["next"][0]
    assert wanted == "/datasets?text=a%26b"
    answer = log_in(browser, "/datasets%3Ftext%3Da%2526b")
    assert (answer.url.path, answer.url.query) == ("/datasets", b"text=a%26b")
    assert 'value="a&amp;b"' in answer.text
    assert browser.get("/dashboard/live", headers={"accept": "application/json"}).is_success
    scripted = Visitor(app).get("/dashboard/live", headers={"accept": "application/json"})
    assert scripted.status_code == 401


def test_the_first_login_waits_for_approval(app, parts):
    browser = Visitor(app)
    answer = log_in(browser)
    assert answer.status_code == 403
    assert "wait for approval" in answer.text
    assert "Sign out" in answer.text
    (user,) = parts.users.all(pending=True)
    assert (user.name, user.email) == ("Marie Curie", "marie@example.org")
    admin = signed_in(app, parts, "root", admin=True)
    page = admin.get("/admin").text
    assert "Approve Marie Curie" in page
    done = admin.post(f"/admin/{user.id}/approve", data={"csrf": admin.csrf("/admin")})
    assert "Marie Curie may use the service now" in done.text
    assert browser.get("/").status_code == 200


def test_the_provider_is_asked_with_state_nonce_and_pkce(app, provider):
    browser = Visitor(app)
    log_in(browser)
    log_in(Visitor(app))
    first, second = provider.asked
    assert first["redirect_uri"] == "http://localhost/auth-callback"
    assert set(first["scope"].split()) == {"openid", "profile", "email"}
    for name in ("state", "nonce", "code_challenge"):
        assert len(first[name]) > 15
        assert first[name] != second[name]


def test_a_login_belongs_to_the_browser_that_began_it(app, parts):
    """Else a link makes somebody work as another user, who reads what she asks for."""
    foreign = callback_of(Visitor(app))
    victim = Visitor(app)
    callback_of(victim)
    answer = victim.get(foreign)
    assert "the login did not succeed" in answer.text
    assert parts.users.all() == []
    assert Visitor(app).get("/auth-callback?code=x&state=y").url.path == "/sign-in"


def test_a_callback_is_good_once(app):
    browser = Visitor(app)
    path = callback_of(browser)
    assert browser.get(path).status_code == 403  # signed in, and waits
    assert "the login did not succeed" in browser.get(path).text


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "another-client"},
        {"iss": "https://evil.example"},
        {"nonce": "of another login"},
        {"exp": 1_000_000_000},
    ],
)
def test_what_the_provider_says_must_be_for_this_login(app, parts, provider, changes):
    provider.changes = changes
    assert "the login did not succeed" in log_in(Visitor(app)).text
    assert parts.users.all() == []


def test_what_somebody_else_signed_is_refused(app, parts, provider):
    provider.signs_with = rsa.generate_private_key(65537, 2048)
    assert "the login did not succeed" in log_in(Visitor(app)).text
    assert parts.users.all() == []


def test_a_provider_that_is_gone_is_said_so(tmp_path):
    oidc = Oidc("http://127.0.0.1:9/metadata", CLIENT, SECRET)
    parts = replace(make_parts(tmp_path, auth=True), oidc=oidc)
    answer = Visitor(app_of(parts)).get("/sign-in/provider")
    assert "does not answer" in answer.text
    assert SECRET not in repr(oidc)
    parts.users.engine.dispose()


@pytest.mark.parametrize("path", ["https://evil.example", "//evil.example", "/\\evil.example"])
def test_the_sign_in_page_leads_into_the_service_only(app, parts, path):
    parts.users.add("x", pending=False)
    browser = Visitor(app)
    assert log_in(browser, path).request.url.host == "localhost"


def test_sessions_are_kept_from_scripts_and_plain_connections(app, tmp_path):
    cookie = Visitor(app).get("/sign-in").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "secure" not in cookie
    (tmp_path / "s").mkdir()
    parts = make_parts(tmp_path / "s", auth=True, public_url="https://sx.example.org")
    cookie = Visitor(app_of(parts)).get("/sign-in").headers["set-cookie"]
    assert cookie.startswith("__Host-sxdask=")
    assert "secure" in cookie.lower()
    parts.users.engine.dispose()


def test_a_session_cannot_be_written_by_hand(app, parts):
    browser = signed_in(app, parts, "ada")
    (value,) = browser.cookies.values()
    forged = Visitor(app)
    for bad in (value[:-3], value[::-1], "eyJ1c2VyIjogMX0=.x.y"):
        forged.cookies = httpx.Cookies({"sxdask": bad})
        assert forged.get("/").url.path == "/sign-in"


def test_signing_in_starts_a_new_session(app, parts):
    user = parts.users.add("ada", pending=False)
    browser = Visitor(app)
    before = browser.csrf("/sign-in")
    token = parts.tokens.refresh(user.id, user.token_id)
    browser.post("/sign-in", data={"csrf": before, "token": token})
    assert browser.csrf("/profile") != before


def test_users_see_their_own_requests_and_no_others(app, parts):
    ada, bob, root = (
        signed_in(app, parts, name, admin=name == "root") for name in ("ada", "bob", "root")
    )
    owner = parts.users.by_subject("ada").id
    made = submit(parts, "secret of ada", 3, submitted_by=owner)
    report(parts, made, 1, 1)
    own = f"/transformation-request/{made.request_id}"
    paths = [own, f"{own}/results", f"{own}/log", f"{own}/plan", f"{own}/live"]
    for path in [*paths, f"{own}/results/1/traceback"]:
        assert ada.get(path).status_code == 200
        assert root.get(path).status_code == 200
        answer = bob.get(path)
        assert answer.status_code == 403
        assert "secret of ada" not in answer.text
    for what in ("cancel", "resubmit-failed", "delete"):
        answer = bob.post(f"{own}/{what}", data={"csrf": bob.csrf()})
        assert answer.status_code == 403
    assert parts.store.transform(made.request_id).state.remaining == 1
    for query in ("", "?whose=all", "?text=secret"):
        assert "secret of ada" not in bob.get(f"/dashboard{query}").text
        assert bob.get(f"/dashboard/live{query}").json()["views"] == {}
    assert "secret of ada" not in root.get("/dashboard").text
    assert "secret of ada" in root.get("/dashboard?whose=all").text
    assert "Dask dashboard" not in ada.get(own).text
    assert ada.get("/admin").status_code == 403
    assert ada.post("/admin/1/remove", data={"csrf": ada.csrf()}).status_code == 403


def test_a_new_token_is_shown_once_and_ends_the_old_one_and_other_sessions(app, parts):
    browser = signed_in(app, parts, "ada")
    user = parts.users.by_subject("ada")
    elsewhere = Visitor(app)
    old = parts.tokens.refresh(user.id, user.token_id)
    elsewhere.post("/sign-in", data={"csrf": elsewhere.csrf("/sign-in"), "token": old})
    assert elsewhere.get("/profile").url.path == "/profile"

    page = browser.post("/profile/token", data={"csrf": browser.csrf("/profile")}).text
    (token,) = re.findall(r"<textarea[^>]*>([^<]+)</textarea>", page)
    claims = parts.tokens.read(token, "refresh")
    assert claims.token_id == parts.users.get(user.id).token_id != user.token_id
    assert token not in browser.get("/profile").text
    assert elsewhere.get("/profile").url.path == "/sign-in"
    sent = {"csrf": elsewhere.csrf("/sign-in"), "token": old}
    assert "replaced by a newer one" in elsewhere.post("/sign-in", data=sent).text

    sent = {"csrf": browser.csrf("/profile"), "token": token}
    answer = browser.post("/.servicex", data=sent)
    content = yaml.safe_load(answer.text)
    assert content["api_endpoints"] == [
        {"endpoint": "http://localhost", "name": "sxdask", "token": token}
    ]
    assert browser.post("/.servicex", data=sent | {"token": old}).status_code == 400
    assert browser.post("/.servicex", data=sent | {"token": "x"}).status_code == 400
    assert browser.get("/.servicex").url.path == "/profile"


def test_a_profile_is_edited_and_nothing_else_with_it(app, parts):
    browser = signed_in(app, parts, "ada")
    sent = {
        "csrf": browser.csrf("/profile"),
        "name": "Ada <b>",
        "institution": "CERN\0\n",
        "experiment": "ATLAS",
        "admin": "1",
        "email": "root@x.org",
        "pending": "0",
    }
    assert "Ada &lt;b&gt;" in browser.post("/profile", data=sent).text
    user = parts.users.by_subject("ada")
    assert (user.name, user.institution, user.experiment) == ("Ada <b>", "CERN", "ATLAS")
    assert (user.admin, user.email) == (False, "ada@x.org")


def test_signing_out_and_being_removed_end_a_session(app, parts):
    browser, root = signed_in(app, parts, "ada"), signed_in(app, parts, "root", admin=True)
    kept = browser.cookies
    assert browser.post("/sign-out", data={"csrf": browser.csrf()}).url.path == "/sign-in"
    assert browser.get("/").url.path == "/sign-in"
    browser.cookies = kept
    assert browser.get("/").url.path == "/"  # whoever kept the cookie: it ends with time, or by ...
    user = parts.users.by_subject("ada")
    sent = {"csrf": root.csrf()}
    assert root.post(f"/admin/{user.id}/remove", data=sent).url.path == "/admin"
    assert browser.get("/").url.path == "/sign-in"
    me = parts.users.by_subject("root")
    assert root.post(f"/admin/{me.id}/remove", data=sent).status_code == 400


def test_a_session_ends_with_time_even_if_it_is_used(app, parts, monkeypatch):
    browser = signed_in(app, parts, "ada")
    now = time.time()
    monkeypatch.setattr("sxdask.service.auth.sessions.time.time", lambda: now + 11.9 * 3600)
    assert browser.get("/").url.path == "/"
    assert "saved" in browser.post("/profile", data={"csrf": browser.csrf("/profile")}).text
    monkeypatch.setattr("sxdask.service.auth.sessions.time.time", lambda: now + 12.1 * 3600)
    assert browser.get("/").url.path == "/sign-in"


def test_guessing_tokens_is_slowed_down(app):
    browser = Visitor(app)
    sent = {"csrf": browser.csrf("/sign-in"), "token": "nonsense"}
    texts = [browser.post("/sign-in", data=sent).text for _ in range(21)]
    assert "Too many" in texts[-1] or "too many" in texts[-1]


def test_admission_trusts_verified_addresses_alone(parts):
    admission = Admission(frozenset({"boss@x.org"}), frozenset({"@cern.ch", "iss 7"}))
    boss = Identity("a", email="Boss@x.org", verified=True)
    assert admission.is_admin(boss)
    assert admission.is_approved(boss)
    assert not admission.is_admin(replace(boss, verified=False))
    assert admission.is_approved(Identity("b", email="x@CERN.ch", verified=True))
    assert not admission.is_approved(Identity("b", email="x@cern.ch.evil.org", verified=True))
    assert admission.is_approved(Identity("iss 7"))
    assert not admission.is_approved(Identity("c"))
    assert Admission(approve_all=True).is_approved(Identity("c"))

    first = admit(parts.users, boss, Admission())
    assert (first.pending, first.admin) == (True, False)
    again = admit(parts.users, boss, admission)
    assert (again.id, again.pending, again.admin) == (first.id, False, True)
    later = admit(parts.users, boss, Admission())
    assert (later.pending, later.admin) == (False, True)


def test_an_access_token_does_not_open_a_session(app, parts):
    user = parts.users.add("ada", pending=False)
    token = parts.tokens.access(user.id)
    with pytest.raises(TokenRefusedError):
        parts.tokens.read(token, "refresh")
    browser = Visitor(app)
    sent = {"csrf": browser.csrf("/sign-in"), "token": token}
    assert browser.post("/sign-in", data=sent).url.path == "/sign-in"
    assert browser.get("/").url.path == "/sign-in"

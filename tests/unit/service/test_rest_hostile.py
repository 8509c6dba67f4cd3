"""Over a hundred requests that mean harm: all refused, all logged, nothing told that is secret."""

from __future__ import annotations

import asyncio
import io
import json
import os
import tempfile
from pathlib import Path

import pytest

from sxdask.service.auth.places import Places
from sxdask.service.logs.setup import logging_to
from sxdask.service.rest.limits import Limits
from tests.asgi import Browser
from tests.hostile import CANARY, PASSWORD, REQUESTS
from tests.rest_parts import PUBLIC, S3_SECRET, open_site
from tests.servers import serve_ranges

_HARMLESS = {400, 401, 403, 404, 405, 413}


@pytest.fixture
def site(tmp_path):
    schemes = frozenset({"rucio", "xrootd"})
    with open_site(tmp_path, auth=True, schemes=schemes, places=Places(hosts=PUBLIC)) as made:
        yield made


def test_there_are_more_than_a_hundred():
    assert len(REQUESTS) >= 100


def test_all_are_refused_and_logged_and_tell_no_secret(site, tmp_path):
    alice, mallory = site.user("alice"), site.user("mallory")
    other = site.submit(site.headers(alice))
    site.report(other, True, False)
    before = site.store.transform(other)
    headers = site.headers(mallory)
    token = headers["Authorization"].removeprefix("Bearer ")
    stream = io.StringIO()
    private = "http://127.0.0.1:9"
    with logging_to(stream, level="DEBUG", secrets=[S3_SECRET]):
        for request in REQUESTS:
            hostile = request.filled(other=other, private=private)
            options = {"json": hostile.data} if hostile.content is None else {}
            sent = {name: value.encode() for name, value in headers.items()} | hostile.headers
            if hostile.content is not None:
                options["content"] = hostile.content
                sent["Content-Type"] = b"application/json"
            size = len(stream.getvalue())
            answer = site.client.request(hostile.method, hostile.path, headers=sent, **options)
            line = stream.getvalue()[size:]
            told = (hostile.name, hostile.path, str(hostile.data)[:200])
            assert answer.status_code in _HARMLESS, (answer.status_code, answer.text, told)
            assert f'"status": {answer.status_code}' in line, told
            _require_harmless_reply(answer, [S3_SECRET, PASSWORD, token])
    _require_harmless_log(stream.getvalue(), [S3_SECRET, PASSWORD, token])
    assert site.store.transform(other) == before
    assert [item.request_id for item in site.store.transforms()] == [other]
    assert site.parts.users.get(mallory.id) == mallory
    assert not Path(tempfile.gettempdir(), CANARY).exists()


def _require_harmless_reply(answer, secrets):
    everything = answer.text + str(answer.headers)
    assert not [secret for secret in secrets if secret in everything]
    assert "x-evil" not in answer.headers
    assert "Traceback" not in answer.text
    assert "root:x:0" not in answer.text
    if answer.headers["content-type"] == "application/json":
        message = answer.json()["message"]
        assert message
        assert "\n" not in message
        assert len(message) < 2_000


def _require_harmless_log(text, secrets):
    assert not [secret for secret in secrets if secret in text]
    for line in text.splitlines():
        found = json.loads(line)
        assert {"time", "level", "logger", "message"} <= found.keys()
    assert all(32 <= ord(sign) < 127 or sign == "\n" for sign in text)


def test_a_server_on_this_machine_is_not_reached(site, tmp_path):
    """The name is refused when it is submitted, before anything connects to it."""
    with serve_ranges(tmp_path) as server:
        answer = site.client.post(
            "/servicex/transformation",
            json={"file-list": [f"{server.url}/f.root"], "selection": "{}", "codegen": "tcut"},
            headers=site.headers(site.user("mallory")),
        )
        assert answer.status_code == 400
        assert not server.requests


@pytest.mark.parametrize("length", [b"1000000", b"x", b"-1", b"", b"9" * 5_000])
def test_a_body_that_is_longer_than_it_says_is_cut_off(tmp_path, length):
    with open_site(tmp_path, auth=True) as site:
        answer = site.client.post(
            "/servicex/transformation",
            content=b"{}",
            headers={"Content-Length": length},
        )
        assert answer.status_code == 413


def test_a_body_in_pieces_is_counted(tmp_path):
    async def pieces():
        for _ in range(100):
            yield b'{"a": "' + b"x" * 10_000

    with open_site(tmp_path, auth=True) as site:
        answer = site.client.post("/servicex/transformation", content=pieces())
        assert answer.status_code == 413


def test_a_body_that_comes_too_slowly_is_given_up(tmp_path):
    async def drops():
        for _ in range(100):
            yield b" "
            await asyncio.sleep(0.05)

    with open_site(tmp_path) as site:
        slow = Browser(Limits(site.app, site.parts, seconds=0.2))
        answer = slow.post("/servicex/transformation", content=drops())
        assert answer.status_code == 408


def test_what_may_be_a_secret_in_a_url_is_not_shown_to_all(tmp_path):
    with open_site(tmp_path, auth=True) as site:
        name = f"root://eospublic.cern.ch//a.root?authz={PASSWORD}"
        site.submit(site.headers(site.user("alice")), file_list=[name])
        headers = site.headers(site.user("bob"))
        (found,) = site.client.get("/servicex/datasets", headers=headers).json()["datasets"]
        shown = site.client.get(f"/servicex/datasets/{found['id']}", headers=headers).json()
        assert shown["files"][0]["paths"] == "root://eospublic.cern.ch//a.root"
        assert PASSWORD not in str(found) + str(shown)


def test_names_of_others_lead_nowhere(tmp_path):
    with open_site(tmp_path, host_names=frozenset({"localhost"})) as site:
        assert site.client.get("/servicex").status_code == 200
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1:80", ""):
            answer = site.client.get("/servicex", headers={"Host": host})
            assert answer.status_code == 421


def test_another_site_cannot_use_a_browser(tmp_path):
    with open_site(tmp_path, public_url="https://sx.example") as site:
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            answer = site.client.get("/servicex/transformation/cancel-all", headers=headers)
            assert answer.status_code == 403
        assert site.client.get("/servicex", headers={"Origin": "http://localhost"}).is_success
    with open_site(tmp_path) as site:
        assert site.client.get("/servicex", headers={"Origin": "null"}).status_code == 403
    with open_site(tmp_path, public_url="https://sx.example") as site:
        for headers in ({"Origin": "http://localhost"}, {"Origin": "https://sx.example"}):
            assert site.client.get("/servicex", headers=headers).status_code == 200


def test_a_defect_is_told_by_a_number_alone(site, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError(S3_SECRET)

    monkeypatch.setattr(site.parts.store.__class__, "transforms", broken)
    stream = io.StringIO()
    with logging_to(stream, secrets=[S3_SECRET]):
        headers = site.headers(site.user("alice"))
        answer = site.client.get("/servicex/transformation", headers=headers)
    assert answer.status_code == 500
    number = answer.json()["message"].rpartition(" ")[2]
    assert f'"defect": "{number}"' in stream.getvalue()
    assert "ZeroDivisionError" in stream.getvalue()
    assert S3_SECRET not in stream.getvalue() + answer.text
    assert os.linesep not in answer.json()["message"]

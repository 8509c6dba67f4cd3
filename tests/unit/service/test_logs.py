"""Logs: one line of JSON each, without secrets, kept for each transform, and sent on."""

from __future__ import annotations

import io
import json
import logging
import threading
import time
import uuid
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sxdask.core.errors import RequestError
from sxdask.service.logs.kept import TransformLogs
from sxdask.service.logs.lines import JsonLines, facts
from sxdask.service.logs.redaction import HIDDEN, Redaction
from sxdask.service.logs.setup import logging_to
from sxdask.service.logs.shipping import Destination, Shipper
from tests.rest_parts import open_site

LOG = logging.getLogger("sxdask.service.test_logs")
SECRET = "correct-horse"  # noqa: S105


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    "text",
    [
        f"the key is {SECRET}!",
        "GET https://me:hunter2secret@host/a.root",
        "X-Amz-Signature=hunter2secret&x=1",
        "AWSAccessKeyId=A&Signature=hunter2secret",
        "Authorization: Bearer hunter2secret",
        "authorization': 'Basic hunter2secret'",
        '{"refresh_token": "hunter2secret"}',
        "password=hunter2secret",
        "Cookie: sxdask=hunter2secret",
        "aws_secret_access_key = hunter2secret",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodW50ZXIyc2VjcmV0In0.hunter2secret",
        "-----BEGIN RSA PRIVATE KEY-----\nhunter2secret\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_what_is_or_looks_like_a_secret_is_hidden(text):
    found = Redaction([SECRET])(text)
    assert "hunter2" not in found
    assert SECRET not in found
    assert HIDDEN in found or "me:" not in found
    assert "hidden" in found


@pytest.mark.parametrize("text", ["Complete", "root://host//a/b.root", "the token has expired"])
def test_what_is_no_secret_stays(text):
    assert Redaction([SECRET, "", "abc"])(text) == text


def test_a_line_has_its_facts_and_those_around_it():
    stream = io.StringIO()
    with logging_to(stream):
        with facts(request="r1", user=7):
            LOG.info("read %d files", 3, extra={"transform": "t1"})
        LOG.warning("later")
    first, second = lines(stream)
    assert first["message"] == "read 3 files"
    assert (first["request"], first["user"], first["transform"]) == ("r1", 7, "t1")
    assert (second["level"], "request" in second) == ("warning", False)
    assert not logging.getLogger("sxdask").handlers


def test_a_record_is_one_line_whatever_is_in_it():
    stream = io.StringIO()
    with logging_to(stream, secrets=[SECRET]):
        LOG.info("a\nb\r\n\x1b[31m\u2028", extra={"file": f"x\n{SECRET}", "bad": object()})
        LOG.error("broken", exc_info=ValueError(f"with {SECRET}"))
        LOG.info("x" * 100_000)
    found = lines(stream)
    assert len(found) == 3
    assert SECRET not in stream.getvalue()
    assert "ValueError" in found[1]["traceback"]
    assert len(found[2]["message"]) < 5_000
    assert stream.getvalue().isascii()


def test_a_secret_that_is_made_later_is_hidden_from_then_on():
    stream = io.StringIO()
    with logging_to(stream) as logs:
        logs.redaction.hide(SECRET, "")
        LOG.info("the key is %s", SECRET)
    assert lines(stream)[0]["message"] == f"the key is {HIDDEN}"


def test_arguments_that_do_not_fit_end_nothing():
    record = logging.makeLogRecord({"msg": "%d files", "args": ("three",)})
    assert json.loads(JsonLines(Redaction()).format(record))["message"] == "%d files"


def test_lines_of_a_transform_are_read_back_in_pieces(tmp_path):
    one, other = str(uuid.uuid4()), str(uuid.uuid4())
    stream = io.StringIO()
    with logging_to(stream, folder=tmp_path / "logs") as logs:
        assert logs.kept is not None
        with facts(transform=one):
            for number in range(5):
                LOG.info("line %d", number)
        LOG.info("of another", extra={"transform": other})
        LOG.info("of none")
        LOG.info("of nonsense", extra={"transform": "../../etc/passwd"})
        first, place = logs.kept.lines(one, most=3)
        rest, end = logs.kept.lines(one, place)
        assert [item["message"] for item in first + rest] == [f"line {n}" for n in range(5)]
        assert logs.kept.lines(one, end) == ([], end)
        assert logs.kept.lines("../../etc/passwd") == ([], 0)
        assert logs.kept.lines(one, place + 3)[0] == rest[1:]
        logs.kept.remove(one)
        assert logs.kept.lines(one) == ([], 0)
        assert len(logs.kept.lines(other)[0]) == 1
    assert len(list((tmp_path / "logs").iterdir())) == 1


def test_the_log_of_a_transform_is_bounded(tmp_path):
    request_id = str(uuid.uuid4())
    kept = TransformLogs(tmp_path, JsonLines(Redaction()).format, most_bytes=1_000)
    for _ in range(100):
        kept.emit(logging.makeLogRecord({"msg": "x" * 50, "transform": request_id}))
    found, size = kept.lines(request_id)
    assert size < 1_500
    assert "full" in found[-1]["message"]


def test_a_transform_tells_its_log_over_http(tmp_path):
    logging = logging_to(io.StringIO(), folder=tmp_path / "logs")
    with logging as logs, open_site(tmp_path, logs=logs) as site:
        request_id = site.submit()
        site.client.post(f"/servicex/transformation/{request_id}/cancel")
        url = f"/servicex/transformation/{request_id}/logs"
        found = site.client.get(url).json()
        assert [item["message"] for item in found["lines"]] == ["submitted", "canceled"]
        assert site.client.get(url, params={"after": found["next"]}).json()["lines"] == []
        assert site.client.get(url, params={"after": -1}).status_code == 400
        site.client.delete(f"/servicex/transformation/{request_id}")
    assert list((tmp_path / "logs").iterdir()) == []


def test_polls_are_lines_only_where_they_go_wrong(tmp_path):
    stream = io.StringIO()
    with logging_to(stream, level="INFO"), open_site(tmp_path) as site:
        request_id = site.submit()
        poll = f"/servicex/transformation/{request_id}"
        assert site.client.get(poll).status_code == 200
        assert site.client.get(f"{poll}/results").status_code == 200
        assert site.client.get(f"/servicex/transformation/{uuid.uuid4()}").status_code == 404
        assert site.client.post(f"{poll}/cancel").status_code == 200
        assert site.client.delete(poll).status_code == 200
        figures = site.client.get("/metrics").text
    told = [item for item in lines(stream) if item["logger"] == "sxdask.service.requests"]
    assert [(item["method"], item["status"]) for item in told] == [
        *(("POST", 200), ("GET", 404), ("POST", 200), ("DELETE", 200)),
    ]
    assert 'route="/servicex/transformation/{request_id}",status="2xx"' in figures


def test_each_request_is_a_line_with_its_number(tmp_path):
    stream = io.StringIO()
    with logging_to(stream, level="DEBUG"), open_site(tmp_path, auth=True) as site:
        alice = site.user("alice")
        number = "my-own-number-1"
        headers = site.headers(alice) | {"X-Request-Id": number}
        answer = site.client.get("/servicex/transformation?x=secret-in-query", headers=headers)
        assert answer.headers["x-request-id"] == number
        bad = site.client.get("/servicex", headers={"X-Request-Id": "a b\tc"})
        assert bad.headers["x-request-id"] != "a b\tc"
        site.client.get("/servicex/transformation/nonsense-in-path")
        site.client.get("/nowhere")
    found = [item for item in lines(stream) if item["logger"] == "sxdask.service.requests"]
    assert (
        found[0].items()
        >= {
            "request": number,
            "user": alice.id,
            "method": "GET",
            "route": "/servicex/transformation",
            "status": 200,
            "client": "127.0.0.1",
        }.items()
    )
    assert found[0]["seconds"] >= 0
    assert found[2]["route"] == "/servicex/transformation/{request_id}"
    assert found[2]["refused"].startswith("there is no access token")
    assert (found[3]["route"], found[3]["status"]) == ("other", 404)
    assert "secret-in-query" not in stream.getvalue()


class _Collector(BaseHTTPRequestHandler):
    """Keeps what is posted; answers with the next of `statuses`, then 200."""

    bodies: list[tuple[str, str, bytes]]
    statuses: list[int]
    reply: bytes = b"{}"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            self.bodies.append((self.path, self.headers.get("Authorization", ""), body))
        self.send_response(status)
        self.send_header("Content-Length", str(len(self.reply)))
        self.end_headers()
        self.wfile.write(self.reply)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def collecting(*statuses: int, reply: bytes = b"{}"):
    content = {"bodies": [], "statuses": list(statuses), "reply": reply}
    handler = type("Handler", (_Collector,), content)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", handler
        finally:
            server.shutdown()
            thread.join()


def eventually(condition, seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_lines_are_sent_to_elasticsearch_in_its_bulk_format():
    with collecting() as (url, collector):
        to = Destination(f"{url}/sxdask/_bulk", "ApiKey " + SECRET, seconds=0.05)
        assert SECRET not in repr(to)
        with logging_to(io.StringIO(), ship_to=to, secrets=[SECRET]):
            for number in range(10):
                LOG.info("line %d %s", number, SECRET)
        sent = b"".join(body for _, _, body in collector.bodies).decode()
    assert collector.bodies[0][:2] == ("/sxdask/_bulk", "ApiKey " + SECRET)
    assert sent.endswith("\n")
    pairs = [json.loads(line) for line in sent.splitlines()]
    assert pairs[::2] == [{"create": {}}] * 10
    assert [item["message"] for item in pairs[1::2]] == [f"line {n} {HIDDEN}" for n in range(10)]


def test_lines_are_sent_again_after_a_failure_and_none_twice(capsys):
    with collecting(503, 429) as (url, collector):
        shipper = Shipper(Destination(f"{url}/logs", seconds=0.05), lambda record: record.msg)
        for number in range(5):
            shipper.emit(logging.makeLogRecord({"msg": f'"{number}"'}))
        eventually(lambda: shipper.sent == 5)
        shipper.end()
        sent = b"".join(body for _, _, body in collector.bodies).split()
    assert sent == [b'"0"', b'"1"', b'"2"', b'"3"', b'"4"']
    assert "collector" in capsys.readouterr().err


def test_a_collector_that_is_gone_costs_lines_and_no_memory(capsys):
    destination = Destination("http://127.0.0.1:9/_bulk", seconds=0.02)
    shipper = Shipper(destination, lambda record: record.msg, most_bytes=10_000)
    for _ in range(1_000):
        shipper.emit(logging.makeLogRecord({"msg": "x" * 100}))
    eventually(lambda: shipper.dropped >= 900)
    begin = time.monotonic()
    shipper.end(2)
    assert time.monotonic() - begin < 5
    assert shipper.sent == 0
    assert capsys.readouterr().err.count("\n") <= 2


def test_what_was_dropped_is_told_and_what_is_refused_is_counted():
    refusal = json.dumps({"errors": True, "items": [{"create": {"error": {}}}]}).encode()
    with collecting(reply=refusal) as (url, collector):
        destination = Destination(f"{url}/_bulk", seconds=60)
        shipper = Shipper(destination, lambda record: record.msg, most_bytes=30)
        for _ in range(4):
            shipper.emit(logging.makeLogRecord({"msg": '"ten bytes"'}))
        assert shipper.dropped == 2
        shipper.end()
        assert b'"dropped_lines": 2' in collector.bodies[0][2]
        assert (shipper.sent, shipper.dropped) == (1, 3)


@pytest.mark.parametrize("url", ["file:///x", "host:9200", ""])
def test_logs_go_to_http_alone(url):
    with pytest.raises(RequestError, match="http"):
        Shipper(Destination(url), str)

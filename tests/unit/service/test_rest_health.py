"""Health and figures: for Kubernetes, for Prometheus, for who reads the interface."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sxdask.service.rest.health import Readiness
from sxdask.service.transforms.ports import EngineProgress
from tests.rest_parts import open_site


@pytest.fixture
def site(tmp_path):
    with open_site(tmp_path, schemes=frozenset({"rucio"})) as made:
        yield made


def figures(site) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = site.client.get("/metrics").text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_ready_is_who_has_all_parts(tmp_path):
    good = [True]

    def cluster() -> None:
        if not good[0]:
            raise OSError("no scheduler at tcp://10.0.0.1:8786")

    with open_site(tmp_path, checks={"cluster": cluster}) as site:
        answer = site.client.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (200, "ok")
        assert answer.json()["parts"] == {"database": "ok", "cluster": "ok"}
    good[0] = False
    with open_site(tmp_path, checks={"cluster": cluster}) as site:
        answer = site.client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["parts"] == {"database": "ok", "cluster": "failed"}
        assert "10.0.0.1" not in answer.text
        assert site.client.get("/healthz").json()["status"] == "ok"


def test_a_part_that_hangs_is_not_waited_for_and_asked_once():
    calls, go = [], threading.Event()

    def hang() -> None:
        calls.append(1)
        go.wait(10)

    readiness = Readiness({"hanging": hang, "good": list}, seconds=0.05)
    assert readiness.state() == {"hanging": False, "good": True}
    readiness._until = 0  # as if a second had passed
    assert readiness.state()["hanging"] is False
    assert len(calls) == 1
    go.set()


def test_metrics_count_transforms_files_tasks_and_requests(site):
    running, done = site.submit(), site.submit(title="b")
    site.submit(file_list=None, did="scope:name")
    site.report(done, True, False)
    site.report(running, True, bytes=50)
    site.engine.known[running] = EngineProgress(queued=4, reading=1)
    for _ in range(2):  # what was counted is not counted again
        found = figures(site)
        assert found["sxdask_transforms", (("state", "Running"),)] == 1
        assert found["sxdask_transforms", (("state", "Complete"),)] == 1
        assert found["sxdask_transforms", (("state", "Fatal"),)] == 0
        assert found["sxdask_files_total", (("outcome", "done"),)] == 2
        assert found["sxdask_files_total", (("outcome", "failed"),)] == 1
        assert found["sxdask_result_bytes_total", ()] == 150
        assert found["sxdask_file_seconds_count", ()] == 3
        assert found["sxdask_tasks", (("at", "queued"),)] == 4
        assert found["sxdask_lookups", (("state", "waiting"),)] == 1
    site.store.resubmit_failed(done)
    site.report(done, True)
    assert figures(site)["sxdask_files_total", (("outcome", "done"),)] == 3
    labels = ("method", "POST"), ("route", "/servicex/transformation"), ("status", "2xx")
    assert figures(site)["sxdask_http_seconds_count", labels] == 3


def test_metrics_stay_few_whatever_is_asked(site):
    site.client.get("/metrics")
    before = len(figures(site))
    for number in range(30):
        site.client.get(f"/nowhere/{number}")
        site.client.get(f"/servicex/transformation/{number}")
        site.client.request(f"METHOD{number}", "/servicex")
    routes = {labels for name, labels in figures(site) if name == "sxdask_http_seconds_count"}
    assert len(routes) < 12
    assert len(figures(site)) - before < 100


def test_the_description_says_what_each_route_needs_and_answers(site):
    described = site.client.get("/openapi.json").json()
    schemes = described["components"]["securitySchemes"]
    assert {item["scheme"] for item in schemes.values()} == {"bearer"}
    for path, methods in described["paths"].items():
        for method, route in methods.items():
            place = f"{method} {path}"
            assert route["summary"], place
            assert route["tags"], place
            assert route.get("description"), place
            secured = path.startswith("/servicex/") or path in {"/users", "/pending", "/accept"}
            if secured:
                assert {"401", "429"} <= route["responses"].keys(), place
                assert route["security"] == [{"access token": []}], place
    assert described["paths"]["/token/refresh"]["post"]["security"] == [{"refresh token": []}]
    names = [tag["name"] for tag in described["tags"]]
    used = {
        tag
        for item in described["paths"].values()
        for route in item.values()
        for tag in route["tags"]
    }
    assert used == set(names)


def test_every_reply_may_not_be_kept_or_framed(site):
    for path in ("/servicex", "/nowhere", "/metrics", "/servicex/transformation/x"):
        headers = site.client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])


def test_the_page_of_the_interface_names_every_route_and_figure(site):
    page = (Path(__file__).parents[3] / "docs" / "reference" / "rest.md").read_text()
    for path in site.client.get("/openapi.json").json()["paths"]:
        assert path in page, path
    text = site.client.get("/metrics").text
    for name in re.findall(r"^# HELP (\w+)", text, re.MULTILINE):
        assert name.removesuffix("_created") in page, name

"""The pages of ``sxdask serve`` in Chromium, over real files, from submission to results."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.services.chromium import chromium, watched
from tests.services.official_client import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

    from tests.services.official_client import ServedX


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, nanoaod_files: list[Path]
) -> Iterator[ServedX]:
    folder = tmp_path_factory.mktemp("service")
    root = str(nanoaod_files[0].parent)
    with served(folder / "data", "--port", "0", "--workers", "2", "--root", root) as running:
        yield running


def submit(service: ServedX, files: list[Path], selection: list[Any], title: str) -> str:
    """Submit as client 3.3.1 does; return the id."""
    body = {
        "title": title,
        "file-list": [str(file) for file in files],
        "selection": json.dumps(selection),
        "codegen": "uproot-raw",
        "result-destination": "object-store",
        "result-format": "parquet",
    }
    request = urllib.request.Request(
        f"{service.url}/servicex/transformation",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["request_id"])


def test_a_request_is_followed_to_its_end(
    browser: Browser, service: ServedX, nanoaod_files: list[Path]
) -> None:
    selection = [{"treename": "Events", "filter_name": ["Muon_pt"], "cut": "MET_pt > 30"}]
    with watched(browser, service.url) as seen:
        name = submit(service, nanoaod_files, selection, "followed")
        seen.go(f"/transformation-request/{name}")
        page = seen.page
        page.locator("[data-status]", has_text="Complete").first.wait_for(timeout=90_000)
        assert page.locator("[role=progressbar]").get_attribute("aria-valuenow") == "100"
        seen.go(f"/transformation-request/{name}")
        assert page.get_by_text("4 of 4").count()
        rows = page.locator("table.results tbody tr")
        assert rows.count() == len(nanoaod_files)
        page.locator("summary", has_text="Plan").click()
        plan = page.locator("details.plan pre")
        plan.wait_for(timeout=60_000)
        assert "MET_pt" in str(plan.text_content())
        assert "Dask dashboard" in page.content()
        page.get_by_role("link", name="Log").click()
        page.get_by_text("submitted", exact=True).wait_for()
        page.get_by_role("link", name="Datasets").click()
        page.get_by_role("link", name="List of 4 files").click()
        assert page.get_by_text(nanoaod_files[0].name).count()


def test_a_mistake_is_shown_once_with_what_to_do(
    browser: Browser, service: ServedX, nanoaod_files: list[Path]
) -> None:
    selection = [{"treename": "Events", "filter_name": ["Muon_pt"], "cut": "MET_ptt > 30"}]
    name = submit(service, nanoaod_files, selection, "mistaken")
    with watched(browser, service.url) as seen:
        page = seen.page
        seen.go("/")
        row = page.locator(f'[data-view="{name}"] [data-status]')
        row.filter(has_text="Complete").or_(row.filter(has_text="Fatal")).wait_for(timeout=60_000)
        seen.go(f"/transformation-request/{name}")
        assert page.locator("details.cause").count() == 1
        assert page.locator("details.cause code", has_text="SX101").count() == 1
        assert "MET_pt" in str(page.locator(".hint").first.text_content())
        # the address that client 3.3.1 prints, and the one that the status names
        seen.go(f"/transformation-request//{name}/results?status=failure")
        assert "MET_ptt" in page.content()
        with urllib.request.urlopen(
            f"{service.url}/servicex/transformation/{name}", timeout=30
        ) as answer:
            address = json.load(answer)["log-url"]
        assert address.startswith(service.url)
        seen.go(address.removeprefix(service.url))
        assert page.get_by_role("heading", name="Log").count()


def test_the_configuration_is_the_one_that_the_command_prints(
    browser: Browser, service: ServedX
) -> None:
    with watched(browser, service.url) as seen:
        seen.go("/profile")
        with seen.page.expect_download() as download:
            seen.page.get_by_role("link", name="Download servicex.yaml").click()
        assert download.value.suggested_filename == "servicex.yaml"
        text = download.value.path().read_text()
        assert f"endpoint: {service.url}" in text

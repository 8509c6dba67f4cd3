"""``sxdask serve --check`` says which datasets can be looked up, and why others cannot."""

from __future__ import annotations

import pytest
from rucio.common.config import clean_cached_config

from sxdask.service.checking import _finder
from tests.rucio_rest import serve_rucio


@pytest.fixture(autouse=True)
def _no_rucio(tmp_path, monkeypatch):
    monkeypatch.setenv("RUCIO_CONFIG", str(tmp_path / "none.cfg"))
    clean_cached_config()
    yield
    clean_cached_config()


def test_what_is_not_configured_is_off_unless_it_was_asked_for():
    usual = _finder("rucio", wanted=False)
    assert usual.mark == "off"
    assert "RUCIO_CONFIG" in usual.text
    assert _finder("rucio", wanted=True).mark == "FAIL"


def test_a_server_that_answers_is_named(tmp_path, monkeypatch):
    with serve_rucio() as server:
        monkeypatch.setenv("RUCIO_CONFIG", str(server.config(tmp_path)))
        clean_cached_config()
        item = _finder("rucio", wanted=False)
    assert (item.mark, item.text.split(" knows")[0]) == ("ok", f"Rucio 41.5.1 at {server.url}")


def test_a_broken_catalog_is_a_failure(tmp_path, monkeypatch):
    monkeypatch.setenv("SXDASK_CATALOG", str(tmp_path / "catalog.json"))
    assert _finder("catalog", wanted=False).mark == "ok"
    (tmp_path / "catalog.json").write_text("nonsense")
    assert _finder("catalog", wanted=False).mark == "FAIL"

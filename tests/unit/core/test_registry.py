"""Plug-ins load when asked for, from the package or from an installed one, and cannot shadow."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from sxdask.core.errors import MissingExtraError, UnknownLanguageError
from sxdask.core.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def plugins() -> Registry[object]:
    return Registry(
        kind="drawer",
        group="sxdask.test_drawers",
        builtin={
            "json": "json:dumps",
            "broken": "sxdask_no_such_package.module:thing",
            "foreign": "surely_not_installed:thing",
        },
    )


@pytest.fixture
def installed(tmp_path: Path, monkeypatch) -> None:
    """Install a distribution that has entry points, the way pip leaves one behind."""
    facts = tmp_path / "drawers-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: drawers\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(
        "[sxdask.test_drawers]\nzebra = drawers_plugin:zebra\njson = drawers_plugin:evil\n"
    )
    (tmp_path / "drawers_plugin.py").write_text("zebra = 'striped'\nevil = 'shadow'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "drawers_plugin", raising=False)


def test_a_built_in_plug_in_is_loaded_by_name(plugins) -> None:
    import json

    assert plugins.load("json") is json.dumps


@pytest.mark.usefixtures("installed")
def test_an_installed_plug_in_is_found(plugins) -> None:
    assert plugins.load("zebra") == "striped"
    assert plugins.names() == ("json", "broken", "foreign", "zebra")


@pytest.mark.usefixtures("installed")
def test_an_installed_plug_in_cannot_shadow_a_built_in_one(plugins) -> None:
    assert plugins.load("json") != "shadow"
    assert "drawers_plugin" not in sys.modules


def test_nothing_is_imported_before_it_is_asked_for(plugins) -> None:
    plugins.names()
    assert "surely_not_installed" not in sys.modules


def test_an_unknown_name_gets_the_close_ones(plugins) -> None:
    with pytest.raises(UnknownLanguageError, match="there is no drawer 'jsn'") as caught:
        plugins.load("jsn")
    assert "did you mean 'json'?" in str(caught.value)
    with pytest.raises(UnknownLanguageError) as caught:
        plugins.load("qqq")
    assert "there is 'json', 'broken', 'foreign'" in str(caught.value)


def test_a_missing_package_is_named_with_the_line_for_pip(plugins) -> None:
    with pytest.raises(MissingExtraError, match="needs the package") as caught:
        plugins.load("foreign")
    assert "pip install surely_not_installed" in str(caught.value)


def test_a_bug_in_our_own_module_is_no_missing_package(plugins) -> None:
    with pytest.raises(ModuleNotFoundError, match="sxdask_no_such_package"):
        plugins.load("broken")

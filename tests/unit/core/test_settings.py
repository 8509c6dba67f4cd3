"""Settings have one default each and come from one environment variable each."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from sxdask.core.errors import RequestError
from sxdask.core.settings import Settings, default_cache_dir, load_settings

NAMES = [item.name for item in fields(Settings)]


def test_an_empty_environment_gives_the_defaults() -> None:
    assert load_settings({}) == Settings(cache_dir=default_cache_dir())


@pytest.mark.parametrize("name", NAMES)
def test_each_setting_has_its_variable(name) -> None:
    texts = {"cache_dir": "/somewhere", "column_cache": "off"}
    texts |= dict.fromkeys(("learn_zones", "allow_python"), "0")
    found = load_settings({f"SXDASK_{name.upper()}": texts.get(name, "7")})
    changed = {item for item in NAMES if getattr(found, item) != getattr(load_settings({}), item)}
    assert changed == {name}
    assert getattr(found, name) in (Path("/somewhere"), False, 7, "7", "off")


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("true", True), ("YES", True), ("on", True), ("0", False), ("No", False)],
)
def test_a_switch_understands_the_usual_words(text, value) -> None:
    assert load_settings({"SXDASK_LEARN_ZONES": text}).learn_zones is value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("LEARN_ZONES", "maybe"),
        ("THREADS", "two"),
        ("THREADS", "-1"),
        ("MAX_FILES", ""),
        ("COLUMN_CACHE", "sometimes"),
        ("PARTITION_BYTES", "1.5"),
    ],
)
def test_a_value_of_the_wrong_kind_names_its_variable(name, text) -> None:
    with pytest.raises(RequestError, match=f"SXDASK_{name}") as caught:
        load_settings({f"SXDASK_{name}": text})
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("use ")


def test_the_cache_directory_follows_the_system(monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert default_cache_dir() == Path("/caches/sxdask")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert default_cache_dir() == Path("/home/ada/.cache/sxdask")
    assert load_settings({"SXDASK_CACHE_DIR": "~/x"}).cache_dir == Path("/home/ada/x")


def test_the_environment_of_the_process_is_read_by_default(monkeypatch) -> None:
    monkeypatch.setenv("SXDASK_THREADS", "3")
    assert load_settings().threads == 3

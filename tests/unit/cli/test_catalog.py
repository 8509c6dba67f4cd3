"""``sxdask catalog``: adding, listing, showing, removing."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def catalog(sxdask, tmp_path, monkeypatch):
    """Return a function that runs ``sxdask catalog ARGS`` beside three files."""
    monkeypatch.setenv("SXDASK_CATALOG", str(tmp_path / "catalog.json"))
    for name in "cab":
        (tmp_path / f"{name}.root").touch()
    monkeypatch.chdir(tmp_path)
    return lambda *words: sxdask("catalog", *words)


@pytest.fixture
def run(catalog):
    """Return a function that runs it well and gives what it prints."""

    def run(*words):
        result = catalog(*words)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    return run


def test_a_dataset_is_added_shown_and_removed(run, tmp_path):
    assert run("add", "mine", "[ab].root", "c.root", "--tree", "Events", "--note", "a try") == (
        "catalog://mine: 3 files\n"
    )
    shown = run("show", "mine")
    assert f"{tmp_path}/[ab].root\n{tmp_path}/c.root" in shown
    assert "a try" in shown
    listed = run("list")
    assert "mine" in listed
    assert "1 dataset in" in listed
    assert "no file" in run("remove", "mine")
    assert "0 datasets in" in run("list")


def test_programs_read_json(run, tmp_path):
    run("add", "mine", "a.root")
    (found,) = json.loads(run("list", "--json"))
    assert found["name"] == "mine"
    assert found == json.loads(run("show", "mine", "--json"))
    assert found["files"] == [f"{tmp_path}/a.root"]


def test_frozen_files_stay_as_they_are_now(run, tmp_path):
    run("add", "now", "*.root:Runs", "--freeze")
    run("add", "later", "*.root")
    (tmp_path / "d.root").touch()
    run("add", "again", "catalog://now", "later", "--freeze")
    names = [f"{tmp_path}/{name}.root" for name in "abcd"]
    assert json.loads(run("show", "now", "--json"))["files"] == [
        f"{name}:Runs" for name in names[:3]
    ]
    again = json.loads(run("show", "again", "--json"))["files"]
    assert again == [f"{name}:Runs" for name in names[:3]] + names


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("add", "mine", "z.root"), "there is no file"),
        (("add", "mine.root", "a.root"), "cannot be the name"),
        (("add", "mine", "rucio://no-scope"), "no data identifier"),
        (("add", "mine"), "Missing argument"),
        (("show", "mine"), "no dataset 'mine'"),
        (("remove", "mine"), "no dataset 'mine'"),
    ],
)
def test_a_mistake_shows_when_it_is_made(catalog, run, words, expected):
    result = catalog(*words)
    assert result.exit_code == 2
    assert expected in result.stderr
    assert "0 datasets" in run("list")


def test_a_name_is_not_overwritten_by_chance(catalog, run):
    run("add", "mine", "a.root")
    result = catalog("add", "mine", "b.root")
    assert result.exit_code == 2
    assert "already" in result.stderr
    run("add", "mine", "b.root", "--replace")
    assert "b.root" in run("show", "mine")

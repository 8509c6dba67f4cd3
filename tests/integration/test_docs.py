"""Documentation that cannot rot: its code runs, its output is real, its links lead somewhere."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from dataclasses import fields
from pathlib import Path

import pytest
from typer.main import get_command

from sxdask.cli.main import app
from sxdask.core.settings import Settings
from sxdask.plan.func_adl import xaod, xaod_formulas, xaod_links
from sxdask.plan.func_adl.xaod_formulas import methods_of
from sxdask.plan.func_adl.xaod_keys import CLASS_NUMBERS
from sxdask.plan.functions import ALIASES, FUNCTIONS
from sxdask.requests.recipe import DatasetSpec, DeliverSpec, Generate, Recipe

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Pages whose every block of Python is run, top to bottom, in one namespace.
RUN = [
    ROOT / "README.md",
    DOCS / "tutorial.md",
    DOCS / "reliability.md",
    *sorted((DOCS / "how-to").glob("*.md")),
    *sorted((DOCS / "explanation").glob("*.md")),
    *sorted((DOCS / "reference").glob("*.md")),
]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_the_code_of_a_page_runs_and_prints_what_it_says(page, tmp_path, request, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "sample_files" in page.read_text():
        monkeypatch.setenv("SXDASK_SAMPLES", str(request.getfixturevalue("samples")))
    namespace: dict[str, object] = {"__name__": "__main__"}
    printed = ""
    for kind, body in BLOCK.findall(page.read_text()):
        if kind == "python":
            out = io.StringIO()
            with redirect_stdout(out):
                exec(compile(body, name_of(page), "exec"), namespace)  # noqa: S102
            printed = out.getvalue()
        elif kind == "text":
            assert body.strip() in printed


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_every_page_can_be_reached_from_the_index():
    reached = {
        (DOCS / target).resolve()
        for target in re.findall(r"\]\(([^)#\s]+)\)", (DOCS / "index.md").read_text())
    }
    pages = {page for page in DOCS.rglob("*.md") if "adr" not in page.parts}
    assert pages - reached == {DOCS / "index.md"}


def test_the_table_of_settings_is_that_of_the_code():
    rows = re.findall(
        r"^\| `SXDASK_(\w+)` \| `?([^|`]+?)`? \|",
        (DOCS / "reference" / "settings.md").read_text(),
        re.MULTILINE,
    )
    found = {name.lower(): value for name, value in rows}
    declared = {item.name: item for item in fields(Settings)}
    assert list(found) == list(declared)
    for name, item in declared.items():
        if name != "cache_dir":
            default = int(item.default) if isinstance(item.default, bool) else item.default
            assert found[name] == str(default), name


def test_every_command_and_option_is_described():
    text = (DOCS / "reference" / "cli.md").read_text()
    missing = []

    def visit(command, path: str) -> None:
        for name, below in getattr(command, "commands", {}).items():
            if f"`sxdask {path}{name}" not in text:
                missing.append(f"{path}{name}")
            visit(below, f"{path}{name} ")
        for item in command.params:
            long = [option for option in item.opts if option.startswith("--")]
            if long and "completion" not in long[0] and f"`{long[0]}" not in text:
                missing.append(f"{path}{long[0]}")

    visit(get_command(app), "")
    assert missing == []


def test_every_function_is_listed():
    text = (DOCS / "reference" / "native.md").read_text()
    listed = set(re.findall(r"`(\w+)`", text))
    assert set(FUNCTIONS) - listed == set()
    assert set(ALIASES) - listed == set()


def test_every_method_of_xaod_objects_is_described():
    text = (DOCS / "reference" / "physlite.md").read_text()
    described = set(re.findall(r"`(\w+)(?:\([^`]*\))?`", text))
    counts = {method for _, method in xaod_formulas.COUNTS}
    linked = {method for _, method in xaod_links.METHODS}
    computed = {method for kind in CLASS_NUMBERS | {"MissingET": 0} for method in methods_of(kind)}
    known = {*xaod.ACCESSORS, *counts, *linked, *computed}
    assert known - described == set()


def test_every_key_of_a_recipe_is_described():
    text = (DOCS / "reference" / "recipe.md").read_text()
    for model in (Recipe, DatasetSpec, Generate, DeliverSpec):
        assert {key for key in model.model_fields if f"`{key}`" not in text} == set()

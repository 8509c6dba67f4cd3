"""Every error class has a code of its own, a place in the picture of the tree, and its docs."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from sxdask.core import errors
from sxdask.core.errors import SxdaskError

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
CLASSES = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, SxdaskError) and kind.__module__ == errors.__name__
]
SECTIONS = dict(
    re.findall(r"^## (SX\d{3} \w+)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
)


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in CLASSES]
    assert sorted(set(codes)) == sorted(codes)
    assert all("code" in vars(kind) for kind in CLASSES)  # none is inherited by mistake


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.code)
def test_the_picture_of_the_tree_shows_the_class(kind) -> None:
    assert errors.__doc__ is not None
    assert re.search(
        rf"^ +{kind.__name__} +{kind.code} +{kind.fault}\b", errors.__doc__, re.MULTILINE
    )


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.code)
def test_the_docs_say_what_it_means_and_what_to_do(kind) -> None:
    section = SECTIONS[f"{kind.code} {kind.__name__}"]
    assert section.strip().startswith(f"Fault: {kind.fault}. ")
    assert re.search(rf"^    \[{kind.code}\] \S", section, re.MULTILINE), "no example"
    assert re.search(r"^What to do: ", section, re.MULTILINE)


def test_the_docs_have_no_section_of_a_class_that_is_gone() -> None:
    assert list(SECTIONS) == sorted(f"{kind.code} {kind.__name__}" for kind in CLASSES)


def test_every_error_that_users_see_is_in_the_one_tree() -> None:
    """Modules may signal to each other with classes of their own, outside the tree."""
    root = Path(errors.__file__).parents[1]
    bases = "|".join(kind.__name__ for kind in CLASSES)
    pattern = re.compile(rf"^ *class (\w+)\([^)]*\b({bases})\b", re.MULTILINE)
    assert pattern.search("class Other(DataError):")
    elsewhere = {
        path.relative_to(root).as_posix(): found[1]
        for path in root.rglob("*.py")
        if path != Path(errors.__file__) and (found := pattern.search(path.read_text()))
    }
    assert elsewhere == {}

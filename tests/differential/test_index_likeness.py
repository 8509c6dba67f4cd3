"""Trees that are like one before: what their records say against what uproot makes of them."""

from __future__ import annotations

import random
import subprocess
import sys
import warnings
from collections import Counter, OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sxdask.core.errors import SxdaskError, TruncatedFileError
from sxdask.rootio import likeness
from sxdask.rootio.branches import branch_facts
from sxdask.rootio.build import build_index
from sxdask.rootio.index import index_to_bytes
from sxdask.rootio.listing import tree_names
from sxdask.rootio.record import read_record
from sxdask.testing import write_nanoaod, write_nanoaod_files
from tests.peers import require_root
from tests.real_files import TTREES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sxdask.rootio.branches import BranchRow
    from sxdask.rootio.index import FileIndex
    from sxdask.rootio.record import TreeRecord

ZLIB = uproot.ZLIB(1)
KINDS = {
    "flag": "bool",
    "byte": "uint8",
    "number": "float64",
    "count": "int32",
    "list": "var * float32",
    "long": "var * int64",
    "text": "string",
}


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likeness, "_known", OrderedDict())


def as_bytes(index: FileIndex) -> bytes:
    """Return all that an index says but how long it took."""
    return index_to_bytes(replace(index, build_seconds=0.0))


def anew(path: Path, tree: str) -> bytes:
    """Return the index as uproot alone makes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(likeness, "_known", OrderedDict())
        return as_bytes(build_index(str(path), tree))


def by_likeness(path: Path, tree: str) -> bytes:
    """Return the index as made of what is known; fails if uproot has to understand the tree."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(likeness, "branch_facts", _not_again)
        return as_bytes(build_index(str(path), tree))


def _not_again(tree: Any) -> Any:
    raise AssertionError(f"{tree} is understood once more")


# Its baskets are in the record: what ROOT left of a file that it did not close.
UNUSUAL = {"scouting_nano"}


@pytest.mark.samples
@pytest.mark.parametrize("name", [*TTREES, "nano_dy"])
def test_a_real_tree_seen_again_has_the_same_index(samples: Path, name: str):
    path = samples / f"{name}.root"
    for tree in tree_names(str(path)):
        first = as_bytes(build_index(str(path), tree))
        assert (likeness._known == {}) == (name in UNUSUAL)
        look = anew if name in UNUSUAL else by_likeness
        assert look(path, tree) == first


@pytest.mark.samples
def test_another_file_of_a_dataset_needs_its_numbers_only(samples: Path):
    build_index(str(samples / "nano_dy.root"), "Events")
    other = samples / "nano_dy_SpecialTree.root"
    assert by_likeness(other, "Events") == anew(other, "Events")


def test_files_that_root_wrote_are_alike_whatever_they_hold(tmp_path: Path):
    require_root()
    events = {"many": 2_000, "few": 3, "some": 150}
    writer = Path(__file__).parents[1] / "root_alike.py"
    named = [f"{tmp_path / name}.root={count}" for name, count in events.items()]
    subprocess.run([sys.executable, "-W", "ignore", str(writer), *named], check=True)
    paths = {name: tmp_path / f"{name}.root" for name in events}
    index = build_index(str(paths["many"]), "deep/t")
    wanted = {"n", "lists", "matrix", "text", "pair", "numbers", "nested", "name", "clones.fE"}
    assert wanted <= set(index.layout.names)
    assert len(likeness._known) == 1
    for path in paths.values():
        assert by_likeness(path, "deep/t") == anew(path, "deep/t")


def outcome(path: Path, tree: str) -> bytes | None:
    """Return the index, or None where the tree cannot be read.

    A version that is not one lets uproot make classes anew, stricter ones, for all files to come.
    """
    classes = dict(uproot.classes)
    versions = {
        name: dict(item.known_versions)
        for name, item in classes.items()
        if hasattr(item, "known_versions")
    }
    try:
        return as_bytes(build_index(str(path), tree))
    except TruncatedFileError:
        return None
    finally:
        uproot.classes.clear()
        uproot.classes.update(classes)
        for name, known in versions.items():
            classes[name].known_versions = known


def test_a_changed_byte_of_a_record_has_the_effect_that_it_has_on_uproot(tmp_path: Path):
    names = ("count", "list", "text", "number")
    path = write(tmp_path / "whole.root", names, [5, 9], compression=None)
    data = path.read_bytes()
    with uproot.open(path) as file:
        key = file.key("t")
        start, stop = key.data_cursor.index, key.fSeekKey + key.fNbytes
    build_index(str(path), "t")
    (description,) = likeness._known.items()
    rng = random.Random(3)  # noqa: S311  not for secrets
    damaged = tmp_path / "damaged.root"
    effects: Counter[str] = Counter()
    for place in range(start, stop, 3):
        changed = bytes([data[place] ^ (1 << rng.randrange(8))])
        damaged.write_bytes(data[:place] + changed + data[place + 1 :])
        likeness._known.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of numbers that uproot finds strange
            wanted = outcome(damaged, "t")
            likeness._known.clear()
            likeness._known.update([description])
            assert outcome(damaged, "t") == wanted, (place - start, data[place], changed)
        effects["none" if wanted is None else "an index"] += 1
    assert min(effects.values()) > 50


def test_of_many_files_one_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    understood: list[Any] = []

    def counted(tree: Any) -> list[BranchRow]:
        understood.append(tree)
        return branch_facts(tree)

    monkeypatch.setattr(likeness, "branch_facts", counted)
    paths = write_nanoaod_files(tmp_path, 500, 5)
    found = [as_bytes(build_index(str(path), "Events")) for path in paths]
    assert len(understood) == 1
    assert found == [anew(path, "Events") for path in paths]


def columns(names: tuple[str, ...], entries: int, seed: int) -> dict[str, Any]:
    """Return values for branches of `KINDS`."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, entries)
    made: dict[str, Any] = {}
    for name in names:
        kind = KINDS[name]
        if kind == "string":
            made[name] = ak.Array(["x" * int(size) for size in counts])
        elif kind.startswith("var"):
            values = rng.integers(0, 99, int(counts.sum())).astype(kind.split()[-1])
            made[name] = ak.unflatten(values, counts)
        else:
            made[name] = rng.integers(0, 2, entries).astype(kind)
    return made


def write(path: Path, names: tuple[str, ...], clusters: list[int], compression: Any = ZLIB) -> Path:
    """Write a tree ``t`` of one basket a branch for each of `clusters`."""
    with uproot.recreate(path, compression=compression) as file:
        tree = file.mktree("t", {name: KINDS[name] for name in names})
        for number, entries in enumerate(clusters):
            tree.extend(columns(names, entries, number))
    return path


@given(
    names=st.permutations(sorted(KINDS)).map(tuple),
    first=st.lists(st.integers(1, 40), max_size=12),
    second=st.lists(st.integers(1, 40), max_size=12),
)
@settings(
    max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
def test_trees_with_other_baskets_are_alike(
    tmp_path: Path, names: tuple[str, ...], first: list[int], second: list[int]
):
    likeness._known.clear()
    one = write(tmp_path / "one.root", names, first)
    other = write(tmp_path / "other.root", names, second)
    build_index(str(one), "t")
    assert by_likeness(other, "t") == anew(other, "t")
    assert by_likeness(one, "t") == anew(one, "t")


def differing(folder: Path) -> Iterator[Path]:
    """Yield trees that differ from each other in one thing of their description."""
    names = ("count", "list", "text")
    yield write(folder / "usual.root", names, [3, 4])
    yield write(folder / "order.root", ("list", "count", "text"), [3, 4])
    yield write(folder / "more.root", (*names, "flag"), [3, 4])
    for name, kind in (("type", "int64"), ("kind", "uint32"), ("shape", np.dtype(("i4", (2,))))):
        with uproot.recreate(folder / f"{name}.root") as file:
            tree = file.mktree("t", {"count": kind, "list": "var * float32", "text": "string"})
            values = columns(names, 4, 0)
            if name == "shape":
                values["count"] = np.zeros((4, 2), np.int32)
            tree.extend(values)
        yield folder / f"{name}.root"
    with uproot.recreate(folder / "counter.root") as file:
        kinds = {"count": "int32", "list": "var * float32", "text": "string"}
        tree = file.mktree("t", kinds, counter_name=lambda name: f"num_{name}")
        tree.extend(columns(names, 4, 0))
    yield folder / "counter.root"


def test_trees_that_differ_in_one_thing_are_not_taken_for_each_other(tmp_path: Path):
    paths = list(differing(tmp_path))
    found = [as_bytes(build_index(str(path), "t")) for path in paths]
    assert len(likeness._known) == len(paths)
    assert found == [anew(path, "t") for path in paths]
    assert [by_likeness(path, "t") for path in paths] == found


def test_a_record_that_proves_wrong_is_not_relied_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def wrong(data: bytes, key_length: int) -> TreeRecord:
        record = read_record(data, key_length)
        return replace(record, seek=record.seek + 1)

    path = write_nanoaod(tmp_path / "nano.root", 100)
    monkeypatch.setattr(likeness, "read_record", wrong)
    build_index(str(path), "Events")
    assert likeness._known == {}
    assert as_bytes(build_index(str(path), "Events")) == anew(path, "Events")


def test_few_descriptions_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(likeness, "_MOST", 2)
    one, two, three = (
        write(tmp_path / f"{name}.root", (name,), [2]) for name in ("flag", "byte", "text")
    )
    for path in (one, two, one, three):
        build_index(str(path), "t")
    assert len(likeness._known) == 2
    assert by_likeness(one, "t") == anew(one, "t")
    with pytest.raises(SxdaskError, match="once more"):
        by_likeness(two, "t")

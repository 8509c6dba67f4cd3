"""The index of every tree of the real files says what uproot says."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import awkward as ak
import pytest
import uproot
from uproot.interpretation.grouped import AsGrouped

from sxdask.rootio.build import build_index
from sxdask.rootio.index import index_from_bytes, index_to_bytes
from sxdask.rootio.listing import list_trees, tree_names
from tests.real_files import RNTUPLES, TTREES

if TYPE_CHECKING:
    from pathlib import Path

    from sxdask.rootio.index import FileIndex
    from sxdask.rootio.layout import TreeLayout


def branches_of(tree: Any) -> dict[str, Any]:
    """Return path -> branch of everything that could be a column."""
    return {
        path: branch
        for path, branch in tree.iteritems(recursive=True)
        if not isinstance(branch.interpretation, AsGrouped)
    }


def check_baskets(index: FileIndex, branches: dict[str, Any]) -> None:
    for name, path in zip(index.layout.names, index.layout.paths, strict=True):
        branch, found = branches[path], index.column(name)
        if len(found.seek) == 0:
            column = index.layout.columns.get(name)
            assert branch.num_baskets == 0 or column is None or column.kind == "uproot"
            continue
        assert found.entry_starts.tolist() == branch.entry_offsets
        assert found.seek.tolist() == branch.member("fBasketSeek")[: branch.num_baskets].tolist()
        sizes = [branch.basket_compressed_bytes(item) for item in range(branch.num_baskets)]
        assert found.num_bytes.tolist() == sizes
        assert index.compressed_bytes([name]) == [sum(sizes)]


def check_forms(layout: TreeLayout, branches: dict[str, Any]) -> None:
    """Compare the form of one branch of each encoding with that of the array uproot makes."""
    seen = set()
    for column in layout.columns.values():
        branch = branches[column.path]
        form = ak.forms.from_json(column.form)
        assert layout.schema[column.name].reason is None
        if column.kind != "uproot":
            assert form == ak.forms.from_dict(
                branch.interpretation.awkward_form(branch.file).to_dict()
            )
        if column.form in seen:
            continue
        try:
            array = branch.array()
        except (NotImplementedError, ValueError, uproot.DeserializationError):
            assert column.kind == "uproot"  # uproot gives it a form and cannot read it
            continue
        if len(array) or column.kind != "uproot":
            seen.add(column.form)
            assert array.layout.form == form
            if "parameters" not in column.form:
                assert str(layout.schema[column.name].type) == str(array.type.content)


@pytest.mark.samples
@pytest.mark.parametrize("name", TTREES)
def test_every_branch_of_a_real_tree_is_indexed_as_uproot_reads_it(samples: Path, name: str):
    path = samples / f"{name}.root"
    for found in tree_names(str(path)):
        index = build_index(str(path), found)
        with uproot.open({path: found}) as tree:
            branches = branches_of(tree)
            layout = index.layout
            assert index.num_entries == tree.num_entries
            assert set(layout.paths) == set(branches)
            assert set(layout.columns) | set(layout.unreadable) == set(layout.names)
            assert len(set(layout.names)) == len(layout.names)
            for column, place in zip(layout.names, layout.paths, strict=True):
                assert tree[place] is branches[place]
                assert place.endswith(column)
                assert layout.resolve(place) == column
            assert layout.typenames == tuple(branches[item].typename for item in layout.paths)
            check_baskets(index, branches)
            check_forms(layout, branches)
            reasons = {reason: item for item, reason in layout.unreadable.items()}
            for column in reasons.values():
                place = layout.paths[layout.positions[column]]
                with pytest.raises(Exception, match=r".+"):
                    branches[place].array()


@pytest.mark.samples
@pytest.mark.parametrize("name", RNTUPLES)
def test_every_field_of_a_real_rntuple_is_indexed(samples: Path, name: str):
    path = samples / f"{name}.root"
    (info,) = list_trees(str(path))
    index = build_index(str(path))
    assert (index.kind, index.tree, index.num_entries) == ("rntuple", info.name, info.num_entries)
    assert index.layout.unreadable == {}
    with uproot.open({path: info.name}) as ntuple:
        assert list(index.layout.names) == [field.name for field in ntuple.fields]
        edges = [item.num_first_entry for item in ntuple.cluster_summaries]
        assert index.cluster_starts.tolist() == sorted({0, *edges, ntuple.num_entries})
        for column in index.layout.names[::50]:
            form = ak.forms.from_json(index.layout.columns[column].form)
            made, _ = ntuple[column].to_akform()
            assert form == ak.forms.from_dict(made.content(0).to_dict())
            assert ntuple[column].array().layout.form == form
    sizes = index.compressed_bytes(index.layout.names)
    assert (sizes > 0).all() == (index.num_entries > 0)
    assert index.total_bytes <= path.stat().st_size


@pytest.mark.samples
def test_unflushed_baskets_go_through_uproot(samples: Path):
    index = build_index(str(samples / "scouting_nano.root"))
    assert {item.kind for item in index.layout.columns.values()} == {"uproot"}
    assert index.piece(0, 0, 40, index.layout.names).baskets == {}


@pytest.mark.samples
def test_strings_and_fixed_arrays_of_real_files_are_fast(samples: Path):
    dune = build_index(str(samples / "pduneana.root")).layout.columns
    assert [item.name for item in dune.values() if item.kind == "string"] == [
        "true_beam_endProcess",
        "reco_beam_true_byE_endProcess",
        "reco_beam_true_byE_process",
        "reco_beam_true_byHits_endProcess",
        "reco_beam_true_byHits_process",
    ]
    atlas = build_index(str(samples / "PHYSLITE_example.root")).layout.columns
    assert atlas["AnalysisJetsAuxDyn.pt"].kind == "jagged"
    assert atlas["AnalysisJetsAuxDyn.pt"].header_bytes == 10  # std::vector


@pytest.mark.samples
def test_opening_an_index_makes_no_object_per_branch(samples: Path):
    data = index_to_bytes(build_index(str(samples / "nano_dy.root")))
    first = index_from_bytes(data)  # which holds the layout
    assert len(first.layout.names) == 1499
    gc.collect()
    before = len(gc.get_objects())
    again = index_from_bytes(data)
    assert len(gc.get_objects()) - before < 60
    assert again.layout is first.layout
    assert len(data) < 80 * 1499

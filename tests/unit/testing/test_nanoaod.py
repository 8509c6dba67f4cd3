"""Generated files are what they promise: NanoAOD's layout, the same bytes, the same events."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from hypothesis import given, settings
from hypothesis import strategies as st

from sxdask.testing import expected_arrays, write_nanoaod, write_nanoaod_files

# Names and types as in CMS NanoAOD version 12.
TYPES = {
    "run": "uint32",
    "luminosityBlock": "uint32",
    "event": "uint64",
    "nMuon": "int32",
    "Muon_pt": "var * float32",
    "Muon_charge": "var * int32",
    "Muon_tightId": "var * bool",
    "Muon_genPartIdx": "var * int16",
    "Electron_cutBased": "var * uint8",
    "Jet_btagDeepFlavB": "var * float32",
    "GenPart_pdgId": "var * int32",
    "MET_pt": "float32",
    "PV_npvs": "uint8",
    "HLT_IsoMu24": "bool",
    "genWeight": "float32",
}


@pytest.fixture(scope="module")
def events() -> dict[str, ak.Array]:
    return expected_arrays(20_000)


def test_branches_have_the_names_and_types_of_nanoaod(nanoaod) -> None:
    with uproot.open(f"{nanoaod}:Events") as tree:
        for name, kind in TYPES.items():
            assert str(tree[name].array(entry_stop=3).type) == f"3 * {kind}", name


def test_a_collection_has_one_counter_that_its_branches_name(nanoaod) -> None:
    with uproot.open(f"{nanoaod}:Events") as tree:
        names = tree.keys()
        counters = [name for name in names if name.startswith("n")]
        assert counters == ["nMuon", "nElectron", "nJet", "nGenPart"]
        for name in names:
            collection = name.partition("_")[0]
            if f"n{collection}" in counters:
                assert tree[name].count_branch is tree[f"n{collection}"], name


def test_a_file_holds_the_events_that_are_expected(nanoaod, events) -> None:
    with uproot.open(f"{nanoaod}:Events") as tree:
        found = tree.arrays()
        assert tree.common_entry_offsets() == [0, 4_000, 8_000, 12_000, 16_000, 20_000]
    assert found.fields == list(events)
    for name, values in events.items():
        assert str(found[name].type) == str(values.type), name
        assert ak.array_equal(found[name], values), name


@pytest.mark.parametrize("compression", ["zstd", "lz4", "zlib", "lzma", "none"])
def test_every_compression_holds_the_same_events(compression, make_nanoaod) -> None:
    path = make_nanoaod(500, compression=compression)
    expected = expected_arrays(500)
    with uproot.open(path) as file:
        found = file.file.compression
        assert (found is None or found.level == 0) == (compression == "none")
        if compression != "none":
            assert type(found).__name__ == compression.upper()
        arrays = file["Events"].arrays()
        smaller = file["Events"]["Muon_pt"].compressed_bytes < 1500 * 4
    assert all(ak.array_equal(arrays[name], values) for name, values in expected.items())
    assert smaller


def test_the_same_arguments_give_the_same_bytes(tmp_path) -> None:
    options: dict[str, Any] = {"seed": 3, "extra_branches": 11, "entries_per_cluster": 400}
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    one = write_nanoaod(tmp_path / "one/a.root", 1_000, **options).read_bytes()
    assert write_nanoaod(tmp_path / "two/a.root", 1_000, **options).read_bytes() == one
    assert write_nanoaod(tmp_path / "one/a.root", 1_000, **options).read_bytes() == one


def test_threads_may_write_at_once_and_the_clock_of_uproot_goes_on(tmp_path) -> None:
    paths = [tmp_path / f"{number}.root" for number in range(6)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda path: write_nanoaod(path, 50), paths))
    with uproot.recreate(tmp_path / "now.root") as file:
        written = file.file._cascading.rootdirectory._header._created_on
    assert (written.year, written.month, written.day) != (2025, 1, 1)


@pytest.mark.parametrize(
    "changed",
    [{"seed": 1}, {"first_event": 1}, {"extra_branches": 1}, {"entries_per_cluster": 7}],
)
def test_other_arguments_give_another_file_identity(changed, tmp_path) -> None:
    def identity(**options: Any) -> str:
        with uproot.open(write_nanoaod(tmp_path / "a.root", 20, **options)) as file:
            return str(file.file.uuid)

    assert identity() != identity(**changed)


@given(
    seed=st.integers(0, 2),
    start=st.integers(9_900, 10_100),
    length=st.integers(0, 150),
    cluster=st.integers(10, 200),
)
@settings(max_examples=20)
def test_events_do_not_depend_on_how_a_file_is_cut(
    seed, start, length, cluster, tmp_path_factory
) -> None:
    """Ranges around the edge of a block of 10 000, where a mistake would show."""
    path = tmp_path_factory.mktemp("cut") / "a.root"
    write_nanoaod(path, length, seed=seed, first_event=start, entries_per_cluster=cluster)
    whole = expected_arrays(10_500, seed=seed)
    with uproot.open(f"{path}:Events") as tree:
        found = tree.arrays(["event", "nJet", "Jet_pt", "Muon_charge", "HLT_IsoMu24"])
    for name in found.fields:
        assert ak.array_equal(found[name], whole[name][start : start + length]), name


def test_the_expected_arrays_cannot_be_changed_by_accident() -> None:
    values = np.asarray(expected_arrays(10)["MET_pt"])
    with pytest.raises(ValueError, match="read-only"):
        values[0] = 0


def test_several_files_hold_one_sample(tmp_path) -> None:
    paths = write_nanoaod_files(tmp_path / "new", 1_001, 3, seed=2, compression="lz4")
    assert [path.name for path in paths] == ["nano_0000.root", "nano_0001.root", "nano_0002.root"]
    found = uproot.concatenate([f"{path}:Events" for path in paths], ["event", "Muon_pt"])
    whole = expected_arrays(1_001, seed=2)
    assert ak.array_equal(found["event"], whole["event"])
    assert ak.array_equal(found["Muon_pt"], whole["Muon_pt"])


def test_a_file_without_events_has_all_branches(make_nanoaod) -> None:
    with uproot.open(make_nanoaod(0, extra_branches=3)) as file:
        assert file["Events"].num_entries == 0
        assert file["Events"].keys() == list(expected_arrays(0, extra_branches=3))


def test_extra_branches_make_a_wide_file_of_all_kinds(make_nanoaod) -> None:
    usual = set(expected_arrays(0))
    with uproot.open(make_nanoaod(50, extra_branches=60)) as file:
        tree = file["Events"]
        assert len(tree.keys()) == len(usual) + 60
        kinds = {str(tree[name].array().type.content) for name in set(tree.keys()) - usual}
    assert kinds == {"bool", "float32", "int32", "var * float32", "var * int32"}


def test_more_extra_branches_leave_the_first_ones_as_they_are() -> None:
    few, many = (expected_arrays(100, extra_branches=num) for num in (5, 50))
    assert len(many) == len(few) + 45
    assert all(ak.array_equal(many[name], values) for name, values in few.items())


@pytest.mark.parametrize(
    ("num_events", "options", "message"),
    [
        (-1, {}, "must not be negative"),
        (1, {"first_event": -1}, "must not be negative"),
        (1, {"extra_branches": 2_001}, "from 0 to 2000"),
        (1, {"extra_branches": -1}, "from 0 to 2000"),
        (1, {"entries_per_cluster": 0}, "at least 1"),
        (1, {"compression": "gzip"}, "not one of zstd, lz4, zlib, lzma, none"),
    ],
)
def test_arguments_out_of_range_are_refused(num_events, options, message, tmp_path) -> None:
    with pytest.raises(ValueError, match=message):
        write_nanoaod(tmp_path / "a.root", num_events, **options)
    assert not (tmp_path / "a.root").exists()


def test_fewer_than_one_file_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        write_nanoaod_files(tmp_path, 10, 0)


def test_event_and_luminosity_block_grow_so_that_zones_can_be_skipped(events) -> None:
    assert ak.to_numpy(events["event"]).tolist() == list(range(1, 20_001))
    blocks = ak.to_numpy(events["luminosityBlock"])
    assert (np.diff(blocks.astype(np.int64)) >= 0).all()
    assert blocks[-1] == 20


@pytest.mark.parametrize("lepton", ["Muon", "Electron"])
def test_pairs_of_leptons_show_the_z_boson(lepton, events) -> None:
    parts = ("pt", "eta", "phi", "charge")
    leptons = ak.zip({part: events[f"{lepton}_{part}"] for part in parts})
    pairs = leptons[ak.num(leptons) == 2]
    first, second = pairs[:, 0], pairs[:, 1]
    mass = np.sqrt(
        2
        * first.pt
        * second.pt
        * (np.cosh(first.eta - second.eta) - np.cos(first.phi - second.phi))
    )
    opposite = ak.to_numpy(mass[first.charge != second.charge])
    heights, edges = np.histogram(opposite, bins=80, range=(20, 180))
    assert abs(edges[heights.argmax()] + 1 - 91.19) < 2
    peak = opposite[abs(opposite - 91.19) < 10]
    assert abs(np.median(peak) - 91.19) < 0.4
    assert peak.size > 0.04 * 20_000
    same = ak.to_numpy(mass[first.charge == second.charge])
    assert (abs(same - 91.19) < 10).sum() < peak.size / 20


def test_spectra_have_the_shapes_of_real_ones(events) -> None:
    assert (ak.num(events["Jet_pt"]) == events["nJet"]).to_list() == [True] * 20_000
    sorted_jets = ak.sort(events["Jet_pt"], ascending=False)
    assert ak.array_equal(sorted_jets, events["Jet_pt"])
    jets = ak.to_numpy(ak.flatten(events["Jet_pt"]))
    counts = np.histogram(jets, bins=[30, 60, 120, 240, 480])[0]
    assert (counts[:-1] > 2 * counts[1:]).all()  # steeply falling
    assert 2 < ak.mean(events["nJet"]) < 6
    assert 0.3 < ak.mean(events["nMuon"]) < 1.5
    assert ak.max(abs(events["Muon_eta"])) <= 2.4
    assert ak.max(abs(events["Muon_phi"])) <= np.float32(3.1422)
    missing = ak.to_numpy(events["MET_pt"])
    assert np.median(missing) < 30
    assert np.quantile(missing, 0.999) > 120  # a tail


def test_b_tags_have_two_populations(events) -> None:
    central = abs(events["Jet_eta"]) < 2.5
    tag = ak.to_numpy(ak.flatten(events["Jet_btagDeepFlavB"][central]))
    bottom = ak.to_numpy(ak.flatten(events["Jet_hadronFlavour"][central])) == 5
    assert np.median(tag[bottom]) > 0.8
    assert np.median(tag[~bottom]) < 0.1
    assert set(ak.flatten(events["Jet_btagDeepFlavB"][~central])) == {-1.0}


def test_generated_particles_know_their_mothers(events) -> None:
    mother, pdg = events["GenPart_genPartIdxMother"], events["GenPart_pdgId"]
    assert ak.all(mother < ak.local_index(mother))
    parents = pdg[mother[mother >= 0]]
    decayed = pdg[mother >= 0]
    of_z = abs(decayed[parents == 23])
    assert set(ak.flatten(of_z)) == {11, 13}
    assert set(ak.flatten(abs(parents[abs(decayed) == 24]))) == {6}  # only from top quarks
    linked = events["Muon_genPartIdx"]
    has_one = linked >= 0
    assert set(ak.flatten(abs(pdg[linked[has_one]]))) == {13}
    signs = -np.sign(pdg[linked[has_one]])
    assert ak.all(signs == events["Muon_charge"][has_one])


def test_triggers_follow_what_was_measured(events) -> None:
    leading = ak.fill_none(ak.max(events["Muon_pt"], axis=1), 0)
    assert not ak.any(events["HLT_IsoMu24"] & (leading <= 24))
    efficiency = ak.mean(events["HLT_IsoMu24"][leading > 24])
    assert 0.9 < efficiency < 0.96
    assert not ak.any(events["HLT_PFMET120_PFMHT120_IDTight"] & (events["MET_pt"] <= 120))


def test_all_values_are_finite(events) -> None:
    for name, values in events.items():
        assert np.isfinite(ak.to_numpy(ak.flatten(values, axis=None)).astype(float)).all(), name

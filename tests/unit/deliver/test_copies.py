"""Copies of histograms, where another file has changed what uproot knows of their classes."""

from __future__ import annotations

import numpy as np
import uproot

from sxdask.deliver.root.copies import Copies, copy_objects

LINE_OF_VERSION_2 = b"\x40\x00\x00\x08\x00\x02"  # length and version of a TAttLine


def _histogram(path):
    with uproot.recreate(path, compression=None) as file:
        file["h"] = np.histogram(np.arange(10.0), 5)
    return path


def test_a_damaged_file_spoils_no_histogram_of_another(tmp_path, monkeypatch):
    models = uproot.classes["TAttLine"]
    monkeypatch.setattr(models, "known_versions", dict(models.known_versions))
    good, bad = _histogram(tmp_path / "good.root"), _histogram(tmp_path / "bad.root")
    content = bad.read_bytes()
    bad.write_bytes(content.replace(LINE_OF_VERSION_2, LINE_OF_VERSION_2[:-1] + b"\x07", 1))
    with uproot.open(bad) as file:
        file["h"]
    assert not models.known_versions[2].writable  # uproot replaced its own model

    with uproot.recreate(tmp_path / "copy.root") as file:
        copy_objects(file, Copies(filters=("h",), urls=(str(good),)))
    with uproot.open(tmp_path / "copy.root") as copy, uproot.open(good) as original:
        assert np.array_equal(copy["h"].values(), original["h"].values())
        assert np.array_equal(copy["h"].axis().edges(), original["h"].axis().edges())

"""The best replica comes first, by site, distance and protocol."""

from __future__ import annotations

import pytest

from sxdask.core.errors import RequestError
from sxdask.core.settings import load_settings
from sxdask.datasets.replicas import Place, Preference, spellings

FAR = Place("root://far.org//f", "FAR_DISK", 3)
FAR_WEB = Place("davs://far.org/f", "FAR_DISK", 4)
NEAR = Place("davs://near.org/f", "NEAR_DISK", 1)
NEAR_ROOT = Place("root://near.org//f", "NEAR_DISK", 2)
ALL = [FAR, FAR_WEB, NEAR, NEAR_ROOT]


def test_the_nearest_site_comes_first_with_the_protocol_that_is_preferred() -> None:
    assert Preference().sorted(ALL) == (
        "root://near.org//f",
        "https://near.org/f",
        "root://far.org//f",
        "https://far.org/f",
    )


def test_a_preferred_site_comes_before_a_near_one() -> None:
    assert Preference(sites=("FAR*",)).sorted(ALL)[:2] == ("root://far.org//f", "https://far.org/f")


def test_protocols_that_are_not_named_are_not_used() -> None:
    assert Preference(schemes=("https",)).sorted(ALL) == ("https://near.org/f", "https://far.org/f")
    assert Preference().sorted([Place("srm://a/f"), Place("gsiftp://a/f"), Place("nonsense")]) == ()


def test_the_order_does_not_depend_on_the_order_of_the_answer() -> None:
    assert Preference().sorted(ALL) == Preference().sorted(ALL[::-1])


def test_a_place_that_is_named_twice_is_there_once() -> None:
    assert Preference().sorted([NEAR, Place("https://near.org/f", "NEAR_DISK", 9)]) == (
        "https://near.org/f",
    )


def test_a_protocol_whose_package_is_missing_is_left_out_if_there_is_another(monkeypatch) -> None:
    monkeypatch.setattr("sxdask.datasets.replicas.find_spec", dict[str, str]().get)
    assert Preference().sorted(ALL) == ("https://near.org/f", "https://far.org/f")
    assert Preference(schemes=("root",)).sorted(ALL) == ("root://near.org//f", "root://far.org//f")


def test_the_settings_are_lists_with_commas() -> None:
    settings = load_settings(
        {"SXDASK_REPLICA_SITES": " MWT2*, ,CERN ", "SXDASK_REPLICA_SCHEMES": "davs,https, root"}
    )
    assert Preference.from_settings(settings) == Preference(("MWT2*", "CERN"), ("https", "root"))
    with pytest.raises(RequestError, match="names no protocol"):
        Preference.from_settings(load_settings({"SXDASK_REPLICA_SCHEMES": " , "}))


def test_catalogues_have_other_names_for_protocols() -> None:
    assert spellings("https") == ("https", "davs")
    assert spellings("root") == ("root", "xroot")

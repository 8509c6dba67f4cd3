"""Which versions fit together, and what is said of those that do not."""

from __future__ import annotations

from typing import Any

import pytest

from sxdask.clusters.backends.local import LocalBackend
from sxdask.clusters.versions import check_versions, differences
from sxdask.core.errors import VersionMismatchError

OURS = {
    "python": "3.11.7.final.0",
    "dask": "2025.3.1",
    "distributed": "2025.3.1",
    "awkward": "2.14.0",
    "uproot": "5.7.7",
    "sxdask": "0.1.0",
    "numpy": "2.4.1",
    "cloudpickle": "3.1.2",
    "msgpack": "1.2.4",
    "pyarrow": "21.0.0",
    "lz4": "4.4.5",
}


def answer(scheduler: dict[str, str | None], *workers: dict[str, str | None]) -> dict[str, Any]:
    """Return what `Client.get_versions` gives, with what differs from ours."""
    return {
        "client": {"packages": OURS},
        "scheduler": {"packages": OURS | scheduler},
        "workers": {f"tcp://w{n}:1": {"packages": OURS | item} for n, item in enumerate(workers)},
    }


def test_the_package_and_the_two_versions_are_named():
    (found,) = differences(answer({}, {}, {"awkward": "2.8.2"}))
    assert str(found) == "awkward 2.14.0 here, 2.8.2 at worker tcp://w1:1"


def test_a_package_that_differs_at_many_workers_is_named_once():
    old: dict[str, str | None] = {"uproot": "5.6.0"}
    (found,) = differences(answer({}, *[old] * 40))
    assert str(found) == "uproot 5.7.7 here, 5.6.0 at worker tcp://w0:1 and 39 more"


@pytest.mark.parametrize(
    "there",
    [
        {"python": "3.11.2.final.0"},
        {"numpy": "2.1.0"},
        {"lz4": None},
        {"lz4": "4.3.3"},
        {"cloudpickle": "3.1.0"},
    ],
    ids=str,
)
def test_what_makes_no_difference_is_no_error(there):
    assert differences(answer(there, there)) == []


@pytest.mark.parametrize(
    "there",
    [
        {"python": "3.12.1.final.0"},
        {"sxdask": "0.1.1"},
        {"dask": "2025.3.0"},
        {"distributed": "2025.3.0"},
        {"awkward": None},
        {"lz4": "3.1.0"},
    ],
    ids=str,
)
def test_what_makes_a_difference_is_found_at_the_scheduler_too(there):
    (found,) = differences(answer(there))
    assert found.package == next(iter(there))
    assert found.where == "the scheduler"


def test_a_cluster_of_this_process_fits_and_another_version_is_one_line(monkeypatch):
    with LocalBackend(1, threads_per_worker=1, processes=False) as client:
        assert check_versions(client) == 1
        real = client.get_versions

        def older(**options: Any) -> Any:
            found = real(**options)
            (worker,) = found["workers"].values()
            worker["packages"]["awkward"] = "2.0.0"
            return found

        monkeypatch.setattr(client, "get_versions", older)
        with pytest.raises(
            VersionMismatchError, match=r"awkward 2\.\S+ here, 2\.0\.0 at"
        ) as caught:
            check_versions(client)
    assert "awkward==2.0.0" in str(caught.value.hint)
    assert "\n" not in caught.value.problem

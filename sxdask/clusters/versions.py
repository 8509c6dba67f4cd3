"""Whether client, scheduler and workers run versions that understand each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sxdask.core.errors import VersionMismatchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# How many components of a version have to agree; 0 is all of them. Tasks travel as
# pickles of sxdask, awkward and uproot; Python's patch releases keep the format of pickles
# and byte code, and the wire formats of the last three change with major versions alone.
_COMPONENTS: Final[Mapping[str, int]] = {
    "python": 2,
    "sxdask": 0,
    "dask": 0,
    "distributed": 0,
    "awkward": 0,
    "uproot": 0,
    "cloudpickle": 2,
    "numpy": 1,
    "pyarrow": 1,
    "msgpack": 1,
    "lz4": 1,
}
# Both sides agree to do without it where one has none.
_OPTIONAL: Final = frozenset({"lz4"})
_ASKED: Final = ("sxdask", "awkward", "uproot", "pyarrow")  # besides those that Dask reports


@dataclass(frozen=True, slots=True)
class Difference:
    """A package whose versions do not fit; an empty version is a package that is missing."""

    package: str
    here: str
    there: str
    where: str

    def __str__(self) -> str:
        return (
            f"{self.package} {self.here or 'missing'} here, "
            f"{self.there or 'missing'} at {self.where}"
        )


def differences(found: Mapping[str, Any]) -> list[Difference]:
    """Return what does not fit in the answer of ``Client.get_versions(packages=ASKED)``.

    A package that differs at several workers is listed once, with the first of
    them and their number.
    """
    ours = _packages(found["client"])
    listed = [
        Difference(package, ours.get(package, ""), version, where)
        for where, packages in _others(found)
        for package in _COMPONENTS
        if not _fit(package, ours.get(package, ""), version := packages.get(package, ""))
    ]
    merged: dict[tuple[str, str], list[Difference]] = {}
    for item in listed:
        kind = "" if item.where == "the scheduler" else item.there
        merged.setdefault((item.package, kind or item.where), []).append(item)
    return [_together(items) for items in merged.values()]


def versions_of(client: Any) -> Mapping[str, Any]:
    """Ask scheduler and workers for the versions that matter."""
    found: Mapping[str, Any] = client.get_versions(packages=list(_ASKED))
    return found


def check_versions(client: Any) -> int:
    """Check that scheduler and workers run what this process runs; return how many workers.

    Raises
    ------
    VersionMismatchError
        Naming the first package that differs, and both versions.
    """
    found = versions_of(client)
    wrong = differences(found)
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise VersionMismatchError(
            f"versions do not fit: {wrong[0]}{more}",
            hint=f"install {_wish(wrong)} here, or the client's versions at the cluster",
            package=wrong[0].package,
            here=wrong[0].here,
            there=wrong[0].there,
            differences=[str(item) for item in wrong],
        )
    return len(found["workers"])


def _others(found: Mapping[str, Any]) -> Iterable[tuple[str, dict[str, str]]]:
    yield "the scheduler", _packages(found["scheduler"])
    for address, facts in sorted(found["workers"].items()):
        yield f"worker {address}", _packages(facts)


def _packages(facts: Mapping[str, Any]) -> dict[str, str]:
    packages = {name: str(version or "") for name, version in facts["packages"].items()}
    return packages | {"python": packages.get("python", "").partition(".final")[0]}


def _fit(package: str, ours: str, theirs: str) -> bool:
    if package in _OPTIONAL and not (ours and theirs):
        return True
    most = _COMPONENTS[package] or None
    return ours.split(".")[:most] == theirs.split(".")[:most]


def _together(items: list[Difference]) -> Difference:
    first = items[0]
    if len(items) == 1:
        return first
    where = f"{first.where} and {len(items) - 1} more"
    return Difference(first.package, first.here, first.there, where)


def _wish(wrong: Iterable[Difference]) -> str:
    wanted = {item.package: item.there for item in reversed(list(wrong)) if item.there}
    return " ".join(f"{name}=={version}" for name, version in reversed(wanted.items())) or (
        "the cluster's versions"
    )

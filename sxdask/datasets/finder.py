"""The contract of finders, which turn a dataset's name into files, and their registry.

A name of the form ``scheme://...`` goes to the finder of that name. Schemes
of storage (``https``, ``s3``, ``root``, ...) and plain paths go to ``files``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from sxdask.core.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sxdask.core.settings import Settings
    from sxdask.datasets.address import Address
    from sxdask.datasets.model import FileEntry


class Finder(Protocol):
    """Find the files of a dataset.

    A finder returns the same files in the same order each time, as long as
    the catalogue or the storage behind it does not change. It does not open
    the files and does not look at each one remotely: building the index does.
    It leaves ``?files=N``, duplicates and limits to the resolver.
    """

    def find(self, address: Address, *, storage_options: Mapping[str, Any]) -> Sequence[FileEntry]:
        """Return the files that `address` names, at least one.

        Raises
        ------
        FileMissingError
            If it names a file that does not exist, as far as that is known.
        EmptyDatasetError
            If it names no file.
        AccessDeniedError
            If a directory or listing may not be read.
        MissingExtraError
            If a package for this storage is not installed.
        ReadFailedError
            If the storage or the catalogue does not answer.
        """
        ...


@runtime_checkable
class StreamingFinder(Finder, Protocol):
    """A finder of datasets so large that work may begin before all files are known."""

    def stream(
        self, address: Address, *, storage_options: Mapping[str, Any]
    ) -> Iterator[FileEntry]:
        """Yield what `find` returns, in any order, as it becomes known."""
        ...


@runtime_checkable
class CheckedFinder(Finder, Protocol):
    """A finder that can tell an operator whether it would work."""

    def check(self) -> str:
        """Return what answers, in a few words.

        Raises
        ------
        MissingExtraError, AccessDeniedError, ReadFailedError, RequestError
            If a package or the configuration is missing, or nothing answers.
        """
        ...


FINDERS: Registry[type[Finder]] = Registry(
    kind="dataset scheme",
    group="sxdask.finders",
    builtin={
        "files": "sxdask.datasets.finders.files:FilesFinder",
        "xrootd": "sxdask.datasets.finders.xrootd:XRootDFinder",
        "rucio": "sxdask.datasets.finders.rucio:RucioFinder",
        "cernopendata": "sxdask.datasets.finders.cernopendata:OpenDataFinder",
        "catalog": "sxdask.datasets.finders.catalog:CatalogFinder",
    },
)


def make_finder(name: str, settings: Settings) -> Finder:
    """Return the finder `name`, with what `settings` say if it has ``from_settings``.

    Raises
    ------
    UnknownLanguageError
        If there is no such finder.
    MissingExtraError
        If a package that it needs is not installed.
    """
    kind = FINDERS.load(name)
    prepare = getattr(kind, "from_settings", None)
    return cast("Finder", prepare(settings)) if prepare is not None else kind()

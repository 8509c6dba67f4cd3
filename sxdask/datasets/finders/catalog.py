"""``catalog://name``: a dataset of the user's catalog, which may name others of any kind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import EmptyDatasetError, RequestError
from sxdask.core.settings import Settings, load_settings
from sxdask.datasets.address import parse_address
from sxdask.datasets.catalog import Catalog, catalog_path
from sxdask.datasets.finder import make_finder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sxdask.datasets.address import Address
    from sxdask.datasets.model import FileEntry


@dataclass(frozen=True)
class CatalogFinder:
    """Find the files of a named dataset."""

    settings: Settings | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> CatalogFinder:
        """Return a finder that reads the catalog of the settings."""
        return cls(settings)

    def find(
        self, address: Address, *, storage_options: Mapping[str, Any]
    ) -> tuple[FileEntry, ...]:
        """Return the files of all names of the dataset, in their order.

        Raises
        ------
        FileMissingError
            If the catalog has no such dataset, or a file of it is not there.
        EmptyDatasetError
            If the dataset has no name in it.
        RequestError
            If datasets of the catalog name each other in a circle.
        """
        settings = self.settings or load_settings()
        found = tuple(self._found(address, storage_options, settings, ()))
        if not found:
            raise EmptyDatasetError(
                f"the dataset {address.name!r} of the catalog is empty",
                hint="add files with 'sxdask catalog add --replace'",
                file=address.path,
                exists=True,
            )
        return found

    def check(self) -> str:
        """Return how many datasets there are, and where.

        Raises
        ------
        RequestError, AccessDeniedError
            If the file is no catalog, or may not be read.
        """
        catalog = Catalog(catalog_path(self.settings or load_settings()))
        return f"{len(catalog.datasets())} datasets in {catalog.path}"

    def _found(
        self,
        address: Address,
        options: Mapping[str, Any],
        settings: Settings,
        above: tuple[str, ...],
    ) -> Iterator[FileEntry]:
        from sxdask.datasets.resolve import finder_name

        name, _, tree = address.name.partition(":")
        if name in above:
            raise RequestError(
                f"datasets of the catalog name each other: {' -> '.join((*above, name))}",
                hint="look at them with 'sxdask catalog show'",
            )
        dataset = Catalog(catalog_path(settings)).get(name)
        tree_of_all = tree or address.tree or dataset.tree
        for text in dataset.files:
            inner = replace(parse_address(text), only_available=address.only_available)
            kind = finder_name(inner)
            if kind == "catalog":
                entries = tuple(self._found(inner, options, settings, (*above, name)))
            else:
                entries = tuple(make_finder(kind, settings).find(inner, storage_options=options))
            for entry in entries[: inner.most]:
                yield entry if entry.tree is not None else replace(entry, tree=tree_of_all)

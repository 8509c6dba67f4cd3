"""The engine's side of the objects: publish what waits, check it, remove what nobody wants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sxdask.core.errors import DeliveryError, RequestError, SystemFaultError
from sxdask.deliver.store import open_store
from sxdask.service.transforms.writing import STAGING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sxdask.deliver.store import Store
    from sxdask.service.transforms.ports import ObjectStore, Transform

_HIDDEN: Final = ".sxdask"


class Publisher:
    """Results of transforms in their destinations. Thread-safe; every call may take long."""

    def __init__(self, objects: Mapping[str, ObjectStore]) -> None:
        self._objects = objects

    def prepare(self, transform: Transform) -> None:
        """Make the place for the results; it may be there."""
        self._of(transform).create(transform.request_id)

    def place(self, transform: Transform) -> tuple[str, tuple[tuple[str, Any], ...]]:
        """Return the URL that workers write below, and its options."""
        objects = self._of(transform)
        return objects.target(transform.request_id), tuple(objects.storage_options().items())

    def publish(self, transform: Transform, name: str, staged: str, size: int) -> None:
        """Make an attempt of `size` bytes the object `name`; it may be so already.

        Raises
        ------
        DeliveryError
            If the attempt is gone, or has not as many bytes.
        """
        store = self._store(transform)
        try:
            published = store.staging(STAGING).publish(name, staged, size)
            store.settle([name])
            found = size if published else store.size(name)  # an answer may have been lost
        except RequestError as error:  # the bucket is gone, which is no mistake of the user's
            raise DeliveryError(error.problem, hint=error.hint) from error
        if found != size:
            raise DeliveryError(f"what was stored for {name!r} is gone", object=name)

    def drop(self, transform: Transform, name: str, staged: str) -> None:
        """Remove an attempt that is not wanted."""
        self._store(transform).staging(STAGING).drop(name, staged)

    def remove(self, transform: Transform, name: str) -> None:
        """Remove an object that has no result."""
        self._store(transform).remove(name)

    def sweep(self, transform: Transform, names: Collection[str]) -> None:
        """Remove what waits under `names`: of tries that nobody knows of, or that came too late."""
        store = self._store(transform)
        store.staging(STAGING).clear(names, alone=True)
        store.remove_folder(_HIDDEN)

    def keep(self, transform: Transform, names: Collection[str], reported: Collection[str]) -> None:
        """Remove objects of these names that no result names."""
        there = self._of(transform).sizes(transform.request_id)
        strays = [name for name in names if name in there and name not in reported]
        self._store(transform).remove_all(strays)

    def forget(self, transform: Transform) -> None:
        """Remove the place with all that is in it: the transform was deleted meanwhile."""
        self._of(transform).remove(transform.request_id)

    def _of(self, transform: Transform) -> ObjectStore:
        found = self._objects.get(transform.new.destination)
        if found is None:
            raise SystemFaultError(f"results cannot go to {transform.new.destination!r} any more")
        return found

    def _store(self, transform: Transform) -> Store:
        objects = self._of(transform)
        return open_store(
            objects.target(transform.request_id), dict(objects.storage_options(here=True))
        )

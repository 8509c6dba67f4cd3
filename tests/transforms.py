"""An engine with its store, objects and cluster, for tests of transforms."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sxdask.service.database.connect import open_database
from sxdask.service.database.store import SqlStore
from sxdask.service.database.tables import METADATA
from sxdask.service.objects.volume import VolumeObjects
from sxdask.service.transforms.engine import DaskEngine
from sxdask.service.transforms.limits import EngineLimits
from sxdask.service.transforms.lookups import Lookups
from sxdask.service.transforms.ports import NewTransform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sxdask.service.transforms.ports import FileResult, Transform

SECONDS = 120.0


@dataclass
class Lab:
    """What a test works with."""

    store: Any
    objects: Any
    engine: DaskEngine

    def submit(
        self,
        selection: Any,
        files: Sequence[Path | str],
        codegen: str = "uproot-raw",
        result_format: Any = "parquet",
        **changes: Any,
    ) -> str:
        """Submit over a list of files; a selection that is no text is JSON."""
        text = selection if isinstance(selection, str) else json.dumps(selection)
        new = NewTransform(
            "test",
            text,
            codegen,
            result_format,
            "object-store",
            uuid.uuid4().hex,
            files=tuple(map(str, files)),
            **changes,
        )
        made = self.store.submit(new)
        self.engine.wake()
        return str(made.request_id)

    def submit_dataset(self, selection: Any, did: str, **changes: Any) -> str:
        """Submit over a dataset that has to be looked up; results go to a volume."""
        text = json.dumps(selection)
        new = NewTransform("t", text, "uproot-raw", "parquet", "volume", "k", did=did, **changes)
        made = self.store.submit(new)
        self.engine.wake()
        return str(made.request_id)

    def ended(self, request_id: str, seconds: float = SECONDS) -> Transform:
        """Wait until a transform has ended."""
        wait_until(lambda: self.store.transform(request_id).state.status.is_final, seconds)
        found: Transform = self.store.transform(request_id)
        return found

    def run(self, *arguments: Any, **changes: Any) -> tuple[Transform, list[FileResult]]:
        """Submit and wait; return the transform and its results, in the order of the files."""
        request_id = self.submit(*arguments, **changes)
        return self.ended(request_id), self.results(request_id)

    def results(self, request_id: str) -> list[FileResult]:
        """Return the results in the order of the files."""
        rows = [row.result for row in self.store.results(request_id)]
        return sorted(rows, key=lambda item: item.file_id)

    def require_exact(self, request_id: str) -> None:
        """Check that the objects are those of the results, with their sizes, and nothing else."""
        sizes = {item.object: item.bytes for item in self.results(request_id) if item.ok}
        assert len(sizes) == sum(item.ok for item in self.results(request_id))
        assert dict(self.objects.sizes(request_id)) == sizes

    def folder(self, request_id: str) -> Path:
        """Return the folder of the results."""
        return Path(self.objects.target(request_id))


def wait_until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Wait until `condition` holds, or fail."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


@contextmanager
def laboratory(
    folder: Path,
    client: Callable[[], Any],
    *,
    objects: Any = None,
    store: Any = None,
    finder: Any = None,
    **limits: Any,
) -> Iterator[Lab]:
    """Give a running engine over a database and a folder in `folder`; it is stopped at the end."""
    database = None
    if store is None:
        database = open_database(f"sqlite:///{folder / 'service.db'}")
        METADATA.create_all(database)
        store = SqlStore(database)
    objects = objects or VolumeObjects(folder / "objects")
    engines: list[DaskEngine] = []
    finder_of = None if finder is None else lambda _: finder
    lookups = Lookups(
        store=store,
        wake=lambda: engines[0].wake(),  # noqa: PLW0108  it is made below
        finder_of=finder_of,
    )
    known = {"pause_seconds": 0.05, **limits}
    engine = DaskEngine(
        store=store,
        objects={"object-store": objects, "volume": objects},
        lookups=lookups,
        client=client,
        limits=EngineLimits(**known),
    )
    engines.append(engine)
    engine.start()
    try:
        yield Lab(store, objects, engine)
    finally:
        engine.stop()
        lookups.stop()
        if database is not None:
            database.dispose()

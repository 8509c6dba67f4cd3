"""What the parts of the service are to each other: the store, the objects, the engine.

Routes and pages know `TransformStore` and `Engine`; the engine knows the store
and the objects; nobody knows SQL, S3 or Dask but the modules that are named
after them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sxdask.service.transforms.states import Event, State

ResultFormat = Literal["parquet", "root-file", "root-rntuple"]
Destination = Literal["object-store", "volume"]
LookupStatus = Literal[
    "created", "looking", "complete", "does_not_exist", "bad_name", "internal_failure"
]


@dataclass(frozen=True, slots=True)
class NewTransform:
    """A valid submission. Exactly one of `did` (with scheme) and `files` is set.

    `content_key` names the answer by everything that decides it (selection,
    codegen, format, dataset), whoever asks.
    """

    title: str
    selection: str
    codegen: str
    result_format: ResultFormat
    destination: Destination
    content_key: str
    submitted_by: int | None = None
    did: str = ""
    files: tuple[str, ...] = ()
    tree_name: str | None = None
    workers: int | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Transform:
    """A stored transform. Times are UTC with zone; `did` is the dataset's full name."""

    request_id: str
    number: int
    new: NewTransform
    did: str
    did_id: int
    state: State
    submitted: datetime
    finished: datetime | None = None
    archived: bool = False


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """A file of a dataset with its replicas, best first."""

    id: int
    paths: tuple[str, ...]
    adler32: str | None = None
    size: int = 0
    events: int = 0


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """A dataset whose files are known, or being looked for."""

    id: int
    name: str
    did_finder: str
    lookup_status: LookupStatus
    last_used: datetime
    last_updated: datetime
    num_files: int = 0
    size: int = 0
    events: int = 0
    is_stale: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FileResult:
    """What became of one file; the first report of a file counts, later ones change nothing.

    `object` is empty for a failure, whose `code`, `message` and `traceback` say why.
    """

    file_id: int
    file_path: str
    ok: bool
    object: str = ""
    rows: int = 0
    bytes: int = 0
    seconds: float = 0.0
    code: str = ""
    message: str = ""
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A result row. `created` grows strictly over the rows of a transform, in order of commit."""

    id: int
    request_id: str
    result: FileResult
    created: datetime


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the good results of a transform have in common; seconds are of work, on all workers."""

    files: int
    min_seconds: float
    max_seconds: float
    seconds: float
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Cause:
    """Failures of one transform that say the same; `example` is one of the files."""

    code: str
    message: str
    files: int
    example: str


@dataclass(frozen=True, slots=True)
class Finished:
    """A file that has its result, as metrics count it."""

    request_id: str
    file_id: int
    ok: bool
    seconds: float
    bytes: int
    rows: int
    created: datetime


class TransformStore(Protocol):
    """Transforms, datasets and results in a database. Every method is one transaction."""

    def submit(self, new: NewTransform) -> Transform:
        """Store a new transform and, if it is not there or stale, its dataset.

        A dataset that is complete gives its files at once: the transform runs.
        """
        ...

    def same_answer(self, content_key: str, submitted_by: int | None) -> Transform | None:
        """Return a complete transform without failures that has this answer, if there is one.

        Its dataset is not stale, and it does not age out now.
        """
        ...

    def transform(self, request_id: str) -> Transform | None:
        """Return a transform that is not archived."""
        ...

    def transforms(
        self, submitted_by: int | None = None, *, most: int | None = None, before: int | None = None
    ) -> list[Transform]:
        """Return transforms that are not archived, newest first.

        At most `most`, and of those before the one with the number `before`, which
        gives the next page.
        """
        ...

    def unfinished(self) -> list[Transform]:
        """Return what a restarted service has to go on with, oldest first."""
        ...

    def apply(self, request_id: str, event: Event) -> State:
        """Take one step of the transform's life; the event is logged with it."""
        ...

    def begin_lookup(self, dataset_id: int) -> bool:
        """Claim the lookup of a dataset; False if it is looked for or known already."""
        ...

    def add_files(self, dataset_id: int, files: Iterable[DatasetFile]) -> None:
        """Add files to a dataset and to all transforms that wait for it; doubles are dropped."""
        ...

    def end_lookup(
        self, dataset_id: int, status: LookupStatus = "complete", reason: str = ""
    ) -> None:
        """End a lookup, well or not, for the dataset and all transforms that wait for it."""
        ...

    def pending_files(self, request_id: str) -> list[DatasetFile]:
        """Return the files of a transform that have no result, in the dataset's order."""
        ...

    def report(self, request_id: str, result: FileResult) -> bool:
        """Store the result of a file with its step of the transform.

        False if the file had one, or the transform has ended or is gone: then nothing changes.
        """
        ...

    def report_all(self, results: Iterable[tuple[str, FileResult]]) -> list[bool]:
        """Store results, each with its transform's id, as `report` does, in one transaction."""
        ...

    def resubmit_failed(self, request_id: str) -> int:
        """Forget the failures of a transform that has ended, so that it runs again."""
        ...

    def results(
        self, request_id: str, later_than: datetime | None = None, *, ok: bool | None = None
    ) -> list[StoredResult]:
        """Return result rows strictly later than `later_than`, in order."""
        ...

    def statistics(self, request_id: str) -> Statistics | None:
        """Return sums over the good results of a transform, None if there are none."""
        ...

    def causes(self, request_id: str, most: int = 100) -> list[Cause]:
        """Return the failures of a transform by cause, the most frequent first."""
        ...

    def by_status(self) -> dict[str, int]:
        """Return how many transforms there are in each state that any is in."""
        ...

    def lookups(self) -> dict[str, int]:
        """Return how many datasets wait for their lookup, and how many are looked for."""
        ...

    def finished_since(self, when: datetime) -> list[Finished]:
        """Return files whose results were stored later than `when`, the oldest first."""
        ...

    def archive(self, request_id: str) -> None:
        """Forget a transform that has ended, and its results."""
        ...

    def dataset(self, dataset_id: int) -> DatasetRecord | None:
        """Return a dataset, stale ones too."""
        ...

    def datasets(
        self, did_finder: str | None = None, *, with_stale: bool = False
    ) -> list[DatasetRecord]:
        """Return datasets, the latest used first."""
        ...

    def dataset_files(self, dataset_id: int) -> list[DatasetFile]:
        """Return the files of a dataset, in order."""
        ...

    def make_stale(self, dataset_id: int) -> bool:
        """Let the next submission look again; False if it was stale before."""
        ...


class ObjectStore(Protocol):
    """Where results lie: one bucket (or folder) a transform, flat names.

    Workers write with the sinks of `sxdask.deliver`; this is the service's side.
    """

    def create(self, request_id: str) -> None:
        """Make the bucket; it may be there."""
        ...

    def target(self, request_id: str) -> str:
        """Return the URL that workers write below."""
        ...

    def storage_options(self, *, here: bool = False) -> Mapping[str, object]:
        """Return options for workers, or for this process; without secrets."""
        ...

    def sizes(self, request_id: str) -> Mapping[str, int]:
        """Return the bytes of each object that a reader sees."""
        ...

    def remove(self, request_id: str) -> None:
        """Remove the bucket and all in it; it may be gone."""
        ...

    def sign(self, request_id: str, names: Sequence[str], seconds: int) -> dict[str, str]:
        """Return a URL for each object that needs no credentials until it expires."""
        ...

    def client_access(self) -> ClientAccess:
        """Return what the status of a transform tells clients."""
        ...


@dataclass(frozen=True, slots=True)
class ClientAccess:
    """The ``minio-*`` keys of a status: endpoint as host and port, without scheme."""

    endpoint: str
    secured: bool
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)


class Engine(Protocol):
    """Drives lookups and files of all transforms; started and stopped with the service."""

    def start(self) -> None:
        """Go on with what the store says is unfinished, then take new work."""
        ...

    def wake(self) -> None:
        """Look at the store soon: something was submitted, canceled or resubmitted."""
        ...

    def stop(self) -> None:
        """End tasks and threads; what is unfinished stays so in the store."""
        ...

    def progress(self, request_id: str) -> EngineProgress | None:
        """Return what is known beyond the store, while the transform runs."""
        ...


@dataclass(frozen=True, slots=True)
class EngineProgress:
    """Tasks of a running transform by what they do, and speed over the last seconds."""

    queued: int = 0
    reading: int = 0
    computing: int = 0
    uploading: int = 0
    bytes_per_second: float = 0.0
    seconds_left: float | None = None

"""Shapes of replies, for the interface's description (OpenAPI) and the tests that compare."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

StatusWord = Literal[
    "Submitted",
    "Pending Lookup",
    "Lookup",
    "Running",
    "Complete",
    "Canceled",
    "Fatal",
    "Bad Dataset",
]


def _hyphenated(name: str) -> str:
    return name.replace("_", "-")


class _Reply(BaseModel):
    model_config = ConfigDict(alias_generator=_hyphenated, populate_by_name=True, extra="forbid")


class Problem(_Reply):
    """Why a request was refused: one sentence, a hint in parentheses; a code of docs/errors.md."""

    message: str
    code: str = ""


class Message(_Reply):
    """What was done, as a sentence."""

    message: str


class Info(_Reply):
    """What this service is and can."""

    app_version: str
    code_gen_image: dict[str, str]
    capabilities: list[str]


class AccessToken(_Reply):
    """A token for requests, with a time at which it ends."""

    access_token: str = Field(alias="access_token")
    auth_disabled: bool = Field(default=False, alias="auth_disabled")


class Accepted(_Reply):
    """The id of a transform."""

    request_id: str = Field(alias="request_id")


class TransformLine(_Reply):
    """A transform in a list."""

    request_id: str = Field(alias="request_id")
    title: str
    did: str
    did_id: int = Field(alias="did_id")
    selection: str
    tree_name: str | None
    image: str
    workers: int
    result_destination: str
    result_format: str
    generated_code_cm: str
    status: StatusWord
    failure_info: str | None
    app_version: str
    code_gen_image: str
    files: int
    files_completed: int
    files_failed: int
    files_remaining: int | None
    submit_time: str
    finish_time: str | None


class TransformStatus(TransformLine):
    """A transform, where its results are, and where its log is."""

    minio_endpoint: str
    minio_secured: bool
    minio_access_key: str
    minio_secret_key: str
    log_url: str


class TransformList(_Reply):
    """Transforms, newest first."""

    requests: list[TransformLine]


class Stats(_Reply):
    """Sums over the good results; times in seconds of work, the rate in events a second."""

    min_time: float
    max_time: float
    avg_time: float
    total_time: float
    avg_rate: float
    total_bytes: int
    total_events: int


class Result(_Reply):
    """What became of one file."""

    id: int
    request_id: str
    file_id: int
    file_path: str
    s3_object_name: str
    transform_status: Literal["success", "failure"] = Field(alias="transform_status")
    transform_time: float = Field(alias="transform_time")
    total_events: int
    total_bytes: int
    avg_rate: float
    created_at: str = Field(alias="created_at")
    error_code: str
    error_message: str


class Results(_Reply):
    """Results in order of ``created_at``."""

    results: list[Result]


class Cause(_Reply):
    """Failures of one cause."""

    code: str
    message: str
    files: int
    example: str


class ShortStatus(_Reply):
    """Counts, times and speed."""

    status: StatusWord
    request_id: str
    submit_time: str
    finish_time: str | None
    files_completed: int
    files_processed: int
    files_failed: int
    files_skipped: int
    files_remaining: int | None
    stats: Stats | None
    details: list[Result] | None = None
    causes: list[Cause] | None = None


class Deployment(BaseModel):
    """Tasks of a running transform, in the words of a Kubernetes deployment and in ours."""

    model_config = ConfigDict(extra="forbid")

    replicas: int
    ready_replicas: int
    available_replicas: int
    updated_replicas: int
    unavailable_replicas: int
    queued: int
    reading: int
    computing: int
    uploading: int
    bytes_per_second: float
    seconds_left: float | None


class Canceled(_Reply):
    """What was canceled."""

    canceled: list[str]


class Resubmitted(Message):
    """How many files are tried again."""

    files: int


class SignedUrls(_Reply):
    """For each object its URL, headers to send (none), and the second at which it ends."""

    uris: dict[str, tuple[str, dict[str, str], int]]


class LogLines(_Reply):
    """Lines of a transform's log, and where the next ones begin."""

    lines: list[dict[str, Any]]
    next: int


class DatasetFile(BaseModel):
    """A file with its replicas, joined by commas."""

    model_config = ConfigDict(extra="forbid")

    id: int
    adler32: str | None
    file_size: int
    file_events: int
    paths: str


class DatasetLine(BaseModel):
    """A dataset in a list."""

    model_config = ConfigDict(extra="forbid")

    id: int
    name: str
    did_finder: str
    n_files: int
    size: int
    events: int
    last_used: str
    last_updated: str
    lookup_status: str
    is_stale: bool


class Dataset(DatasetLine):
    """A dataset with its files."""

    files: list[DatasetFile]


class DatasetList(_Reply):
    """Datasets, the latest used first."""

    datasets: list[DatasetLine]


class DeletedDataset(_Reply):
    """A dataset that is looked up again by the next transform."""

    dataset_id: int
    stale: Literal[True]


class UserLine(_Reply):
    """A user, without secrets."""

    email: str
    id: int
    admin: bool
    pending: bool
    name: str
    institution: str
    experiment: str


class UserList(_Reply):
    """Users, the oldest first."""

    users: list[UserLine]


class Health(_Reply):
    """Whether parts work: ``ok`` or ``failed``; the log says why."""

    status: Literal["ok", "failed"]
    parts: dict[str, Literal["ok", "failed"]] = Field(default_factory=dict)


_WORDS: Final = {
    400: "Malformed, unknown, too large or not allowed",
    401: "No good token, or not an administrator",
    403: "It belongs to another user",
    404: "There is none of that id",
    413: "The body is too large",
    429: "Too many bad tokens from this address",
    503: "The database or the object store does not answer",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the description of the error replies of a route."""
    return {status: {"model": Problem, "description": _WORDS[status]} for status in statuses}

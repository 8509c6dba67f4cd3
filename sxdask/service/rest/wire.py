"""Requests and replies with the exact keys of ServiceX's interface.

Keys are hyphenated except those that ServiceX spells otherwise. Clients refuse
a status in which one is missing or null that they know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sxdask import __version__
from sxdask.deliver.part import public_url
from sxdask.service.logs.redaction import Redaction

if TYPE_CHECKING:
    from datetime import datetime

    from sxdask.service.transforms.ports import (
        Cause,
        ClientAccess,
        DatasetFile,
        DatasetRecord,
        EngineProgress,
        Statistics,
        StoredResult,
        Transform,
    )

MAX_TITLE: Final = 10_240
MAX_SELECTION: Final = 10_485_760
CAPABILITIES: Final = [
    "poll_local_transformation_results",
    f"long_sample_titles_{MAX_TITLE}",
    "post_cancel_transform",
    "resubmit_failed_files",
]
_TOLD: Final = Redaction()
MAX_ID: Final = 2**31 - 1
"""Of numbers in the database."""


def _storable(text: str) -> str:
    """Refuse what no database and no reply can hold."""
    if "\0" in text:
        raise ValueError("text with a null character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("text with half a character") from None
    return text


Text: TypeAlias = Annotated[str, AfterValidator(_storable)]


def _hyphenated(name: str) -> str:
    return name.replace("_", "-")


class Submission(BaseModel):
    """What is posted to ``/servicex/transformation``; keys that are unknown mean nothing."""

    model_config = ConfigDict(alias_generator=_hyphenated, populate_by_name=True, extra="ignore")

    title: Text | None = Field(
        default=None, max_length=MAX_TITLE, description="Name of the sample, for people."
    )
    did: Text | None = Field(
        default=None, description="Dataset as scheme://name[?files=N]; or else file-list."
    )
    file_list: list[Text] | None = Field(default=None, description="URLs of files; or else did.")
    selection: Text = Field(
        max_length=MAX_SELECTION, description="What to read, in the language of the codegen."
    )
    codegen: Text = Field(
        default="uproot", max_length=128, description="A key of code-gen-image of /servicex."
    )
    result_destination: Literal["object-store", "volume"] = "object-store"
    result_format: Literal["parquet", "root-file", "root-rntuple"] = "parquet"
    tree_name: Text | None = Field(default=None, max_length=1_024)
    workers: int | None = Field(default=None, ge=1, le=MAX_ID, description="A hint.")
    priority: int = Field(
        default=0, ge=-10, le=10, description="Among one's own transforms; sxdask alone has it."
    )


class FileUrls(BaseModel):
    """Which results to sign."""

    request_id: Text = Field(max_length=64)
    file_list: list[Text] = Field(max_length=10_000)
    scheme: Literal["http", "xrootd"] | None = None


class Acceptance(BaseModel):
    """Whose waiting ends."""

    email: Text = Field(min_length=1, max_length=320)


def info(images: dict[str, str]) -> dict[str, Any]:
    """Return the reply of ``/servicex``."""
    return {"app-version": __version__, "code-gen-image": images, "capabilities": CAPABILITIES}


def status(
    transform: Transform,
    images: dict[str, str],
    access: ClientAccess | None = None,
    log_url: str = "",
) -> dict[str, Any]:
    """Return a transform as its status; with `access`, where its results are as well."""
    new, state = transform.new, transform.state
    found: dict[str, Any] = {
        "request_id": transform.request_id,
        "title": new.title,
        "did": transform.did,
        "did_id": transform.did_id,
        "selection": new.selection,
        "tree-name": new.tree_name,
        "image": images.get(new.codegen, new.codegen),
        "workers": new.workers or 1,
        "result-destination": new.destination,
        "result-format": new.result_format,
        "generated-code-cm": f"{transform.request_id}-generated-source",
        "status": state.status.value,
        "failure-info": state.reason or None,
        "app-version": __version__,
        "code-gen-image": images.get(new.codegen, new.codegen),
        "files": state.files,
        "files-completed": state.completed,
        "files-failed": state.failed,
        "files-remaining": state.remaining if state.files else None,
        "submit-time": _zulu(transform.submitted),
        "finish-time": None if transform.finished is None else _zulu(transform.finished),
    }
    if access is not None:
        found |= {
            "minio-endpoint": access.endpoint,
            "minio-secured": access.secured,
            "minio-access-key": access.access_key,
            "minio-secret-key": access.secret_key,
            "log-url": log_url,
        }
    return found


def result(stored: StoredResult) -> dict[str, Any]:
    """Return a result row; ``created_at`` is UTC without zone, to the microsecond."""
    found = stored.result
    return {
        "id": stored.id,
        "request-id": stored.request_id,
        "file-id": found.file_id,
        "file-path": found.file_path,
        "s3-object-name": found.object or "none",
        "transform_status": "success" if found.ok else "failure",
        "transform_time": round(found.seconds, 3),
        "total-events": found.rows,
        "total-bytes": found.bytes,
        "avg-rate": found.rows / found.seconds if found.seconds > 0 else 0.0,
        "created_at": stored.created.replace(tzinfo=None).isoformat(timespec="microseconds"),
        "error-code": found.code,
        "error-message": found.message,
    }


def short_status(transform: Transform, sums: Statistics | None) -> dict[str, Any]:
    """Return counts and times of a transform, and sums over its good results if it has any."""
    state = transform.state
    stats = None
    if sums is not None:
        stats = {
            "min-time": sums.min_seconds,
            "max-time": sums.max_seconds,
            "avg-time": sums.seconds / sums.files,
            "total-time": sums.seconds,
            "avg-rate": sums.rows / sums.seconds if sums.seconds > 0 else 0.0,
            "total-bytes": sums.bytes,
            "total-events": sums.rows,
        }
    return {
        "status": state.status.value,
        "request-id": transform.request_id,
        "submit-time": _zulu(transform.submitted),
        "finish-time": None if transform.finished is None else _zulu(transform.finished),
        "files-completed": state.completed,
        "files-processed": state.completed,
        "files-failed": state.failed,
        "files-skipped": state.failed,
        "files-remaining": state.remaining if state.files else None,
        "stats": stats,
    }


def cause(found: Cause) -> dict[str, Any]:
    """Return failures of one cause."""
    return {
        "code": found.code,
        "message": found.message,
        "files": found.files,
        "example": found.example,
    }


def deployment(progress: EngineProgress) -> dict[str, Any]:
    """Return tasks in the words of a Kubernetes deployment, and in ours."""
    at_work = progress.reading + progress.computing + progress.uploading
    return {
        "replicas": at_work + progress.queued,
        "ready_replicas": at_work,
        "available_replicas": at_work,
        "updated_replicas": at_work,
        "unavailable_replicas": progress.queued,
        "queued": progress.queued,
        "reading": progress.reading,
        "computing": progress.computing,
        "uploading": progress.uploading,
        "bytes_per_second": progress.bytes_per_second,
        "seconds_left": progress.seconds_left,
    }


def dataset(record: DatasetRecord, files: list[DatasetFile] | None = None) -> dict[str, Any]:
    """Return a dataset, with its files if they are given.

    All users see datasets, so that what may be a secret in a URL is left out.
    """
    found: dict[str, Any] = {
        "id": record.id,
        "name": _TOLD(record.name),
        "did_finder": record.did_finder,
        "n_files": record.num_files,
        "size": record.size,
        "events": record.events,
        "last_used": _zulu(record.last_used),
        "last_updated": _zulu(record.last_updated),
        "lookup_status": record.lookup_status,
        "is_stale": record.is_stale,
    }
    if files is not None:
        found["files"] = [
            {
                "id": file.id,
                "adler32": file.adler32,
                "file_size": file.size,
                "file_events": file.events,
                "paths": ",".join(map(public_url, file.paths)),
            }
            for file in files
        ]
    return found


def _zulu(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

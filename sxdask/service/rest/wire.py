"""Requests and replies with the exact keys of ServiceX's interface.

Keys are hyphenated except those that ServiceX spells otherwise. Clients refuse
a status in which one is missing or null that they know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from sxdask import __version__

if TYPE_CHECKING:
    from datetime import datetime

    from sxdask.service.transforms.ports import (
        ClientAccess,
        DatasetFile,
        DatasetRecord,
        StoredResult,
        Transform,
    )

MAX_TITLE: Final = 10_240
MAX_SELECTION: Final = 10_485_760
CAPABILITIES: Final = [
    "poll_local_transformation_results",
    f"long_sample_titles_{MAX_TITLE}",
    "resubmit_failed_files",
]


def _hyphenated(name: str) -> str:
    return name.replace("_", "-")


class Submission(BaseModel):
    """What is posted to ``/servicex/transformation``; keys that are unknown mean nothing."""

    model_config = ConfigDict(alias_generator=_hyphenated, populate_by_name=True, extra="ignore")

    title: str | None = Field(default=None, max_length=MAX_TITLE)
    did: str | None = None
    file_list: list[str] | None = None
    selection: str = Field(max_length=MAX_SELECTION)
    codegen: str = "uproot"
    result_destination: Literal["object-store", "volume"] = "object-store"
    result_format: Literal["parquet", "root-file", "root-rntuple"] = "parquet"
    tree_name: str | None = None
    workers: int | None = Field(default=None, ge=1)
    priority: int = Field(default=0, ge=-10, le=10)


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


def dataset(record: DatasetRecord, files: list[DatasetFile] | None = None) -> dict[str, Any]:
    """Return a dataset, with its files if they are given."""
    found: dict[str, Any] = {
        "id": record.id,
        "name": record.name,
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
                "paths": ",".join(file.paths),
            }
            for file in files
        ]
    return found


def _zulu(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

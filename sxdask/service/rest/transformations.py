"""Routes of transforms: submit, look, cancel, resubmit, delete."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Query

from sxdask.core.errors import RequestError
from sxdask.service.rest import wire
from sxdask.service.rest.codegens import codegen_of, images, require_selection
from sxdask.service.rest.faults import ForbiddenError
from sxdask.service.rest.parts import CallerOf, Parts, PartsOf, transform_of
from sxdask.service.transforms.ports import NewTransform
from sxdask.service.transforms.states import CancelAsked

if TYPE_CHECKING:
    from sxdask.service.rest.parts import Caller
    from sxdask.service.transforms.ports import Transform

ROUTER: Final = APIRouter(prefix="/servicex/transformation", tags=["transforms"])
_SCHEME: Final = re.compile(r"(\w+)://(.*)", re.DOTALL)


@ROUTER.post("")
def submit(body: wire.Submission, parts: PartsOf, who: CallerOf) -> dict[str, str]:
    """Take a transform; the reply is its id, before anything is looked at."""
    new = _valid(body, parts, who)
    known = parts.store.same_answer(new.content_key, new.submitted_by)
    if known is not None:
        return {"request_id": known.request_id}
    made = parts.store.submit(new)
    parts.engine.wake()
    return {"request_id": made.request_id}


@ROUTER.get("")
def list_all(
    parts: PartsOf, who: CallerOf, submitted_by: int | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Return transforms, newest first: of a user, or of all for who may see them."""
    if not who.may_all:
        if submitted_by not in {None, who.user_id}:
            raise ForbiddenError("these belong to another user")
        submitted_by = who.user_id
    names = images(with_python=True)
    return {"requests": [wire.status(item, names) for item in parts.store.transforms(submitted_by)]}


@ROUTER.get("/{request_id}")
def show(request_id: str, parts: PartsOf, who: CallerOf) -> dict[str, Any]:
    """Return the status of a transform, and where its results are."""
    found = transform_of(parts, who, request_id)
    access = parts.objects[found.new.destination].client_access()
    url = f"{parts.policy.public_url}/transformation-request/{request_id}/log"
    return wire.status(found, images(with_python=True), access, url)


@ROUTER.get("/{request_id}/status")
def show_status(
    request_id: str, parts: PartsOf, who: CallerOf, *, details: bool = False
) -> dict[str, Any]:
    """Return counts, times and speed of a transform; with details why files failed."""
    found = transform_of(parts, who, request_id)
    whole = wire.status(found, images(with_python=True))
    kept = ("status", "submit-time", "finish-time", "files-completed", "files-failed")
    reply = {name: whole[name] for name in kept} | {
        "request-id": request_id,
        "files-processed": found.state.completed,
        "files-skipped": found.state.failed,
        "files-remaining": whole["files-remaining"],
        "stats": _stats(parts, found),
    }
    if details:
        reply["details"] = [wire.result(item) for item in parts.store.results(request_id, ok=False)]
    return reply


@ROUTER.get("/{request_id}/results")
def show_results(
    request_id: str,
    parts: PartsOf,
    who: CallerOf,
    later_than: Annotated[str | None, Query(max_length=64)] = None,
) -> dict[str, list[dict[str, Any]]]:
    """Return results that were stored strictly later than a time, in order."""
    transform_of(parts, who, request_id)
    rows = parts.store.results(request_id, _time(later_than))
    return {"results": [wire.result(item) for item in rows]}


@ROUTER.get("/{request_id}/cancel")
@ROUTER.post("/{request_id}/cancel")
def cancel(request_id: str, parts: PartsOf, who: CallerOf) -> dict[str, str]:
    """End a transform that runs."""
    transform_of(parts, who, request_id)
    parts.store.apply(request_id, CancelAsked())
    parts.engine.wake()
    return {"message": f"Canceled transformation request {request_id}"}


@ROUTER.post("/{request_id}/resubmit-failed")
def resubmit_failed(request_id: str, parts: PartsOf, who: CallerOf) -> dict[str, Any]:
    """Try the files that failed again, under the same id."""
    transform_of(parts, who, request_id)
    count = parts.store.resubmit_failed(request_id)
    parts.engine.wake()
    return {"message": f"{count} files are tried again", "files": count}


@ROUTER.delete("/{request_id}")
def delete(request_id: str, parts: PartsOf, who: CallerOf) -> dict[str, str]:
    """Forget a transform that has ended, and remove its results."""
    found = transform_of(parts, who, request_id)
    if not found.state.status.is_final:
        raise RequestError(
            f"transform {request_id} is still {found.state.status}", hint="cancel it first"
        )
    parts.objects[found.new.destination].remove(request_id)
    parts.store.archive(request_id)
    return {"message": f"Transformation request {request_id} has been archived."}


def _valid(body: wire.Submission, parts: Parts, who: Caller) -> NewTransform:
    """Return what is submitted, refused here if it can be known to fail."""
    policy = parts.policy
    codegen = codegen_of(body.codegen, with_python=policy.allow_python)
    require_selection(codegen, body.selection)
    files = tuple(dict.fromkeys(body.file_list or ()))
    if bool(body.did) == bool(files):
        raise RequestError(
            "a transform has either a DID or a list of files", hint="give exactly one of them"
        )
    if len(files) > policy.max_files:
        raise RequestError(
            f"the list has {len(files)} files, the limit is {policy.max_files}",
            hint="submit it in parts",
        )
    if body.result_destination not in parts.objects:
        raise RequestError(
            f"results cannot go to {body.result_destination!r} here",
            hint=f"use {' or '.join(parts.objects)}",
        )
    did = _with_scheme(body.did, parts) if body.did else ""
    return NewTransform(
        title=body.title or "",
        selection=body.selection,
        codegen=codegen.name,
        result_format=body.result_format,
        destination=body.result_destination,
        content_key=_content_key(body, did, files),
        submitted_by=who.user_id,
        did=did,
        files=files,
        tree_name=body.tree_name,
        workers=body.workers,
        priority=body.priority if who.may_all else min(body.priority, 0),
    )


def _with_scheme(did: str, parts: Parts) -> str:
    match = _SCHEME.fullmatch(did)
    scheme = match[1] if match else parts.policy.default_scheme
    if scheme not in parts.policy.schemes:
        raise RequestError(
            f"DID scheme is not supported: {scheme}",
            hint=f"use one of {', '.join(sorted(parts.policy.schemes)) or 'a list of files'}",
        )
    return did if match else f"{scheme}://{did}"


def _content_key(body: wire.Submission, did: str, files: tuple[str, ...]) -> str:
    from sxdask.deliver.part import content_key

    facts = (body.selection, body.codegen, body.result_format, body.result_destination)
    return content_key(*facts, body.tree_name or "", did, *sorted(files))


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text.replace(" ", "+"))  # "+" of a zone, decoded
    except ValueError as error:
        raise RequestError(
            f"later_than is no time: {text!r}", hint="write it like 2026-01-31T12:00:00+00:00"
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _stats(parts: Parts, transform: Transform) -> dict[str, Any] | None:
    done = [item.result for item in parts.store.results(transform.request_id, ok=True)]
    if not done:
        return None
    seconds = [item.seconds for item in done]
    total = sum(seconds)
    rows = sum(item.rows for item in done)
    return {
        "min-time": min(seconds),
        "max-time": max(seconds),
        "avg-time": total / len(done),
        "total-time": total,
        "avg-rate": rows / total if total else 0.0,
        "total-bytes": sum(item.bytes for item in done),
        "total-events": rows,
    }

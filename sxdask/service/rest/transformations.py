"""Routes of transforms: submit, look, cancel, try again, delete.

Handlers are plain functions: they run in threads, so that the database and the
object store make nobody wait but who asked. Replies are written as they are
made; their shapes in `replies` describe them.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from sxdask.core.errors import FileMissingError, RequestError, SxdaskError
from sxdask.service.rest import replies, wire
from sxdask.service.rest.faults import ForbiddenError
from sxdask.service.rest.parts import CallerOf, Parts, PartsOf, transform_of
from sxdask.service.rest.replies import problems
from sxdask.service.rest.submissions import valid
from sxdask.service.transforms.codegens import images
from sxdask.service.transforms.states import CancelAsked

if TYPE_CHECKING:
    from sxdask.service.transforms.ports import Transform

ROUTER: Final = APIRouter(prefix="/servicex/transformation", tags=["transforms"])
SIGNING: Final = APIRouter(tags=["transforms"])
_LOG: Final = logging.getLogger(__name__)
_COMMON: Final = problems(400, 401, 403, 404, 429, 503)
_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)


@ROUTER.post(
    "",
    summary="Submit a transform",
    response_model=replies.Accepted,
    responses=problems(400, 401, 413, 429, 503),
)
def submit(body: wire.Submission, parts: PartsOf, who: CallerOf) -> JSONResponse:
    """Take a transform; the reply is its id, before any file is looked at.

    What was asked before by the same user, is complete and still there, is
    answered with its id.
    """
    new = valid(body, parts, who)
    known = parts.store.same_answer(new.content_key, new.submitted_by)
    if known is not None:
        _log("answered by an earlier transform", known.request_id)
        return JSONResponse({"request_id": known.request_id})
    made = parts.store.submit(new)
    parts.engine.wake()
    _LOG.info(
        "submitted",
        extra={
            "transform": made.request_id,
            "codegen": new.codegen,
            "format": new.result_format,
            "dataset": made.did,
            "user": new.submitted_by,
        },
    )
    return JSONResponse({"request_id": made.request_id})


@ROUTER.get(
    "",
    summary="List transforms",
    response_model=replies.TransformList,
    responses=problems(400, 401, 403, 429, 503),
)
def list_all(
    parts: PartsOf,
    who: CallerOf,
    submitted_by: Annotated[
        int | None, Query(ge=0, le=wire.MAX_ID, description="Of this user.")
    ] = None,
    most: Annotated[
        int | None, Query(ge=1, le=10_000, description="At most so many; all without it.")
    ] = None,
) -> JSONResponse:
    """Return transforms, newest first: of a user, or of all for who may see them."""
    if not who.may_all:
        if submitted_by not in {None, who.user_id}:
            raise ForbiddenError("these belong to another user")
        submitted_by = who.user_id
    names = images(with_python=True)
    found = parts.store.transforms(submitted_by, most=most)
    return JSONResponse({"requests": [wire.status(item, names) for item in found]})


@ROUTER.get(
    "/cancel-all",
    summary="Cancel all of one's transforms",
    response_model=replies.Canceled,
    responses=problems(400, 401, 429, 503),
)
@ROUTER.post(
    "/cancel-all",
    summary="Cancel all of one's transforms",
    response_model=replies.Canceled,
    responses=problems(400, 401, 429, 503),
)
def cancel_all(parts: PartsOf, who: CallerOf) -> JSONResponse:
    """End all transforms of the user that run. Without users there are none of anybody."""
    if who.user_id is None:
        raise RequestError(
            "This is not available when auth is disabled", hint="cancel transforms one by one"
        )
    mine = [item for item in parts.store.unfinished() if item.new.submitted_by == who.user_id]
    canceled = []
    for item in mine:
        with suppress(RequestError):  # it has ended by itself meanwhile
            cancel_one(parts, item.request_id)
            canceled.append(item.request_id)
    return JSONResponse({"canceled": canceled})


@ROUTER.get(
    "/{request_id}",
    summary="Status of a transform",
    response_model=replies.TransformStatus,
    responses=_COMMON,
)
def show(request_id: str, parts: PartsOf, who: CallerOf) -> JSONResponse:
    """Return the status of a transform, and where its results are."""
    found = transform_of(parts, who, request_id)
    access = parts.objects[found.new.destination].client_access()
    url = f"{parts.policy.public_url}/transformation-request/{request_id}/log"
    return JSONResponse(wire.status(found, images(with_python=True), access, url))


@ROUTER.get(
    "/{request_id}/status",
    summary="Counts, times and speed",
    response_model=replies.ShortStatus,
    responses=_COMMON,
)
def show_status(
    request_id: str,
    parts: PartsOf,
    who: CallerOf,
    *,
    details: Annotated[bool, Query(description="With the files that failed, and why.")] = False,
) -> JSONResponse:
    """Return counts, times and speed of a transform; with details why files failed."""
    found = transform_of(parts, who, request_id)
    reply = wire.short_status(found, parts.store.statistics(request_id))
    if details:
        failed = parts.store.results(request_id, ok=False)
        reply["details"] = [wire.result(item) for item in failed]
        reply["causes"] = [wire.cause(item) for item in parts.store.causes(request_id)]
    return JSONResponse(reply)


@ROUTER.get(
    "/{request_id}/deployment-status",
    summary="What the workers do for a transform",
    response_model=replies.Deployment,
    responses=_COMMON,
)
def show_deployment(request_id: str, parts: PartsOf, who: CallerOf) -> JSONResponse:
    """Return tasks of a transform that runs; ServiceX has pods of its own for each."""
    found = transform_of(parts, who, request_id)
    progress = None if found.state.status.is_final else parts.engine.progress(request_id)
    if progress is None:
        raise FileMissingError(f"Deployment not found for transform with id: {request_id!r}")
    return JSONResponse(wire.deployment(progress))


@ROUTER.get(
    "/{request_id}/results",
    summary="Results of files",
    response_model=replies.Results,
    responses=_COMMON,
)
def show_results(
    request_id: str,
    parts: PartsOf,
    who: CallerOf,
    later_than: Annotated[
        str | None, Query(max_length=64, description="Strictly later than this ISO 8601 time.")
    ] = None,
) -> JSONResponse:
    """Return results that were stored strictly later than a time, in order."""
    later = _time(later_than)
    transform_of(parts, who, request_id)
    rows = parts.store.results(request_id, later)
    return JSONResponse({"results": [wire.result(item) for item in rows]})


@ROUTER.get(
    "/{request_id}/cancel",
    summary="Cancel a transform (as client 3.3.1 does)",
    response_model=replies.Message,
    responses=_COMMON,
)
@ROUTER.post(
    "/{request_id}/cancel",
    summary="Cancel a transform",
    response_model=replies.Message,
    responses=_COMMON,
)
def cancel(request_id: str, parts: PartsOf, who: CallerOf) -> JSONResponse:
    """End a transform that runs."""
    transform_of(parts, who, request_id)
    cancel_one(parts, request_id)
    return JSONResponse({"message": f"Canceled transformation request {request_id}"})


@ROUTER.post(
    "/{request_id}/resubmit-failed",
    summary="Try failed files again",
    response_model=replies.Resubmitted,
    responses=_COMMON,
)
def resubmit_failed(request_id: str, parts: PartsOf, who: CallerOf) -> JSONResponse:
    """Try the files that failed again, under the same id."""
    transform_of(parts, who, request_id)
    count = try_failed_again(parts, request_id)
    return JSONResponse({"message": f"{count} files are tried again", "files": count})


@ROUTER.delete(
    "/{request_id}",
    summary="Delete a transform and its results",
    response_model=replies.Message,
    responses=_COMMON,
)
def delete(request_id: str, parts: PartsOf, who: CallerOf) -> JSONResponse:
    """Forget a transform that has ended, and remove its results and its log."""
    found = transform_of(parts, who, request_id)
    if not found.state.status.is_final:
        raise RequestError(
            f"transform {request_id} is still {found.state.status}", hint="cancel it first"
        )
    forget(parts, found)
    return JSONResponse({"message": f"Transformation request {request_id} has been archived."})


def cancel_one(parts: Parts, request_id: str) -> None:
    """End a transform that runs.

    Raises
    ------
    RequestError
        If it has ended already.
    """
    parts.store.apply(request_id, CancelAsked())
    parts.engine.wake()
    _log("canceled", request_id)


def try_failed_again(parts: Parts, request_id: str) -> int:
    """Let the files that failed run again; return how many there are.

    Raises
    ------
    RequestError
        If the transform runs, or none failed.
    """
    count = parts.store.resubmit_failed(request_id)
    parts.engine.wake()
    _log(f"{count} failed files are tried again", request_id)
    return count


def forget(parts: Parts, found: Transform) -> None:
    """Remove a transform that has ended, its results and its log."""
    request_id = found.request_id
    # The record goes first: whoever sees it finds its objects.
    parts.store.archive(request_id)
    try:
        parts.objects[found.new.destination].remove(request_id)
    except SxdaskError as error:  # they are removed with what ages out
        _LOG.warning("results stay for now: %s", error.problem, extra={"deleted": request_id})
    if parts.logs is not None and parts.logs.kept is not None:
        parts.logs.kept.remove(request_id)
    _LOG.info("deleted", extra={"deleted": request_id})


@ROUTER.get(
    "/{request_id}/logs",
    summary="Lines of a transform's log",
    response_model=replies.LogLines,
    responses=_COMMON,
)
def show_logs(
    request_id: str,
    parts: PartsOf,
    who: CallerOf,
    after: Annotated[int, Query(ge=0, le=2**53, description="As ``next`` of a reply.")] = 0,
    most: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
) -> JSONResponse:
    """Return lines that were logged for a transform, and where to go on."""
    transform_of(parts, who, request_id)
    kept = None if parts.logs is None else parts.logs.kept
    lines, following = ([], after) if kept is None else kept.lines(request_id, after, most)
    return JSONResponse({"lines": lines, "next": following})


@SIGNING.post(
    "/servicex/file-urls",
    summary="Signed URLs of results",
    response_model=replies.SignedUrls,
    responses={**_COMMON, **problems(413)},
)
def sign(body: wire.FileUrls, parts: PartsOf, who: CallerOf) -> JSONResponse:
    """Return a URL for each object, which needs no credentials until it ends."""
    found = transform_of(parts, who, body.request_id)
    if body.scheme == "xrootd":
        raise RequestError("results are not served by XRootD here", hint="use the scheme http")
    seconds = parts.policy.url_seconds
    known = {item.result.object for item in parts.store.results(body.request_id, ok=True)}
    for name in body.file_list:
        if name not in known:
            raise FileMissingError(f"the transform has no result {name[:200]!r}")
    urls = parts.objects[found.new.destination].sign(body.request_id, body.file_list, seconds)
    until = int(time.time()) + seconds
    return JSONResponse({"uris": {name: [url, {}, until] for name, url in urls.items()}})


def _log(message: str, request_id: str) -> None:
    _LOG.info(message, extra={"transform": request_id})


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        # The "+" of a zone becomes a blank in a URL that was not encoded.
        found = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        return _BEGINNING if text < "5" else datetime.max.replace(tzinfo=UTC)
    except ValueError as error:
        raise RequestError(
            f"later_than is no time: {text!r}", hint="write it like 2026-01-31T12:00:00+00:00"
        ) from error

"""What is submitted, looked at before it is stored: refused here if it can be known to fail."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sxdask.core.errors import RequestError, RequestTooLargeError
from sxdask.datasets.address import parse_address
from sxdask.service.auth.places import REMOTE, plain, shown
from sxdask.service.rest.selections import require_selection
from sxdask.service.transforms.codegens import codegen_of
from sxdask.service.transforms.ports import NewTransform

if TYPE_CHECKING:
    from sxdask.service.rest.parts import Caller, Parts, Policy
    from sxdask.service.rest.wire import Submission

MAX_DID: Final = 4_096
_SCHEME: Final = re.compile(r"([A-Za-z][\w+.-]*)://(.+)", re.ASCII)


def valid(body: Submission, parts: Parts, who: Caller) -> NewTransform:
    """Return the transform that is asked for.

    Raises
    ------
    RequestError
        If anything of it is malformed, unknown, too large or not allowed.
    AccessDeniedError
        If a file lies where users may not read.
    """
    policy = parts.policy
    codegen = codegen_of(body.codegen, with_python=policy.allow_python)
    if bool(body.did) == bool(body.file_list):
        raise RequestError(
            "a transform has either a DID or a list of files", hint="give exactly one of them"
        )
    if body.result_destination not in parts.objects:
        raise RequestError(
            f"results cannot go to {body.result_destination!r} here",
            hint=f"use {' or '.join(parts.objects)}",
        )
    title = plain(body.title or "", "the title")
    tree = plain(body.tree_name or "", "tree-name") or None
    require_selection(codegen.language, body.selection, policy.selections)
    did = _did(body.did, policy) if body.did else ""
    files = _files(body.file_list or [], policy)
    return NewTransform(
        title=title,
        selection=body.selection,
        codegen=codegen.name,
        result_format=body.result_format,
        destination=body.result_destination,
        content_key=_content_key(body, did, files),
        submitted_by=who.user_id,
        did=did,
        files=files,
        tree_name=tree,
        workers=body.workers,
        priority=body.priority if who.may_all else min(body.priority, 0),
    )


def _files(names: list[str], policy: Policy) -> tuple[str, ...]:
    if len(names) > policy.max_files:
        raise RequestTooLargeError(
            f"the list has {len(names)} files, and the limit is {policy.max_files}",
            hint="submit it in parts",
        )
    return tuple(dict.fromkeys(policy.places.placed(name.strip() for name in names)))


def _did(text: str, policy: Policy) -> str:
    """Return a DID with its scheme, if this service can look it up."""
    if len(text) > MAX_DID:
        raise RequestTooLargeError(
            f"the DID has {len(text)} characters, and the limit is {MAX_DID}",
            hint="give a list of files",
        )
    text = plain(text.strip(), "the DID")
    match = _SCHEME.fullmatch(text)
    scheme = match[1].lower() if match else policy.default_scheme
    if scheme not in policy.schemes:
        raise RequestError(
            f"DID scheme is not supported: {scheme[:64]}",
            hint=f"use {', '.join(sorted(policy.schemes))}" if policy.schemes else "list the files",
        )
    rest = match[2] if match else text
    parse_address(f"{scheme}://{rest}")  # says what is wrong with ?files=
    inner = _SCHEME.fullmatch(rest)
    if inner is not None:
        if inner[1].lower() not in REMOTE:
            raise RequestError(
                f"{shown(rest)!r} is no dataset of a remote storage",
                hint="such as xrootd://root://host//path/*.root",
            )
        policy.places.placed([rest.partition("?")[0]])
    return f"{scheme}://{rest}"


def _content_key(body: Submission, did: str, files: tuple[str, ...]) -> str:
    from sxdask.deliver.part import content_key

    facts = (body.selection, body.codegen, body.result_format, body.result_destination)
    return content_key(*facts, body.tree_name or "", did, *sorted(files))

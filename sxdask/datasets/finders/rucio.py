"""``rucio://scope:name``: the files of a dataset, a container or a single file of Rucio.

The client is Rucio's own, configured as everywhere: ``rucio.cfg`` below
``RUCIO_HOME`` or named by ``RUCIO_CONFIG``, variables ``RUCIO_*``, an X.509
proxy or a token. A container is taken apart here, a group of datasets at a
time, so that work begins before the last of 400 is known.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sxdask.core.errors import (
    AccessDeniedError,
    EmptyDatasetError,
    FileMissingError,
    MissingExtraError,
    ReadFailedError,
    RequestError,
    SxdaskError,
)
from sxdask.datasets.model import FileEntry
from sxdask.datasets.replicas import Place, Preference, spellings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sxdask.core.settings import Settings
    from sxdask.datasets.address import Address

Did: TypeAlias = "tuple[str, str]"
"""Scope and name."""

_LOG: Final = logging.getLogger(__name__)
# Rucio's client writes the headers of its requests, passwords among them, at the level DEBUG.
_CLIENT_LOG: Final = logging.getLogger(f"{__name__}.client")
_CLIENT_LOG.setLevel(logging.WARNING)
# Rucio's own schemas allow at most this; wildcards are searched for, not found.
_NAME: Final = re.compile(
    r"(?P<scope>[A-Za-z0-9_.-]{1,64}):(?P<name>[^\s:*?]{1,500})(?::(?P<tree>[^:?]+))?"
)
_SECONDS: Final = 60
"""How long the server may say nothing."""
_GROUP: Final = 20
"""Datasets that one question is about."""
_SHOWN: Final = 3

_NOT_THERE: Final = ("DataIdentifierNotFound", "ScopeNotFound")
_BAD_NAME: Final = ("InvalidObject", "InputValidationError", "InvalidPath", "UnsupportedOperation")
_NO_ACCESS: Final = (
    "AccessDenied",
    "CannotAuthenticate",
    "IdentityError",
    "IdentityNotFound",
    "AccountNotFound",
    "NoAuthInformation",
    "ClientProtocolNotFound",
    "ClientProtocolNotSupported",
    "ConfigNotFound",
    "ConfigLoadingError",
    "MissingClientParameter",
    "MissingModuleException",
)


@dataclass(frozen=True)
class RucioFinder:
    """Find the files of a data identifier, with their replicas on disk."""

    preference: Preference = field(default_factory=Preference)

    @classmethod
    def from_settings(cls, settings: Settings) -> RucioFinder:
        """Return a finder with the preferred sites and protocols of the settings."""
        return cls(Preference.from_settings(settings))

    def find(
        self, address: Address, *, storage_options: Mapping[str, Any]
    ) -> tuple[FileEntry, ...]:
        """Return the files, each once, sorted by scope and name.

        Raises
        ------
        RequestError
            If the name is not ``scope:name``.
        FileMissingError
            If Rucio does not know it.
        EmptyDatasetError
            If it has no file, or none is to be had and only those were asked for.
        AccessDeniedError
            If Rucio is not configured, or does not let the caller in, or a file has
            no replica on disk that can be read.
        ReadFailedError
            If Rucio does not answer.
        MissingExtraError
            If Rucio's client is not installed.
        """
        del storage_options
        found = dict(self._found(address))
        return tuple(found[did] for did in sorted(found))

    def stream(
        self, address: Address, *, storage_options: Mapping[str, Any]
    ) -> Iterator[FileEntry]:
        """Yield what `find` returns, dataset after dataset."""
        del storage_options
        for _, entry in self._found(address):
            yield entry

    def check(self) -> str:
        """Return which server answers, and as whom it knows this process.

        Raises
        ------
        MissingExtraError, AccessDeniedError, ReadFailedError
            If the client is not installed, not configured, or not answered.
        """
        with _errors("the server"):
            client = _client()
            version = client.ping()["version"]
            account = client.whoami()["account"]
        return f"Rucio {version} at {client.host} knows this process as {account}"

    def _found(self, address: Address) -> Iterator[tuple[Did, FileEntry]]:
        name = _NAME.fullmatch(address.name.rstrip("/"))
        if name is None:
            raise _bad_name(address.name)
        did = (name["scope"], name["name"].rstrip("/"))
        tree = name["tree"] or address.tree
        seen: set[Did] = set()
        lost: list[Did] = []
        with _errors(":".join(did)):
            client = _client()
            for group in _groups(_datasets(client, did)):
                facts = {file: item for file, item in _files(client, group) if file not in seen}
                seen.update(facts)
                places = dict(self._places(client, group))
                for file, item in facts.items():
                    if places.get(file):
                        yield file, _entry(places[file], item, tree)
                    else:
                        lost.append(file)
                if lost and not address.only_available:
                    raise _lost(did, lost)
        if not seen or len(lost) == len(seen):
            what = "no file that can be had" if seen else "no files"
            raise EmptyDatasetError(
                f"dataset '{did[0]}:{did[1]}' has {what}",
                hint="ask for a replica on disk with a rule of Rucio" if seen else None,
                file=address.path,
                exists=True,
            )
        if lost:
            _LOG.warning("%s:%s: %d files have no replica that can be read", *did, len(lost))

    def _places(self, client: Any, group: Iterable[Did]) -> Iterator[tuple[Did, tuple[str, ...]]]:
        """Yield the URLs of each file's replicas, the best first."""
        found = client.list_replicas(
            _dids(group),
            schemes=[name for scheme in self.preference.usable() for name in spellings(scheme)],
            ignore_availability=False,  # leave out sites that are switched off
            client_location=_location(),
            sort="geoip",
        )
        for item in _checked(found):
            states = item.get("states") or {}
            places = [
                Place(url, str(facts.get("rse", "")), float(facts.get("priority") or 0))
                for url, facts in (item.get("pfns") or {}).items()
                if _is_readable(facts, states)
            ]
            yield (item["scope"], item["name"]), self.preference.sorted(places)


def _is_readable(facts: Mapping[str, Any], states: Mapping[str, str]) -> bool:
    """Tell whether a replica lies on disk, whole, as a file of its own."""
    state = states.get(str(facts.get("rse")), states.get(str(facts.get("rse_id")), "AVAILABLE"))
    return (
        str(facts.get("type", "DISK")).upper() != "TAPE"
        and str(state).upper() in {"AVAILABLE", "A"}
        and facts.get("domain") != "zip"
        and not facts.get("client_extract")
    )


def _datasets(client: Any, did: Did) -> Iterator[Did]:
    """Yield the datasets of a container at any depth, each once, or the identifier itself."""
    kind = client.get_did(*did)["type"]
    if kind != "CONTAINER":
        yield did
        return
    seen = {did}
    level = [did]
    while level:
        below = []
        for container in level:
            # To the end, so that no answer stays open while others are waited for.
            for item in list(_checked(client.list_content(*container))):
                child = (item["scope"], item["name"])
                if child in seen:
                    continue
                seen.add(child)
                if item["type"] == "CONTAINER":
                    below.append(child)
                else:
                    yield child
        level = below


def _files(client: Any, group: list[Did]) -> Iterator[tuple[Did, Mapping[str, Any]]]:
    """Yield all files of datasets, also those without replicas."""
    for item in _checked(client.bulk_list_files(_dids(group))):
        yield (item["scope"], item["name"]), item


def _checked(items: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the lines of an answer, which are objects unless a proxy sent a page."""
    for item in items:
        if not isinstance(item, dict):
            raise TypeError(f"it sends {str(item)[:100]!r}")
        yield item


def _dids(group: Iterable[Did]) -> list[dict[str, str]]:
    return [{"scope": scope, "name": name} for scope, name in group]


def _groups(dids: Iterable[Did]) -> Iterator[list[Did]]:
    group: list[Did] = []
    for did in dids:
        group.append(did)
        if len(group) == _GROUP:
            yield group
            group = []
    if group:
        yield group


def _entry(places: tuple[str, ...], item: Mapping[str, Any], tree: str | None) -> FileEntry:
    best, *others = places
    return FileEntry(
        best,
        tree,
        replicas=tuple(others),
        size=int(item.get("bytes") or 0),
        events=int(item.get("events") or 0),
        adler32=item.get("adler32"),
    )


def _location() -> dict[str, Any] | None:
    """Return where the caller is, if the variables that Rucio's clients read say so."""
    known = {
        "site": os.environ.get("SITE_NAME"),
        "latitude": os.environ.get("RUCIO_LATITUDE"),
        "longitude": os.environ.get("RUCIO_LONGITUDE"),
    }
    return {name: value for name, value in known.items() if value} or None


def _client() -> Any:
    try:
        from rucio.client.client import Client
    except ImportError as error:
        raise MissingExtraError(
            f"datasets of Rucio need a package that is not installed: {error.name}",
            hint="pip install 'sxdask[rucio]'",
        ) from error
    name = sys.argv[0]
    try:
        return Client(timeout=_SECONDS, user_agent="sxdask", logger=_CLIENT_LOG)
    finally:
        sys.argv[0] = name  # which Rucio's client cuts short


@contextmanager
def _errors(name: str) -> Iterator[None]:
    """Turn what Rucio's client raises into errors of ours."""
    try:
        yield
    except (SxdaskError, GeneratorExit):
        raise
    except Exception as error:  # of Rucio, requests, or what a broken answer leads to
        raise _error(error, name) from error


def _error(error: Exception, name: str) -> SxdaskError:
    kind = type(error).__name__
    said = " ".join(str(error).split()).removeprefix("Details: ")
    facts = {"file": f"rucio://{name}"}
    if kind in _NOT_THERE:
        return FileMissingError(
            f"Rucio knows no {name!r}", hint="check the scope and the name", **facts
        )
    if kind in _BAD_NAME:
        return RequestError(f"Rucio does not accept {name!r}: {said}", **facts)
    if kind in _NO_ACCESS:
        return AccessDeniedError(
            f"Rucio does not let this process in: {said}",
            hint="check rucio.cfg (RUCIO_CONFIG), RUCIO_ACCOUNT and the proxy or the token",
            **facts,
        )
    return ReadFailedError(
        f"Rucio does not answer: {kind}: {said}", hint="try again later", **facts
    )


def _bad_name(text: str) -> RequestError:
    hint = "write rucio://scope:name"
    if ":" not in text and re.fullmatch(r"[A-Za-z0-9_.-]+", text) and "." in text:
        first, second, *_ = text.split(".")
        scope = f"{first}.{second}" if first in {"user", "group"} else first
        hint = f"add the scope: rucio://{scope}:{text}"
    return RequestError(f"{text!r} is no data identifier of Rucio", hint=hint)


def _lost(did: Did, files: list[Did]) -> AccessDeniedError:
    shown = ", ".join(":".join(file) for file in files[:_SHOWN])
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    return AccessDeniedError(
        f"files of '{did[0]}:{did[1]}' have no replica on disk that can be read: {shown}{more}",
        hint="ask for one with a rule of Rucio, or leave such files out with ?get=available",
        file=f"rucio://{did[0]}:{did[1]}",
    )

"""``cernopendata://<record>``: the files of a record of the CERN Open Data portal.

The portal's interface is the one that cernopendata-client uses: one JSON object
a record, which holds the files and the file indexes, or names the indexes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sxdask.core.errors import (
    AccessDeniedError,
    EmptyDatasetError,
    FileMissingError,
    ReadFailedError,
    RequestError,
    SxdaskError,
)
from sxdask.datasets.local import ROOT_NAME
from sxdask.datasets.model import FileEntry
from sxdask.datasets.replicas import Place, Preference
from sxdask.datasets.storage import connect

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sxdask.core.settings import Settings
    from sxdask.datasets.address import Address

_NAME: Final = re.compile(r"0*(?P<record>[1-9][0-9]{0,9})(?::(?P<tree>.+))?")
_STORAGE: Final = "root://eospublic.cern.ch/"
"""What the portal's records name files by; it serves the same paths over HTTP itself."""
_INDEX: Final = re.compile(r".*_file_index\.json")
_SECONDS: Final = 60
_GONE: Final = 410  # of records that were withdrawn


@dataclass(frozen=True)
class OpenDataFinder:
    """Find the files of a record at the portal `url`, over XRootD and HTTP."""

    url: str = "https://opendata.cern.ch"
    preference: Preference = field(default_factory=Preference)

    @classmethod
    def from_settings(cls, settings: Settings) -> OpenDataFinder:
        """Return a finder that asks the portal of the settings."""
        return cls(settings.opendata_url.rstrip("/"), Preference.from_settings(settings))

    def find(
        self, address: Address, *, storage_options: Mapping[str, Any]
    ) -> tuple[FileEntry, ...]:
        """Return the ROOT files of a record with their indexes expanded, each once, sorted.

        Raises
        ------
        RequestError
            If the name is no number.
        FileMissingError
            If there is no such record.
        EmptyDatasetError
            If it has no ROOT file.
        AccessDeniedError, ReadFailedError
            If the portal refuses, or does not answer with a record.
        """
        del storage_options
        name = _NAME.fullmatch(address.name)
        if name is None:
            raise RequestError(
                f"{address.name!r} is no record of CERN Open Data",
                hint="write its number, such as cernopendata://12341",
            )
        url = f"{self.url}/api/records/{name['record']}"
        record = self._json(url, f"record {name['record']} of CERN Open Data")
        files = dict(self._files(record, url))
        found = {
            uri: item for uri, item in files.items() if ROOT_NAME.fullmatch(uri.rpartition("/")[2])
        }
        if not found:
            others = f"; it has {len(files)} others" if files else ""
            raise EmptyDatasetError(
                f"record {name['record']} of CERN Open Data has no ROOT file{others}",
                hint="look at the record's page for the data sets that it describes",
                file=f"cernopendata://{name['record']}",
                exists=True,
            )
        tree = name["tree"] or address.tree
        return tuple(self._entry(uri, found[uri], tree) for uri in sorted(found))

    def _entry(self, uri: str, item: Mapping[str, Any], tree: str | None) -> FileEntry:
        places = [Place(uri)]
        if uri.startswith(_STORAGE):
            places.append(Place(self._over_http(uri)))
        best, *others = self.preference.sorted(places) or (uri,)
        kind, _, digits = str(item.get("checksum") or "").partition(":")
        return FileEntry(
            best,
            tree,
            replicas=tuple(others),
            size=int(item.get("size") or 0),
            adler32=digits if kind == "adler32" else None,
        )

    def _files(self, record: Any, url: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the URI and the facts of the files of a record, those of its indexes too."""
        try:
            facts = record["metadata"]
            indexes = facts.get("_file_indices") or []
            for item in facts.get("files") or []:
                uri = str(item["uri"])
                if not _INDEX.fullmatch(uri):
                    yield uri, item
                elif not indexes:  # the portal has not expanded them
                    index = self._json(self._over_http(uri), f"the file index {uri!r}")
                    yield from ((str(inner["uri"]), inner) for inner in index)
            for index in indexes:
                yield from ((str(inner["uri"]), inner) for inner in index["files"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ReadFailedError(
                f"what {url!r} answers is no record: {type(error).__name__}: {error}",
                hint="see whether SXDASK_OPENDATA_URL names a portal of CERN Open Data",
                file=url,
            ) from error

    def _over_http(self, uri: str) -> str:
        return f"{self.url}/{uri.removeprefix(_STORAGE).lstrip('/')}"

    def _json(self, url: str, what: str) -> Any:
        from aiohttp import ClientResponseError, ClientTimeout

        session = {"timeout": ClientTimeout(total=_SECONDS), "trust_env": True}  # for proxies
        options = {"client_kwargs": session, "skip_instance_cache": True}
        try:
            storage, path = connect(url, options)
            return json.loads(storage.cat_file(path))
        except SxdaskError:
            raise
        except FileNotFoundError as error:
            raise _missing(what, url) from error
        except ClientResponseError as error:
            if error.status == _GONE:
                raise _missing(what, url) from error
            if error.status in {401, 403}:
                raise AccessDeniedError(f"{what} may not be read", file=url) from error
            raise _silent(what, url, f"status {error.status}") from error
        except ValueError as error:
            raise _silent(what, url, "it sends no JSON") from error
        except Exception as error:  # each layer below has exceptions of its own
            raise _silent(what, url, f"{type(error).__name__} {error}".strip()) from error


def _missing(what: str, url: str) -> FileMissingError:
    return FileMissingError(
        f"there is no {what}" if what.startswith("record") else f"{what} is missing",
        hint="look the number up at the portal",
        file=url,
    )


def _silent(what: str, url: str, why: str) -> ReadFailedError:
    return ReadFailedError(
        f"{what} cannot be had from the portal: {why}", hint="try again later", file=url
    )

"""The web application over a real database and a folder of results, for tests of its interface.

`Still` stands in for the engine: it only remembers what it was told. Results are
reported by tests, as workers would.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sxdask.service.auth.tokens import Tokens
from sxdask.service.database.connect import open_database
from sxdask.service.database.store import SqlStore
from sxdask.service.database.tables import METADATA
from sxdask.service.database.users import Users
from sxdask.service.objects.volume import VolumeObjects
from sxdask.service.rest.app import make_app
from sxdask.service.rest.parts import Parts, Policy
from sxdask.service.transforms.ports import ClientAccess, EngineProgress, FileResult
from tests.asgi import Browser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from sxdask.service.database.users import User
    from sxdask.service.logs.setup import Logs

S3_SECRET = "s3-secret-for-readers-only"  # noqa: S105
FILES = ("root://eospublic.cern.ch:1094//eos/a.root", "root://eospublic.cern.ch:1094//eos/b.root")
# Hosts of these tests need not be known to a name server.
PUBLIC = ("eospublic.cern.ch",)
RAW = '[{"treename": "Events", "filter_name": ["MET_pt"]}]'


@dataclass
class Still:
    """An engine that does nothing."""

    woken: int = 0
    known: dict[str, EngineProgress] = field(default_factory=dict)

    def start(self) -> None:
        """Do nothing."""

    def wake(self) -> None:
        """Count."""
        self.woken += 1

    def stop(self) -> None:
        """Do nothing."""

    def progress(self, request_id: str) -> EngineProgress | None:
        """Return what the test said."""
        return self.known.get(request_id)


class Results(VolumeObjects):
    """Results in a folder, with what the status says of an S3."""

    def client_access(self) -> ClientAccess:
        """Return an endpoint."""
        return ClientAccess("localhost:8333", secured=False, access_key="key", secret_key=S3_SECRET)


@dataclass
class Site:
    """An application with its parts, and a client of it."""

    parts: Parts
    client: Browser
    engine: Still
    app: Any

    @property
    def store(self) -> SqlStore:
        """The database."""
        assert isinstance(self.parts.store, SqlStore)
        return self.parts.store

    def user(self, name: str, *, admin: bool = False, pending: bool = False) -> User:
        """Add a user."""
        email = f"{name}@example.org"
        return self.parts.users.add(name, admin=admin, pending=pending, email=email, name=name)

    def headers(self, user: User) -> dict[str, str]:
        """Return the headers of a user."""
        token = self.parts.tokens.access(user.id, parent=user.token_id)
        return {"Authorization": f"Bearer {token}"}

    def submit(self, headers: dict[str, str] | None = None, **changes: Any) -> str:
        """Submit a transform; return its id."""
        answer = self.client.post(
            "/servicex/transformation", json=body(**changes), headers=headers or {}
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["request_id"])

    def report(self, request_id: str, *oks: bool, **facts: Any) -> list[FileResult]:
        """Report results of the next files of a transform."""
        pending = self.store.pending_files(request_id)
        made = []
        for number, (file, ok) in enumerate(zip(pending, oks, strict=False)):
            told: dict[str, Any] = {"object": f"{file.id}.parquet", "rows": 10, "bytes": 100}
            if not ok:
                told = {"code": "SX101", "message": "no branch 'x'", "traceback": "Traceback ..."}
            result = FileResult(file.id, file.paths[0], ok=ok, seconds=1.0 + number, **told | facts)
            assert self.store.report(request_id, result)
            made.append(result)
        return made


def body(**changes: Any) -> dict[str, Any]:
    """Return what client 3.3.1 submits for UprootRaw; a change to None leaves a key out."""
    found: dict[str, Any] = {
        "title": "Sample",
        "file-list": list(FILES),
        "selection": RAW,
        "codegen": "uproot-raw",
        "result-destination": "object-store",
        "result-format": "parquet",
    }
    found |= {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in found.items() if value is not None}


@contextmanager
def open_site(
    folder: Path,
    *,
    logs: Logs | None = None,
    checks: Mapping[str, Callable[[], object]] | None = None,
    **policy: Any,
) -> Iterator[Site]:
    """Give an application over the database in `folder`, made if there is none."""
    database = open_database(f"sqlite:///{folder / 'service.db'}")
    METADATA.create_all(database)
    engine, decided = Still(), Policy(**policy)
    if not decided.places.hosts:
        places = replace(decided.places, hosts=PUBLIC)
        decided = replace(decided, places=places)
    parts = Parts(
        store=SqlStore(database),
        users=Users(database),
        engine=engine,
        objects={"object-store": Results(folder / "results")},
        tokens=Tokens(
            b"a secret of the tests, long enough for every algorithm that there is in JWT"
        ),
        policy=decided,
        logs=logs,
        checks=checks or {},
    )
    app = make_app(parts)
    yield Site(parts, Browser(app), engine, app)
    database.dispose()

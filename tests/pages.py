"""A service with requests in all states, for tests of its pages."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
from sqlalchemy import select, update

from sxdask.service.auth.tokens import Tokens
from sxdask.service.database.connect import open_database
from sxdask.service.database.migrate import upgrade
from sxdask.service.database.store import SqlStore
from sxdask.service.database.tables import TRANSFORMS
from sxdask.service.database.users import Users
from sxdask.service.objects.volume import VolumeObjects
from sxdask.service.pages.routes import add_pages
from sxdask.service.rest.app import make_app
from sxdask.service.rest.parts import Parts, Policy
from sxdask.service.transforms.ports import EngineProgress, FileResult, NewTransform
from sxdask.service.transforms.states import Broken, CancelAsked
from tests.rest_parts import Still

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastapi import FastAPI
    from sqlalchemy import Engine

    from sxdask.service.transforms.ports import DatasetFile, Transform

QASTLE = (
    "(call Select (call Where (call EventDataset 'bogus.root' 'Events') (lambda (list e) (and"
    " (> (attr e 'nMuon') 1) (> (attr e 'MET_pt') 50)))) (lambda (list e) (dict (list 'Muon_pt'"
    " 'Muon_eta' 'MET_pt') (list (attr e 'Muon_pt') (attr e 'Muon_eta') (attr e 'MET_pt')))))"
)
RAW = json.dumps(
    [
        {
            "treename": "Events",
            "expressions": None,
            "cut": "(nMuon >= 2) & (MET_pt > 50)",
            "filter_name": ["Muon_pt", "Muon_eta", "Muon_phi", "MET_pt"],
            "aliases": None,
        }
    ]
)
FUNCTION = (
    "def run_query(path):\n    import uproot\n    return uproot.open(path)['Events'].arrays()"
)
PYTHON = base64.b64encode(FUNCTION.encode()).decode()
TRACEBACK = """Traceback (most recent call last):
  File "sxdask/rootio/branches.py", line 88, in find
    raise UnknownBranchError.among(name, self.names, tree=self.tree)
sxdask.core.errors.UnknownBranchError: tree 'Events' has no branch 'Muon_ptt'"""
NEW = NewTransform("", RAW, "uproot-raw", "parquet", "volume", "key")
XROOTD = "root://eospublic.cern.ch//eos/opendata/cms/Run2016H/DoubleMuon/NANOAOD"


def make_parts(folder: Path, **policy: Any) -> Parts:
    """Return the parts of a service with an empty database in `folder`."""
    database = open_database(f"sqlite:///{folder / 'service.db'}")
    upgrade(database)
    return parts_on(database, folder, **policy)


def parts_on(database: Engine, folder: Path, **policy: Any) -> Parts:
    """Return the parts of a service on a database that has its tables."""
    return Parts(
        store=SqlStore(database),
        users=Users(database),
        engine=Still(),
        objects={"volume": VolumeObjects(folder / "results")},
        tokens=Tokens(b"a secret of the tests, 32 bytes!"),
        policy=Policy(**policy),
    )


def app_of(parts: Parts) -> FastAPI:
    """Return the application with its pages."""
    app = make_app(parts)
    add_pages(app)
    return app


def submit(parts: Parts, title: str, num_files: int, **changes: Any) -> Transform:
    """Submit a request over files of a name of its own."""
    run = f"{XROOTD}/{abs(hash(title)) % 10**8:08d}"
    files = tuple(f"{run}/{number:04d}.root" for number in range(num_files))
    new = replace(NEW, title=title, content_key=title[:60], files=files)
    return parts.store.submit(replace(new, **changes))


def good(file: DatasetFile, number: int = 0) -> FileResult:
    rows = 180_000 + 7_919 * (number % 17)
    seconds = 2.5 + (number * 7 % 11) / 3
    name = f"{file.paths[0].rpartition('/')[2]}.parquet"
    return FileResult(
        file.id, file.paths[0], ok=True, object=name, rows=rows, bytes=rows * 31, seconds=seconds
    )


def bad(file: DatasetFile, code: str, message: str, traceback: str = "") -> FileResult:
    facts = {"code": code, "message": message, "traceback": traceback, "seconds": 1.2}
    return FileResult(file.id, file.paths[0], ok=False, **facts)  # type: ignore[arg-type]


def report(parts: Parts, made: Transform, done: int, failed: int = 0) -> None:
    """Let the first files of a request fail, the next be done."""
    waiting = parts.store.pending_files(made.request_id)
    branch = "tree 'Events' has no branch 'Muon_ptt' (hint: did you mean 'Muon_pt'?)"
    for number, file in enumerate(waiting[:failed]):
        if number % 3:
            parts.store.report(made.request_id, bad(file, "SX101", branch, TRACEBACK))
        else:
            problem = f"{file.paths[0]}: the server did not answer within {60 + number} s"
            parts.store.report(made.request_id, bad(file, "SX401", problem))
    for number, file in enumerate(waiting[failed : failed + done]):
        parts.store.report(made.request_id, good(file, number))


def fill(parts: Parts, times: int = 1, **own: Any) -> dict[str, Transform]:
    """Submit requests in all states; return them by a word for each.

    The number of files grows with `times`; `own` changes every submission.
    """
    engine, store = parts.engine, parts.store
    assert isinstance(engine, Still)
    python = {"selection": PYTHON, "codegen": "python"}
    func_adl = {"selection": QASTLE, "codegen": "uproot"}
    made = {
        "complete": submit(parts, "Z → μμ 2016H, all triggers", 6 * times, **own),
        "canceled": submit(parts, "W+jets, first try", 9 * times, **own),
        "fatal": submit(parts, "QCD enriched, python", 6, **python, **own),
        "failures": submit(parts, "Dimuon trigger scan 2016H", 15 * times, **own),
        "unknown": submit(parts, "ttbar with taus", 0, did="rucio://user.kchoi:ttbar.tau", **own),
        "lookup": submit(parts, "Data 2018 (lookup)", 0, did="rucio://data18:period.K", **own),
        "queued": submit(parts, "Minimum bias for pile-up", 40 * times, **own),
        "running": submit(parts, "Higgs → 4μ, NanoAOD v9", 60 * times, **func_adl, **own),
    }
    report(parts, made["complete"], 6 * times)
    report(parts, made["canceled"], 2 * times)
    store.apply(made["canceled"].request_id, CancelAsked())
    store.apply(made["fatal"].request_id, Broken("no progress for 30 min: all workers are gone"))
    report(parts, made["failures"], 12 * times, 3 * times)
    store.begin_lookup(made["unknown"].did_id)
    store.end_lookup(made["unknown"].did_id, "does_not_exist", "rucio knows no such dataset")
    store.begin_lookup(made["lookup"].did_id)
    report(parts, made["running"], 21 * times, times)
    engine.known[made["queued"].request_id] = EngineProgress(queued=40 * times)
    engine.known[made["running"].request_id] = EngineProgress(
        queued=38 * times - 24,
        reading=9,
        computing=12,
        uploading=3,
        bytes_per_second=143e6,
        seconds_left=412,
    )
    return made


def age(parts: Parts) -> None:
    """Let the requests be of the last hours, for pictures."""
    with parts.users.engine.begin() as connection:
        for row in connection.execute(select(TRANSFORMS)).all():
            hours = timedelta(minutes=3 + 37 * (8 - row.number))
            changes = {"submitted": row.submitted - hours}
            if row.finished is not None:
                took = timedelta(seconds=90 + 61 * row.number % 400)
                changes["finished"] = row.submitted - hours + took
            connection.execute(
                update(TRANSFORMS).where(TRANSFORMS.c.number == row.number).values(**changes)
            )


class Visitor:
    """Sends requests to an application as a browser does: with cookies, following redirects."""

    def __init__(self, app: FastAPI, url: str = "http://localhost") -> None:
        self.app, self.url, self.cookies = app, url, httpx.Cookies()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Return the reply; an exception of the application is one of the test."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=("127.0.0.1", 4711))
            async with httpx.AsyncClient(
                transport=transport, cookies=self.cookies, follow_redirects=True
            ) as client:
                # A path that begins with // is no path to httpx.
                address = path if "://" in path.partition("?")[0] else f"{self.url}{path}"
                answer = await client.request(method, address, **options)
                self.cookies = client.cookies
                return answer

        return asyncio.run(send())

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Return the reply to GET."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        """Return the reply to POST."""
        return self.request("POST", path, **options)

    def csrf(self, path: str = "/") -> str:
        """Return what forms of the session carry, from the page at `path`."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.get(path).text)
        assert found
        return found[1]


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve `app` on the loopback interface; give its address."""
    import uvicorn

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()

"""A service with requests in all states, for tests of its pages."""

from __future__ import annotations

import base64
import json
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sxdask.service.auth.tokens import Tokens
from sxdask.service.database.connect import open_database
from sxdask.service.database.migrate import upgrade
from sxdask.service.database.store import SqlStore
from sxdask.service.database.users import Users
from sxdask.service.objects.volume import VolumeObjects
from sxdask.service.pages.routes import add_pages
from sxdask.service.rest.app import make_app
from sxdask.service.rest.parts import Parts, Policy
from sxdask.service.transforms.ports import EngineProgress, FileResult, NewTransform
from sxdask.service.transforms.states import Broken, CancelAsked

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastapi import FastAPI

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


@dataclass
class KnownEngine:
    """An engine that runs nothing and says of each request what it was told."""

    known: dict[str, EngineProgress] = field(default_factory=dict)
    woken: int = 0

    def start(self) -> None:
        """Nothing to start."""

    def wake(self) -> None:
        self.woken += 1

    def stop(self) -> None:
        """Nothing to stop."""

    def progress(self, request_id: str) -> EngineProgress | None:
        return self.known.get(request_id)


def make_parts(folder: Path, **policy: Any) -> Parts:
    """Return the parts of a service with an empty database in `folder`."""
    database = open_database(f"sqlite:///{folder / 'service.db'}")
    upgrade(database)
    return Parts(
        store=SqlStore(database),
        users=Users(database),
        engine=KnownEngine(),
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


def fill(parts: Parts, user: int | None = None) -> dict[str, Transform]:
    """Submit requests in all states; return them by a word for each."""
    engine = parts.engine
    assert isinstance(engine, KnownEngine)
    own = {"submitted_by": user}
    made = {
        "complete": submit(parts, "Z → μμ 2016H, all triggers", 24, **own),
        "canceled": submit(parts, "W+jets, first try", 40, **own),
        "fatal": submit(
            parts, "QCD enriched, python", 6, selection=PYTHON, codegen="python", **own
        ),
        "failures": submit(parts, "Dimuon trigger scan 2016H", 120, **own),
        "unknown": submit(parts, "ttbar with taus", 0, did="rucio://user.kchoi:ttbar.tau", **own),
        "lookup": submit(parts, "Data 2018 (lookup)", 0, did="rucio://data18:period.K", **own),
        "queued": submit(parts, "Minimum bias for pile-up", 400, **own),
        "running": submit(
            parts, "Higgs → 4μ, NanoAOD v9", 1200, selection=QASTLE, codegen="uproot", **own
        ),
    }
    store = parts.store
    report(parts, made["complete"], 24)
    report(parts, made["canceled"], 9)
    store.apply(made["canceled"].request_id, CancelAsked())
    store.apply(made["fatal"].request_id, Broken("no progress for 30 min: all workers are gone"))
    report(parts, made["failures"], 103, 17)
    store.begin_lookup(made["unknown"].did_id)
    store.end_lookup(made["unknown"].did_id, "does_not_exist", "rucio knows no such dataset")
    store.begin_lookup(made["lookup"].did_id)
    report(parts, made["running"], 421, 3)
    engine.known[made["queued"].request_id] = EngineProgress(queued=400)
    engine.known[made["running"].request_id] = EngineProgress(
        queued=752, reading=9, computing=12, uploading=3, bytes_per_second=143e6, seconds_left=412
    )
    return made


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

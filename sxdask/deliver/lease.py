"""Who delivers to a place now, and what the dead have left there.

A run stages its objects in a folder of its own, ``.sxdask/<delivery>/<run>``,
beside a lease, ``<run>.lease``, which it renews while it lives and removes at
its end. A run is dead if it has no lease, if its process has ended on this
machine, or if its lease was not renewed for a while; only what dead runs left
is ever removed or taken up by another. A worker that finds the lease gone
after it wrote knows that it is late, and removes what it wrote.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import DeliveryError, SxdaskError
from sxdask.deliver.sink import Receipt

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from sxdask.deliver.store import Store

HIDDEN = ".sxdask"
LEASE_SECONDS = 900.0
"""A run elsewhere that did not renew its lease for so long is taken for dead."""

_RENEW_SECONDS = 60.0
_TURN = f"{HIDDEN}/publishing"
_TURN_SECONDS = 1800.0
_LOOK_SECONDS = 0.1
_LEASE, _INTENT = ".lease", ".commit"

# Runs of this process that have not ended. One that ended while its storage was out of reach
# could not remove its lease, and the process that it names lives on.
_HERE: set[str] = set()


class Lease:
    """The sign that a run lives, at `store`; the copies of workers only ask for it."""

    def __init__(self, store: Store, key: str) -> None:
        self.key = key
        self.run = uuid.uuid4().hex[:12]
        self._store = store
        self._lock = threading.Lock()
        self._ended: threading.Event | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"key": self.key, "run": self.run, "_store": self._store}

    @property
    def folder(self) -> str:
        """Where the run stages its objects."""
        return f"{HIDDEN}/{self.key}/{self.run}"

    @property
    def name(self) -> str:
        """The object that is the lease."""
        return self.folder + _LEASE

    @property
    def intent(self) -> str:
        """The object that says what the run is about to publish."""
        return self.folder + _INTENT

    def open(self) -> None:
        """Write the lease, and go on renewing it in a thread."""
        self._store.write(self.name, _signature())
        _HERE.add(self.run)
        self._ended = threading.Event()
        threading.Thread(target=self._renew, args=(self._ended,), daemon=True).start()

    def close(self) -> None:
        """Remove the lease. May be repeated."""
        ended, self._ended = self._ended, None
        if ended is None:
            return
        ended.set()
        _HERE.discard(self.run)
        with self._lock, suppress(SxdaskError):  # without renewal it runs out
            self._store.remove(self.name)

    def is_open(self) -> bool:
        """Ask the store whether the run still counts as living."""
        return self._store.size(self.name) is not None

    def traces(self, *, all_dead: bool) -> list[Trace]:
        """Return what this run and dead runs have there; the dead of other deliveries too or not.

        Ages are told by the clock of the store: that of the lease which this run wrote.
        """
        now = self._store.modified(self.name) or time.time()
        return [
            trace
            for trace in traces(self._store)
            if trace.run == self.run
            or ((all_dead or trace.key == self.key) and not trace.lives(self._store, now))
        ]

    def intend(self, receipts: Iterable[Receipt], obsolete: Iterable[str]) -> None:
        """Write down what is about to be published, and what is to be removed after that."""
        values = {"receipts": [item.to_dict() for item in receipts], "obsolete": list(obsolete)}
        self._store.write(self.intent, json.dumps(values).encode())

    def sweep(self, attempts: Collection[str]) -> None:
        """Remove what dead runs of this delivery staged, but these attempts."""
        for trace in self.traces(all_dead=False):
            for name in trace.names if trace.run != self.run else ():
                if name.startswith(f"{trace.folder}/") and _attempt(name) not in attempts:
                    self._store.remove(name)

    def clean(self, *, all_dead: bool) -> None:
        """Remove all that this run and dead ones have there, and folders that are empty then."""
        for trace in self.traces(all_dead=all_dead):
            trace.remove(self._store)
        self._store.remove_folder(HIDDEN, only_empty=True)

    def is_alone(self) -> bool:
        """Tell whether no other run of this delivery lives."""
        now = self._store.modified(self.name) or time.time()
        others = [item for item in traces(self._store) if item.run != self.run]
        return not any(item.key == self.key and item.lives(self._store, now) for item in others)

    def lives(self, place: str) -> bool:
        """Tell whether another run that stages in `place` lives."""
        now = self._store.modified(self.name) or time.time()
        folders = {trace.folder: trace for trace in traces(self._store)}
        found = folders.get(place)
        return found is not None and found.run != self.run and found.lives(self._store, now)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let one run at a time publish at this place; a dead one loses its turn.

        Raises
        ------
        DeliveryError
            If a living run does not finish, or if this one was taken for dead.
        """
        mine = json.dumps({"run": self.run, "lease": self.name}).encode()
        deadline = time.monotonic() + _TURN_SECONDS
        while not self._store.create(_TURN, mine):
            if self._turn_is_free():
                self._store.remove(_TURN)
            elif time.monotonic() > deadline:
                raise DeliveryError(
                    f"another run has been publishing to {self._store.location!r}"
                    f" for {_TURN_SECONDS:.0f} s",
                    hint="see whether it hangs; deliver again when it has ended",
                )
            else:
                time.sleep(_LOOK_SECONDS)
        try:
            if not self.is_open():
                raise DeliveryError(
                    f"another run took this one for dead and cleaned up {self._store.location!r}",
                    hint="the process or its storage stood still for long; deliver again",
                )
            yield
        finally:
            with suppress(SxdaskError):  # it is free as soon as the lease is gone
                self._store.remove(_TURN)

    def _turn_is_free(self) -> bool:
        values = _parsed(self._store.read(_TURN))
        lease = str(values.get("lease", ""))
        if not lease.endswith(_LEASE):  # being written at this moment, or torn long ago
            time.sleep(_LOOK_SECONDS)
            return not str(_parsed(self._store.read(_TURN)).get("lease", ""))
        now = self._store.modified(self.name) or time.time()
        return not _is_alive(self._store, lease, now)

    def _renew(self, ended: threading.Event) -> None:
        beside = f"{self.name}.new"
        while not ended.wait(_RENEW_SECONDS):
            with self._lock, suppress(SxdaskError):
                if not ended.is_set() and self.is_open():
                    self._store.write(beside, _signature())
                    self._store.move(beside, self.name)


@dataclass(frozen=True, slots=True)
class Trace:
    """What one run has at a place: a lease, an intent, staged objects."""

    key: str
    run: str
    names: list[str] = field(default_factory=list)

    @property
    def folder(self) -> str:
        """Where it staged its objects."""
        return f"{HIDDEN}/{self.key}/{self.run}"

    def lives(self, store: Store, now: float) -> bool:
        """Tell whether the run lives; `now` is a time of the store's clock."""
        lease = self.folder + _LEASE
        return lease in self.names and _is_alive(store, lease, now)

    def intent(self, store: Store) -> dict[str, Any]:
        """Return what it was about to publish; empty if it was not."""
        name = self.folder + _INTENT
        return _parsed(store.read(name)) if name in self.names else {}

    def remove(self, store: Store) -> None:
        """Remove all of it, the lease first, so that late workers notice."""
        for name in self.names:
            if name.startswith(f"{self.folder}."):
                store.remove(name)
        store.remove_folder(self.folder)


def traces(store: Store) -> list[Trace]:
    """Return what any run has at `store`."""
    found: dict[tuple[str, str], Trace] = {}
    for name in store.names(HIDDEN):
        path = name.split("/")
        if len(path) > 2:  # .sxdask/<delivery>/<run>...
            run = path[2].partition(".")[0]
            found.setdefault((path[1], run), Trace(path[1], run)).names.append(name)
    return list(found.values())


def hide_again(store: Store, lease: Lease) -> list[Receipt]:
    """Undo what runs that died while they published had done; it is this run's turn.

    What no manifest names gets the name back under which it was staged. Where
    the storage cannot do that, objects of this delivery stay, and those of
    another one are removed. If such a run had come as far as the manifest,
    what it would have removed then is removed.

    Returns
    -------
    list of Receipt
        Of the objects that dead runs of this delivery were about to publish.
    """
    values = _parsed(store.read("manifest.json"))
    named = {str(entry["object"]) for entry in values.get("partitions", ())}
    found = []
    for trace in lease.traces(all_dead=True):
        intent = trace.intent(store)
        receipts = [Receipt.from_dict(item) for item in intent.get("receipts", ())]
        shown = store.sizes([item.object for item in receipts if item.object not in named])
        for item in receipts:
            staging = store.staging(item.place)
            if item.object not in shown or staging.size(item.object, item.attempt) is not None:
                continue  # it still waits: what has the name is another attempt
            hidden = staging.take_back(item.object, item.attempt)
            if not hidden and trace.key != lease.key:
                store.remove(item.object)
        store.remove_all([name for name in intent.get("obsolete", ()) if name not in named])
        if trace.key == lease.key:
            found += receipts
    return found


def _attempt(name: str) -> str:
    """Return the attempt in the name of a staged object."""
    stem, dot, last = name.rpartition("/")[2].rpartition(".")
    return stem.rpartition(".")[2] if dot else last


def _is_alive(store: Store, lease: str, now: float) -> bool:
    written = store.modified(lease)
    if written is None:
        return False
    values = _parsed(store.read(lease))
    if values.get("machine") == _machine() and values["pid"] == os.getpid():
        return lease.rpartition("/")[2].removesuffix(_LEASE) in _HERE
    if values.get("machine") == _machine():
        return _born(int(values["pid"])) == values.get("born")
    return now - written < LEASE_SECONDS


def _signature() -> bytes:
    pid = os.getpid()
    return json.dumps({"machine": _machine(), "pid": pid, "born": _born(pid)}).encode()


@cache
def _machine() -> str:
    """Name this machine's set of processes: host, boot and, in a container, its own numbering."""
    names = [platform.node()]
    with suppress(OSError):
        names.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        names.append(str(Path("/proc/self/ns/pid").readlink()))
    return "/".join(names)


def _born(pid: int) -> str | None:
    """Return when the process started, in its kernel's terms; None if there is none.

    A process that has ended and was not waited for is none.
    """
    try:
        # Field 22 of proc(5)'s stat, counted after the name, which may hold anything.
        values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
        return _is_running(pid)
    return None if values[0] in "ZX" else values[19]


def _is_running(pid: int) -> str | None:
    """Answer where there is no /proc: that there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except OSError:  # somebody else's
        pass
    return "running"


def _parsed(data: bytes | None) -> dict[str, Any]:
    try:
        values = json.loads(data or b"")
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}

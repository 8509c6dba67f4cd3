"""Flight servers on loopback: in this process, and as ``sxdask serve`` in one of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sxdask.core.settings import load_settings
from sxdask.service.flight.auth import Tokens
from sxdask.service.flight.lifetime import Running, flight_service
from sxdask.service.flight.roots import Roots
from sxdask.service.flight.server import Parts
from sxdask.service.flight.tickets import Signer
from sxdask.service.flight.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PARTITION_BYTES = 40_000
"""Makes five partitions of the file `nanoaod` for a few columns."""

ALICE, BOB = "alice-0123456789abcdef", "bob-0123456789abcdefgh"
TOKENS = {"alice": ALICE, "bob": BOB}


def parts(root: Path, **changes: Any) -> Parts:
    """Return what a server in this process is made of; `changes` are fields of `Parts`."""
    known: dict[str, Any] = {
        "settings": load_settings(),
        "roots": Roots([str(root)]),
        "tokens": Tokens({}),
        "signer": Signer(),
        "workers": Workers(),
        "budget_bytes": 10**8,
        "most_streams": 64,
    }
    return Parts(**known | changes)


@contextmanager
def flight_server(root: Path, **changes: Any) -> Iterator[Running]:
    """Serve `root` from threads of this process."""
    with flight_service("127.0.0.1", 0, parts(root, **changes)) as running:
        yield running
    assert running.has_ended, "a call is still under way"


@dataclass
class ServeProcess:
    """A running ``sxdask serve``."""

    process: subprocess.Popen[str]
    url: str

    def end(self, how: signal.Signals = signal.SIGTERM, *, within_s: float = 30) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(how)
        return self.process.wait(within_s)


@contextmanager
def serve_process(
    *arguments: str, environ: Mapping[str, str] | None = None
) -> Iterator[ServeProcess]:
    """Run ``sxdask serve --flight`` with `arguments`; it is killed if it outlives the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sxdask.cli", "serve", "--flight", "--quiet", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environ or {})},
    )
    with process:
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            assert first.startswith("serving"), first
            yield ServeProcess(process, first.split()[-1])
        finally:
            process.kill()

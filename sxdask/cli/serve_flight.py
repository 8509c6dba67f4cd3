"""The part of ``sxdask serve`` that is Arrow Flight."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sxdask.api.remote.protocol import DEFAULT_PORT
from sxdask.cli.options import open_cluster, settings
from sxdask.core.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from contextlib import AbstractContextManager
    from threading import Event

    from sxdask.service.flight.lifetime import Running
    from sxdask.service.flight.server import Parts


@dataclass(frozen=True, slots=True)
class FlightOptions:
    """What the command line says of it; `address` is ``host:port`` or empty."""

    address: str
    host: str | None
    port: int | None
    root: tuple[str, ...]
    token_file: Path | None
    key_file: Path | None
    tls_cert: Path | None
    tls_key: Path | None
    insecure: bool
    allow_python: bool
    memory: str
    max_requests: int
    ttl: str

    def place(self) -> tuple[str, int]:
        """Return host and port."""
        if self.address:
            return _address(self.address)
        return self.host or "127.0.0.1", DEFAULT_PORT if self.port is None else self.port


@contextmanager
def running_flight(options: FlightOptions, client: Any) -> Iterator[Running]:
    """Serve Arrow Flight on `client`, or on threads of this process, and say so."""
    # gRPC writes what it thinks of refused handshakes to standard error.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from sxdask.requests.quantity import parse_bytes, parse_duration
    from sxdask.service.flight.lifetime import flight_service, require_safe
    from sxdask.service.flight.server import Parts
    from sxdask.service.flight.tickets import Signer
    from sxdask.service.flight.workers import Workers

    host, port = options.place()
    parts = Parts(
        settings=settings(),
        roots=_roots(options.root or (".",)),
        tokens=_tokens(options.token_file),
        signer=Signer(_key(options.key_file), ttl_s=parse_duration(options.ttl)),
        workers=Workers(client),
        budget_bytes=parse_bytes(options.memory),
        most_streams=options.max_requests,
        tls=_tls(options.tls_cert, options.tls_key),
        allow_python=options.allow_python,
    )
    require_safe(host, parts, insecure=options.insecure)
    with flight_service(host, port, parts) as running:
        typer.echo("\n".join(_welcome(running.url, parts)))
        sys.stdout.flush()
        yield running


def serve_flight(
    options: FlightOptions, cluster: str | None, workers: int | None, stop: Event, *, quiet: bool
) -> None:
    """Serve it alone until `stop` is set."""
    options.place()  # a mistake is said before a cluster is started
    with (
        _logged(quiet=quiet),
        open_cluster(cluster, workers) as client,
        running_flight(options, client) as running,
    ):
        stop.wait()
        if not quiet:
            typer.echo("stopping", err=True)
    leave(running)


def leave(running: Running) -> None:
    """Exit at once if a client that reads nothing holds one of gRPC's threads."""
    if not running.has_ended:
        sys.stdout.flush()
        os._exit(0)  # no other exit waits such a thread out


def _welcome(url: str, parts: Parts) -> Iterable[str]:
    yield f"serving Arrow Flight on {url}"
    yield f"  reads    {parts.roots}"
    state = parts.workers.state
    yield f"  workers  {state['kind']}, {state['slots']} partitions at once"
    if len(parts.tokens):
        yield f"  clients  with a token; there are {len(parts.tokens)}"
    else:
        yield "  clients  all users who can reach this address; --token-file lets in only some"


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65_535:
        raise RequestError(f"{text!r} is no address", hint="write HOST:PORT")
    return host.strip("[]"), int(port)


def _roots(places: Iterable[str]) -> Any:
    from sxdask.service.flight.roots import Roots

    return Roots(places)


def _tokens(file: Path | None) -> Any:
    from sxdask.service.flight.auth import read_tokens

    return read_tokens(file, os.environ)


def _key(file: Path | None) -> bytes | None:
    if file is None:
        return None
    from sxdask.service.flight.auth import read_secret_file
    from sxdask.service.flight.tickets import LEAST_KEY_BYTES

    key = read_secret_file(file).strip()
    if len(key) < LEAST_KEY_BYTES:
        raise RequestError(
            f"the key in {str(file)!r} has fewer than {LEAST_KEY_BYTES} bytes",
            hint="make one with: python -c 'import secrets; print(secrets.token_hex(32))'",
        )
    return key


def _tls(certificate: Path | None, key: Path | None) -> tuple[bytes, bytes] | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise RequestError("TLS takes a certificate and its key", hint="give --tls-cert, --tls-key")
    from sxdask.service.flight.auth import read_secret_file

    return read_secret_file(certificate), read_secret_file(key)


def _logged(*, quiet: bool) -> AbstractContextManager[None]:
    from sxdask.service.logs.handlers import handled

    form = logging.Formatter("%(asctime)s %(message)s")
    level = logging.ERROR if quiet else logging.INFO
    return handled("sxdask.service", [logging.StreamHandler()], form, level)

"""``sxdask serve``: answer requests of other programs until it is told to stop."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.core import TyperCommand

from sxdask.api.remote.protocol import DEFAULT_PORT
from sxdask.cli.options import (
    ClusterOption,
    QuietOption,
    WorkersOption,
    open_cluster,
    settings,
)
from sxdask.core.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sxdask.service.flight.server import Parts

_SERVICES: Final = ("--flight",)
"""Options that name a service; each may stand alone or with an address."""


class ServeCommand(TyperCommand):
    """A command whose ``--flight`` may go without its address."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give a service without an address an empty one."""
        found: list[str] = []
        for item, following in pairwise([*args, "-"]):
            bare = item in _SERVICES and following.startswith("-")
            found.append(f"{item}=" if bare else item)
        return super().parse_args(ctx, found)


def serve(  # noqa: PLR0913  one parameter an option
    *,
    flight: Annotated[
        str | None,
        typer.Option(
            "--flight", metavar="[HOST:PORT]", help="Serve Arrow Flight, here or at this address."
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option("--port", min=0, max=65_535, help="Port to listen on; 0 takes a free one."),
    ] = DEFAULT_PORT,
    root: Annotated[
        list[str] | None,
        typer.Option(
            "--root",
            "-r",
            metavar="DIRECTORY|URL",
            help="Requests may read files below this directory, or URLs that begin like this. "
            "May be given several times; by default the working directory.",
        ),
    ] = None,
    cluster: ClusterOption = None,
    workers: WorkersOption = None,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", help="Tokens that are let in, one a line: name token."),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file",
            help="A secret of 32 bytes or more that signs tickets, so that they outlive this "
            "process. By default a random one.",
        ),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", help="Certificate chain (PEM).")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", help="Its private key (PEM).")
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option("--insecure", help="Let other machines in without a token or TLS."),
    ] = False,
    allow_python: Annotated[
        bool,
        typer.Option("--allow-python", help="Run Python functions that clients send."),
    ] = False,
    memory: Annotated[
        str, typer.Option("--memory", metavar="SIZE", help="Most memory for results.")
    ] = "1 GB",
    max_requests: Annotated[
        int, typer.Option("--max-requests", min=1, help="Most streams at once.")
    ] = 64,
    ttl: Annotated[
        str, typer.Option("--ttl", metavar="DURATION", help="How long a ticket is good.")
    ] = "24h",
    quiet: QuietOption = False,
) -> None:
    """Serve requests to other programs, until Ctrl-C or SIGTERM.

    With --flight: Arrow Flight, for clients of any language.
    """
    if flight is None:
        raise RequestError("there is nothing to serve", hint="add --flight")
    if flight:
        host, port = _address(flight)
    # gRPC writes what it thinks of refused handshakes to standard error.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from sxdask.requests.quantity import parse_bytes, parse_duration
    from sxdask.service.flight.lifetime import flight_service, require_safe
    from sxdask.service.flight.server import Parts
    from sxdask.service.flight.tickets import Signer
    from sxdask.service.flight.workers import Workers

    _log(quiet=quiet)
    with _stop_on_signals() as stop, open_cluster(cluster, workers) as client:
        parts = Parts(
            settings=settings(),
            roots=_roots(root or ["."]),
            tokens=_tokens(token_file),
            signer=Signer(_key(key_file), ttl_s=parse_duration(ttl)),
            workers=Workers(client),
            budget_bytes=parse_bytes(memory),
            most_streams=max_requests,
            tls=_tls(tls_cert, tls_key),
            allow_python=allow_python,
        )
        require_safe(host, parts, insecure=insecure)
        with flight_service(host, port, parts) as running:
            typer.echo("\n".join(_welcome(running.url, parts)))
            sys.stdout.flush()
            stop.wait()
            if not quiet:
                typer.echo("stopping", err=True)
    if not running.has_ended:
        sys.stdout.flush()
        # A client that reads nothing holds one of gRPC's threads, which no exit waits out.
        os._exit(0)


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


def _roots(places: list[str]) -> Any:
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


def _log(*, quiet: bool) -> None:
    import logging

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger = logging.getLogger("sxdask.service")
    logger.addHandler(handler)
    logger.setLevel(logging.ERROR if quiet else logging.INFO)


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
    """Give an event that is set by Ctrl-C and by SIGTERM."""
    stop = threading.Event()
    names = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(name, lambda *_: stop.set()) for name in names]
    try:
        yield stop
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)

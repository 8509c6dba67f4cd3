"""``sxdask serve``: answer requests of other programs until it is told to stop."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

from sxdask.cli.options import ClusterOption, QuietOption, WorkersOption
from sxdask.cli.serve_flight import FlightOptions, serve_flight
from sxdask.cli.serve_rest import check_rest, serve_rest
from sxdask.cli.stopping import stop_on_signals
from sxdask.core.errors import RequestError

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
    rest: Annotated[
        bool,
        typer.Option(
            "--rest",
            help="Serve clients of ServiceX; goes without saying unless --flight is given.",
        ),
    ] = False,
    flight: Annotated[
        str | None,
        typer.Option(
            "--flight", metavar="[HOST:PORT]", help="Serve Arrow Flight, here or at this address."
        ),
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on; 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            min=0,
            max=65_535,
            help="Port to listen on; 5000, for Arrow Flight 5005. 0 takes a free one.",
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="Database, keys, logs and results of the service."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Settings of the service (YAML).")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Try every part of the service, say how it is, and end.")
    ] = False,
    auth: Annotated[
        bool | None, typer.Option("--auth/--no-auth", help="Ask users for tokens.")
    ] = None,
    public_url: Annotated[
        str | None, typer.Option("--public-url", help="Where users reach it, behind a proxy.")
    ] = None,
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
        typer.Option("--token-file", help="Flight: tokens that are let in, a line: name token."),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file",
            help="Flight: a secret of 32 bytes or more that signs tickets, so that they outlive "
            "this process. By default a random one.",
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
        str, typer.Option("--memory", metavar="SIZE", help="Flight: most memory for results.")
    ] = "1 GB",
    max_requests: Annotated[
        int, typer.Option("--max-requests", min=1, help="Flight: most streams at once.")
    ] = 64,
    ttl: Annotated[
        str, typer.Option("--ttl", metavar="DURATION", help="Flight: how long a ticket is good.")
    ] = "24h",
    quiet: QuietOption = False,
) -> None:
    """Serve requests to other programs, until Ctrl-C or SIGTERM.

    Clients of ServiceX, over REST; with --flight Arrow Flight, for any
    language; with --rest --flight both.
    """
    arrow = None
    if flight is not None:
        arrow = FlightOptions(
            address=flight,
            host=host,
            port=None if rest else port,
            root=tuple(root or ()),
            token_file=token_file,
            key_file=key_file,
            tls_cert=tls_cert,
            tls_key=tls_key,
            insecure=insecure,
            allow_python=allow_python,
            memory=memory,
            max_requests=max_requests,
            ttl=ttl,
        )
    if arrow is not None and not rest:
        if check:
            raise RequestError("--check tries the REST service", hint="leave --flight out")
        with stop_on_signals() as stop:
            serve_flight(arrow, cluster, workers, stop, quiet=quiet)
        return
    flags = {
        "host": host,
        "port": port,
        "data_dir": data_dir,
        "auth": auth,
        "public_url": public_url,
        "roots": root,
        "cluster": cluster,
        "workers": workers,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
        "insecure": insecure or None,
        "allow_python": allow_python or None,
        "log_level": "ERROR" if quiet else None,
    }
    if check:
        check_rest(config, flags)
    else:
        serve_rest(config, flags, arrow)

"""The part of ``sxdask serve`` that is for clients of ServiceX."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from sxdask.cli.edge import EXIT_STATUS
from sxdask.cli.serve_flight import FlightOptions, leave, running_flight
from sxdask.cli.stopping import stop_on_signals
from sxdask.core.errors import SxdaskError

if TYPE_CHECKING:
    from threading import Event

    from sxdask.service.assembly import Service
    from sxdask.service.settings import ServiceSettings

# Python's own 5 ms are waited for by a thread that answers each time it comes back from the
# database while another computes: most of the time that a reply of a busy service took.
_SWITCH_S: Final = 0.0005


def serve_rest(
    config: Path | None, flags: dict[str, Any], arrow: FlightOptions | None = None
) -> None:
    """Serve until a signal asks to stop; with `arrow` Arrow Flight on the same workers, too."""
    settings = _settings(config, flags)
    from sxdask.service.assembly import Service
    from sxdask.service.listening import listening

    sys.setswitchinterval(_SWITCH_S)
    with listening(settings.host, settings.port) as listener:
        service = Service(settings, port=listener.getsockname()[1])
        try:
            service.start()  # a signal interrupts this
            with stop_on_signals() as stop:  # and waits for the rest
                try:
                    flight = _answer(service, listener, stop, arrow)
                finally:
                    service.stop()
        finally:
            service.stop()
    if flight is not None:
        leave(flight)


def _answer(service: Service, listener: Any, stop: Event, arrow: FlightOptions | None) -> Any:
    """Serve until `stop` is set; return the Flight service, if there was one."""
    from sxdask.service.listening import WebServer

    with ExitStack() as stack:
        flight = None
        if arrow is not None:
            flight = stack.enter_context(running_flight(arrow, service.computing.client()))
        text = "\n".join(_lines(service))
        web = WebServer(service.app, service.settings, stop, lambda: _say(text))
        web.answer(listener)
        if service.settings.log_level != "ERROR":
            typer.echo("stopping", err=True)
        return flight


def check_rest(config: Path | None, flags: dict[str, Any]) -> None:
    """Try every part and say how each is, in one line; exit with 0, 2 or 4."""
    settings = _settings(config, flags)
    from sxdask.service.checking import check

    status = 0
    typer.echo(f"ok    settings   {config or 'no file: defaults, flags and environment'}")
    for found in check(settings):
        typer.echo(f"{found.mark:<5} {found.part:<10} {found.text}")
        if found.error is not None:
            status = max(status, EXIT_STATUS[found.error.fault])
    if status:
        raise typer.Exit(status)


def _settings(config: Path | None, flags: dict[str, Any]) -> ServiceSettings:
    try:
        from sxdask.service.settings import load_service_settings
    except ImportError as error:
        raise _missing(error) from error
    return load_service_settings(config, **flags)


def _missing(error: ImportError) -> SxdaskError:
    from sxdask.service.from_settings import missing_extra

    return missing_extra(error)


def _say(text: str) -> None:
    typer.echo(text)
    sys.stdout.flush()


def _lines(service: Service) -> Iterator[str]:
    settings = service.settings
    yield f"serving clients of ServiceX on {service.public_url}"
    yield f"  pages    {service.public_url}/"
    dashboard = service.computing.dashboard
    yield f"  cluster  {service.computing.summary()}" + (f", {dashboard}" if dashboard else "")
    access = service.parts.objects["object-store"].client_access()
    yield f"  results  {'https' if access.secured else 'http'}://{access.endpoint}"
    yield f"  data     {settings.data_dir}"
    if not settings.auth:
        yield "  users    all who can reach this address, without a token"
    yield f"for clients, in {service.client_file}:"
    yield ""
    yield service.client_file.read_text(encoding="utf-8")

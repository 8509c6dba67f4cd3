"""``sxdask cluster init``: grid certificates into a Kubernetes, and proxies that stay fresh."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

GlobusOption = Annotated[
    Path, typer.Option("--globus", help="Folder with usercert.pem and userkey.pem.")
]
VoOption = Annotated[str | None, typer.Option("--vo", help="Virtual organisation, such as cms.")]
NamespaceOption = Annotated[str | None, typer.Option("--namespace", "-n", help="Where to put it.")]
NameOption = Annotated[str, typer.Option("--name", help="Secret that workers read the proxy from.")]
HoursOption = Annotated[int, typer.Option("--hours", min=1, max=168, help="Validity of a proxy.")]
ScheduleOption = Annotated[str, typer.Option("--schedule", help="When to make one, as in cron.")]
ImageOption = Annotated[
    str | None, typer.Option("--image", help="Image that makes proxies (voms-proxy-init).")
]
WriterOption = Annotated[
    str | None, typer.Option("--writer-image", help="Image of sxdask that stores them.")
]
CommandOption = Annotated[
    str | None,
    typer.Option("--command", help="What makes a proxy at $X509_USER_PROXY, instead."),
]
WaitOption = Annotated[
    float, typer.Option("--wait", min=0, help="Seconds for the first proxy; 0 makes none yet.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show the objects but the secrets, and create none.")
]


def init(  # noqa: PLR0913, PLR0917 - one parameter an option
    globus: GlobusOption = Path("~/.globus"),
    vo: VoOption = None,
    namespace: NamespaceOption = None,
    name: NameOption = "grid-proxy",
    hours: HoursOption = 24,
    schedule: ScheduleOption = "17 */6 * * *",
    image: ImageOption = None,
    writer_image: WriterOption = None,
    command: CommandOption = None,
    wait: WaitOption = 120.0,
    dry_run: DryRunOption = False,
) -> None:
    """Put the grid certificate into a secret, and make fresh VOMS proxies of it on a schedule.

    Clusters use the proxy with the option proxy_secret. Run it again to
    renew the certificate or to change anything.
    """
    from sxdask.clusters.kubernetes.grid import grid_certificate, needs_password

    folder = globus.expanduser()
    password = ""
    if needs_password(folder):
        password = typer.prompt("Password of the key (kept in the secret)", hide_input=True)
    grid = grid_certificate(folder, password)
    given = {
        "name": name,
        "vo": vo,
        "hours": hours,
        "schedule": schedule,
        "image": image,
        "writer_image": writer_image,
        "command": tuple(shlex.split(command)) if command else None,
        "has_password": bool(password),
    }
    options = _options({key: value for key, value in given.items() if value is not None})
    if dry_run:
        _show(options)
        return
    access = _access(namespace)
    try:
        from sxdask.clusters.kubernetes.grid import install_proxy, run_now

        install_proxy(access, options, grid)
        typer.echo(f"the certificate is in {access.namespace}, and ends on {grid.ends:%Y-%m-%d}")
        if wait:
            typer.echo(run_now(access, options, timeout_s=wait))
        typer.echo(f"use it with the option proxy_secret: {options.name}")
    finally:
        access.close()


def _options(given: dict[str, Any]) -> Any:
    from pydantic import ValidationError

    from sxdask.clusters.kubernetes.proxies import ProxyOptions
    from sxdask.core.errors import RequestError

    try:
        return ProxyOptions.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        option = str(first["loc"][0]).replace("_", "-") if first["loc"] else "an option"
        raise RequestError(f"--{option}: {first['msg'].lower()}") from None


def _access(namespace: str | None) -> Any:
    from sxdask.core.errors import MissingExtraError

    try:
        from sxdask.clusters.kubernetes.access import Access
    except ImportError as error:
        raise MissingExtraError(
            f"Kubernetes needs a package that is not installed: {error.name}",
            hint="pip install 'sxdask[kubernetes]'",
        ) from error
    return Access(namespace)


def _show(options: Any) -> None:
    import yaml

    from sxdask.clusters.kubernetes.proxies import proxy_objects

    typer.echo(yaml.safe_dump_all(proxy_objects(options), sort_keys=False))

"""``sxdask doctor``: whether this installation, machine and environment are fit to work."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from sxdask._version import __version__
from sxdask.cli.edge import EXIT_STATUS
from sxdask.cli.options import JsonOption, settings
from sxdask.cli.table import table
from sxdask.core.errors import SxdaskError

if TYPE_CHECKING:
    from sxdask.cli.checks import Finding

_MARKS: Final = {"ok": "ok", "warning": "WARN", "failed": "FAIL"}


def doctor(
    as_json: JsonOption = False,
    cluster: Annotated[
        str | None,
        typer.Option(
            "--cluster",
            "-c",
            metavar="NAME|ADDRESS",
            help="Look at this cluster too: versions, clock, secrets, storage.",
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="URL",
            help="With --cluster: let a worker write, read and remove an object here.",
        ),
    ] = None,
) -> None:
    """Look at versions, cores, memory, the cache directory, extras and services.

    With --cluster it starts or joins the cluster, and looks at each part of it.
    The exit status is 4 if something is broken.
    """
    from sxdask.cli.checks import all_findings, settings_finding
    from sxdask.core.settings import default_cache_dir

    findings = []
    try:
        cache_dir = settings().cache_dir
    except SxdaskError as error:
        findings.append(settings_finding(error))
        cache_dir = default_cache_dir()
    findings += all_findings(cache_dir)
    if cluster is not None:
        from sxdask.cli.cluster_checks import cluster_findings

        findings += cluster_findings(cluster, {}, storage=storage)
    report(findings, as_json)


def report(findings: Sequence[Finding], as_json: bool) -> None:
    """Print `findings`, those that are not well again with what to do; end with 4 if one failed."""
    broken = [item for item in findings if item.status == "failed"]
    doubtful = [item for item in findings if item.status == "warning"]
    verdict = "broken" if broken else "usable" if doubtful else "healthy"
    if as_json:
        found = {"sxdask": __version__, "verdict": verdict}
        typer.echo(json.dumps(found | {"findings": [asdict(i) for i in findings]}, indent=1))
    else:
        rows = [[_MARKS[i.status], i.subject, i.name, i.detail] for i in findings]
        typer.echo(table(["", "subject", "what", "found"], rows))
        for item in (*broken, *doubtful):
            typer.echo(f"{_MARKS[item.status]} {item.name}: {item.hint or item.detail}")
        typer.echo(f"\nsxdask {__version__} is {verdict} here")
    if broken:
        raise typer.Exit(EXIT_STATUS["system"])

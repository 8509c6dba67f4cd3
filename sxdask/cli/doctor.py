"""``sxdask doctor``: whether this installation, machine and environment are fit to work."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Final

import typer

from sxdask._version import __version__
from sxdask.cli.edge import EXIT_STATUS
from sxdask.cli.options import JsonOption, settings
from sxdask.cli.table import table
from sxdask.core.errors import SxdaskError

_MARKS: Final = {"ok": "ok", "warning": "WARN", "failed": "FAIL"}


def doctor(as_json: JsonOption = False) -> None:
    """Look at versions, cores, memory, the cache directory, extras and services.

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
    broken = [item for item in findings if item.status == "failed"]
    doubtful = [item for item in findings if item.status == "warning"]
    verdict = "broken" if broken else "usable" if doubtful else "healthy"
    if as_json:
        report = {"sxdask": __version__, "verdict": verdict}
        typer.echo(json.dumps(report | {"findings": [asdict(i) for i in findings]}, indent=1))
    else:
        rows = [[_MARKS[i.status], i.subject, i.name, i.detail] for i in findings]
        typer.echo(table(["", "subject", "what", "found"], rows))
        for item in (*broken, *doubtful):
            typer.echo(f"{_MARKS[item.status]} {item.name}: {item.hint or item.detail}")
        typer.echo(f"\nsxdask {__version__} is {verdict} here")
    if broken:
        raise typer.Exit(EXIT_STATUS["system"])

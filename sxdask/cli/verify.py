"""``sxdask verify``: read every object of a delivery and compare it with the manifest."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from sxdask.cli.edge import EXIT_STATUS
from sxdask.cli.options import JsonOption, QuietOption, StorageOption, storage_options
from sxdask.cli.table import count


def verify(
    manifest: Annotated[
        str,
        typer.Argument(
            metavar="MANIFEST", help="A delivery's directory or URL, or its manifest.json."
        ),
    ],
    *,
    at_once: Annotated[
        int, typer.Option("--at-once", min=1, help="Objects that are read at the same time.")
    ] = 8,
    storage: StorageOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Check a delivery: bytes, checksum and rows of every object.

    Prints one line for each object that is not as the manifest says, and ends
    with status 3 if there is any. Partitions that were skipped are no damage;
    they are counted.
    """
    import sxdask as sx
    from sxdask.deliver.verify import check_objects

    found = sx.Manifest.load(manifest, storage_options(storage))
    problems = check_objects(found, at_once=at_once)
    if as_json:
        report = {
            "location": found.location,
            "status": found.status,
            "objects": len(found.partitions),
            "rows": found.rows,
            "bytes": found.bytes,
            "failed_partitions": len(found.failed),
            "bad": [{"object": item.entry.object, "problem": item.problem} for item in problems],
        }
        typer.echo(json.dumps(report, indent=1))
    else:
        for item in problems:
            typer.echo(str(item))
        if not quiet:
            missing = f", {len(found.failed)} skipped" if found.failed else ""
            state = f"{len(problems)} bad" if problems else "all as the manifest says"
            typer.echo(f"{count(len(found.partitions), 'object')}, {state}{missing}", err=True)
    if problems:
        if not quiet:
            typer.echo(
                "  hint: remove these objects and run the same request to the same place: "
                "it writes them alone",
                err=True,
            )
        raise typer.Exit(EXIT_STATUS["data"])

"""``sxdask index``: build file indexes ahead of time, look at them, remove them."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from typer.core import TyperGroup

from sxdask.cli.edge import EXIT_STATUS, describe
from sxdask.cli.options import JsonOption, QuietOption, TreeOption, settings
from sxdask.cli.table import count, facts, table
from sxdask.core.errors import RequestError, SxdaskError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sxdask.rootio.index import FileIndex
    from sxdask.rootio.store import IndexStore

_STATES: Final = {True: "stale", False: "fits", None: "remote"}
_MOST_ERRORS: Final = 10


class _BuildByDefault(TyperGroup):
    """``sxdask index FILES`` is ``sxdask index build FILES``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, "--help", "-h"}:
            args = ["build", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_BuildByDefault,
    no_args_is_help=True,
    help="Build file indexes ahead, show them, remove them. "
    "'sxdask index FILES' is short for 'sxdask index build FILES'.",
)


@app.command()
def build(
    files: Annotated[
        list[str], typer.Argument(metavar="FILES...", help="Paths, globs, directories or URLs.")
    ],
    tree: TreeOption = None,
    stats: Annotated[
        bool,
        typer.Option(
            "--stats",
            help="Also read every basket once and keep its minimum and maximum, so that "
            "later requests can leave out what cannot match.",
        ),
    ] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", "-w", min=1, help="Processes; default: one a core.")
    ] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Build again what is there already.")
    ] = False,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Index files now, so that the first request over them need not.

    Every file is tried; those that fail are reported at the end.
    """
    from sxdask.datasets.resolve import resolve
    from sxdask.pipeline.source import Source

    values = settings()
    found = resolve(files[0] if len(files) == 1 else files, tree, settings=values)
    source = Source(found, replace(values, index_workers=workers or values.index_workers))
    store = source.store
    if refresh:
        for entry in found.files:
            for place in entry.places:
                store.path_of(place, entry.tree).unlink(missing_ok=True)
    began = time.perf_counter()
    with _bar(quiet=quiet) as bar:
        task = bar.add_task("index", total=len(found))
        results = source.find_indexes(
            lambda done, total, _: bar.update(task, completed=done, total=total)
        )
        indexes = [item for item in results if not isinstance(item, SxdaskError)]
        if stats:
            _learn(store, indexes, bar)
    failed = [item for item in results if isinstance(item, SxdaskError)]
    report = _report(indexes, len(failed), time.perf_counter() - began)
    typer.echo(json.dumps(report, indent=1) if as_json else _text(report))
    _raise_worst(failed)


@app.command()
def show(as_json: JsonOption = False) -> None:
    """List the indexes that are stored, the newest first."""
    entries = _store().entries()
    if as_json:
        values = [asdict(item) | {"path": str(item.path)} for item in entries]
        typer.echo(json.dumps(values, indent=1))
        return
    from sxdask.plan.explain import format_bytes

    rows = [
        [
            item.url,
            item.tree,
            f"{item.num_entries:,}",
            item.num_branches,
            format_bytes(item.index_bytes),
            format_bytes(item.zone_bytes) if item.zone_bytes else "-",
            f"{item.build_seconds:.2f} s",
            _STATES[item.stale],
        ]
        for item in entries
    ]
    if rows:
        header = ["file", "tree", "entries", "branches", "index", "statistics", "built in", "state"]
        typer.echo(table(header, rows, right=header[2:7]) + "\n")
    total = format_bytes(sum(item.index_bytes + item.zone_bytes for item in entries))
    typer.echo(f"{count(len(entries), 'index', 'indexes')}, {total}, in {_store().root}")


@app.command()
def prune(
    stale: Annotated[
        bool, typer.Option("--stale", help="Those whose file is gone or has changed.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    older_than: Annotated[
        str | None, typer.Option("--older-than", metavar="AGE", help="Such as 30d or 12h.")
    ] = None,
    max_bytes: Annotated[
        str | None,
        typer.Option("--max-bytes", metavar="SIZE", help="The oldest beyond this, such as 1GB."),
    ] = None,
) -> None:
    """Remove stored indexes. They are built again when they are needed."""
    from sxdask.plan.explain import format_bytes
    from sxdask.requests.quantity import parse_bytes, parse_duration

    if not (stale or everything or older_than or max_bytes):
        raise RequestError(
            "nothing says which indexes to remove",
            hint="add --stale, --all, --older-than AGE or --max-bytes SIZE",
        )
    gone = _store().prune(
        stale=stale,
        everything=everything,
        older_than_s=parse_duration(older_than) if older_than else None,
        max_bytes=parse_bytes(max_bytes) if max_bytes else None,
    )
    typer.echo(f"removed {count(gone.entries, 'index', 'indexes')}, {format_bytes(gone.bytes)}")


def _store() -> IndexStore:
    from sxdask.rootio.store import IndexStore

    return IndexStore(settings().cache_dir / "index")


def _bar(*, quiet: bool) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("files"),
        TimeRemainingColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
    )


def _learn(store: IndexStore, indexes: Sequence[FileIndex], bar: Progress) -> None:
    """Read every basket of every file once for its statistics."""
    from sxdask.rootio.read import zones_of
    from sxdask.rootio.zonestore import build_stats

    for index in bar.track(indexes, description="statistics"):
        build_stats(store, index, zones_of)


def _report(indexes: Sequence[FileIndex], failed: int, seconds: float) -> dict[str, Any]:
    return {
        "files": len(indexes),
        "failed": failed,
        "entries": sum(item.num_entries for item in indexes),
        "bytes_in_files": sum(item.stamp.size for item in indexes),
        "index_bytes": sum(item.index_bytes for item in indexes),
        "seconds": round(seconds, 3),
    }


def _text(report: dict[str, Any]) -> str:
    from sxdask.plan.explain import format_bytes

    return facts(
        [
            ("files", f"{report['files']:,} indexed, {report['failed']:,} failed"),
            ("entries", f"{report['entries']:,}"),
            ("size", format_bytes(report["bytes_in_files"])),
            ("index", format_bytes(report["index_bytes"])),
            ("seconds", f"{report['seconds']:.2f}"),
        ]
    )


def _raise_worst(failed: Sequence[SxdaskError]) -> None:
    """Name the files that failed; the worst fault decides the exit status."""
    if not failed:
        return
    worst, *others = sorted(failed, key=lambda error: -EXIT_STATUS[error.fault])
    for error in others[:_MOST_ERRORS]:
        typer.echo(describe(error), err=True)
    if len(others) > _MOST_ERRORS:
        typer.echo(f"... and {len(others) - _MOST_ERRORS} more", err=True)
    raise worst

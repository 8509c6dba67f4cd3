"""``sxdask cache``: what results and columns are kept, and removing them."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from sxdask.cli.options import JsonOption, settings
from sxdask.cli.table import count, table
from sxdask.core.errors import RequestError

if TYPE_CHECKING:
    from pathlib import Path

    from sxdask.deliver.cache import ResultCache
    from sxdask.deliver.cache_upkeep import RequestEntry

OnlyOption = Annotated[
    Literal["results", "columns"] | None,
    typer.Option("--only", help="Leave the other cache alone."),
]

app = typer.Typer(
    no_args_is_help=True,
    help="Show and remove kept results of partitions and kept columns of remote files.",
)


@app.command()
def show(only: OnlyOption = None, as_json: JsonOption = False) -> None:
    """List what is kept: results by request, columns by file, the last used first."""
    found: dict[str, Any] = {}
    if only != "columns":
        found["results"] = _results()
    if only != "results":
        found["columns"] = _columns()
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    typer.echo("\n\n".join(_text(kind, facts) for kind, facts in found.items()))


@app.command()
def prune(
    everything: Annotated[bool, typer.Option("--all", help="All of it.")] = False,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="AGE", help="Not used for this long: 30d or 12h."),
    ] = None,
    max_bytes: Annotated[
        str | None,
        typer.Option(
            "--max-bytes",
            metavar="SIZE",
            help="What was not used for longest, until each cache has this size: 10GB.",
        ),
    ] = None,
    request: Annotated[
        str | None,
        typer.Option(
            "--request", metavar="FINGERPRINT", help="Results of a request; its first digits do."
        ),
    ] = None,
    only: OnlyOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed, and keep it.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove kept results and columns. They are computed and fetched again when needed.

    Results that a running or resumable delivery counts on stay.
    """
    if not (everything or older_than or max_bytes or request):
        raise RequestError(
            "nothing says what to remove",
            hint="add --all, --older-than AGE, --max-bytes SIZE or --request FINGERPRINT",
        )
    if request is not None and only == "columns":
        raise RequestError(
            "columns are kept for all requests together",
            hint="leave out --only columns, or --request",
        )
    from sxdask.requests.quantity import parse_bytes, parse_duration

    how: dict[str, Any] = {
        "everything": everything,
        "older_than_s": parse_duration(older_than) if older_than else None,
        "max_bytes": parse_bytes(max_bytes) if max_bytes else None,
        "dry_run": dry_run,
    }
    report = _pruned(how, request, only)
    typer.echo(json.dumps(report, indent=1) if as_json else _said(report))


def _pruned(how: dict[str, Any], request: str | None, only: str | None) -> dict[str, Any]:
    from sxdask.deliver.cache_upkeep import prune as prune_results
    from sxdask.rootio.columnstore import prune_packs

    report: dict[str, Any] = {"dry_run": how["dry_run"]}
    if only != "columns":
        report["results"] = asdict(prune_results(_store(), request=request, **how))
    if only != "results" and request is None:
        packs, size = prune_packs(_folder(), **how)
        report["columns"] = {"files": packs, "bytes": size}
    return report


def _said(report: dict[str, Any]) -> str:
    from sxdask.plan.explain import format_bytes

    verb = "would remove" if report["dry_run"] else "removed"
    parts = []
    if "results" in report:
        results = report["results"]
        part = f"{count(results['objects'], 'result')}, {format_bytes(results['bytes'])}"
        stay = f" ({results['leased']:,} more in use)" if results["leased"] else ""
        parts.append(f"{verb} {part}{stay}")
    if "columns" in report:
        columns = report["columns"]
        part = f"{count(columns['files'], 'file')} of columns, {format_bytes(columns['bytes'])}"
        parts.append(f"{verb} {part}")
    return "\n".join(parts)


def _results() -> dict[str, Any]:
    from sxdask.deliver.cache_upkeep import limit_of, requests_of

    cache = _store()
    entries: list[RequestEntry] = requests_of(cache)
    used = sum(entry.bytes for entry in entries)
    return {
        "location": cache.location,
        "bytes": used,
        "limit": limit_of(cache, used),
        "objects": sum(entry.objects for entry in entries),
        "reused": sum(entry.reused for entry in entries),
        "requests": [asdict(entry) for entry in entries],
    }


def _columns() -> dict[str, Any]:
    from sxdask.rootio.columnstore import describe_pack, pack_entries

    now = time.time()
    files: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in pack_entries(_folder()):
        pack = describe_pack(entry)
        if pack is None:
            continue
        facts = files.setdefault(
            (pack.url, pack.tree),
            {"file": pack.url, "tree": pack.tree, "columns": set(), "bytes": 0, "age_s": None},
        )
        facts["columns"].update(pack.bytes_by_column)
        facts["bytes"] += entry.bytes
        if facts["age_s"] is None:
            facts["age_s"] = max(0.0, now - entry.used)
    listed = [{**facts, "columns": sorted(facts["columns"])} for facts in files.values()]
    return {
        "location": str(_folder()),
        "bytes": sum(facts["bytes"] for facts in listed),
        "limit": settings().column_cache_bytes,
        "files": listed,
    }


def _text(kind: str, facts: dict[str, Any]) -> str:
    from sxdask.plan.explain import format_bytes

    if kind == "results":
        header = ["request", "fingerprint", "results", "size", "reused", "last used", ""]
        rows = [
            [
                item["title"] or "-",
                item["fingerprint"][:16] or "-",
                f"{item['objects']:,}",
                format_bytes(item["bytes"]),
                f"{item['reused']:,}",
                _ago(item["age_s"]),
                "in use" if item["leased"] else "",
            ]
            for item in facts["requests"]
        ]
        what = f"{count(facts['objects'], 'result')} of {count(len(rows), 'request')}"
    else:
        header = ["file", "tree", "columns", "size", "last used"]
        rows = [
            [
                item["file"],
                item["tree"],
                f"{len(item['columns']):,}",
                format_bytes(item["bytes"]),
                _ago(item["age_s"]),
            ]
            for item in facts["files"]
        ]
        what = f"columns of {count(len(rows), 'file')}"
    size = f"{format_bytes(facts['bytes'])} of at most {format_bytes(facts['limit'])}"
    last = f"{what}, {size}, in {facts['location']}"
    right = [name for name in header if name not in {"request", "fingerprint", "file", "tree", ""}]
    return f"{table(header, rows, right=right)}\n\n{last}" if rows else last


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{seconds:.0f} s ago"


def _store() -> ResultCache:
    from sxdask.deliver.cache import cache_of

    return cache_of(settings())


def _folder() -> Path:
    return settings().cache_dir / "columns"

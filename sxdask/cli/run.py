"""``sxdask run``: run a recipe; deliver its result, or show the head of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from sxdask.cli import failures
from sxdask.cli.options import (
    ClusterOption,
    ClusterOptionsOption,
    DatasetOption,
    JsonOption,
    QuietOption,
    RecipeArgument,
    StorageOption,
    WorkersOption,
    cluster_options,
    load_query,
    open_cluster,
    show_dashboard,
    storage_options,
)
from sxdask.cli.reduced import show_reduced
from sxdask.cli.table import facts
from sxdask.core.errors import RequestError
from sxdask.requests.recipe import FormatName

if TYPE_CHECKING:
    from sxdask.api import Query
    from sxdask.core.events import Progress
    from sxdask.deliver.manifest import Manifest
    from sxdask.requests.recipe import DeliverSpec

_PREVIEW_ROWS: Final = 5


def run(  # noqa: PLR0913  one parameter an option
    recipe: RecipeArgument,
    *,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="DIRECTORY", help="Deliver here: a directory or a URL."),
    ] = None,
    format: Annotated[  # noqa: A002  the word users know
        FormatName | None,
        typer.Option("--format", "-f", help="Format of the delivered objects."),
    ] = None,
    compression: Annotated[
        str | None,
        typer.Option(
            "--compression",
            metavar="NAME",
            help="How objects are compressed: zstd, lz4, zstd:9 ...",
        ),
    ] = None,
    merge: Annotated[
        str | None,
        typer.Option(
            "--merge",
            metavar="file|SIZE",
            help="One object per input file, or partitions joined up to a size such as 256MB.",
        ),
    ] = None,
    cluster: ClusterOption = None,
    workers: WorkersOption = None,
    cluster_option: ClusterOptionsOption = None,
    dataset: DatasetOption = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier, different delivery there.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted delivery of this request.")
    ] = False,
    on_error: Annotated[
        Literal["raise", "skip"],
        typer.Option("--on-error", help="What a partition that fails for good does to the run."),
    ] = "raise",
    max_failed: Annotated[
        str | None,
        typer.Option(
            "--max-failed",
            metavar="NUMBER|SHARE",
            help="With --on-error skip: most that may fail, such as 5, 0.05 or 5%.",
        ),
    ] = None,
    storage: StorageOption = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Compute everything anew, and keep nothing of it.")
    ] = False,
) -> None:
    """Run a recipe.

    With --to (or a 'deliver' section in the recipe) each partition becomes one
    Arrow, Parquet or ROOT object and a manifest is written last. Without, the
    head of the result is printed.
    """
    found, query = load_query(recipe, dataset)
    target = to or (found.deliver.to if found.deliver else None)
    policy: dict[str, Any] = {"on_error": on_error, "max_failed": failures.limit(max_failed)}
    if target is None and any((overwrite, resume, format, compression, merge)):
        raise RequestError(
            "--format, --compression, --merge, --overwrite and --resume are for a delivery, "
            "and there is no place for it",
            hint="add --to DIRECTORY",
        )
    report: dict[str, Any]
    options = storage_options(storage)
    resources = found.resources.model_dump() if found.resources else None
    place = {"resources": resources, "options": cluster_options(cluster_option)}
    with open_cluster(cluster, workers, **place) as client:
        if client is not None and not quiet:
            show_dashboard(client)
        common: dict[str, Any] = {"client": client, "progress": None if quiet else True}
        common["cache"] = not no_cache
        if target is None and any(output.reduction for output in query.plan.outputs):
            report = show_reduced(query, quiet=quiet, as_json=as_json, **common)
        elif target is None:
            report = _show(query, quiet=quiet or as_json, **policy, **common)
        else:
            manifest = query.deliver(
                target,
                **_objects(found.deliver, format, compression, merge),
                overwrite=overwrite,
                resume=resume,
                storage_options=options,
                **policy,
                **common,
            )
            report = _delivered(manifest)
    failures.tell(query.failures)
    head = {"title": found.title or recipe.stem, "fingerprint": query.fingerprint}
    report = head | report | _summary(query.summary)
    if as_json and query.failures:
        report["failures"] = query.failures.to_dict()
    typer.echo(json.dumps(report, indent=1) if as_json else _text(report))


def _objects(
    spec: DeliverSpec | None, format_name: str | None, compression: str | None, merge: str | None
) -> dict[str, Any]:
    """Return what objects are like: what the recipe says, unless the command line does."""
    own_format = spec is not None and format_name in {None, spec.format}
    if spec is not None and own_format:
        format_name, compression = spec.format, compression or spec.compression
    merged = merge or (spec.merge if spec is not None else None)
    return {"format": format_name or "arrow", "compression": compression, "merge": merged}


def _show(query: Query, *, quiet: bool, **common: Any) -> dict[str, Any]:
    """Stream the result past, keep the head of each output, and print it."""
    import awkward as ak

    # In the order of the request; partitions come in the order in which they finish.
    # What a Python function gives has names of its own.
    rows = {output.name: 0 for output in query.plan.outputs if output.function is None}
    heads: dict[str, list[tuple[int, Any]]] = {name: [] for name in rows}
    for part in query.stream(**common):
        rows[part.output] = rows.get(part.output, 0) + part.table.num_rows
        head = heads.setdefault(part.output, [])
        if part.table.num_rows:
            head.append((part.index, part.table.slice(0, _PREVIEW_ROWS)))
            head.sort(key=lambda pair: pair[0])
            _drop_behind(head)
    for output, head in heads.items():
        if head and not quiet:
            typer.echo(f"{output}:" if output else "result:")
            some = ak.concatenate([ak.from_arrow(table) for _, table in head])[:_PREVIEW_ROWS]
            typer.echo(f"{some.show(stream=None)}\n")
    return {"rows": sum(rows.values())} | ({"outputs": rows} if len(rows) > 1 else {})


def _drop_behind(head: list[tuple[int, Any]]) -> None:
    """Keep the first tables that have enough rows, so that memory does not grow."""
    enough = 0
    for place, (_, table) in enumerate(head):
        enough += table.num_rows
        if enough >= _PREVIEW_ROWS:
            del head[place + 1 :]
            return


def _delivered(manifest: Manifest) -> dict[str, Any]:
    return {
        "rows": manifest.rows,
        "location": manifest.location,
        "format": manifest.format,
        "objects": len(manifest.partitions),
        "bytes_delivered": manifest.bytes,
        "status": manifest.status,
    }


def _summary(progress: Progress) -> dict[str, Any]:
    report = progress.report
    kept = {"partitions_reused": report.results_reused, "bytes_cached": report.cached_bytes}
    return {
        "files": progress.files,
        "partitions": progress.partitions,
        "entries": progress.report.entries_in,
        "bytes_read": progress.report.bytes_read,
        **{name: number for name, number in kept.items() if number},
        "seconds": round(progress.seconds or 0.0, 3),
    }


def _text(report: dict[str, Any]) -> str:
    from sxdask.plan.explain import format_bytes

    shown: list[tuple[str, object]] = []
    for name, value in report.items():
        match name, value:
            case "outputs", _:
                text = ", ".join(f"{output} {rows:,}" for output, rows in value.items())
            case "fingerprint", _:
                text = value[:16]
            case (("bytes_read" | "bytes_cached" | "bytes_delivered"), _):
                text = format_bytes(value)
            case _, int():
                text = f"{value:,}"
            case _:
                text = str(value)
        shown.append((name.replace("_", " "), text))
    return facts(shown)

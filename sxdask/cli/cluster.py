"""``sxdask cluster``: the clusters that have names, and whether one works."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sxdask.cli.cluster_init import init
from sxdask.cli.options import ClusterOptionsOption, JsonOption, cluster_options
from sxdask.cli.table import facts, table

if TYPE_CHECKING:
    from sxdask.clusters.names import NamedCluster

app = typer.Typer(no_args_is_help=True, help="Clusters that requests can run on.")

NameArgument = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A name of 'sxdask cluster list', or an address."),
]
PlaceOption = Annotated[
    str | None,
    typer.Option("--storage", metavar="URL", help="Let a worker write, read and remove here."),
]


app.command()(init)


@app.command("list")
def list_clusters(as_json: JsonOption = False) -> None:
    """List the clusters that have names, and the kinds there are."""
    from sxdask.clusters.backend import BACKENDS
    from sxdask.clusters.names import NamedCluster, cluster_files, named_clusters

    kinds = {name: NamedCluster(backend=name) for name in BACKENDS.names() if name != "address"}
    known = kinds | named_clusters()
    if as_json:
        typer.echo(json.dumps({name: item.model_dump() for name, item in known.items()}, indent=1))
        return
    rows = [[name, item.backend, _workers(item), item.description] for name, item in known.items()]
    typer.echo(table(["name", "backend", "workers", ""], rows))
    typer.echo(f"\nnames are in {', '.join(map(str, cluster_files()))}")


@app.command()
def show(name: NameArgument, as_json: JsonOption = False) -> None:
    """Show what a name stands for, without starting anything."""
    from sxdask.clusters.names import find_cluster

    found = find_cluster(name)
    if as_json:
        typer.echo(json.dumps({"name": name} | found.model_dump(), indent=1))
        return
    lines: list[tuple[str, object]] = [("name", name), ("backend", found.backend)]
    lines += [(key, value) for key, value in _flat(found.options)]
    lines += [("storage", found.storage)] if found.storage else []
    lines += [("description", found.description)] if found.description else []
    typer.echo(facts(lines))


@app.command()
def check(
    name: NameArgument,
    storage: PlaceOption = None,
    cluster_option: ClusterOptionsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start or join the cluster with one worker, and look at each part of it.

    The exit status is 4 if something is broken.
    """
    from sxdask.cli.cluster_checks import cluster_findings
    from sxdask.cli.doctor import report

    report(list(cluster_findings(name, cluster_options(cluster_option), storage=storage)), as_json)


def _workers(item: NamedCluster) -> str:
    options = item.options
    if "maximum" in options:
        return f"{options.get('minimum', 0)} to {options['maximum']}"
    return str(options.get("workers", ""))


def _flat(options: dict[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for key, value in options.items():
        name = f"{prefix}{key}"
        found += _flat(value, f"{name}.") if isinstance(value, dict) else [(name, value)]
    return found

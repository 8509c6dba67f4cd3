"""Arguments and options that several commands share, with what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from sxdask.core.errors import RequestError

if TYPE_CHECKING:
    from sxdask.api import Dataset, Query
    from sxdask.core.settings import Settings
    from sxdask.requests.recipe import Recipe

RecipeArgument: TypeAlias = Annotated[
    Path, typer.Argument(metavar="RECIPE", help="A recipe: one request in a YAML file.")
]
DatasetOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset",
        "-d",
        metavar="FILES",
        help="Read these files in place of the recipe's: path, glob, directory or URL, "
        "with :TREE and ?files=N. May be given several times.",
    ),
]
TreeOption: TypeAlias = Annotated[
    str | None, typer.Option("--tree", "-t", help="Name of the tree.")
]
QuietOption: TypeAlias = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress bar and no remarks.")
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ClusterOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        "-c",
        metavar="NAME|ADDRESS",
        help="Run on a cluster: local (processes of this machine), gateway, kubernetes, a name "
        "that 'sxdask cluster list' shows, or the address of a scheduler (tcp://host:8786). "
        "Without it: on threads of this process.",
    ),
]
WorkersOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--workers", "-w", min=1, help="Worker processes; implies --cluster local."),
]
ClusterOptionsOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--cluster-option",
        metavar="NAME=VALUE",
        help="Option of the cluster, such as maximum=20 or memory_limit=4GiB; no secrets. "
        "May be given several times.",
    ),
]
StorageOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--storage-option",
        metavar="NAME=VALUE",
        help="Option of the storage that is delivered to, such as endpoint_url=https://... or "
        "profile=NAME; no secrets. May be given several times.",
    ),
]


def storage_options(texts: list[str] | None) -> dict[str, str] | None:
    """Return the options in ``NAME=VALUE`` texts, or None if there are none."""
    if not texts:
        return None
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise RequestError(
                f"the storage option {text!r} is not NAME=VALUE",
                hint="write it like --storage-option endpoint_url=https://s3.example.org",
            )
        found[name] = value
    return found


def load_query(recipe_file: Path, files: list[str] | None) -> tuple[Recipe, Query]:
    """Return the recipe in `recipe_file` and its query, over `files` if there are any."""
    import sxdask as sx
    from sxdask.requests.recipe import load_recipe

    recipe = load_recipe(recipe_file)
    chosen: Dataset | None = None
    if files:
        chosen = sx.dataset(files[0] if len(files) == 1 else files, recipe.tree)
    try:
        return recipe, sx.load(recipe_file, dataset=chosen)
    except RequestError as error:
        error.add(recipe=str(recipe_file))
        raise


def cluster_options(texts: list[str] | None) -> dict[str, Any]:
    """Return the options in ``NAME=VALUE`` texts, their values read as YAML reads them."""
    import yaml

    found: dict[str, Any] = {}
    for text in texts or ():
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise RequestError(
                f"the cluster option {text!r} is not NAME=VALUE",
                hint="write it like --cluster-option maximum=20",
            )
        try:
            found[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            found[name] = value
    return found


def open_cluster(
    cluster: str | None,
    workers: int | None,
    *,
    resources: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> AbstractContextManager[Any]:
    """Return a context whose value is a Dask client, or None for threads of this process."""
    given = dict(options or {})
    if cluster is None and workers is None and not given:
        return nullcontext()
    from sxdask.clusters.opening import open_cluster as opened

    if workers is not None:
        if cluster is not None and ":" in cluster:
            raise RequestError(
                "--workers does not go with the address of a scheduler: its workers are its own",
                hint="leave --workers out, or use --cluster local",
            )
        given["workers"] = workers
    return opened(cluster or "local", resources=resources, **given)


def show_dashboard(client: Any) -> None:
    """Say on standard error where the dashboard of the cluster of `client` is, if it has one."""
    from sxdask.clusters.links import dashboard_link

    link = dashboard_link(client)
    if link:
        typer.echo(f"dashboard {link}", err=True)


def settings() -> Settings:
    """Return the settings of this process."""
    from sxdask.core.settings import load_settings

    return load_settings()

"""Arguments and options that several commands share, with what they mean."""

from __future__ import annotations

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
        metavar="local|ADDRESS",
        help="Run on worker processes of this machine, or on the scheduler at this address "
        "(tcp://host:8786). Without it: on threads of this process.",
    ),
]
WorkersOption: TypeAlias = Annotated[
    int | None,
    typer.Option("--workers", "-w", min=1, help="Worker processes; implies --cluster local."),
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


def open_cluster(cluster: str | None, workers: int | None) -> AbstractContextManager[Any]:
    """Return a context whose value is a Dask client, or None for threads of this process."""
    if cluster is None and workers is None:
        return nullcontext()
    from sxdask.clusters.backend import BACKENDS

    if cluster is not None and ":" in cluster:
        if workers is not None:
            raise RequestError(
                "--workers does not go with the address of a scheduler: its workers are its own",
                hint="leave --workers out, or use --cluster local",
            )
        return BACKENDS.load("address")(cluster)
    return BACKENDS.load(cluster or "local")(workers)


def settings() -> Settings:
    """Return the settings of this process."""
    from sxdask.core.settings import load_settings

    return load_settings()

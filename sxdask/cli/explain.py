"""``sxdask explain``: what a recipe will read, before anything is read."""

from __future__ import annotations

import typer

from sxdask.cli.options import DatasetOption, RecipeArgument, load_query


def explain(recipe: RecipeArgument, dataset: DatasetOption = None) -> None:
    """Show what a recipe will do: the plan, the rewrites, branches, partitions and bytes.

    Files that are not indexed yet are indexed; no data is read.
    """
    _, query = load_query(recipe, dataset)
    typer.echo(query.explain())

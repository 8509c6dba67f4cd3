"""Requests in a language and in recipe files, over a dataset."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sxdask.api.datasets import Dataset
from sxdask.api.datasets import dataset as open_dataset
from sxdask.api.queries import Query
from sxdask.core.errors import RecipeError
from sxdask.core.settings import Settings, load_settings
from sxdask.pipeline.source import Source
from sxdask.requests.recipe import Recipe, load_recipe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from sxdask.plan.frontend import Selection


def request(
    language: str,
    selection: Selection,
    *,
    dataset: Dataset,
    title: str = "",
    hist: Mapping[str, Any] | None = None,
    **options: Any,
) -> Query:
    """Ask in one of the request languages (``sxdask.plan.frontend`` lists them).

    The request is checked against the first file at once: unknown branches and
    mistakes of type are errors here, not on a worker.

    Parameters
    ----------
    language
        Such as ``"func_adl"``, ``"tcut"`` or ``"uproot-raw"``.
    selection
        The request in that language.
    dataset
        What to read.
    title
        A name for people.
    hist
        Histograms to fill in place of giving rows; see `Query.fill`.
    **options
        What the language takes beside its text, such as ``columns=`` and
        ``tree=`` of ``"tcut"``; the same as a selection that is a mapping with
        ``selection`` and these keys.
    """
    if options:
        selection = {"selection": selection, **options}
    query = Query.parse(language, selection, dataset.source, title=title)
    return query.fill(hist) if hist else query


def load(
    path: str | PathLike[str],
    *,
    dataset: Dataset | None = None,
    settings: Settings | None = None,
) -> Query:
    """Read a recipe (YAML) and return its query, ready to run.

    Parameters
    ----------
    path
        The recipe file.
    dataset
        Data to run it over, in place of what the recipe names. Data that the
        recipe generates are written to the cache directory, once.

    Raises
    ------
    RecipeError
        If the file is not a recipe, or names no data and none is given.
    """
    recipe = load_recipe(path)
    values = dataset.source.settings if dataset else settings or load_settings()
    if recipe.partition_bytes is not None:
        values = replace(values, partition_bytes=recipe.partition_bytes)
    if dataset is not None:
        data = Dataset(replace(dataset.source, settings=values))
        if recipe.tree is not None:
            named = data.source.files
            entries = tuple(replace(entry, tree=recipe.tree) for entry in named.files)
            data = Dataset(Source(replace(named, files=entries, tree=recipe.tree), values))
    else:
        data = _dataset_of(recipe, str(path), values)
    query = Query.parse(recipe.language, recipe.request, data.source, title=recipe.title)
    return query.fill(recipe.hist) if recipe.hist else query


def _dataset_of(recipe: Recipe, path: str, settings: Settings) -> Dataset:
    """Return the dataset that a recipe names or generates."""
    spec = recipe.dataset
    if spec is None:
        raise RecipeError(f"{path} names no dataset", hint="add 'dataset:' to it, or pass dataset=")
    source: Any = recipe.source
    if spec.generate is not None:
        from sxdask.testing.generated import generated_files

        source = generated_files(spec.generate, settings.cache_dir)
    elif spec.sample is not None:
        from sxdask.testing.samples import sample_files

        source = str(sample_files(settings.cache_dir) / spec.sample)
    return open_dataset(source, recipe.tree, name=spec.name, settings=settings)

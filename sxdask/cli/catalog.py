"""``sxdask catalog``: datasets by names of one's own."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sxdask.cli.options import JsonOption, TreeOption, settings
from sxdask.cli.table import count, facts, table

if TYPE_CHECKING:
    from sxdask.datasets.catalog import Catalog, NamedDataset

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The dataset's name.")]

app = typer.Typer(
    no_args_is_help=True,
    help="Give datasets names: sx.dataset('catalog://NAME'), or the bare name.",
)


@app.command()
def add(
    name: NameArgument,
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILES...",
            help="Paths, globs, directories, URLs or names such as rucio://scope:name.",
        ),
    ],
    tree: TreeOption = None,
    note: Annotated[str, typer.Option("--note", help="A line about it for people.")] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Take the place of one of that name.")
    ] = False,
    freeze: Annotated[
        bool,
        typer.Option("--freeze", help="Keep the files that there are now, not the patterns."),
    ] = False,
) -> None:
    """Add a dataset. Its files are looked for, so that a mistake shows now."""
    from sxdask.datasets.catalog import NamedDataset
    from sxdask.datasets.resolve import resolve

    found = resolve(files, tree, settings=settings())
    now_there = [
        entry.url if entry.tree in {tree, None} else f"{entry.url}:{entry.tree}"
        for entry in found.files
    ]
    names = now_there if freeze else files
    now = datetime.now(UTC).isoformat(timespec="seconds")
    made = NamedDataset(name, tuple(map(_absolute, names)), tree, note, now)
    _catalog().add(made, replace=replace)
    typer.echo(f"catalog://{name}: {count(len(found), 'file')}")


@app.command("list")
def list_all(as_json: JsonOption = False) -> None:
    """List the datasets of the catalog."""
    catalog = _catalog()
    found = catalog.datasets()
    if as_json:
        typer.echo(json.dumps([_values(item) for item in found.values()], indent=1))
        return
    rows = [
        [item.name, f"{len(item.files):,}", item.tree or "-", item.added[:10], item.note]
        for item in found.values()
    ]
    if rows:
        header = ["name", "entries", "tree", "added", "note"]
        typer.echo(table(header, rows, right=["entries"]) + "\n")
    typer.echo(f"{count(len(rows), 'dataset')} in {catalog.path}")


@app.command()
def show(name: NameArgument, as_json: JsonOption = False) -> None:
    """Show what a dataset is made of."""
    found = _catalog().get(name)
    if as_json:
        typer.echo(json.dumps(_values(found), indent=1))
        return
    about = [("name", found.name), ("tree", found.tree), ("note", found.note)]
    about.append(("added", found.added))
    typer.echo(facts([(key, value) for key, value in about if value]))
    typer.echo("\n" + "\n".join(found.files))


@app.command()
def remove(name: NameArgument) -> None:
    """Remove a dataset from the catalog. Its files stay."""
    gone = _catalog().remove(name)
    typer.echo(f"removed {gone.name!r} from the catalog, no file")


def _catalog() -> Catalog:
    from sxdask.datasets.catalog import Catalog, catalog_path

    return Catalog(catalog_path(settings()))


def _absolute(text: str) -> str:
    """Return the name so that it means the same from any folder."""
    from sxdask.datasets.catalog import NAME

    if "://" in text:
        return text
    name = text.partition(":")[0].partition("?")[0]
    if NAME.fullmatch(name) and not Path(name).exists():  # another dataset of the catalog
        return text
    return str(Path(text).expanduser().absolute())


def _values(dataset: NamedDataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "files": list(dataset.files),
        "tree": dataset.tree,
        "note": dataset.note,
        "added": dataset.added,
    }

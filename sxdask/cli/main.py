"""The ``sxdask`` command: its options and its commands."""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from sxdask.cli import (
    batch,
    cache,
    catalog,
    cluster,
    demo,
    doctor,
    explain,
    index,
    inspect,
    run,
    serve,
    user,
    verify,
    version,
)
from sxdask.cli.edge import CommandGroup

app = typer.Typer(
    name="sxdask",
    cls=CommandGroup,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    help="Columns of selected events from ROOT files, as one lazy Dask graph.",
    epilog="Exit status: 2 for a mistake in the request, 3 for bad data, 4 for the system.",
)


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of a failure.")
    ] = False,
) -> None:
    """Take the options of all commands; the group reads them where failures end."""


app.command()(demo.demo)
app.command()(run.run)
app.command()(verify.verify)
app.command()(explain.explain)
app.command()(inspect.inspect)
app.add_typer(index.app, name="index")
app.add_typer(cache.app, name="cache")
app.add_typer(catalog.app, name="catalog")
app.add_typer(cluster.app, name="cluster")
app.add_typer(batch.app, name="batch")
app.command(cls=serve.ServeCommand)(serve.serve)
app.add_typer(user.app, name="user")
app.command()(doctor.doctor)
app.command()(version.version)


def main() -> NoReturn:
    """Run the command line and exit."""
    app(prog_name="sxdask")
    raise SystemExit(0)

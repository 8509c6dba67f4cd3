"""``sxdask version``."""

from __future__ import annotations

import typer

from sxdask._version import __version__


def version() -> None:
    """Print the version of sxdask."""
    typer.echo(__version__)

"""Partitions that may fail, and those that did, on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from sxdask.core.errors import RequestError

if TYPE_CHECKING:
    from sxdask.deliver.failures import FailureReport


def limit(text: str | None) -> float | None:
    """Return ``--max-failed`` as a number of partitions (int) or a share of them (float).

    Examples
    --------
    >>> limit("5"), limit("0.05"), limit("5%")
    (5, 0.05, 0.05)

    Raises
    ------
    RequestError
        If it is neither.
    """
    if text is None:
        return None
    try:
        if text.endswith("%"):
            return float(text[:-1]) / 100
        return float(text) if "." in text else int(text)
    except ValueError:
        raise RequestError(
            f"--max-failed is {text!r}", hint="use a number such as 5, or a share such as 5%"
        ) from None


def tell(report: FailureReport) -> None:
    """Print what was skipped to standard error."""
    if report:
        typer.echo(f"warning: {report}", err=True)

"""The edge of the command line: every failure becomes one readable line and an exit status."""

from __future__ import annotations

import errno
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn, TextIO

import typer
from typer.core import TyperGroup

from sxdask._version import __version__
from sxdask.core.errors import Fault, RequestError, SxdaskError

EXIT_STATUS: Final[dict[Fault, int]] = {"user": 2, "data": 3, "system": 4}
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells have it
TERMINATED: Final = 143  # 128 + SIGTERM

ISSUES = "https://github.com/sxdask/sxdask/issues"

# What an error may know besides its message, in the order in which people look for it.
_FACTS = ("recipe", "file", "tree", "branch", "entry_start", "entry_stop", "address")


class CommandGroup(TyperGroup):
    """A group whose commands fail in one line; ``--debug`` anywhere shows the traceback too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Let ``--debug`` stand after the command as well."""
        if "--debug" in args:
            args = ["--debug", *(item for item in args if item != "--debug")]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with _failures_in_one_line(debug=bool(ctx.params.get("debug"))), _orderly_termination():
            return super().invoke(ctx)


class Terminated(KeyboardInterrupt):
    """SIGTERM: a batch system or a service manager ends the command, which cleans up as it goes."""


@contextmanager
def _orderly_termination() -> Iterator[None]:
    def raise_it(_number: int, _frame: Any) -> NoReturn:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():  # signals are not ours to take
        yield
        return
    before = signal.signal(signal.SIGTERM, raise_it)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _failures_in_one_line(*, debug: bool) -> Iterator[None]:
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            yield
    except SxdaskError as error:
        _trace(debug=debug)
        typer.echo(describe(error), err=True)
        raise typer.Exit(EXIT_STATUS[error.fault]) from None
    except KeyboardInterrupt as error:
        _trace(debug=debug)
        ended = isinstance(error, Terminated)
        typer.echo("terminated" if ended else "interrupted", err=True)
        raise typer.Exit(TERMINATED if ended else INTERRUPTED) from None
    except Exception as error:
        usage = getattr(error, "format_message", None)
        if usage is not None:
            if message := usage():  # none where the help was the answer: "sxdask index"
                typer.echo(_usage(message, getattr(error, "ctx", None)), err=True)
            raise typer.Exit(EXIT_STATUS["user"]) from None
        # Exits carry a status; and typer knows what to do with a pipe whose reader has gone
        # (``sxdask inspect FILE --branches | head``).
        if hasattr(error, "exit_code") or _closed_pipe(error):
            raise
        _trace(debug=debug)
        typer.echo(_internal(error), err=True)
        raise typer.Exit(EXIT_STATUS["system"]) from None


def describe(error: SxdaskError) -> str:
    """Return the message of `error` with its hint and the facts that the message leaves out.

    Examples
    --------
    >>> from sxdask.core.errors import CorruptBasketError
    >>> print(describe(CorruptBasketError("a basket is damaged", file="a.root", branch="x")))
    error [SX302] a basket is damaged
      file a.root, branch x
    """
    facts = [
        f"{name.replace('_', ' ')} {error.context[name]}"
        for name in _FACTS
        if error.context.get(name) is not None and str(error.context[name]) not in error.problem
    ]
    head, *hint = str(error).split("\n  hint: ", 1) if error.hint else [str(error)]
    lines = [f"error {head}"]
    lines += [f"  {', '.join(facts)}"] if facts else []
    report = error.context.get("report")
    if report is not None and len(report) > 1:
        lines += [f"  {line}" for line in str(report).splitlines()]
    lines += [f"  hint: {text}" for text in hint]
    return "\n".join(lines)


def _usage(message: str, ctx: Any) -> str:
    """Return a mistake on the command line in the form of the other errors."""
    command = ctx.command_path if ctx is not None else "sxdask"
    return f"error [{RequestError.code}] {message.rstrip('.')}\n  hint: {command} --help"


def _internal(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return (
        f"internal error in sxdask {__version__}: {type(error).__name__}: {text}\n"
        f"  hint: run it again with --debug and report what it shows at {ISSUES}"
    )


def _trace(*, debug: bool) -> None:
    if debug:
        traceback.print_exc(file=sys.stderr)


def _closed_pipe(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EPIPE


def _show_warning(
    message: Warning | str,
    category: type[Warning],  # noqa: ARG001  signature of warnings.showwarning
    filename: str,  # noqa: ARG001
    lineno: int,  # noqa: ARG001
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    typer.echo(f"warning: {message}", err=True)

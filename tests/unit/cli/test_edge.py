"""Failures: one readable line, the right exit status, a traceback only on request."""

from __future__ import annotations

import errno
import warnings

import pytest
import typer
from typer.testing import CliRunner

from sxdask._version import __version__
from sxdask.cli.edge import CommandGroup, describe
from sxdask.core.errors import (
    AccessDeniedError,
    CorruptBasketError,
    FileMissingError,
    SxdaskError,
    UnknownBranchError,
)


def run_failing(error: BaseException, *args: str):
    """Run a command that raises `error` under the edge of the command line."""
    app = typer.Typer(cls=CommandGroup, pretty_exceptions_enable=False)

    @app.callback()
    def options(debug: bool = False) -> None: ...

    @app.command()
    def fail() -> None:
        typer.echo("some result")
        raise error

    return CliRunner().invoke(app, ["fail", *args])


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnknownBranchError("no such branch"), 2),
        (FileMissingError("no such file"), 2),
        (CorruptBasketError("a basket is damaged"), 3),
        (AccessDeniedError("may not be read"), 4),
        (SxdaskError("storage is gone"), 4),
    ],
)
def test_the_fault_decides_the_exit_status(error, status):
    result = run_failing(error)
    assert result.exit_code == status
    assert result.stdout == "some result\n"
    assert result.stderr == f"error [{error.code}] {error.problem}\n"


def test_a_failure_names_what_its_message_leaves_out():
    error = CorruptBasketError(
        "a basket of 'Muon_pt' is damaged",
        hint="copy the file again",
        file="/data/a.root",
        tree="Events",
        branch="Muon_pt",
        entry_start=0,
        entry_stop=100,
    )
    assert describe(error) == (
        "error [SX302] a basket of 'Muon_pt' is damaged\n"
        "  file /data/a.root, tree Events, entry start 0, entry stop 100\n"
        "  hint: copy the file again"
    )


@pytest.mark.parametrize("error", [CorruptBasketError("damaged"), ZeroDivisionError("division")])
def test_debug_shows_the_traceback_and_keeps_the_status(error):
    quiet, loud = run_failing(error), run_failing(error, "--debug")
    assert "Traceback" not in quiet.stderr
    assert "Traceback" in loud.stderr
    assert "raise error" in loud.stderr
    assert loud.exit_code == quiet.exit_code


def test_what_nobody_meant_is_an_internal_error():
    result = run_failing(ZeroDivisionError("division\nby zero"))
    assert result.exit_code == 4
    first, hint = result.stderr.rstrip().split("\n")
    assert first == f"internal error in sxdask {__version__}: ZeroDivisionError: division by zero"
    assert "--debug" in hint


def test_interrupting_is_no_failure():
    result = run_failing(KeyboardInterrupt())
    assert result.exit_code == 130
    assert result.stderr == "interrupted\n"


def test_a_reader_that_has_gone_is_no_failure():
    result = run_failing(BrokenPipeError(errno.EPIPE, "Broken pipe"))
    assert result.exit_code == 1
    assert result.stderr == ""


def test_an_exit_keeps_its_status():
    assert run_failing(typer.Exit(7)).exit_code == 7


def test_warnings_are_one_line():
    app = typer.Typer(cls=CommandGroup)

    @app.callback()
    def options(debug: bool = False) -> None: ...

    @app.command()
    def warn() -> None:
        warnings.simplefilter("always")
        warnings.warn("file 'a.root' is named twice", UserWarning, stacklevel=1)

    result = CliRunner().invoke(app, ["warn"])
    assert result.stderr == "warning: file 'a.root' is named twice\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nothing"], "No such command 'nothing'"),
        (["run"], "Missing argument 'RECIPE'"),
        (["run", "a.yaml", "--fast"], "No such option: --fast"),
        (["run", "a.yaml", "--format", "csv"], "--format"),
        (["run", "a.yaml", "--workers", "0"], "--workers"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_line_and_a_hint(sxdask, args, said):
    result = sxdask(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    first, hint = result.stderr.rstrip().split("\n")
    assert first.startswith("error [SX100] ")
    assert said in first
    assert hint.endswith("--help")


@pytest.mark.parametrize("args", [[], ["index"]])
def test_without_a_command_there_is_help(sxdask, args):
    result = sxdask(*args)
    assert "Usage" in result.output
    assert "error" not in result.output.lower()


def test_version(sxdask):
    assert sxdask("version").stdout == f"{__version__}\n"

"""A function of the user on a worker: made from its text, called, its failures put in words.

This is the only place where text of a user runs. It runs as it stands, with
all that this process may do.
"""

from __future__ import annotations

import importlib
import pickle
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from traceback import extract_tb, format_exception
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

import awkward as ak
import numpy as np

from sxdask.core.errors import ReadFailedError, SxdaskError, UserFunctionError, pointer

if TYPE_CHECKING:
    from collections.abc import Callable

    from sxdask.plan.nodes import Function

Results: TypeAlias = "ak.Array | dict[str, ak.Array]"
"""What a function gives: the rows of one table, or of several by name."""

_FILE: Final = "<python request>"
_ANNOTATIONS: Final = 0x1000000  # CO_FUTURE_ANNOTATIONS: types in a signature are not looked up
_RETURN: Final = "return an awkward array, or a dict of name to awkward array"
_MOST_TRACEBACK: Final = 20_000
_COMPUTE: Final = "call .compute() on it: the function is a task already"
# An operating system error that another try cannot change is the function's own.
_FINAL: Final = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)


def call(function: Function, argument: object, file: str) -> Results:
    """Return what `function` gives for `argument`, packed and with nothing lazy in it.

    `file` is the one that the argument is of, for errors.

    Raises
    ------
    UserFunctionError
        If it raises, with the line of its text, or its result is none.
    ReadFailedError
        If it fails to read, which another try may do.
    SxdaskError
        If reading a column of the events fails, as the reader says it.
    """
    made = load(function)
    try:
        return _results(made(argument), function, file)
    except (SxdaskError, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's function raises
        failed = failure(function, error, getattr(made, "__code__", None), f" for {file!r}")
    raise failed  # out here: the user's exception, with all its frames, may not travel


@lru_cache(maxsize=64)
def load(function: Function) -> Callable[[Any], Any]:
    """Return the function itself; its text is run once a process.

    Raises
    ------
    UserFunctionError
        If the text fails, as it does where a module is missing.
    """
    try:
        return _unpickled(function) if function.pickled else _executed(function)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's text raises
        failed = failure(function, error, None, "")
    raise failed


def _unpickled(function: Function) -> Callable[[Any], Any]:
    made: Callable[[Any], Any] = pickle.loads(b64decode(function.pickled))  # noqa: S301
    return made


def _executed(function: Function) -> Callable[[Any], Any]:
    module = ModuleType("sxdask_request")
    for name, target in function.imports:
        setattr(module, name, importlib.import_module(target))
    code = compile(function.text, _FILE, "exec", flags=_ANNOTATIONS, dont_inherit=True)
    exec(code, module.__dict__)  # noqa: S102  what this language means
    made: Callable[[Any], Any] = getattr(module, function.name)
    return made


def failure(
    function: Function, error: BaseException, code: CodeType | None, place: str
) -> SxdaskError:
    """Return the error that says in which line of its text `function` failed, and why.

    `code` is that of the function, None where its text did not even run;
    `place` says for which file.
    """
    said = (str(error).strip().splitlines() or [""])[0][:200]
    cause = f"{type(error).__name__}: {said}" if said else type(error).__name__
    line, shown = _place(function, error, code)
    where = f" on line {line}" if line else ""
    transient = isinstance(error, OSError) and not isinstance(error, _FINAL)
    kind = ReadFailedError if transient else UserFunctionError
    missing = isinstance(error, ModuleNotFoundError)
    return kind(
        f"{_named(function)} fails{where}{place}: {cause}{shown}",
        hint=f"install {error.name} on the workers" if missing else None,  # type: ignore[attr-defined]
        line=line,
        cause=type(error).__name__,
        traceback="".join(format_exception(error))[-_MOST_TRACEBACK:],
    )


def _place(
    function: Function, error: BaseException, code: CodeType | None
) -> tuple[int | None, str]:
    """Return the number of the line of the function's text that failed, and it with a caret."""
    lines = function.text.splitlines()
    file = code.co_filename if code is not None else _FILE
    # The text of a pickled function begins where it began in the user's file.
    first = code.co_firstlineno if function.pickled and code is not None else 1
    for frame in reversed(extract_tb(error.__traceback__)):
        number = (frame.lineno or 0) - first
        if frame.filename == file and 0 <= number < len(lines):
            line = lines[number]
            column = len(line) - len(line.lstrip()) if function.pickled else frame.colno or 0
            return number + 1, f"\n{pointer(line, column)}"
    return None, ""


def _named(function: Function) -> str:
    return f"{function.name}({function.argument})"


def _results(value: object, function: Function, file: str) -> Results:
    if not isinstance(value, Mapping):
        return _rows(value, _Refusal(function, file))
    if not value:
        _Refusal(function, file)("a dict without any array")
    for name in value:
        if not isinstance(name, str) or not name:
            _Refusal(function, file)(f"a dict with the key {name!r}"[:200])
    return {
        name: _rows(rows, _Refusal(function, file, f" as {name!r}")) for name, rows in value.items()
    }


def _rows(value: object, refuse: _Refusal) -> ak.Array:
    """Return `value` as an array of rows, packed and without behaviours."""
    if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim):
        plain = value.tolist() if isinstance(value, np.ndarray) and value.dtype == object else value
        try:
            value = ak.Array(list(plain) if isinstance(plain, tuple) else plain)
        except Exception as error:  # noqa: BLE001 - whatever awkward has to say to it
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:150]
            refuse(f"{_described(value)} that is no array ({reason})")
    if not isinstance(value, ak.Array):
        lazy = type(value).__module__.startswith(("dask", "dask_awkward"))
        refuse(_described(value), _COMPUTE if lazy else _RETURN)
    return ak.Array(ak.to_packed(ak.materialize(value), highlevel=False))


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Raises the error for a result that is none; `place` is the part of the result."""

    function: Function
    file: str
    place: str = ""

    def __call__(self, what: str, hint: str = _RETURN) -> NoReturn:
        raise UserFunctionError(
            f"{_named(self.function)} returns {what}{self.place} for {self.file!r}", hint=hint
        )


def _described(value: object) -> str:
    if value is None:
        return "nothing (None)"
    kind = type(value).__name__
    return f"{'an' if kind[0] in 'aeiouAEIOU' else 'a'} {kind}"

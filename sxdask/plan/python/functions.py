"""Python functions as values of a plan: by their text where it says all, else pickled.

A function whose text needs nothing but modules (``ak``, ``np``) is its text and
the names of those modules; so is its fingerprint, in every process. One that
uses other values around it travels with them, as cloudpickle writes it.
"""

from __future__ import annotations
import __future__

import ast
import inspect
import textwrap
import types
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import RequestError, SxdaskError
from sxdask.plan.lexer import require_size
from sxdask.plan.nodes import Function
from sxdask.plan.python.text import EXAMPLE, NAME, check, decode, parameter, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sxdask.plan.lexer import Limits

_EVENTS = "events"


def require_allowed(limits: Limits) -> None:
    """Refuse Python functions where they are switched off.

    Raises
    ------
    RequestError
        If the settings do not allow them.
    """
    if not limits.allow_python:
        raise RequestError(
            "requests that are Python functions are switched off here",
            hint="ask in another language, or set SXDASK_ALLOW_PYTHON=1",
        )


def read(selection: object, limits: Limits) -> tuple[Function, frozenset[str]]:
    """Return the function that `selection` is, and the words that may be columns.

    Parameters
    ----------
    selection
        Text that defines ``run_query``, base64 of such text, or a callable.
    limits
        Size of texts and of pickled functions.

    Raises
    ------
    RequestError
        If it is none of these, or cannot be called with one argument.
    """
    if isinstance(selection, str | bytes):
        program = check(decode(selection, limits))
        argument = parameter(program)
        return Function(NAME, argument, _per(argument), program.text), words(program)
    if not callable(selection):
        raise RequestError(
            f"a python request is a function or its text, not {type(selection).__name__}",
            hint=EXAMPLE,
        )
    return _of_callable(selection, limits)


def _per(argument: str) -> Any:
    return "partition" if argument == _EVENTS else "file"


def _of_callable(function: Callable[..., Any], limits: Limits) -> tuple[Function, frozenset[str]]:
    argument = _argument(function)
    name = getattr(function, "__name__", type(function).__name__)
    text = _source(function)
    used = _surroundings(function)
    values = [value for value in used.values() if value is not function]
    found = frozenset(_texts(values)) | _words(function, text, used)
    if text and all(isinstance(value, types.ModuleType) for value in values):
        require_size(text, limits)
        pairs = ((key, value.__name__) for key, value in used.items() if value is not function)
        imports = tuple(sorted(pairs))
        if _is_all(function, text, imports):
            return Function(name, argument, _per(argument), text, imports), found
    pickled = _pickled(function, name)
    require_size(pickled, limits)
    return Function(name, argument, _per(argument), text, pickled=pickled), found


def _words(function: Any, text: str, used: Mapping[str, Any]) -> frozenset[str]:
    """Return the words of the function's text, or of its code where the text is not Python."""
    modules = [name for name, value in used.items() if isinstance(value, types.ModuleType)]
    try:
        return words(check(text), modules)
    except SxdaskError:  # a lambda in the middle of a call, a decorator, no text at all
        return frozenset(_code_words(getattr(function, "__code__", None)))


def _argument(function: Callable[..., Any]) -> str:
    """Return the name of the first parameter of `function`."""
    name = getattr(function, "__name__", type(function).__name__)
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise RequestError(f"{name} is a coroutine or a generator", hint="return an array from it")
    try:
        signature = inspect.signature(function)
        signature.bind(None)
    except ValueError as error:
        raise RequestError(f"{name} does not say what it takes: {error}", hint=EXAMPLE) from None
    except TypeError:
        raise RequestError(
            f"{name} cannot be called with one argument",
            hint="take the path of a file, f(path), or the events, f(events)",
        ) from None
    return next(iter(signature.parameters))


def _source(function: Callable[..., Any]) -> str:
    """Return the text of `function`, empty where there is none."""
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError, SyntaxError, IndentationError):
        return ""


def _surroundings(function: Any) -> Mapping[str, Any]:
    """Return what a function uses that is not its own: globals, captured values, defaults."""
    code = getattr(function, "__code__", None)
    if code is None:
        return {"": function}
    known = function.__globals__
    used = {name: known[name] for name in sorted(set(_names(code))) if name in known}
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    captured = {f"({name})": _content(cell) for name, cell in cells}
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return used | captured | {f"={number}": value for number, value in enumerate(defaults)}


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _codes(code: types.CodeType | None) -> Iterator[types.CodeType]:
    if code is not None:
        yield code
        for item in code.co_consts:
            if isinstance(item, types.CodeType):
                yield from _codes(item)


def _names(code: types.CodeType) -> Iterator[str]:
    return (name for part in _codes(code) for name in part.co_names)


def _code_words(code: types.CodeType | None) -> Iterator[str]:
    for part in _codes(code):
        yield from part.co_names
        yield from _texts(part.co_consts)


def _texts(values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, str):
            yield value
        elif isinstance(value, list | tuple | set | frozenset):
            yield from (item for item in value if isinstance(item, str))


def _is_all(function: Any, text: str, imports: tuple[tuple[str, str], ...]) -> bool:
    """Say whether `text` alone makes `function` again.

    It does not if the file changed since it was imported, or a decorator or
    another tool made the function that runs from the one that is written.
    """
    if not all(name.isidentifier() for name, _ in imports):  # captured, or made by a tool
        return False
    try:
        tree = check(text).tree
    except SxdaskError:
        return False
    match tree.body:
        case [ast.FunctionDef(decorator_list=[], name=name)] if name == function.__name__:
            flags = function.__code__.co_flags & __future__.annotations.compiler_flag
            # CPython compiles calls on imported names in a way of their own.
            around = "".join(f"import {module} as {name}\n" for name, module in imports)
            made = compile(around + text, "", "exec", flags=flags, dont_inherit=True)
            found = [item for item in made.co_consts if isinstance(item, types.CodeType)]
            return len(found) == 1 and _same(found[0], function.__code__)
    return False


def _same(left: types.CodeType, right: types.CodeType) -> bool:
    pairs = list(zip(_codes(left), _codes(right), strict=False))
    return len(pairs) == sum(1 for _ in _codes(right)) and all(
        _facts(one) == _facts(other) for one, other in pairs
    )


def _facts(code: types.CodeType) -> tuple[object, ...]:
    constants = [item for item in code.co_consts if not isinstance(item, types.CodeType)]
    return code.co_code, code.co_names, code.co_varnames, code.co_freevars, repr(constants)


def _pickled(function: Any, name: str) -> str:
    import cloudpickle

    if isinstance(function, types.FunctionType):
        # A function of a module is pickled as its name, which workers may not have.
        own = function
        function = types.FunctionType(
            own.__code__, own.__globals__, own.__name__, own.__defaults__, own.__closure__
        )
        function.__kwdefaults__ = own.__kwdefaults__
        function.__module__ = "__main__"
    try:
        return b64encode(cloudpickle.dumps(function)).decode()
    except Exception as error:  # noqa: BLE001 - each value has exceptions of its own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RequestError(
            f"{name} cannot be sent to workers: {reason}"[:300],
            hint="open files and connections inside the function",
        ) from None

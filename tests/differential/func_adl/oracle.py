"""func_adl_uproot as the oracle, and how its answers are compared with ours."""

from __future__ import annotations

import ast
import itertools
import math
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import awkward as ak
import dask
import numpy as np
import uproot

from tests.differential.func_adl.values import Sequence

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_open_dask = uproot.dask
_opened: dict[tuple[tuple[str, str], ...], Any] = {}


@cache
def ask(text: str, paths: tuple[Path, ...], tree: str) -> Any:
    """Return what func_adl_uproot makes of a query in Python or in qastle."""
    from func_adl_uproot.translation import generate_function

    query = text if text.startswith("(") else ast.parse(text)
    with (
        dask.config.set(scheduler="synchronous"),
        warnings.catch_warnings(),
        patch.object(uproot, "dask", _open_once),
    ):
        warnings.simplefilter("ignore")  # NumPy's on division by zero, and the like
        return generate_function(query)([str(path) for path in paths], tree)


def _open_once(files: Mapping[str, str], **options: Any) -> Any:
    """Return the lazy array of `files`; its making takes far longer than any query here."""
    key = tuple(files.items())
    if key not in _opened:
        _opened[key] = _open_dask(files, **options)
    return _opened[key]


def read_events(paths: tuple[Path, ...], tree: str) -> Sequence:
    """Return the events of files as the interpreter takes them, read with uproot."""
    array = uproot.concatenate([{str(path): tree} for path in paths])
    columns = {name: _values(array[name].layout) for name in array.fields}
    example = {name: column.example for name, column in columns.items()}
    rows = zip(*(column.items for column in columns.values()), strict=True)
    return Sequence([dict(zip(columns, row, strict=True)) for row in rows], lambda: example)


def _values(layout: Any) -> Sequence:
    if layout.is_numpy:
        return Sequence(layout.data, lambda: layout.dtype.type(1))
    if layout.is_list:
        inner = _values(layout.content)
        bounds = zip(layout.starts.data, layout.stops.data, strict=True)
        return Sequence(
            [inner.like(inner.items[start:stop]) for start, stop in bounds],
            lambda: Sequence.of_example(inner.example),
        )
    return _values(layout.to_ListOffsetArray64(True))


def notation(text: str) -> str:
    """Return the language that a query is written in."""
    return "qastle" if text.startswith("(") else "func_adl"


def type_text(result: Any) -> str:
    """Return the type of one row of a result, or of the one value that it is."""
    if isinstance(result, ak.Array):
        return str(result.type.content)
    if isinstance(result, ak.Record):
        return str(result.type)
    return str(np.asarray(result).dtype)


def without_options(text: str) -> str:
    """Return a type as it is where nothing can be missing."""
    text = text.replace("?", "")
    while "option[" in text:
        before, _, rest = text.partition("option[")
        depth = itertools.accumulate((char == "[") - (char == "]") for char in rest)
        end = next(place for place, level in enumerate(depth) if level < 0)
        text = before + rest[:end] + rest[end + 1 :]
    return text


def rows(result: Any) -> Any:
    """Return a result as Python values."""
    if isinstance(result, ak.Array | ak.Record):
        return ak.to_list(result)
    return result.item() if isinstance(result, np.generic) else result


def difference(got: Any, wanted: Any, tolerance: float = 0.0) -> str:
    """Return where two nested values differ first, or nothing; NaN equals NaN."""
    if isinstance(wanted, list | tuple | dict):
        if type(got) is not type(wanted) or len(got) != len(wanted):
            return f"{got!r} in place of {wanted!r}"
        if isinstance(wanted, dict):
            if list(got) != list(wanted):
                return f"fields {list(got)} in place of {list(wanted)}"
            places: Any = wanted
        else:
            places = range(len(wanted))
        for place in places:
            found = difference(got[place], wanted[place], tolerance)
            if found:
                return f"[{place!r}]{'' if found[0] == '[' else ': '}{found}"
        return ""
    return "" if _equal(got, wanted, tolerance) else f"{got!r} in place of {wanted!r}"


def _equal(got: Any, wanted: Any, tolerance: float) -> bool:
    if not isinstance(got, int | float) or not isinstance(wanted, int | float):
        return bool(got == wanted)
    if math.isnan(got) or math.isnan(wanted):
        return math.isnan(got) and math.isnan(wanted)
    return bool(got == wanted) or math.isclose(got, wanted, rel_tol=tolerance, abs_tol=tolerance)

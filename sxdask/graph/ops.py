"""Table from expression operations to awkward and numpy functions.

Every operation is vectorised over a partition. What the languages may call is
`sxdask.plan.functions`; a name that is not there is an explicit error when the
program is compiled, not when it runs.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import cache
from typing import Any

import awkward as ak
import numpy as np

from sxdask.core.errors import RequestError
from sxdask.graph.combine import argcombinations
from sxdask.graph.concat import concatenate
from sxdask.graph.follow import follow
from sxdask.graph.instances import instances, iteration
from sxdask.graph.product import cartesian
from sxdask.graph.shortcut import first_by, least, max_across, min_across
from sxdask.graph.vectors import momentum4d, vector_call, vector_get, vector_sum
from sxdask.plan.functions import FUNCTIONS

Operation = Callable[..., Any]

_OPERATORS: dict[str, Operation] = {
    "unary:-": operator.neg,
    "unary:+": operator.pos,
    "unary:~": operator.invert,
    "binary:+": operator.add,
    "binary:-": operator.sub,
    "binary:*": operator.mul,
    "binary:/": operator.truediv,
    "binary://": operator.floordiv,
    "binary:%": operator.mod,
    "binary:**": operator.pow,
    "binary:&": operator.and_,
    "binary:|": operator.or_,
    "binary:^": operator.xor,
    "binary:<<": np.left_shift,
    "binary:>>": np.right_shift,
    "compare:<": operator.lt,
    "compare:<=": operator.le,
    "compare:>": operator.gt,
    "compare:>=": operator.ge,
    "compare:==": operator.eq,
    "compare:!=": operator.ne,
}

# Functions whose value uproot defines itself (not numpy's); taken from uproot so
# that a request gives the same bits here and there.
_UPROOT_OWN = frozenset({"erf", "erfc", "factorial", "gamma", "lgamma"})
# Element by element, and broadcasting only in awkward's own version.
_AWKWARD_ELEMENTWISE = frozenset({"where", "isclose", "round", "real", "imag"})


def _moment(x: Any, weight: Any = None, *, n: int, **options: Any) -> Any:
    # awkward takes the order before the weight; in a call node arrays come first
    return ak.moment(x, n, weight=weight, **options)


def _present(value: Any) -> Any:
    """Return `value`, all of which must be there, without the option of missing values."""

    def without_option(layout: Any, **_: Any) -> Any:
        if not layout.is_option:
            return None
        if np.any(layout.mask_as_bool(valid_when=False)):
            raise IndexError("an item is asked for that an event does not have")
        return ak.transform(without_option, layout.project(), highlevel=False)

    return ak.transform(without_option, ak.to_packed(value))


def _float64(x: Any) -> Any:
    # a constant becomes a number that does not yield to the dtype of an array
    return ak.values_astype(x, np.float64) if isinstance(x, ak.Array) else np.float64(x)


def _int64(x: Any) -> Any:
    return ak.values_astype(x, np.int64) if isinstance(x, ak.Array) else np.int64(x)


def _uint64(x: Any) -> Any:
    return ak.values_astype(x, np.uint64) if isinstance(x, ak.Array) else np.uint64(x)


_OWN: dict[str, Operation] = {
    "argcombinations": argcombinations,
    "cartesian": cartesian,
    "concatenate": concatenate,
    "first_by": first_by,
    "float64": _float64,
    "int64": _int64,
    "uint64": _uint64,
    "follow": follow,
    "instances": instances,
    "iteration": iteration,
    "least": least,
    "max_across": max_across,
    "min_across": min_across,
    "moment": _moment,
    "momentum4d": momentum4d,
    "present": _present,
    "vector_call": vector_call,
    "vector_get": vector_get,
    "vector_sum": vector_sum,
}


@cache
def operation(name: str) -> Operation:
    """Return the callable for operation `name`.

    Operators are named ``"binary:+"``, ``"compare:<"``, ``"unary:~"``; functions
    by their canonical name.

    Raises
    ------
    RequestError
        If there is no such operation.
    """
    if name in _OPERATORS:
        return _OPERATORS[name]
    if name in _OWN:
        return _OWN[name]
    function = FUNCTIONS.get(name)
    if function is None:
        raise RequestError(f"{name!r} cannot be evaluated: it is no operation of sxdask")
    if name in _UPROOT_OWN:
        from uproot.language.python import PythonLanguage

        own: Operation = PythonLanguage.default_functions[name]
        return own
    module = np if function.kind == "elementwise" and name not in _AWKWARD_ELEMENTWISE else ak
    found: Operation = getattr(module, name)
    return found


def is_elementwise(function: Operation) -> bool:
    """Say whether `function` works number by number, on NumPy arrays as on awkward's."""
    return isinstance(function, np.ufunc) or function in _OPERATORS.values()

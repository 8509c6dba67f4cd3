"""Every function that a selection may call, with its arguments, defaults and typing rule.

The table is the environment of ServiceX's ``uproot-raw`` language: uproot's
NumPy functions [1]_ and the awkward functions that ServiceX adds [2]_, plus a
few element-wise functions of NumPy that analysers miss there. Aliases lead to
one canonical name, so that equal queries are equal plans.

References
----------
.. [1] ``uproot.language.python.PythonLanguage.default_functions``, uproot 5.7.
.. [2] ServiceX, ``code_generator_raw_uproot``: reductions default to ``axis=1``
   and ``flatten`` to ``axis=2``, in place of awkward's own defaults.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["elementwise", "reducer", "structural"]
KeywordKind: TypeAlias = Literal["bool", "int", "number", "axis", "str", "names"]
Rule: TypeAlias = Literal[
    "float",
    "float_first",
    "float64",
    "int64",
    "uint64",
    "float_weak",
    "factorial",
    "same",
    "conjugate",
    "round",
    "bool",
    "promote",
    "where",
    "reduce",
    "softmax",
    "concatenate",
    "num",
    "local_index",
    "follow",
    "instances",
    "iteration",
    "from_regular",
    "flatten",
    "sort",
    "mask",
    "is_none",
    "drop_none",
    "pad_none",
    "fill_none",
    "firsts",
    "singletons",
    "broadcast",
    "unknown",
    "cartesian",
    "zip",
    "combinations",
    "across",
    "momentum",
    "vector_get",
    "vector_call",
    "vector_sum",
    "present",
]


@dataclass(frozen=True, slots=True)
class Keyword:
    """A constant argument: `positional` ones may also follow the arrays without a name."""

    name: str
    kind: KeywordKind
    default: bool | int | float | str | tuple[str, ...] | None = None
    positional: bool = False
    required: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """One function as the languages see it.

    `arrays` names the arguments that are expressions, the first `num_required`
    of them needed; in a `Call` they are `args`, in this order. `variadic`
    takes any number of them; `takes_list` takes one list (or dict) of them.
    `axis` is ServiceX's default and `awkward_axis` awkward's own; both are
    meaningless unless `has_axis`.
    """

    name: str
    kind: Kind
    rule: Rule
    arrays: tuple[str, ...] = ("array",)
    num_required: int = 1
    variadic: bool = False
    takes_list: bool = False
    keywords: tuple[Keyword, ...] = ()
    axis: int | None = None
    awkward_axis: int | None = None

    @property
    def has_axis(self) -> bool:
        """Whether the function works along one dimension."""
        return any(item.kind == "axis" for item in self.keywords)

    def keyword(self, name: str) -> Keyword | None:
        """Return the keyword `name`, if there is one."""
        return next((item for item in self.keywords if item.name == name), None)


_AXIS: Final = Keyword("axis", "axis")
_AXIS_POSITIONAL: Final = Keyword("axis", "axis", positional=True)
_KEEPDIMS: Final = Keyword("keepdims", "bool", default=False)


def _elementwise(rule: Rule, *names: str, arity: int = 1) -> list[Function]:
    arrays = ("x",) if arity == 1 else ("x", "y")
    return [Function(name, "elementwise", rule, arrays, arity) for name in names]


def _reducer(name: str, *, mask_identity: bool, extra: tuple[Keyword, ...] = ()) -> Function:
    keywords = (_AXIS, _KEEPDIMS, Keyword("mask_identity", "bool", default=mask_identity), *extra)
    return Function(name, "reducer", "reduce", keywords=keywords, axis=1)


def _moment(name: str, *, mask_identity: bool, extra: tuple[Keyword, ...] = ()) -> Function:
    keywords = (*extra, _AXIS, _KEEPDIMS, Keyword("mask_identity", "bool", default=mask_identity))
    return Function(name, "reducer", "reduce", ("x", "weight"), 1, keywords=keywords, axis=1)


def _structural(
    name: str,
    rule: Rule,
    *keywords: Keyword,
    axis: int | None = None,
    awkward_axis: int | None = None,
    arrays: tuple[str, ...] = ("array",),
    takes_list: bool = False,
) -> Function:
    return Function(
        name,
        "structural",
        rule,
        arrays,
        len(arrays),
        takes_list=takes_list,
        keywords=keywords,
        axis=axis,
        awkward_axis=awkward_axis,
    )


_INITIAL: Final = (Keyword("initial", "number"),)
_DDOF: Final = (Keyword("ddof", "int", default=0, positional=True),)
_MOMENT_N: Final = (Keyword("n", "int", positional=True, required=True),)
_SORT: Final = (
    _AXIS_POSITIONAL,
    Keyword("ascending", "bool", default=True),
    Keyword("stable", "bool", default=True),
)
_CARTESIAN: Final = (
    _AXIS_POSITIONAL,
    Keyword("nested", "bool", default=False),
    Keyword("with_name", "str"),
)
_NAME: Final = Keyword("name", "str", required=True)
_COMBINATIONS: Final = (
    Keyword("n", "int", positional=True, required=True),
    Keyword("replacement", "bool", default=False),
    _AXIS,
    Keyword("fields", "names"),
    Keyword("with_name", "str"),
)
_CLOSE: Final = (
    Keyword("rtol", "number", default=1e-05, positional=True),
    Keyword("atol", "number", default=1e-08, positional=True),
    Keyword("equal_nan", "bool", default=False, positional=True),
)

_TABLE: Final[tuple[Function, ...]] = (
    *_elementwise("float", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh"),
    *_elementwise("float", "cbrt", "cos", "cosh", "exp", "exp2", "expm1", "fabs", "log"),
    *_elementwise("float", "log10", "log1p", "log2", "rint", "sin", "sinh", "sqrt", "tan", "tanh"),
    *_elementwise("float", "deg2rad", "rad2deg", "spacing"),
    *_elementwise("float64", "float64"),
    *_elementwise("int64", "int64"),
    *_elementwise("uint64", "uint64"),
    *_elementwise("float", "arctan2", "copysign", "hypot", "nextafter", arity=2),
    # uproot's own polynomials, with the precision of those, not scipy's functions
    *_elementwise("float_weak", "erf", "erfc", "gamma", "lgamma"),
    *_elementwise("factorial", "factorial"),
    *_elementwise("same", "abs", "ceil", "floor", "trunc", "sign", "reciprocal", "real", "imag"),
    *_elementwise("conjugate", "conjugate"),
    *_elementwise("bool", "isfinite", "isinf", "isnan", "signbit", "logical_not"),
    *_elementwise("bool", "logical_and", "logical_or", "logical_xor", arity=2),
    *_elementwise("promote", "fmax", "fmin", "fmod", "gcd", "lcm", "maximum", "minimum", arity=2),
    *_elementwise("float_first", "ldexp", arity=2),
    *_elementwise("float", "logaddexp", "logaddexp2", "heaviside", arity=2),
    *_elementwise("float64", "float_power", arity=2),
    Function(
        "round",
        "elementwise",
        "round",
        ("x",),
        keywords=(Keyword("decimals", "int", default=0, positional=True),),
    ),
    Function("isclose", "elementwise", "bool", ("a", "b"), 2, keywords=_CLOSE),
    Function("where", "elementwise", "where", ("condition", "x", "y"), 3),
    _reducer("count", mask_identity=False),
    _reducer("count_nonzero", mask_identity=False),
    _reducer("sum", mask_identity=False),
    _reducer("nansum", mask_identity=False),
    _reducer("prod", mask_identity=False),
    _reducer("nanprod", mask_identity=False),
    _reducer("any", mask_identity=False),
    _reducer("all", mask_identity=False),
    _reducer("min", mask_identity=True, extra=_INITIAL),
    _reducer("nanmin", mask_identity=True, extra=_INITIAL),
    _reducer("max", mask_identity=True, extra=_INITIAL),
    _reducer("nanmax", mask_identity=True, extra=_INITIAL),
    _reducer("argmin", mask_identity=True),
    _reducer("nanargmin", mask_identity=True),
    _reducer("argmax", mask_identity=True),
    _reducer("nanargmax", mask_identity=True),
    _moment("moment", mask_identity=False, extra=_MOMENT_N),
    _moment("mean", mask_identity=False),
    _moment("nanmean", mask_identity=True),
    _moment("var", mask_identity=False, extra=_DDOF),
    _moment("nanvar", mask_identity=True, extra=_DDOF),
    _moment("std", mask_identity=False, extra=_DDOF),
    _moment("nanstd", mask_identity=True, extra=_DDOF),
    _structural("softmax", "softmax", _AXIS, axis=1, awkward_axis=-1, arrays=("x",)),
    _structural("concatenate", "concatenate", _AXIS, axis=1, awkward_axis=0, takes_list=True),
    _structural("flatten", "flatten", _AXIS, axis=2, awkward_axis=1),
    _structural("num", "num", _AXIS_POSITIONAL, axis=1, awkward_axis=1),
    _structural("from_regular", "from_regular", _AXIS_POSITIONAL, axis=1, awkward_axis=1),
    _structural("local_index", "local_index", _AXIS_POSITIONAL, axis=1, awkward_axis=-1),
    Function("follow", "structural", "follow", ("array", "index"), 2),
    Function("instances", "structural", "instances", ("arrays",), 2, variadic=True),
    Function("iteration", "structural", "iteration"),
    _structural("sort", "sort", *_SORT, axis=-1, awkward_axis=-1),
    _structural("argsort", "sort", *_SORT, axis=-1, awkward_axis=-1),
    _structural(
        "mask", "mask", Keyword("valid_when", "bool", default=True), arrays=("array", "mask")
    ),
    _structural("is_none", "is_none", _AXIS_POSITIONAL, axis=0, awkward_axis=0),
    _structural("drop_none", "drop_none", _AXIS_POSITIONAL),
    _structural(
        "pad_none",
        "pad_none",
        Keyword("target", "int", positional=True, required=True),
        _AXIS_POSITIONAL,
        Keyword("clip", "bool", default=False),
        axis=1,
        awkward_axis=1,
    ),
    _structural("present", "present"),
    _structural(
        "fill_none",
        "fill_none",
        _AXIS_POSITIONAL,
        axis=-1,
        awkward_axis=-1,
        arrays=("array", "value"),
    ),
    _structural("firsts", "firsts", _AXIS_POSITIONAL, axis=1, awkward_axis=1),
    _structural("singletons", "singletons", _AXIS_POSITIONAL, axis=0, awkward_axis=0),
    Function("broadcast_arrays", "structural", "broadcast", ("arrays",), 1, variadic=True),
    Function("broadcast_fields", "structural", "unknown", ("arrays",), 1, variadic=True),
    _structural("cartesian", "cartesian", *_CARTESIAN, axis=1, awkward_axis=1, takes_list=True),
    _structural("argcartesian", "cartesian", *_CARTESIAN, axis=1, awkward_axis=1, takes_list=True),
    _structural("zip", "zip", Keyword("depth_limit", "int", required=True), takes_list=True),
    _structural("combinations", "combinations", *_COMBINATIONS, axis=1, awkward_axis=1),
    _structural("argcombinations", "combinations", *_COMBINATIONS, axis=1, awkward_axis=1),
    # of the vector library: four-vectors are records of four coordinates
    _structural("momentum4d", "momentum", Keyword("depth_limit", "int"), takes_list=True),
    _structural("vector_get", "vector_get", _NAME, arrays=("vector",)),
    Function("vector_call", "structural", "vector_call", ("vector", "other"), 1, keywords=(_NAME,)),
    _structural(
        "vector_sum", "vector_sum", Keyword("axis", "int", required=True), arrays=("vector",)
    ),
    Function("almost_equal", "structural", "across", ("left", "right"), 2),
)

FUNCTIONS: Final[dict[str, Function]] = {item.name: item for item in _TABLE}

ALIASES: Final[dict[str, str]] = {
    "absolute": "abs",
    "acos": "arccos",
    "acosh": "arccosh",
    "asin": "arcsin",
    "asinh": "arcsinh",
    "atan": "arctan",
    "atan2": "arctan2",
    "atanh": "arctanh",
    "conj": "conjugate",
    "degrees": "rad2deg",
    "radians": "deg2rad",
    "tgamma": "gamma",  # uproot computes both as exp(lgamma(x))
}

NEGATIVE: Final = frozenset({"neg", "negative"})
"""Functions that are the operator ``-``: a plan holds the operator."""

MODULES: Final = frozenset({"ak", "awkward", "np", "numpy"})
"""Prefixes that a function may carry; they change nothing, defaults included."""

CONSTANTS: Final[dict[str, float]] = {
    "pi": 3.141592653589793,
    "e": 2.718281828459045,
    "inf": float("inf"),
    "nan": float("nan"),
}
"""Numbers of NumPy by name; they need the prefix (``np.pi``)."""


def find_function(name: str) -> Function | None:
    """Return the function that `name`, canonical or an alias, stands for.

    Examples
    --------
    >>> find_function("absolute").name
    'abs'
    """
    return FUNCTIONS.get(ALIASES.get(name, name))


def function_names() -> tuple[str, ...]:
    """Return every name that a selection may call, aliases included."""
    return (*FUNCTIONS, *ALIASES, *sorted(NEGATIVE))

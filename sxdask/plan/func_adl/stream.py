"""The methods of a func_adl stream that are no query operators, as the functions they stand for.

``query.AsAwkwardArray(["pt"])`` is sent as ``ResultAwkwardArray(query, ["pt"])``.
Source: func_adl 3.5, ``ObjectStream``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sxdask.plan.func_adl.tree import Attribute, Call, Name, Sequence, Tree, Value

if TYPE_CHECKING:
    from sxdask.plan.expr import Span
    from sxdask.plan.func_adl.build import Builder

PASSED: Final = frozenset({"QMetaData"})
"""Notes to the client alone, which never leave it: the source itself."""

METHODS: Final[dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]]] = {
    "MetaData": ("MetaData", ("metadata",), ("metadata",)),
    "AsPandasDF": ("ResultPandasDF", ("columns",), ("columns",)),
    "AsAwkwardArray": ("ResultAwkwardArray", ("columns",), ("columns",)),
    "AsParquetFiles": ("ResultParquet", ("filename", "columns"), ("columns", "filename")),
    "AsROOTTTree": (
        "ResultTTree",
        ("filename", "treename", "columns"),
        ("columns", "treename", "filename"),
    ),
}
"""Method -> the function sent, the method's parameters, and their order in the function."""

METHODS.update(
    as_pandas=METHODS["AsPandasDF"],
    as_awkward=METHODS["AsAwkwardArray"],
    as_parquet=METHODS["AsParquetFiles"],
    as_ROOT_tree=METHODS["AsROOTTTree"],
)


def result_call(
    builder: Builder,
    method: Attribute,
    arguments: tuple[Tree, ...],
    keywords: tuple[tuple[str, Tree], ...],
    span: Span,
) -> Call:
    """Return the function that ``method(arguments, keywords)`` stands for."""
    function, parameters, order = METHODS[method.name]
    if len(arguments) > len(parameters):
        builder.refuse(arguments[len(parameters)], f"{method.name} takes {_listed(parameters)}")
    given: dict[str, Tree] = dict(zip(parameters, arguments, strict=False))
    for name, value in keywords:
        if name not in parameters or name in given:
            builder.refuse(value, f"{method.name} takes {_listed(parameters)}, once each")
        given[name] = value
    columns = given.get("columns", Sequence(()))
    if isinstance(columns, Value) and isinstance(columns.value, str):
        columns = Sequence((columns,), columns.span)
    given["columns"] = columns
    for name in parameters:
        if name not in given:
            builder.refuse(span, f"{method.name} takes {_listed(parameters)}: {name} is missing")
    rest = tuple(given[name] for name in order)
    return Call(Name(function, method.span), (method.value, *rest), (), span)


def _listed(parameters: tuple[str, ...]) -> str:
    return ", ".join(parameters)

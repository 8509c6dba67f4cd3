"""What stands around a whole query: names of the result's columns, and notes to a generator.

``ResultTTree``, ``ResultParquet``, ``ResultPandasDF`` and ``ResultAwkwardArray``
name the columns; the file and format are the request's own business here.
``MetaData`` carries notes for generators of C++; those that change the result
are refused by name. Sources: qastle 0.19 and func_adl 3.5 for the calls,
func_adl_xAOD 3.4 for the kinds of notes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sxdask.plan.func_adl.tree import Call, Mapping, Sequence, Tree
from sxdask.plan.func_adl.tree import Value as Literal

if TYPE_CHECKING:
    from sxdask.plan.func_adl.evaluate import Evaluator

RESULTS: Final = frozenset(
    {"MetaData", "ResultTTree", "ResultParquet", "ResultPandasDF", "ResultAwkwardArray"}
)
"""Functions of a whole query, which stands first among their arguments."""

_CPP: Final = {
    "inject_code": "C++ code cannot run here",
    "add_cpp_function": "C++ functions cannot run here",
    "add_job_script": "job scripts set up ATLAS tools, which are not here",
    "define_enum": "enumerations of C++ are not known here",
    "add_cms_aod_event_collection_info": "collections of C++ classes are not known here",
    "add_cms_miniaod_event_collection_info": "collections of C++ classes are not known here",
}
_NO_EFFECT: Final = frozenset({"add_method_type_info", "add_atlas_event_collection_info", "docker"})
"""Types for a compiler; the containers of an xAOD file tell their own."""

_HINT: Final = "leave it out, and compute from what the branches hold"


def require_answerable(evaluator: Evaluator, tree: Call) -> None:
    """Refuse notes that ask for C++; others say nothing about the result.

    Raises
    ------
    SelectionTypeError
        With the kind of note that cannot be answered.
    """
    for note in tree.arguments[1:]:
        if not isinstance(note, Mapping):
            evaluator.refuse(note, "the notes of MetaData are a mapping", '{"metadata_type": ...}')
        kinds = dict(zip(note.keys, note.values, strict=True))
        kind = kinds.get("metadata_type")
        if kind is None:
            continue
        if not isinstance(kind, Literal) or not isinstance(kind.value, str):
            evaluator.refuse(kind, "the metadata_type is a text")
        if kind.value in _NO_EFFECT:
            continue
        why = _CPP.get(kind.value, "nothing here knows this kind of note")
        evaluator.refuse(kind, f"{kind.value} cannot be answered: {why}", _HINT)


def names_of_columns(evaluator: Evaluator, tree: Call) -> tuple[str, ...]:
    """Return the names that a result function gives to the columns; none keep their own."""
    if len(tree.arguments) < 2:
        return ()
    given = tree.arguments[1]
    items: tuple[Tree, ...] = given.items if isinstance(given, Sequence) else (given,)
    names: list[str] = []
    for item in items:
        if isinstance(item, Literal) and item.value is None:
            continue
        if not isinstance(item, Literal) or not isinstance(item.value, str) or not item.value:
            evaluator.refuse(item, "the name of a column is a text", "such as ['pt', 'eta']")
        if item.value in names:
            evaluator.refuse(item, f"two columns are called {item.value!r}")
        names.append(item.value)
    return tuple(names)

"""xAOD objects in queries over files that are read without ATLAS software.

``e.Electrons("AnalysisElectrons")`` is the items of a container, and their
methods are variables of it, what the xAOD classes compute from variables, or
objects that links lead to. What needs ATLAS C++ is refused by its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from sxdask.core.errors import close_names
from sxdask.core.types import FixedList, ListOf, Option, Primitive, String, Type
from sxdask.plan.broadcast import MismatchError
from sxdask.plan.expr import Call as Expression
from sxdask.plan.expr import Constant
from sxdask.plan.func_adl import vectors
from sxdask.plan.func_adl.tree import Attribute, Call, Item, Name, Tree
from sxdask.plan.func_adl.tree import Value as Literal
from sxdask.plan.func_adl.values import Array, Event, Value
from sxdask.plan.func_adl.xaod_formulas import methods_of
from sxdask.plan.func_adl.xaod_links import METHODS, follow_link, primary_track
from sxdask.plan.func_adl.xaod_members import Members
from sxdask.plan.func_adl.xaod_objects import Objects, item_at, objects_of
from sxdask.plan.func_adl.xaod_store import PAGE, Store

if TYPE_CHECKING:
    from sxdask.plan.expr import Span
    from sxdask.plan.func_adl.evaluate import Evaluator, Scope

ACCESSORS: Final[dict[str, tuple[str, str | None]]] = {
    "BTagging": ("BTagging", "BTagging_AntiKt4EMPFlow"),
    "BTaggings": ("BTagging", "BTagging_AntiKt4EMPFlow"),
    "CaloClusters": ("CaloCluster", "egammaClusters"),
    "Electrons": ("Electron", "AnalysisElectrons"),
    "EventInfo": ("EventInfo", "EventInfo"),
    "FatJets": ("Jet", "AnalysisLargeRJets"),
    "Jets": ("Jet", "AnalysisJets"),
    "MissingET": ("MissingET", "MET_Core_AnalysisMET"),
    "Muons": ("Muon", "AnalysisMuons"),
    "Photons": ("Photon", "AnalysisPhotons"),
    "TauJets": ("TauJet", "AnalysisTauJets"),
    "TauTracks": ("TauTrack", "TauTracks"),
    "TrackParticles": ("TrackParticle", "InDetTrackParticles"),
    "Tracks": ("TrackParticle", "InDetTrackParticles"),
    "TruthEvents": ("TruthEvent", "TruthEvents"),
    "TruthParticles": ("TruthParticle", None),
    "TruthVertices": ("TruthVertex", None),
    "Vertices": ("Vertex", "PrimaryVertices"),
}
"""Method of the event -> class of the items, and the container if none is named."""

_ATTRIBUTE: Final = {"getAttribute", "auxdata", "auxdataConst"}
_TYPES: Final[dict[str, str]] = {
    **dict.fromkeys(("float", "double"), "f"),
    **dict.fromkeys(("int", "unsigned int", "uint", "char", "short", "long"), "i"),
    **dict.fromkeys(("bool",), "b"),
    **dict.fromkeys(("string", "std::string"), "s"),
}
_PRIMARY: Final = {"primaryTrackParticle", "primaryTrackParticleLink", "trackParticle"}
_PREFIXES: Final = ("getAttributeVector", "getAttribute")
_FIRST: Final = f"see {PAGE} for what there is"


def is_accessor(value: Value, name: str) -> bool:
    """Whether ``value.name(...)`` is a collection of the event."""
    return isinstance(value, Event) and not value.prefix and name in ACCESSORS


def collection(
    evaluator: Evaluator, event: Event, function: Attribute, tree: Call, scope: Scope
) -> Objects:
    """Return the objects that ``e.Electrons("AnalysisElectrons")`` stands for.

    Raises
    ------
    SelectionTypeError
        If there is no such container, or calibrated objects are asked for.
    """
    kind, usual = ACCESSORS[function.name]
    store = Store(evaluator.algebra.schema)
    if not store.is_xaod:
        evaluator.refuse(
            tree,
            f"{function.name}() is of an xAOD file, and this tree has no containers of one",
            "name a branch: e.Muon_pt",
        )
    name = _container_name(evaluator, function, tree, scope) or usual
    if name is None:
        evaluator.refuse(
            tree, f"{function.name} needs the name of a container", store.listing(kind)
        )
    try:
        return objects_of(store.container(name, kind), store, event.loop, tree.span)
    except MismatchError as error:
        evaluator.refuse(tree, error.problem, error.hint)


def _container_name(
    evaluator: Evaluator, function: Attribute, tree: Call, scope: Scope
) -> str | None:
    found: str | None = None
    given = [("collection", item) for item in tree.arguments] + list(tree.keywords)
    for key, item in given:
        value = constant_of(evaluator, item, scope)
        if key == "calibrate" and value is False:
            continue
        if key in {"collection", "uncalibrated_collection"} and isinstance(value, str):
            found = value
            continue
        if key.startswith("calib"):
            evaluator.refuse(
                item,
                f"{function.name} of calibrated objects needs ATLAS C++ tools",
                "PHYSLITE objects are calibrated already: write calibrate=False",
            )
        evaluator.refuse(
            item,
            f"{function.name} takes the name of a container",
            f'such as e.{function.name}("{ACCESSORS[function.name][1] or "TruthElectrons"}")',
        )
    return found


def constant_of(evaluator: Evaluator, tree: Tree, scope: Scope) -> object:
    """Return the constant that an argument is.

    Raises
    ------
    SelectionTypeError
        If it is none.
    """
    value = evaluator.value(tree, scope)
    if not isinstance(value, Array) or not isinstance(value.expr, Constant):
        evaluator.refuse(tree, "a method of an xAOD object takes constants", 'such as "pt" or 0')
    return value.expr.value


def method(
    evaluator: Evaluator, objects: Objects, function: Attribute, tree: Call, scope: Scope
) -> Value:
    """Return ``objects.name(...)`` for each object.

    Raises
    ------
    SelectionTypeError
        If there is no such variable or link, or it takes ATLAS C++ to answer.
    """
    if tree.keywords:
        evaluator.refuse(tree.keywords[0][1], f"{function.name} takes no argument by name")
    if objects.lists:
        evaluator.refuse_at(
            function.span,
            f"{function.name} is a method of one object, and this is a sequence of them",
            f".Select(lambda x: x.{function.name}())",
        )
    arguments = [constant_of(evaluator, item, scope) for item in tree.arguments]
    try:
        return _member(evaluator, objects, function.name, arguments, tree)
    except MismatchError as error:
        evaluator.refuse_at(function.span or tree.span, error.problem, error.hint)


def typed_method(
    evaluator: Evaluator, objects: Objects, function: Item, tree: Call, scope: Scope
) -> Value:
    """Return ``objects.auxdataConst["float"]("pt")`` for each object."""
    base = function.value
    assert isinstance(base, Attribute)  # noqa: S101  the caller has seen to it
    words = function.index.id if isinstance(function.index, Name) else None
    if isinstance(function.index, Literal) and isinstance(function.index.value, str):
        words = function.index.value
    if base.name not in _ATTRIBUTE or words is None:
        evaluator.refuse(function, f"only {_listed(_ATTRIBUTE)} take a type in brackets", _FIRST)
    arguments = [constant_of(evaluator, item, scope) for item in tree.arguments]
    try:
        return _attribute(evaluator, objects, arguments, words, tree.span)
    except MismatchError as error:
        evaluator.refuse(tree, error.problem, error.hint)


def _member(
    evaluator: Evaluator, objects: Objects, name: str, arguments: list[object], tree: Call
) -> Value:
    if name in _ATTRIBUTE:
        return _attribute(evaluator, objects, arguments, None, tree.span)
    for prefix in _PREFIXES:
        if name.startswith(prefix) and name != prefix:
            words = name.removeprefix(prefix).lower()
            is_vector = prefix == _PREFIXES[0]
            return _attribute(
                evaluator, objects, arguments, f"vector<{words}>" if is_vector else words, tree.span
            )
    algebra, span = evaluator.algebra, tree.span
    if name == "p4":
        _require_none(name, arguments)
        return _momentum(evaluator, objects, tree)
    link = METHODS.get((objects.kind, name))
    if link is not None and link[0] in objects.links():
        found = follow_link(algebra, objects, link[0], span)
        return item_at(algebra, found, _position(arguments), span) if link[1] else found
    if objects.kind == "Muon" and name in _PRIMARY:
        _require_none(name, arguments)
        return primary_track(algebra, objects, span)
    if name in objects.links():
        _require_none(name, arguments)
        return follow_link(algebra, objects, name, span)
    return Members(algebra, objects, span).call(name, arguments)


def _momentum(evaluator: Evaluator, objects: Objects, tree: Call) -> Value:
    """Return the four-vector of each object; a missing one for a missing object."""
    algebra, span = evaluator.algebra, tree.span
    record, present = Members(algebra, objects, span).momentum()
    vector = vectors.convert(evaluator, record, tree)
    if present is None or not isinstance(vector, Array):
        return vector
    return algebra.make(
        lambda x, test: Expression("mask", (x, test), (), span), vector, present, is_momentum=True
    )


def _position(arguments: list[object]) -> int:
    match arguments:
        case []:
            return 0
        case [int() as number] if not isinstance(number, bool) and number >= 0:
            return number
        case _:
            raise MismatchError("the position of an object is a whole number from 0 on")


def _require_none(name: str, arguments: list[object]) -> None:
    if arguments:
        raise MismatchError(f"{name} takes no argument")


def _attribute(
    evaluator: Evaluator,
    objects: Objects,
    arguments: list[object],
    words: str | None,
    span: Span | None,
) -> Value:
    match arguments:
        case [str() as name]:
            found = Members(evaluator.algebra, objects, span).stored(name)
        case _:
            raise MismatchError(
                "an attribute is asked for by its name", 'such as getAttributeFloat("Width")'
            )
    if words is not None:
        _require_type(found, name, words)
    return found


def _require_type(found: Array, name: str, words: str) -> None:
    plain = words.removeprefix("cpp_").replace("std::", "").strip()
    inner = plain.removeprefix("vector<").removesuffix(">").strip()
    letter = _TYPES.get(inner)
    if letter is None:
        raise MismatchError(f"{words!r} is no type of a variable", "such as float or vector<float>")
    if (inner != plain) != (found.lists > 0) or letter not in _letters(found.type):
        depth = "vector of " * found.lists
        raise MismatchError(f"{name!r} is {depth}{_leaf(found.type)} in the file, and not {words}")


def _leaf(kind: Type) -> Type:
    while isinstance(kind, ListOf | FixedList | Option):
        kind = kind.item
    return kind


def _letters(kind: Type) -> str:
    match _leaf(kind):
        case Primitive(dtype) if dtype.startswith("float"):
            return "f"
        case Primitive("int8" | "uint8" | "bool"):
            return "ib"
        case Primitive():
            return "i"
        case String():
            return "s"
        case _:
            return ""


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names))


def refuse_attribute(
    evaluator: Evaluator, objects: Objects, name: str, span: Span | None
) -> NoReturn:
    """Refuse ``electron.pt``: variables are methods.

    Raises
    ------
    SelectionTypeError
        Always, with the call to write.
    """
    known = objects.variables
    hint = f"call it: {name}()" if name in known else close_names(name, known)
    evaluator.refuse_at(span, f"{objects.label} has methods, and {name!r} is not called", hint)


def refuse_result(evaluator: Evaluator, objects: Objects) -> NoReturn:
    """Refuse objects as the result of a query: they have no values of their own.

    Raises
    ------
    SelectionTypeError
        Always, with what to write.
    """
    names = (*objects.variables, *methods_of(objects.kind))
    name = "pt" if "pt" in names else next(iter(names), "pt")
    evaluator.refuse_at(
        objects.span,
        f"the result has objects of {objects.label}, and only their variables can be stored",
        f"take what you need of them, such as {name}()",
    )

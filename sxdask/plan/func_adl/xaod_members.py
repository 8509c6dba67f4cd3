"""The methods of xAOD objects: stored variables, formulas over them, counts, four-vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sxdask.core.errors import close_names
from sxdask.plan.broadcast import MismatchError
from sxdask.plan.expr import Call, Compare, Constant, Slice, Subscript, Unary
from sxdask.plan.func_adl.values import Array, Struct
from sxdask.plan.func_adl.xaod_formulas import COUNTS, OVERRIDING, computed, formula, methods_of
from sxdask.plan.func_adl.xaod_objects import Linked, Objects, is_valid, variable
from sxdask.plan.func_adl.xaod_store import PAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from sxdask.plan.expr import Expr, Span
    from sxdask.plan.func_adl.algebra import Algebra

_NEEDS_CPP: Final = {
    **dict.fromkeys(
        ("summaryValue", "uint8SummaryValue", "floatSummaryValue"), "numberOfPixelHits()"
    ),
    **dict.fromkeys(("isolation", "isolationValue"), "topoetcone20()"),
    **dict.fromkeys(("isolationCaloCorrection", "isolationTrackCorrection"), "topoetcone20()"),
    **dict.fromkeys(("showerShapeValue", "caloVariableValue"), "f1()"),
    **dict.fromkeys(("trackCaloMatchValue", "likelihoodValue"), "f1()"),
    **dict.fromkeys(("parameter", "floatParameter", "intParameter"), "InnerDetectorPt()"),
    **dict.fromkeys(("isTau", "discriminant"), "RNNJetScore()"),
    **dict.fromkeys(("errorState", "eventFlags", "isEventFlagBitSet"), "larFlags()"),
    **dict.fromkeys(("nTracks", "tracks", "nTracksCharged"), "nAllTracks()"),
    "jetP4": "JetConstitScaleMomentum_pt()",
    "getConstituents": "numConstituents()",
    "etaBE": "eta()",
    "definingParametersCovMatrix": "definingParametersCovMatrixDiag()",
}
"""Methods that take values of C++ types or fill a reference -> a variable to take instead."""


_CYLINDRICAL: Final = ("pt", "eta", "phi", "m")
_CARTESIAN: Final = ("px", "py", "pz", "e")
_COORDINATES: Final = {"m": "mass", "e": "E"}
_NUM_AUTHORS: Final = 16


@dataclass(frozen=True, slots=True)
class Members:
    """Methods of `objects`, asked for at `span` of the user's text."""

    algebra: Algebra
    objects: Objects
    span: Span | None

    def call(self, name: str, arguments: list[object]) -> Array:
        """Return what method `name` gives for each object.

        Raises
        ------
        MismatchError
            If there is none, or it cannot be answered from the file.
        """
        special: dict[tuple[str, str], Callable[[list[object]], Array]] = {
            ("EventInfo", "mcEventWeight"): self._weight,
            ("Muon", "isAuthor"): self._is_author,
            ("Electron", "passSelection"): self._passes,
            ("Photon", "passSelection"): self._passes,
        }
        found = special.get((self.objects.kind, name))
        if found is not None:
            return found(arguments)
        if name == "isValid" and len(self.objects.values) == 2:
            return is_valid(self.algebra, self.objects, self.span)
        counted = COUNTS.get((self.objects.kind, name))
        if counted is not None and not arguments:
            return self._count(counted)
        if name in _NEEDS_CPP and name not in self.objects.variables:
            raise MismatchError(
                f"{name} needs ATLAS C++: its arguments or its result are no plain values",
                f"take the variable itself, such as {_NEEDS_CPP[name]}; {PAGE} lists what there is",
            )
        if arguments:
            raise MismatchError(f"{name} takes no argument")
        return self.value(name)

    def stored(self, name: str) -> Array:
        """Return variable `name` as it is stored."""
        found = variable(self.algebra, self.objects, name, self.span)
        if found is None:
            raise self._unknown(name)
        return found

    def value(self, name: str) -> Array:
        """Return variable `name`, or what the class computes under that name."""
        kind = self.objects.kind
        text = OVERRIDING.get(kind, {}).get(name)
        if text is not None:
            return self._computed(text, self.stored)
        found = variable(self.algebra, self.objects, name, self.span)
        if found is not None:
            return found
        text = formula(kind, name)
        if text is None:
            raise self._unknown(name)
        return self._computed(text, self.value)

    def momentum(self) -> tuple[Struct, Array | None]:
        """Return the coordinates of each object's four-vector, in double precision.

        Where objects may be missing, also whether each is there: a four-vector
        is missing as a whole and not coordinate by coordinate.
        """
        stored = self.objects.variables
        names = _CARTESIAN if set(_CARTESIAN) <= set(stored) else _CYLINDRICAL
        arrays = [self._computed(f"float64({name})", self.value) for name in names]
        present: Array | None = None
        if isinstance(self.objects.source, Linked):
            last = (("axis", -1),)
            present = self.algebra.make(
                lambda x: Unary("~", Call("is_none", (x,), last, self.span), self.span), arrays[0]
            )
            arrays = [
                item
                if item.is_constant
                else self.algebra.make(
                    lambda x: Call("fill_none", (x, Constant(0.0)), last, self.span), item
                )
                for item in arrays
            ]
        labels = tuple(_COORDINATES.get(name, name) for name in names)
        return Struct(labels, tuple(arrays)), present

    def _computed(self, text: str, value: Callable[[str], Array]) -> Array:
        return computed(self.algebra, text, value, self.span)

    def _count(self, links: str) -> Array:
        items = self.stored(links)
        return self.algebra.call("num", items, span=self.span, axis=len(items.loops))

    def _weight(self, arguments: list[object]) -> Array:
        number = arguments[0] if arguments else 0
        if len(arguments) > 1 or not isinstance(number, int) or number < 0:
            raise MismatchError("mcEventWeight takes the number of a weight, from 0 on")
        weights = self.stored("mcEventWeights")
        places: tuple[Slice | Expr, ...] = (*(Slice(),) * len(weights.loops), Constant(number))
        return self.algebra.make(lambda x: Subscript(x, places, self.span), weights)

    def _is_author(self, arguments: list[object]) -> Array:
        match arguments:
            case [int() as number] if 0 <= number < _NUM_AUTHORS:
                return self._computed(f"(allAuthors & {1 << number}) != 0", self.stored)
            case _:
                raise MismatchError("isAuthor takes the number of an author, 0 to 15")

    def _passes(self, arguments: list[object]) -> Array:
        match arguments:
            case [str() as menu]:
                flag = self.stored(menu)
                return self.algebra.make(lambda x: Compare("!=", x, Constant(0), self.span), flag)
            case _:
                raise MismatchError(
                    "passSelection takes the name of a selection",
                    'such as passSelection("DFCommonElectronsLHLoose")',
                )

    def _unknown(self, name: str) -> MismatchError:
        objects = self.objects
        if not objects.containers:
            return MismatchError(
                f"these links lead to objects of {objects.label}, which are not in this file",
                "they can be counted",
            )
        stored = objects.variables
        known = (*stored, *methods_of(objects.kind, stored))
        return MismatchError(
            f"{objects.label} has no variable {name!r} in this file, and none to compute it from",
            close_names(name, known) or f"what needs ATLAS C++ cannot be answered: see {PAGE}",
        )

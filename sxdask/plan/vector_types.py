"""Result types of four-vector operations, which the `vector` library computes.

A four-vector is a record of four coordinates under any of their names, and
perhaps other fields. Names of coordinates and the coordinates of a sum are
those of vector 1.6 [1]_.

References
----------
.. [1] ``vector._methods`` and ``vector._compute.lorentz.add``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sxdask.core.types import Primitive, Record, Type, Unknown
from sxdask.plan.broadcast import MismatchError, Options, at_dimension, broadcast, item_of
from sxdask.plan.promotion import float_of, is_known, promote_dtypes, settle
from sxdask.plan.record_types import zip_type

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sxdask.plan.promotion import TypeOrWeak

COORDINATES: Final[dict[str, str]] = {
    "x": "x",
    "px": "x",
    "y": "y",
    "py": "y",
    "rho": "rho",
    "pt": "rho",
    "phi": "phi",
    "z": "z",
    "pz": "z",
    "theta": "theta",
    "eta": "eta",
    "t": "t",
    "E": "t",
    "e": "t",
    "energy": "t",
    "tau": "tau",
    "M": "tau",
    "m": "tau",
    "mass": "tau",
}
"""Name of a coordinate -> the coordinate."""

_PLANE: Final = (("x", "y"), ("rho", "phi"))
_ALONG: Final = ("z", "theta", "eta")
_TIME: Final = ("t", "tau")

IN_PLANE: Final = frozenset({"x", "px", "y", "py", "rho", "rho2", "pt", "pt2", "phi"})
IN_SPACE: Final = frozenset(
    {"z", "pz", "theta", "eta", "pseudorapidity", "costheta", "cottheta"}
    | {"mag", "mag2", "p", "p2"}
)
IN_TIME: Final = frozenset(
    {"t", "t2", "E", "E2", "e", "e2", "energy", "energy2", "tau", "tau2", "m", "m2", "M", "M2"}
    | {"mass", "mass2", "mt", "mt2", "Mt", "Mt2", "transverse_mass", "transverse_mass2"}
    | {"et", "et2", "Et", "Et2", "transverse_energy", "transverse_energy2"}
    | {"rapidity", "beta", "gamma"}
)
PROPERTIES: Final = IN_PLANE | IN_SPACE | IN_TIME
"""Numbers that a four-vector has beside its own fields."""

BETWEEN: Final = frozenset(
    {"deltaR", "deltaR2", "deltaphi", "deltaeta", "deltaangle", "dot"}
    | {"deltaRapidityPhi", "deltaRapidityPhi2"}
)
"""Methods of two four-vectors that give a number."""

_NEEDED: Final = {"deltaphi": 2, "deltaR": 3, "deltaR2": 3, "deltaeta": 3, "deltaangle": 3}
"""How many of the coordinates a method looks at, where not at all four."""

TESTS: Final = frozenset({"is_timelike", "is_spacelike", "is_lightlike"})
COMBINED: Final = frozenset({"add", "subtract", "boost", "boost_p4", "boostCM_of", "boostCM_of_p4"})
SCALED: Final = frozenset({"scale", "divide"})
TURNED: Final = frozenset({"rotateX", "rotateY", "rotateZ", "boostX", "boostY", "boostZ"})
METHODS: Final = BETWEEN | TESTS | COMBINED | SCALED | TURNED | {"negative"}
"""What `vector_call` can do; `divide` and `negative` are operators."""


def system_of(names: Sequence[str]) -> tuple[str, str, str, str] | None:
    """Return the four coordinates that `names` are, None if they make no four-vector.

    Examples
    --------
    >>> system_of(("pt", "eta", "phi", "mass", "charge"))
    ('rho', 'phi', 'eta', 'tau')
    """
    found = [COORDINATES[name] for name in names if name in COORDINATES]
    plane = [pair for pair in _PLANE if set(pair) <= set(found)]
    along = [item for item in _ALONG if item in found]
    time = [item for item in _TIME if item in found]
    if len(found) != 4 or not (len(plane) == len(along) == len(time) == 1):
        return None
    return (*plane[0], along[0], time[0])


def momentum_type(name: str, args: Sequence[Type], options: Options) -> Type:
    """Return the type of records that become four-vectors."""
    kind = zip_type(name, args, options) if "depth_limit" in options else args[0]
    return settle(broadcast((kind,), _checked))


def _checked(kinds: tuple[TypeOrWeak, ...]) -> TypeOrWeak:
    (kind,) = kinds
    if isinstance(kind, Unknown):
        return kind
    _numbers(kind)
    return kind


def _numbers(kind: TypeOrWeak) -> dict[str, str]:
    """Return the dtype of each coordinate of a four-vector.

    Raises
    ------
    MismatchError
        If it is none.
    """
    if not isinstance(kind, Record):
        raise MismatchError(f"{settle(kind)} is no four-vector", "such as ToFourMomentum()")
    system = system_of([name for name, _ in kind.fields])
    if system is None:
        names = ", ".join(name for name, _ in kind.fields)
        raise MismatchError(
            f"the fields {names} make no four-vector",
            "name them pt, eta, phi, mass (or energy), or px, py, pz, E",
        )
    dtypes: dict[str, str] = {}
    for name, item in kind.fields:
        if name in COORDINATES:
            if not isinstance(item, Primitive) or not is_known(item.dtype):
                raise MismatchError(f"the coordinate {name} is {item} and not a number")
            dtypes[COORDINATES[name]] = item.dtype
    return {name: dtypes[name] for name in system}


def _float(*dtypes: str) -> str:
    result = dtypes[0]
    for item in dtypes[1:]:
        result = promote_dtypes(result, item)
    return float_of(Primitive(result)).dtype


def get_type(_: str, args: Sequence[Type], options: Options) -> Type:
    """Return the type of a property of four-vectors, such as the mass."""
    name = str(options.get("name"))
    if name not in PROPERTIES:
        raise MismatchError(f"a four-vector has no {name!r}", "such as pt, eta, phi, mass, energy")

    def leaf(kinds: tuple[TypeOrWeak, ...]) -> TypeOrWeak:
        numbers = _numbers(kinds[0])
        wanted = COORDINATES.get(name)
        if wanted in numbers:
            return Primitive(numbers[wanted])
        parts = list(numbers.values())
        count = 2 if name in IN_PLANE else 3 if name in IN_SPACE else 4
        return Primitive(_float(*parts[:count]))

    return settle(broadcast((args[0],), leaf))


def call_type_of(_: str, args: Sequence[Type], options: Options) -> Type:
    """Return the type of a method of four-vectors, such as deltaR."""
    name = str(options.get("name"))
    if name not in METHODS:
        raise MismatchError(f"a four-vector has no method {name!r}", "such as deltaR")
    wanted = 1 if name in TESTS or name == "negative" else 2
    if len(args) != wanted:
        raise MismatchError(f"{name} takes {wanted - 1} argument{'s' if wanted != 2 else ''}")
    return settle(broadcast(args, lambda kinds: _result(name, kinds)))


def _result(name: str, kinds: tuple[TypeOrWeak, ...]) -> TypeOrWeak:
    first = _numbers(kinds[0])
    if name in TESTS:
        return Primitive("bool")
    if name in BETWEEN or name in COMBINED:
        second = _numbers(kinds[1])
        if name in BETWEEN:
            count = _NEEDED.get(name, 4)
            return Primitive(_float(*[*first.values()][:count], *[*second.values()][:count]))
        common = _float(*first.values(), *second.values())
        names = _sum_system(tuple(first), tuple(second))
        if name.startswith("boost"):
            names = ("x", "y", "z", tuple(first)[3])
        return _vector(names, common)
    for kind in kinds[1:]:
        if not isinstance(settle(kind), Primitive):
            raise MismatchError(f"{name} takes a number and not {settle(kind)}")
    return _vector(tuple(first), _float(*first.values()))


def _sum_system(one: tuple[str, ...], two: tuple[str, ...]) -> tuple[str, ...]:
    space = one[:3] if one[:3] == two[:3] else ("x", "y", "z")
    return (*space, "tau" if one[3] == two[3] == "tau" else "t")


def _vector(names: tuple[str, ...], dtype: str) -> Record:
    return Record(tuple((name, Primitive(dtype)) for name in names))


def sum_type(_: str, args: Sequence[Type], options: Options) -> Type:
    """Return the type of the sum of lists of four-vectors."""
    axis = options.get("axis")
    if not isinstance(axis, int) or axis < 1:
        raise MismatchError("the sum of four-vectors is within the event", "axis=1")

    def change(level: Type) -> Type:
        def leaf(kinds: tuple[TypeOrWeak, ...]) -> TypeOrWeak:
            return _vector(("t", "z", "x", "y"), _float(*_numbers(kinds[0]).values()))

        return settle(broadcast((item_of(level),), leaf))

    return at_dimension(args[0], axis, change)

"""The containers of an xAOD file as its branches show them: names, classes, variables.

A container ``AnalysisElectrons`` is an interface branch of that name, which
tells the class of its items, and one branch a variable: ``AnalysisElectronsAuxDyn.pt``
or, for variables that the class always has, ``AnalysisElectronsAux.pt``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sxdask.core.errors import close_names
from sxdask.core.types import ListOf, Primitive, Record
from sxdask.plan.broadcast import MismatchError
from sxdask.plan.func_adl.xaod_keys import container_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sxdask.core.types import Field, Schema

PAGE: Final = "docs/reference/physlite.md"
"""What hints refer to."""

LINK_FIELDS: Final = ("m_persKey", "m_persIndex")

_VARIABLE: Final = re.compile(r"(?P<container>.+?)Aux(?:Dyn)?\.(?P<variable>.+)")
_CLASS: Final = re.compile(r"xAOD::(\w+?)(?:Container)?_v\d+")
_PARTICLES: Final = (
    *("Electron", "Photon", "Muon", "TauJet", "Jet"),
    *("TrackParticle", "CaloCluster", "TruthParticle"),
)
_SINGLE: Final = frozenset({"EventInfo", "EventShape"})


@dataclass(frozen=True, slots=True)
class Container:
    """One container: `columns` are its variables, by name, with their branches.

    `kind` is the class of its items without namespace and version
    (``Electron``); `links` are the variables that refer to other containers.
    """

    name: str
    kind: str
    columns: Mapping[str, str] = field(compare=False, repr=False)
    links: frozenset[str] = field(compare=False, repr=False)

    @property
    def is_single(self) -> bool:
        """Whether there is one object an event, and not a list."""
        return self.kind in _SINGLE

    @property
    def key(self) -> int | None:
        """What links into this container have as their key."""
        return container_key(self.name, self.kind)


class Store:
    """The containers of one tree."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._kinds: dict[str, str] = {}
        self._columns: dict[str, dict[str, str]] = {}
        for item in schema.fields:
            found = _VARIABLE.fullmatch(item.name)
            if found and item.reason is None:
                self._columns.setdefault(found["container"], {})[found["variable"]] = item.name
            elif kind := _CLASS.search(item.typename):
                self._kinds.setdefault(item.name, kind[1])

    @property
    def is_xaod(self) -> bool:
        """Whether the tree has any container at all."""
        return bool(self._columns)

    def container(self, name: str, kind: str) -> Container:
        """Return container `name`, whose items should be of class `kind`.

        Raises
        ------
        MismatchError
            If there is none, or its items are of another class.
        """
        if name not in self._columns:
            known = sorted(self._columns)
            empty = name in self._kinds
            raise MismatchError(
                f"container {name!r} has no variables in this file"
                if empty
                else f"there is no container {name!r}",
                close_names(name, known) or self.listing(kind),
            )
        actual = self._kinds.get(name, kind)
        if actual != kind:
            raise MismatchError(
                f"the items of {name!r} are of class {actual}, not {kind}", self.listing(kind)
            )
        columns = self._columns[name]
        links = frozenset(filter(None, map(self._link_name, columns.items())))
        return Container(name, kind, columns, links)

    def containers_of(self, kind: str) -> tuple[Container, ...]:
        """Return the containers whose items are of class `kind`, in the order of the file."""
        names = [name for name in self._columns if self._kinds.get(name) == kind]
        return tuple(self.container(name, kind) for name in names)

    def particles(self) -> tuple[Container, ...]:
        """Return the containers of particles, which a link to any particle may lead to."""
        return tuple(item for kind in _PARTICLES for item in self.containers_of(kind))

    def listing(self, kind: str) -> str | None:
        """Return a hint that names the containers of class `kind`."""
        names = [repr(item.name) for item in self.containers_of(kind)]
        return f"containers of {kind}: {', '.join(names)}" if names else None

    def field(self, column: str) -> Field:
        """Return what is known of branch `column`."""
        return self.schema[column]

    def _link_name(self, item: tuple[str, str]) -> str | None:
        variable, column = item
        kind = self.schema[column].type
        while isinstance(kind, ListOf):
            kind = kind.item
        if isinstance(kind, Record) and tuple(name for name, _ in kind.fields) == LINK_FIELDS:
            return variable
        owner, _, part = variable.rpartition(".")
        # a link that is one an item is split into two branches
        return owner if part == LINK_FIELDS[0] and isinstance(kind, Primitive) else None

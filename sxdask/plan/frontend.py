"""What a request language is, and the registry of those there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from sxdask.core.registry import Registry

if TYPE_CHECKING:
    from sxdask.plan.lexer import Limits
    from sxdask.plan.nodes import Plan, SchemaSource

Selection: TypeAlias = Any
"""Text of the language, or its structure where the language is JSON.

A language with options takes a mapping with ``selection`` and the options;
func_adl also takes the query object or its syntax tree, python the function.
"""


class Frontend(Protocol):
    """Turn a request into an unoptimised plan.

    A frontend is deterministic, does no I/O beyond asking `source` for names
    and types, and refuses what it does not know with the place in the user's
    text. It never optimises: equal requests in two languages meet as equal
    plans after the shared optimiser, not before.
    """

    def __init__(self, limits: Limits) -> None: ...

    def parse(self, selection: Selection, source: SchemaSource) -> Plan:
        """Return the plan for `selection` over data such as `source`."""
        ...


FRONTENDS: Final[Registry[type[Frontend]]] = Registry(
    kind="request language",
    group="sxdask.frontends",
    builtin={
        "func_adl": "sxdask.plan.frontends.func_adl:FuncAdlFrontend",
        "native": "sxdask.plan.frontends.native:NativeFrontend",
        "python": "sxdask.plan.frontends.python:PythonFrontend",
        "qastle": "sxdask.plan.frontends.qastle:QastleFrontend",
        "skyhook": "sxdask.plan.frontends.skyhook:SkyhookFrontend",
        "tcut": "sxdask.plan.frontends.tcut:TCutFrontend",
        "uproot-raw": "sxdask.plan.frontends.uproot_raw:UprootRawFrontend",
    },
)

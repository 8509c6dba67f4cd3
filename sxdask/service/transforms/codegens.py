"""Code generators by the names that clients send: the request languages, and what is refused.

The names are those of ServiceX; a name is a key of ``code-gen-image``, and its
value is free text that clients show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sxdask import __version__
from sxdask.core.errors import RequestError, close_names


@dataclass(frozen=True, slots=True)
class Codegen:
    """A request language as ServiceX's clients call it.

    `tree` is what the tree of a ROOT file is called whose query names none.
    """

    name: str
    language: str
    tree: str = "servicex"


_ATLAS: Final = ("atlasr21", "atlasr22", "atlasr25", "atlasxaod")
CODEGENS: Final = {
    "uproot": Codegen("uproot", "qastle"),
    "uproot-raw": Codegen("uproot-raw", "uproot-raw"),
    "python": Codegen("python", "python"),
    "tcut": Codegen("tcut", "tcut"),
    "skyhook": Codegen("skyhook", "skyhook"),
    # Queries of xAOD objects over PHYSLITE files (docs/reference/physlite.md).
    **{name: Codegen(name, "qastle", "atlas_xaod_tree") for name in _ATLAS},
}

_REFUSED: Final = {
    **dict.fromkeys(("cms", "cmssw-5-3-32"), "read NanoAOD with FuncADL_Uproot or UprootRaw"),
    "topcp": "run TopCPToolkit with a ServiceX that has ATLAS's images",
}


def images(*, with_python: bool) -> dict[str, str]:
    """Return ``code-gen-image``: the names that may be asked for."""
    return {
        name: f"sxdask/{item.language}:{__version__}" + (" (PHYSLITE)" if name in _ATLAS else "")
        for name, item in CODEGENS.items()
        if with_python or name != "python"
    }


def codegen_of(name: str, *, with_python: bool) -> Codegen:
    """Return the codegen `name`.

    Raises
    ------
    RequestError
        If there is none, or it needs what this service does not have or allow.
    """
    if name in _REFUSED:
        raise RequestError(
            f"codegen {name!r} runs C++ in a container, which this service does not",
            hint=_REFUSED[name],
        )
    if name == "python" and not with_python:
        raise RequestError(
            "Python functions are switched off in this service",
            hint="use FuncADL_Uproot or UprootRaw, or ask its operator",
        )
    if name not in CODEGENS:
        known = images(with_python=with_python)
        raise RequestError(
            f"there is no codegen {name[:100]!r}",
            hint=close_names(name, known) or f"use {', '.join(known)}",
        )
    return CODEGENS[name]

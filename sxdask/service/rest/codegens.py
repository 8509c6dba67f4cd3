"""Code generators by the names that clients send: the request languages, and what is refused.

The names are those of ServiceX; a name is a key of ``code-gen-image``, and its
value is free text that clients show.
"""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass
from typing import Final

from sxdask import __version__
from sxdask.core.errors import RequestError, close_names


@dataclass(frozen=True, slots=True)
class Codegen:
    """A request language as ServiceX's clients call it."""

    name: str
    language: str


CODEGENS: Final = {
    "uproot": Codegen("uproot", "qastle"),
    "uproot-raw": Codegen("uproot-raw", "uproot-raw"),
    "python": Codegen("python", "python"),
    "tcut": Codegen("tcut", "tcut"),
    "skyhook": Codegen("skyhook", "skyhook"),
}

_XAOD: Final = "ask for PHYSLITE columns with FuncADL_Uproot, as e.Electrons('AnalysisElectrons')"
_REFUSED: Final = {
    **dict.fromkeys(("atlasr21", "atlasr22", "atlasr25", "atlasxaod"), _XAOD),
    **dict.fromkeys(("cms", "cmssw-5-3-32"), "read NanoAOD with FuncADL_Uproot or UprootRaw"),
    "topcp": "run TopCPToolkit with a ServiceX that has ATLAS's images",
}


def images(*, with_python: bool) -> dict[str, str]:
    """Return ``code-gen-image``: the names that may be asked for."""
    return {
        name: f"sxdask/{item.language}:{__version__}"
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
        raise RequestError(f"there is no codegen {name!r}", hint=close_names(name, CODEGENS))
    return CODEGENS[name]


def require_selection(codegen: Codegen, selection: str) -> None:
    """Refuse what cannot be a selection, before any file is looked at.

    Raises
    ------
    RequestError
        If it is empty, or not of the form of the language.
    """
    if not selection.strip():
        raise RequestError("the selection is empty", hint="say what to read")
    if codegen.name == "uproot-raw":
        _require_queries(selection)
    if codegen.name == "python":
        try:
            b64decode(selection, validate=True).decode()
        except ValueError as error:
            raise RequestError(
                "the selection is not Python text in base64", hint="use the PythonFunction class"
            ) from error


def _require_queries(selection: str) -> None:
    try:
        queries = json.loads(selection)
    except ValueError as error:
        raise RequestError(
            f"the selection is not JSON: {error}", hint="use the UprootRaw class"
        ) from error
    if not isinstance(queries, list) or not queries:
        raise RequestError("the selection is not a list of queries", hint="use the UprootRaw class")
    for number, query in enumerate(queries):
        good = isinstance(query, dict) and (query.get("treename") or query.get("copy_histograms"))
        if not good:
            raise RequestError(
                f"query {number} names neither a tree nor histograms",
                hint="give it a treename, or copy_histograms",
            )

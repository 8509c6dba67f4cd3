"""A worker's compiled requests: parsed once for all files that answer the same to it.

A selection is parsed over the names and types of one file. What the parser
asked of it is kept beside the plan; a file that gives the same answers gets the
same plan, so that a thousand files of one kind cost one parse.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from sxdask.core.errors import SxdaskError
from sxdask.core.settings import load_settings
from sxdask.datasets.model import FileEntry, FileSet
from sxdask.deliver.root.file import NO_NAME
from sxdask.pipeline.compile import compile_plan, optimized_plan, tree_of
from sxdask.pipeline.source import Source
from sxdask.plan.frontend import FRONTENDS
from sxdask.service.auth.guarded import http_options

if TYPE_CHECKING:
    from sxdask.core.types import Schema
    from sxdask.pipeline.compile import Compiled
    from sxdask.plan.nodes import Output, Plan
    from sxdask.plan.optimize import Step
    from sxdask.service.transforms.orders import Work

_MOST_REQUESTS: Final = 64
_MOST_KINDS: Final = 8  # of files, by what they answer
_RAW: Final = "uproot-raw"
_WITH_OPTIONS: Final = frozenset({"tcut", "skyhook"})

_Question = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """A plan, and what a file must answer for it to be the file's plan."""

    answers: tuple[tuple[_Question, object], ...]
    plan: Plan
    optimized: tuple[Plan, tuple[Step, ...]]


@dataclass(slots=True)
class _Kinds:
    known: list[_Known] = field(default_factory=list)


class _Asked:
    """A source that keeps what it was asked, and what it answered."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.answers: dict[_Question, object] = {}

    @property
    def trees(self) -> tuple[str, ...]:
        self._note("trees")
        return self._source.trees

    @property
    def default_tree(self) -> str | None:
        self._note("default_tree")
        return self._source.default_tree

    def schema(self, tree: str) -> Schema:
        self._note("schema", tree)
        return self._source.schema(tree)

    def cycles(self, tree: str) -> tuple[int, ...]:
        self._note("cycles", tree)
        return self._source.cycles(tree)

    def _note(self, *question: str) -> None:
        self.answers[question] = _answer(self._source, question)


_requests: OrderedDict[Work, _Kinds] = OrderedDict()
_lock = threading.Lock()


def compiled(work: Work, path: str) -> Compiled:
    """Return the request over the file at `path` alone, ready to run.

    Raises
    ------
    SxdaskError
        If the selection is wrong, does not fit the file, or the file cannot be read.
    """
    settings = replace(load_settings(), allow_python=work.python is not None)
    files = FileSet(path, (FileEntry(path, work.tree),), _options(work, path))
    source = Source(files, settings)
    found = _known(work, source) or _parsed(work, source)
    return compile_plan(found.plan, source, optimized=found.optimized)


def named(output: Output, language: str) -> Output:
    """Return `output` with the name that ServiceX gives its tree."""
    if output.name:
        return output
    name = tree_of(output).strip("/") if language == _RAW else ""
    return replace(output, name=name or NO_NAME)


def has_treename(work: Work) -> bool:
    """Tell whether tables say of every row which tree it is of, though there may be only one."""
    return work.language == _RAW


def _known(work: Work, source: Source) -> _Known | None:
    with _lock:
        kinds = _requests.get(work)
        candidates = list(kinds.known) if kinds is not None else []
        if kinds is not None:
            _requests.move_to_end(work)
    for item in candidates:
        if all(_answer(source, question) == answer for question, answer in item.answers):
            return item
    return None


def _parsed(work: Work, source: Source) -> _Known:
    asked = _Asked(source)
    frontend = FRONTENDS.load(work.language)(source.settings)
    plan = frontend.parse(_selection(work), asked)
    if all(output.function is None for output in plan.outputs):
        outputs = tuple(named(output, work.language) for output in plan.outputs)
        plan = replace(plan, outputs=outputs)
    made = _Known(tuple(asked.answers.items()), plan, optimized_plan(plan, source))
    with _lock:
        kinds = _requests.setdefault(work, _Kinds())
        kinds.known = [made, *kinds.known][:_MOST_KINDS]
        while len(_requests) > _MOST_REQUESTS:
            _requests.popitem(last=False)
    return made


def _options(work: Work, path: str) -> tuple[tuple[str, Any], ...]:
    """Return options of the file's storage: over HTTP each connection is looked at."""
    if work.places is None or not path.lower().startswith(("http://", "https://")):
        return ()
    return tuple(http_options(work.places).items())


def _selection(work: Work) -> Any:
    """Return the selection as its language takes it: options of some travel as JSON."""
    if work.language in _WITH_OPTIONS and work.selection.lstrip().startswith("{"):
        try:
            value = json.loads(work.selection)
        except ValueError:
            return work.selection
        if isinstance(value, Mapping):
            return {key: item for key, item in value.items() if item is not None}
    return work.selection


def _answer(source: Source, question: _Question) -> object:
    """Return what tells files apart: of a tree's columns their digest, of a failure its kind."""
    kind, *names = question
    try:
        if kind == "schema":
            return source.index_of_first(*names).layout.digest
        if kind == "cycles":
            return source.cycles(*names)
        return getattr(source, kind)
    except SxdaskError as error:
        return type(error), error.problem

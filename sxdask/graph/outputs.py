"""What the calls of a function give together: joined, or one output as a table of its own.

The names and types of a function's outputs are known when it has run.
`FormTask` runs it for one piece to learn them; from then on each output has an
`OutputReader`, which a delivery or a lazy collection treats as any reader.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

import awkward as ak
import numpy as np

from sxdask.core.errors import SchemaMismatchError
from sxdask.core.events import ReadReport
from sxdask.graph.function import FunctionRead
from sxdask.graph.join import join

if TYPE_CHECKING:
    from sxdask.graph.function import FunctionReader
    from sxdask.graph.usercode import Results
    from sxdask.rootio.model import Conjunct, Piece

ALONE = ""
"""The name of the output of a function that gives one array."""


def named(results: Results) -> dict[str, ak.Array]:
    """Return results by name; those of one array under `ALONE`."""
    return dict(results) if isinstance(results, Mapping) else {ALONE: results}


def num_rows(results: Results) -> int:
    """Return the rows of all outputs together."""
    return sum(len(array) for array in named(results).values())


def join_results(parts: Sequence[tuple[str, Results]]) -> Results:
    """Return the outputs of all calls, those of the first before those of the next.

    Parameters
    ----------
    parts
        The file and what the function gave, for each call, at least one. An
        output that is missing from one call has no rows there.

    Raises
    ------
    SchemaMismatchError
        If some calls gave one array and others a dict, or records of an
        output have different fields.
    """
    first_file, first = parts[0]
    found: dict[str, list[ak.Array]] = {}
    origin: dict[str, str] = {}
    for file, results in parts:
        if isinstance(results, Mapping) != isinstance(first, Mapping):
            raise _misfit("one array", "a dict of arrays", (first_file, first), file)
        for name, array in named(results).items():
            known = found.setdefault(name, [])
            if known and known[0].fields != array.fields and len(known[0]) and len(array):
                kinds = (f"{known[0].fields}", f"{array.fields}")
                raise SchemaMismatchError(
                    f"the function gives records of {kinds[0]} for {origin[name]!r}"
                    f" and of {kinds[1]} for {file!r}"[:380],
                    hint="give the same fields for every file",
                    file=file,
                )
            if not known or not len(known[0]):
                origin[name] = file
                known.insert(0, array)
            else:
                known.append(array)
    whole = {name: _joined(arrays) for name, arrays in found.items()}
    return whole if isinstance(first, Mapping) else whole[ALONE]


def _joined(arrays: Sequence[ak.Array]) -> ak.Array:
    with_rows = [array for array in arrays if len(array)]
    return join(with_rows or arrays[:1])


def _misfit(one: str, several: str, first: tuple[str, Results], file: str) -> SchemaMismatchError:
    kinds = (several, one) if isinstance(first[1], Mapping) else (one, several)
    return SchemaMismatchError(
        f"the function gives {kinds[0]} for {first[0]!r} and {kinds[1]} for {file!r}",
        hint="give the same for every file",
        file=file,
    )


class _Kept:
    """Results of the last few calls, until each output has been taken."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = Lock()
        self._calls: OrderedDict[tuple[object, ...], _Call] = OrderedDict()

    def call(self, reader: FunctionReader, piece: Piece) -> _Call:
        """Return the call of `reader` for `piece`, made or still to be made."""
        key = (reader.token, piece.url, piece.stamp, piece.entry_start, piece.entry_stop)
        with self._lock:
            call = self._calls.setdefault(key, _Call())
            self._calls.move_to_end(key)
            while len(self._calls) > self._most:
                self._calls.popitem(last=False)
            return call

    def drop(self, call: _Call) -> None:
        """Forget `call`: all of its outputs were taken, or it failed."""
        with self._lock:
            for key in [key for key, known in self._calls.items() if known is call]:
                del self._calls[key]


@dataclass(eq=False)
class _Call:
    lock: Lock = field(default_factory=Lock)
    read: FunctionRead | None = None
    taken: set[str] = field(default_factory=set)


# Twice what a delivery has under way of several outputs (`sxdask.deliver.work.TOGETHER`).
_KEPT = _Kept(most=16)


def _outputs(reader: FunctionReader, piece: Piece) -> tuple[_Call, FunctionRead, bool]:
    """Return the call for `piece`, what it gave, and whether it was made just now."""
    call = _KEPT.call(reader, piece)
    with call.lock:
        made = call.read is None
        if call.read is None:
            try:
                call.read = reader.read(piece)
            except BaseException:
                _KEPT.drop(call)
                raise
        return call, call.read, made


@dataclass(frozen=True, slots=True)
class FormValue:
    """Name -> awkward form (JSON) of the outputs of one call; nothing of the rows."""

    forms: Mapping[str, str]
    is_dict: bool
    rows: int = 0
    report: ReadReport = field(default_factory=ReadReport)


@dataclass(frozen=True, slots=True)
class FormTask:
    """Call a function for a piece and return the forms of what it gives.

    With `keep` the rows are kept here for an `OutputReader` that asks for them next.
    """

    reader: FunctionReader
    keep: bool = True

    def __call__(self, piece: Piece) -> FormValue:
        """Call the function for `piece`."""
        read = _outputs(self.reader, piece)[1] if self.keep else self.reader.read(piece)
        arrays = named(read.array)
        forms = {name: array.layout.form.to_json() for name, array in arrays.items()}
        return FormValue(forms, isinstance(read.array, Mapping))


def typed(array: ak.Array) -> ak.Array:
    """Return `array` with numbers (float64) where lists are empty, as NumPy has it.

    Arrow has a type without values, which awkward cannot read back.
    """

    def numbers(layout: Any, **_: Any) -> Any:
        return layout.to_NumpyArray(np.float64) if layout.is_unknown else None

    found: ak.Array = ak.transform(numbers, array)
    return found


def typed_form(form: str) -> str:
    """Return the form of `typed` for an array of `form`, both as JSON."""
    empty = ak.forms.from_json(form).length_zero_array(highlevel=False)
    text: str = typed(ak.Array(empty)).layout.form.to_json()
    return text


def is_settled(form: str) -> bool:
    """Return whether a form says the type of every value: no list was empty throughout."""
    return '"EmptyArray"' not in form


@dataclass(frozen=True)
class OutputReader:
    """One output of a function as a table: its name, its form and those of its siblings.

    A piece's call is made once in a process where its outputs are read one
    after the other.
    """

    reader: FunctionReader
    name: str
    names: tuple[str, ...]
    form: str

    def __call__(self, piece: Piece | bytes) -> ak.Array:
        """Read the output for `piece`, pickled or not."""
        if isinstance(piece, bytes):
            piece = cast("Piece", pickle.loads(piece))  # noqa: S301  from our own graph
        return self.read(piece).array

    def read(self, piece: Piece) -> FunctionRead:
        """Return the output for `piece`.

        Raises
        ------
        SchemaMismatchError
            If it has another type than it had where the types were learned.
        """
        call, read, made = _outputs(self.reader, piece)
        with call.lock:
            call.taken.add(self.name)
            if call.taken >= set(self.names):
                _KEPT.drop(call)
        arrays = named(read.array)
        extra = [name for name in arrays if name not in self.names]
        if extra:
            known = ", ".join(map(repr, filter(None, self.names))) or "one array"
            raise SchemaMismatchError(
                f"the function gives {extra[0]!r} for {piece.url!r}, and {known} for the first"
                " file",
                hint="give the same outputs for every file",
                file=piece.url,
            )
        array = arrays.get(self.name, self.mock_empty())
        report = read.report if made else ReadReport()
        return FunctionRead(self._conformed(array, piece), report, read.learned if made else {})

    def _conformed(self, array: ak.Array, piece: Piece) -> ak.Array:
        wanted = self.mock_empty().type.content
        if array.type.content == wanted:
            return array
        if not len(array):
            return self.mock_empty()
        if not is_settled(array.layout.form.to_json()):
            try:
                array = ak.enforce_type(array, wanted)
            except (TypeError, ValueError):
                pass  # said below
            else:
                if array.type.content == wanted:
                    return array
        place = f"output {self.name!r} of " if self.name else ""
        raise SchemaMismatchError(
            f"{place}{self.reader.function.name} has the type {array.type.content} for"
            f" {piece.url!r} and {wanted} before"[:380],
            hint="fix the types in the function, as ak.values_astype(x, 'float32') does",
            file=piece.url,
        )

    def mock_empty(self, backend: str = "cpu") -> ak.Array:
        """Return the output of a call that gave no rows."""
        empty = ak.forms.from_json(self.form).length_zero_array(highlevel=False)
        return ak.to_backend(ak.Array(empty), backend)

    def mock(self) -> ak.Array:
        """Return the output as a typetracer."""
        return ak.typetracer.typetracer_from_form(ak.forms.from_json(self.form))

    @property
    def conjuncts(self) -> tuple[Conjunct, ...]:
        """Conditions on the events that the function gets."""
        return self.reader.conjuncts

    @property
    def output_columns(self) -> frozenset[str]:
        """Branches that the function names."""
        return self.reader.output_columns

    def __dask_tokenize__(self) -> tuple[object, ...]:
        return ("sxdask-output", self.reader.token, self.name, self.form)

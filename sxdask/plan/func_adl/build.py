"""The nodes of a query in their one form, whatever notation they were written in.

Both parsers build through here, so that a query in Python and in qastle is the
same tree: a signed number is a number, ``a < b < c`` is ``a < b and b < c``, a
chain of ``and`` is one node, and a query operator is an `Operator` whether
written as a method, a function or a node of its own.
"""

from __future__ import annotations

from keyword import iskeyword
from typing import TYPE_CHECKING, Final, Literal, NoReturn, Protocol

from sxdask.plan.func_adl.stream import METHODS, PASSED, result_call
from sxdask.plan.func_adl.tree import (
    OPERATORS,
    Attribute,
    Call,
    Compare,
    Dataset,
    Lambda,
    Logical,
    Mapping,
    Name,
    Operator,
    Sequence,
    Tree,
    Unary,
    Value,
)

if TYPE_CHECKING:
    from sxdask.plan.expr import CompareOp, Span
    from sxdask.plan.place import SourceText

DATASET: Final = "EventDataset"
"""The function that stands for the events."""

_PARAMETERS: Final = {"Aggregate": 2}
_LARGEST: Final = 2**64
_SMALLEST: Final = -(2**63)


class Place(Protocol):
    """Anything with a span: every node of a tree."""

    @property
    def span(self) -> Span | None:
        """Return the half-open offsets into the user's text."""
        ...


class ReadLambda(Protocol):
    """Parse a function that the user gave as text."""

    def __call__(self, value: Value, /) -> Tree:
        """Return the tree of the function that `value` holds."""
        ...


class Builder:
    """Make nodes; refuse with the place what can be no node of a query.

    `tree` is the name of the tree to read in place of the one in the query.
    """

    def __init__(
        self, source: SourceText, read_lambda: ReadLambda, tree: str | None = None
    ) -> None:
        self._source = source
        self._read_lambda = read_lambda
        self._tree = tree

    def refuse(self, place: Place | Span, problem: str, hint: str | None = None) -> NoReturn:
        """Raise the error that points at `place`."""
        span = place if isinstance(place, tuple) else place.span or (0, 0)
        raise self._source.syntax_error(span[0], problem, hint=hint)

    # -- words and values ------------------------------------------------------------------

    def name(self, name: str, span: Span) -> Name:
        """Return the variable, module or function `name`."""
        if name.startswith("__"):
            self.refuse(span, f"{name!r} is not part of the language")
        if iskeyword(name):
            self.refuse(span, f"{name!r} is a word of Python and cannot be a name here")
        return Name(name, span)

    def number(self, value: float, span: Span) -> Value:
        """Return the number `value`, if 64 bits hold it."""
        if isinstance(value, int) and not _SMALLEST <= value < _LARGEST:
            self.refuse(span, "a whole number of more than 64 bits", f"write {value:.3g}")
        if value in (float("inf"), float("-inf")):
            self.refuse(span, "a number too large for 64 bits", "write np.inf for infinity")
        return Value(value, span)

    def attribute(self, value: Tree, name: str, span: Span, place: Span) -> Attribute:
        """Return ``value.name``; the name itself stands at `place`."""
        if name.startswith("_"):
            self.refuse(place, f"{name!r} is not an attribute that a query may use", _item(name))
        if not (name.isascii() and name.isidentifier()):
            self.refuse(place, "the name of an attribute is not a plain word", _item(name))
        return Attribute(value, name, span)

    # -- operators -------------------------------------------------------------------------

    def unary(self, op: Literal["-", "+", "~", "not"], operand: Tree, span: Span) -> Tree:
        """Return ``op operand``; a signed number is a number."""
        match operand:
            case Value(bool()):
                pass
            case Value(int() | float() as value) if op == "-":
                return self.number(-value, span)
            case Value(int() | float() as value) if op == "+":
                return Value(value, span)
        return Unary(op, operand, span)

    def logical(self, op: Literal["and", "or"], operands: tuple[Tree, ...], span: Span) -> Logical:
        """Return the chain of all operands: how it was bracketed makes no difference."""
        flat: list[Tree] = []
        for operand in operands:
            if isinstance(operand, Logical) and operand.op == op:
                flat.extend(operand.operands)
            else:
                flat.append(operand)
        return Logical(op, tuple(flat), span)

    def compare(
        self,
        operands: tuple[Tree, ...],
        ops: tuple[CompareOp | Literal["in", "not in"], ...],
        span: Span,
    ) -> Tree:
        """Return one comparison, or the ``and`` of the comparisons of a chain."""
        if len(ops) == 1:
            return Compare(operands, ops, span)
        parts: list[Tree] = []
        for op, left, right in zip(ops, operands, operands[1:], strict=False):
            place = ((left.span or span)[0], (right.span or span)[1])
            parts.append(Compare((left, right), (op,), place))
        return self.logical("and", tuple(parts), span)

    # -- structures ------------------------------------------------------------------------

    def mapping(self, keys: tuple[Tree, ...], values: tuple[Tree, ...], span: Span) -> Mapping:
        """Return ``{key: value}``; every key is a text that stands once."""
        names: list[str] = []
        seen: set[str] = set()
        for key in keys:
            if not isinstance(key, Value) or not isinstance(key.value, str):
                self.refuse(key, "the name of a column is a text", "such as {'pt': e.pt}")
            if key.value in seen:
                self.refuse(key, f"the name {key.value!r} stands twice")
            seen.add(key.value)
            names.append(key.value)
        return Mapping(tuple(names), values, span)

    def function(self, parameters: tuple[Tree, ...], body: Tree, span: Span) -> Lambda:
        """Return ``lambda parameters: body``."""
        names: list[str] = []
        for parameter in parameters:
            if not isinstance(parameter, Name):
                self.refuse(parameter, "a parameter of a lambda is a plain name")
            if parameter.id in names:
                self.refuse(parameter, f"the parameter {parameter.id!r} stands twice")
            if parameter.id in OPERATORS or parameter.id == DATASET:
                self.refuse(parameter, f"{parameter.id} is an operator and no parameter")
            names.append(parameter.id)
        return Lambda(tuple(names), body, span)

    def call(
        self,
        function: Tree,
        arguments: tuple[Tree, ...],
        keywords: tuple[tuple[str, Tree], ...],
        span: Span,
    ) -> Tree:
        """Return the operator, the dataset, or the call."""
        match function:
            case Attribute(value=source, name=name) if name in OPERATORS:
                return self.operator(name, source, arguments, keywords, span)
            case Attribute(value=source, name=name) if name in PASSED:
                return source
            case Attribute(value=source, name=name) if name in METHODS:
                return result_call(self, function, arguments, keywords, span)
            case Name(id=name) if name in OPERATORS:
                if not arguments:
                    self.refuse(span, f"{name} has no source", f"write {name}(source, ...)")
                return self.operator(name, arguments[0], arguments[1:], keywords, span)
            case Name(id="EventDataset"):
                return self._dataset(arguments, keywords, span)
        return Call(function, arguments, keywords, span)

    def operator(
        self,
        name: str,
        source: Tree,
        arguments: tuple[Tree, ...],
        keywords: tuple[tuple[str, Tree], ...],
        span: Span,
    ) -> Operator:
        """Return the query operator `name` over `source`."""
        wanted, last_is_function = OPERATORS[name]
        if keywords:
            self.refuse(keywords[0][1], f"{name} takes no argument by keyword")
        if len(arguments) != wanted:
            needs = ("no argument", "one argument", "two arguments")[wanted]
            place = arguments[wanted] if len(arguments) > wanted else span
            self.refuse(place, f"{name} takes {needs} after its source, not {len(arguments)}")
        if last_is_function:
            function = self._function_of(name, arguments[-1])
            arguments = (*arguments[:-1], function)
        return Operator(name, source, arguments, span)

    def _function_of(self, name: str, given: Tree) -> Lambda:
        function = given
        if isinstance(given, Value) and isinstance(given.value, str):
            function = self._read_lambda(given)
        if not isinstance(function, Lambda):
            self.refuse(given, f"{name} needs a lambda here", "such as lambda e: e.pt > 20")
        wanted = _PARAMETERS.get(name, 1)
        if len(function.parameters) != wanted:
            needs = "two parameters" if wanted == 2 else "one parameter"
            self.refuse(
                function,
                f"the lambda of {name} takes {needs}, not {len(function.parameters)}",
            )
        return function

    def _dataset(
        self, arguments: tuple[Tree, ...], keywords: tuple[tuple[str, Tree], ...], span: Span
    ) -> Dataset:
        example = "such as EventDataset('file.root', 'Events')"
        if keywords:
            self.refuse(keywords[0][1], "EventDataset takes no argument by keyword", example)
        if len(arguments) > 2:
            self.refuse(arguments[2], "EventDataset takes a file and a tree", example)
        files: list[str] = []
        for argument in arguments[:1]:
            for item in argument.items if isinstance(argument, Sequence) else (argument,):
                text = self._text_or_none(item, "the file of EventDataset", example)
                files += [] if text is None else [text]
        tree = None
        if len(arguments) == 2:
            tree = self._text_or_none(arguments[1], "the tree of EventDataset", example)
        return Dataset(tuple(files), self._tree or tree, span)

    def _text_or_none(self, given: Tree, what: str, hint: str) -> str | None:
        if isinstance(given, Value) and (given.value is None or isinstance(given.value, str)):
            return given.value
        return self.refuse(given, f"{what} is a text", hint)


def _item(name: str) -> str:
    return f"for the branch of that name write e[{name!r}]"

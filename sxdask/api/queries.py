"""A request over a dataset: what it asks for, and what can be added to it."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from sxdask.api.execution import Execution
from sxdask.api.processors import Processing
from sxdask.core.errors import RequestError, RequestTooLargeError
from sxdask.core.results import Shape
from sxdask.pipeline.compile import explain, optimized_plan, tree_of
from sxdask.plan.fingerprint import fingerprint
from sxdask.plan.frontend import FRONTENDS, Selection
from sxdask.plan.histograms import parse_histograms
from sxdask.plan.nodes import Filter, Node, Output, Plan, Project, num_steps
from sxdask.plan.selection import parse_outputs, parse_predicate
from sxdask.plan.types import schema_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sxdask.api.datasets import Dataset
    from sxdask.core.settings import Settings
    from sxdask.core.types import Schema
    from sxdask.pipeline.source import Source


class Query(Execution, Processing):
    """A request over a dataset: a value, nothing is read before it is asked to.

    `plan` is the logical plan; two queries that mean the same over the same
    kind of file have the same `fingerprint`.
    """

    def __init__(
        self, source: Source, plan: Plan, *, title: str = "", language: str = "native"
    ) -> None:
        super().__init__(source, plan, title=title, language=language)

    @classmethod
    def parse(cls, language: str, selection: Selection, source: Source, *, title: str = "") -> Self:
        """Return the query that `selection` means, checked against the first file."""
        frontend = FRONTENDS.load(language)(source.settings)
        return cls(source, frontend.parse(selection, source), title=title, language=language)

    @cached_property
    def fingerprint(self) -> str:
        """Hexadecimal name of the optimised plan, the same in every process."""
        return fingerprint(optimized_plan(self.plan, self.source)[0])

    def where(self, predicate: str) -> Query:
        """Keep the rows for which `predicate` holds.

        Parameters
        ----------
        predicate
            A native expression with one boolean per row, such as
            ``"(nMuon >= 2) & any(Muon_pt > 30, axis=1)"``.

        Raises
        ------
        SelectionSyntaxError, SelectionTypeError, UnknownBranchError
            With a caret under the mistake.
        """
        _require_text("where", predicate)
        root = self._only_root()
        expr = parse_predicate(predicate, self._schema_of(root), self._limits)
        return self._with(Filter(root, expr))

    def select(self, *names: str, **expressions: str) -> Query:
        """Choose columns by name or glob (``"Muon_*"``) and compute others.

        Parameters
        ----------
        *names
            Columns to keep, in this order.
        **expressions
            New columns: name to native expression.
        """
        for text in (*names, *expressions.values()):
            _require_text("select", text)
        root = self._only_root()
        outputs = parse_outputs(names, expressions, self._schema_of(root), self._limits)
        return self._with(Project(root, outputs))

    def fill(self, histograms: Mapping[str, Any] | None = None, **more: Any) -> Query:
        """Fill histograms in place of giving rows; only they leave the workers.

        Parameters
        ----------
        histograms, **more
            Name to a mapping: ``column`` (a column of the request or a native
            expression over them) with ``bins``, ``start`` and ``stop``, or with
            ``edges``, or with ``categories``, and ``label``. For several axes
            ``axes``, a list of such. ``weight`` names a column of weights.

        Returns
        -------
        Query
            Its `compute` gives a `hist.Hist`, or a dictionary of them by name.
            Lists are filled item by item; missing values are not filled.

        Raises
        ------
        RecipeError
            If a histogram is not described so.

        Examples
        --------
        >>> import sxdask as sx
        >>> from sxdask.testing import write_nanoaod
        >>> ds = sx.dataset(write_nanoaod(getfixture("tmp_path") / "events.root", 100))
        >>> ds.fill(met={"column": "MET_pt", "bins": 10, "start": 0, "stop": 1000}).compute().sum()
        100.0
        """
        output = self._only_output()
        wanted = {**(histograms or {}), **more}
        root, found = parse_histograms(
            wanted, output.root, self._schema_of(output.root), self._limits
        )
        shape = Shape(items=output.shape.items)  # what is filled from has names
        return self._with(root, replace(output, reduction=found, shape=shape))

    @property
    def schema(self) -> Schema:
        """Columns of the result and their types, as far as they can be inferred."""
        return self._schema_of(self._only_root())

    def explain(self) -> str:
        """Return the plan as text: logical, rewrites, physical with numbers."""
        return explain(self._compiled)

    def _repr_html_(self) -> str:
        return explain(self._compiled, html=True)

    def __repr__(self) -> str:
        from sxdask.plan.explain import show

        return "\n".join(map(show, self.plan.outputs))

    def over(self, dataset: Dataset) -> Query:
        """Return the same request over another dataset."""
        return Query(dataset.source, self.plan, title=self.title, language=self.language)

    @property
    def _limits(self) -> Settings:
        return self.source.settings

    def _only_root(self) -> Node:
        output = self._only_output()
        if output.shape != Shape():
            raise RequestError(
                "the rows of this request are not records of an event each",
                hint="put the condition or the columns into the request itself",
            )
        return output.root

    def _only_output(self) -> Output:
        if len(self.plan.outputs) != 1:
            names = ", ".join(repr(item.name) for item in self.plan.outputs)
            raise RequestError(
                f"the request has {len(self.plan.outputs)} output trees ({names})",
                hint="add conditions and columns in the request itself",
            )
        (output,) = self.plan.outputs
        if output.function is not None:
            raise RequestError(
                "the rows of this request are what a Python function gives",
                hint="put conditions and columns into the function, or give it where=",
            )
        if output.reduction is not None:
            raise RequestError(
                "the request reduces all rows to one result already",
                hint="add conditions and columns before the histograms",
            )
        return output

    def _schema_of(self, root: Node) -> Schema:
        (output,) = self.plan.outputs
        tree = tree_of(output)
        return schema_of(root, self.source.schema(tree))

    def _with(self, root: Node, output: Output | None = None) -> Query:
        output = output or self.plan.outputs[0]
        most = self._limits.max_nesting
        if num_steps(root) > most:
            raise RequestTooLargeError(
                f"the request is a chain of more than {most} steps",
                hint="join conditions with &, and name several columns in one select",
            )
        return Query(
            self.source,
            replace(self.plan, outputs=(replace(output, root=root),)),
            title=self.title,
            language=self.language,
        )


def _require_text(method: str, value: object) -> None:
    if not isinstance(value, str):
        hint = f'such as {method}("Muon_pt > 20")' if method == "where" else ""
        if isinstance(value, list | tuple):
            hint = f"give them one by one: {method}(*names)"
        raise RequestError(
            f"{method} takes text, and {value!r} is {type(value).__name__}"[:200],
            hint=hint or 'such as select("Muon_pt", lead="max(Muon_pt)")',
        )

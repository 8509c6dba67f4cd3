"""The outputs of a Python function, learned by calling it where the data is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from sxdask.deliver.runner import Runner
    from sxdask.graph.function import FunctionReader
    from sxdask.graph.lower import Lowered

_MOST_CALLS: Final = 8
"""How many pieces are tried where the first ones have empty lists of unknown type."""


def output_tables(
    table: Lowered, runner: Runner, *, keep: bool = True
) -> tuple[tuple[Lowered, ...], bool]:
    """Return one table per output of a function, and whether it gives a dict of them.

    The function is called for the first piece on a worker; for more of them
    while some type is unknown, as that of a list that is empty in every event.

    Parameters
    ----------
    table
        A function, lowered.
    runner
        Where to call it.
    keep
        Keep the rows in the worker for the reader that asks for them next.
    """
    from sxdask.deliver.stream import run_tasks
    from sxdask.graph.outputs import FormTask, OutputReader, is_settled, typed_form

    reader = cast("FunctionReader", table.reader)
    forms: dict[str, str] = {}
    several = False
    for piece in table.pieces[:_MOST_CALLS]:
        (outcome,) = run_tasks(FormTask(reader, keep), [piece], runner=runner)
        several = outcome.value.is_dict
        for name, form in outcome.value.forms.items():
            if not is_settled(forms.get(name, '"EmptyArray"')):
                forms[name] = form
        if all(map(is_settled, forms.values())):
            break
    forms = {name: typed_form(form) for name, form in forms.items()}
    names = tuple(forms)
    tables = tuple(
        replace(
            table,
            output=replace(table.output, name=name),
            reader=OutputReader(reader, name, names, form),
        )
        for name, form in forms.items()
    )
    return tables, several

"""Queries over files of real experiments, against func_adl_uproot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import sxdask as sx
from tests.differential.func_adl.corpus import CORPUS, cases
from tests.differential.func_adl.oracle import ask, difference, notation, rows, type_text

if TYPE_CHECKING:
    from pathlib import Path

FILES = sorted((CORPUS / "samples").glob("*.yaml"))


# One test a file: func_adl_uproot takes seconds to open it, and then opens it no more.
@pytest.mark.parametrize("theme", FILES, ids=lambda path: path.stem)
def test_real_files_give_what_func_adl_uproot_gives(theme: Path, samples: Path):
    found = cases(theme)
    name, _, tree = found[0].data.partition(":")
    dataset = sx.dataset(str(samples / name), tree=tree)
    wrong = []
    for case in found:
        wanted = ask(case.query, (samples / name,), tree)
        got = sx.request(notation(case.query), case.query, dataset=dataset).compute()
        if type_text(got) != type_text(wanted):
            wrong.append(f"{case.query}\n  {type_text(got)} in place of {type_text(wanted)}")
        elif said := difference(rows(got), rows(wanted)):
            wrong.append(f"{case.query}\n  {said}")
    assert not wrong, "\n".join(wrong)

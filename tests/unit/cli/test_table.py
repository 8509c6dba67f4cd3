"""Columns of text."""

from __future__ import annotations

from sxdask.cli.table import facts, table


def test_columns_line_up_and_nothing_is_cut():
    long = "x" * 300
    lines = table(["a", "number"], [[long, 1], ["b", 20_000]], right=["number"]).split("\n")
    assert lines[1] == f"{long}       1"
    assert lines[2].endswith("   20000")
    assert len({len(line) for line in lines}) == 1


def test_lines_do_not_end_in_spaces():
    assert table(["a", "title"], [["b", ""]]) == "a  title\nb"


def test_a_table_without_rows_is_its_header():
    assert table(["a", "b"], []) == "a  b"


def test_facts_stand_below_each_other():
    assert facts([("a", 1), ("long", "x")]) == "a     1\nlong  x"
    assert facts([]) == ""

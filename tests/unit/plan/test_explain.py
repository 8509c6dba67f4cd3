"""What explain says: trees, rewrites, numbers, and HTML that a page may show."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from sxdask.plan.explain import (
    BranchRow,
    PhysicalSummary,
    explain_text,
    fired_rules,
    format_bytes,
    show,
)
from sxdask.plan.explain_html import explain_html
from sxdask.plan.expr import Column, Compare, Constant
from sxdask.plan.frontends.native import NativeFrontend
from sxdask.plan.nodes import Output, Plan, Project, Scan
from sxdask.plan.optimize import Step, optimize
from tests.unit.plan.schemas import EVENTS, LIMITS, Source

QUERY = {
    "where": ["(nMuon >= 2) & (MET_pt > 25 + 25)", 'label == "<b>&"'],
    "select": ["Muon_pt", "ht"],
    "define": {"ht": "sum(Jet_pt)"},
}
PLAN = NativeFrontend(LIMITS).parse(QUERY, Source())
STEPS = optimize(PLAN, {"Events": EVENTS})[1]
SUMMARY = PhysicalSummary(
    output="",
    tree="Events",
    branches=(
        BranchRow("nMuon", "int32", "predicate", 1_000),
        BranchRow("Muon_pt", "var * float32", "output", 12_345_678),
    ),
    num_files=3,
    partitions_kept=7,
    partitions_pruned=2,
    num_entries=1_000_000,
    bytes_to_read=12_000_000,
    bytes_in_files=480_000_000,
    zone_tests=("nMuon >= 2",),
)

EXPECTED = """\
logical plan
  Project [Muon_pt, ht=sum(Jet_pt, axis=1)]
    Filter label == "<b>&"
      Filter (nMuon >= 2) & (MET_pt > 25 + 25)
        Scan Events [*]

rewrites
  push_filter_into_scan
  fold_constants
  split_conjunctions
  push_filter_into_scan
  prune_columns

optimised plan
  Project [Muon_pt, ht=sum(Jet_pt, axis=1)]
    Scan Events [nMuon, MET_pt, label, Muon_pt, Jet_pt]
      where nMuon >= 2
      where MET_pt > 50
      where label == "<b>&"

physical plan
  tree           Events
  files          3
  entries        1,000,000
  partitions     7 kept, 2 pruned
  bytes to read  12.0 MB of 480.0 MB (2.5%)
  zone tests     nMuon >= 2
  branches
    nMuon    int32          predicate     1.0 kB
    Muon_pt  var * float32  output       12.3 MB"""


def test_the_whole_explanation():
    assert explain_text(PLAN, STEPS, SUMMARY) == EXPECTED


def test_nothing_is_claimed_that_was_not_looked_at():
    assert explain_text(PLAN) == EXPECTED.partition("\n\n")[0]


def test_several_tables_and_copies():
    plan = Plan(
        (
            Output("small", Project(Scan("Events"), (("x", Column("MET_pt")),)), True),
            Output("other", Scan("Runs", ("get",))),
        ),
        ("h_*", "/cut/"),
    )
    assert show(plan).splitlines() == [
        "Output as small, files without the tree are skipped",
        "  Project [x=MET_pt]",
        "    Scan Events [*]",
        "Output as other",
        "  Scan Runs [get]",
        "Copy h_*, /cut/",
    ]
    optimized, steps = optimize(plan, {"Events": EVENTS})
    assert show(optimized) in explain_text(plan, steps).replace("\n  ", "\n")
    assert show(Plan(())) == "(nothing)"


def test_long_lists_are_cut_short():
    wide = Scan("Events", tuple(f"b{number}" for number in range(1500)))
    assert show(wide).endswith("b11, ... 1488 more]")
    rows = tuple(BranchRow(f"b{number}", "float32", "output", 1) for number in range(100))
    assert "... 60 more" in explain_text(PLAN, (), replace(SUMMARY, branches=rows))


def test_runs_of_one_rule_are_one_line():
    step = Step("split", "", Scan("t"))
    other = Step("push", "", Scan("t"))
    assert fired_rules([step, step, other, step]) == ["split x 2", "push", "split"]


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_960, "1.0 MB"), (2 * 10**15, "2.0 PB")],
)
def test_sizes_are_for_people(size, text):
    assert format_bytes(size) == text


class Page(HTMLParser):
    """Collects tags, text and whether every tag is closed."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.words = ""

    def handle_starttag(self, tag, attrs):
        assert not any(name.startswith("on") for name, _ in attrs)
        self.open.append(tag)
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words += data


@pytest.mark.parametrize("summary", [None, SUMMARY])
def test_html_is_escaped_and_has_no_script(summary):
    name = "<script>alert(1)</script>"
    condition = Compare("==", Column(name), Constant('"><img src=x onerror=1>'))
    plan = Plan((Output("", Project(Scan(name, None, (condition,)), ((name, Column(name)),))),))
    if summary is not None:
        rows = (BranchRow(name, name, "output", 5), BranchRow("b", "c", "both", 0))
        summary = replace(summary, tree=name, output=name, branches=rows, zone_tests=(name,))
    page = Page()
    page.feed(explain_html(plan, (Step(name, "", plan.outputs[0].root),), summary))
    assert page.open == []
    assert not page.tags & {"script", "img", "style", "link", "iframe"}
    assert name in page.words


def test_html_takes_its_colours_from_the_page():
    text = explain_html(PLAN, STEPS, SUMMARY)
    assert "#" not in text.replace("&#x27;", "")
    assert "white" not in text
    assert "12.3 MB" in text

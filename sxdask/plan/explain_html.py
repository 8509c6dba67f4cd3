"""The explanation as HTML for a notebook: escaped, no scripts, colours of the page."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from sxdask.plan.explain import (
    PhysicalSummary,
    derived,
    fired_rules,
    format_bytes,
    physical_facts,
    physical_title,
    show,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sxdask.plan.nodes import Plan
    from sxdask.plan.optimize import Step

# currentColor and transparency only, so that a dark page stays dark
_PRE: Final = (
    "margin:0.2em 0;padding:0.5em 0.8em;overflow-x:auto;"
    "background:transparent;color:inherit;border-left:3px solid currentColor"
)
_CELL: Final = "padding:0.1em 1em 0.1em 0;text-align:left;background:transparent;color:inherit"
_NUMBER: Final = _CELL.replace("left", "right")
_BAR: Final = "display:inline-block;height:0.6em;background:currentColor;opacity:0.5"
_BAR_WIDTH_EM: Final = 8.0


def explain_html(
    plan: Plan, derivation: Sequence[Step] = (), physical: PhysicalSummary | None = None
) -> str:
    """Return the explanation as one ``div`` for a notebook; arguments as for `explain_text`."""
    parts = [_block("logical plan", show(plan), is_open=physical is None and not derivation)]
    if derivation:
        parts.append(_block("rewrites", "\n".join(fired_rules(derivation)), is_open=False))
        parts.append(_block("optimised plan", show(derived(plan, derivation)), is_open=True))
    if physical is not None:
        parts.append(_physical(physical))
    return f'<div class="sxdask-explain" style="color:inherit">{"".join(parts)}</div>'


def _block(title: str, body: str, *, is_open: bool) -> str:
    state = " open" if is_open else ""
    return (
        f"<details{state}><summary>{escape(title)}</summary>"
        f'<pre style="{_PRE}">{escape(body)}</pre></details>'
    )


def _physical(summary: PhysicalSummary) -> str:
    facts = "".join(
        f'<tr><th style="{_CELL}">{escape(name)}</th><td style="{_CELL}">{escape(value)}</td></tr>'
        for name, value in physical_facts(summary)
    )
    largest = max((row.num_bytes for row in summary.branches), default=0)
    rows = "".join(
        f'<tr><td style="{_CELL}">{escape(row.name)}</td>'
        f'<td style="{_CELL}">{escape(row.type)}</td>'
        f'<td style="{_CELL}">{escape(row.role)}</td>'
        f'<td style="{_NUMBER}">{format_bytes(row.num_bytes)}</td>'
        f'<td style="{_CELL}">{_bar(row.num_bytes, largest)}</td></tr>'
        for row in summary.branches
    )
    heads = "".join(
        f'<th style="{_CELL}">{name}</th>' for name in ("branch", "type", "role", "bytes", "")
    )
    return (
        f"<details open><summary>{escape(physical_title(summary))}</summary>"
        f'<table style="margin:0.2em 0">{facts}</table>'
        f'<div style="max-height:24em;overflow:auto"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def _bar(num_bytes: int, largest: int) -> str:
    width = _BAR_WIDTH_EM * num_bytes / largest if largest else 0.0
    return f'<span style="{_BAR};width:{width:.2f}em"></span>'

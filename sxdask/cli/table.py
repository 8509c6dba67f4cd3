"""Columns of text that line up, never cut: fit for a terminal, for grep and for a file."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def table(
    header: Sequence[str], rows: Sequence[Sequence[object]], *, right: Collection[str] = ()
) -> str:
    """Return `rows` under `header`; the columns named in `right` are flush right.

    Examples
    --------
    >>> print(table(["name", "events"], [["a.root", 5], ["b.root", 1200]], right=["events"]))
    name    events
    a.root       5
    b.root    1200
    """
    lines = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(header))]
    flush = [name in right for name in header]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at_right else cell.ljust(width)
            for cell, width, at_right in zip(line, widths, flush, strict=True)
        ).rstrip()
        for line in lines
    )


def facts(pairs: Sequence[tuple[str, object]]) -> str:
    """Return one ``name  value`` a line, values below each other."""
    width = max((len(name) for name, _ in pairs), default=0)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in pairs)


def count(number: int, one: str, many: str | None = None) -> str:
    """Return ``1 file``, ``2 files``; `many` where an s does not do.

    Examples
    --------
    >>> count(1, "file"), count(2000, "entry", "entries")
    ('1 file', '2,000 entries')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"

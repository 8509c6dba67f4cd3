"""How the partitions of a request become objects of a delivery, and which files that is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from sxdask.core.errors import EmptyDatasetError, RequestError
from sxdask.requests.quantity import parse_bytes

if TYPE_CHECKING:
    from sxdask.deliver.layout import Layout
    from sxdask.deliver.sink import Sink
    from sxdask.deliver.tasks import Labels
    from sxdask.deliver.work import Source
    from sxdask.graph.lower import Lowered
    from sxdask.pipeline.compile import Compiled
    from sxdask.rootio.model import FileStamp

Merge: TypeAlias = str | int | None
"""``"file"``, a size in bytes or as text (``"256 MB"``), or None: nothing is joined."""

_LOOKS_AT_ONCE = 16


def layout_of(compiled: Compiled, merge: Merge, format_text: str, sink: Sink) -> Layout:
    """Return the layout that `merge` asks for.

    A request that copies ROOT objects has one object a file if nothing else is
    asked: they belong to files, not to partitions.

    Raises
    ------
    RequestError
        If there is no such layout, the sink has no objects that hold several
        partitions, or the format none that hold copies.
    EmptyDatasetError
        If there is nothing to deliver: no table and no copy.
    """
    from sxdask.deliver.format import format_name, open_format
    from sxdask.deliver.layout import Layout

    copies, source = compiled.plan.copies, compiled.source
    if not compiled.tables and not copies:
        raise EmptyDatasetError(
            f"no file of {source.files.name!r} has a tree that the request names",
            hint=f"the first file has {', '.join(map(repr, source.trees))}",
        )
    wanted = _merge(merge)
    if wanted is None and not copies:
        return Layout()
    if not getattr(sink, "joins", False):
        raise RequestError(
            f"{sink.location!r} takes partitions one by one, not joined to objects",
            hint="leave merge out, or deliver to a directory or object store",
        )
    if copies and not open_format(format_text).copies:
        raise RequestError(
            f"{format_name(format_text)} objects cannot hold copies of {', '.join(copies)}",
            hint="use format='root-file' or 'root-rntuple', or leave copy_histograms out",
        )
    return Layout(
        merge=wanted or "file",
        files=_files(compiled),
        copies=copies,
        storage_options=tuple(source.storage_options.items()),
        format=format_text,
        request=compiled.fingerprint,
    )


def source_of(table: Lowered, labels: Labels) -> Source:
    """Return one output of a request as the source of a delivery."""
    from sxdask.deliver.work import Source

    entries = sum(piece.num_entries for piece in table.pieces)
    per_entry = table.bytes_to_read / max(entries, 1)
    return Source(table.reader, table.pieces, labels, table.pruned, per_entry)


def _merge(merge: Merge) -> Literal["file"] | int | None:
    if merge is None or merge == "file":
        return None if merge is None else "file"
    try:
        size = 0 if isinstance(merge, bool) else parse_bytes(merge)
    except RequestError:
        size = 0
    if size < 1:
        raise RequestError(f"merge is {merge!r}", hint="use 'file', or a size such as '256 MB'")
    return size


def _files(compiled: Compiled) -> tuple[tuple[str, FileStamp], ...]:
    """Return every file of the dataset with its identity; few have to be looked at for it."""
    from concurrent.futures import ThreadPoolExecutor

    from sxdask.rootio.identity import file_identity

    source = compiled.source
    urls = list(dict.fromkeys(source.urls))
    known = {
        piece.url: piece.stamp for part in compiled.parts for piece in (*part.pieces, *part.pruned)
    }
    options = source.storage_options
    with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
        missing = [url for url in urls if url not in known]
        known |= zip(
            missing, pool.map(lambda url: file_identity(url, options), missing), strict=True
        )
    return tuple((url, known[url]) for url in urls)

"""Reading the description of branches and fields off uproot's objects.

Decides for each branch how the reader decodes it: the four encodings of the
fast path, through uproot, or not at all, with the reason.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from uproot.interpretation.grouped import AsGrouped
from uproot.interpretation.identify import UnknownInterpretation
from uproot.interpretation.jagged import AsJagged
from uproot.interpretation.numerical import AsDtype
from uproot.interpretation.objects import AsStridedObjects
from uproot.interpretation.strings import AsStrings

from sxdask.rootio.layout import BranchFacts
from sxdask.rootio.model import ColumnBaskets, ColumnLayout, Int64Array
from sxdask.rootio.streamed import nested_layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NONE = np.zeros(0, np.int64)
_NO_BASKETS = np.zeros(1, np.int64)
_UNREAD = ColumnBaskets(_NONE, _NONE, _NO_BASKETS)


@dataclass(frozen=True, slots=True)
class BranchRow:
    """One branch of one file: what it is, where its baskets lie, how big it is.

    `place` is its number among all branches of the tree, each before those below it.
    """

    facts: BranchFacts
    place: int
    seek: Int64Array
    num_bytes: Int64Array
    entry_starts: Int64Array
    compressed: int
    uncompressed: int
    compression: int


def branch_facts(tree: Any) -> list[BranchRow]:
    """Return every branch of a TTree that could be a column, in file order.

    Names are those of ``tree.arrays()``; where two branches have one name the
    later ones go by their full path.
    """
    forms: dict[str, str] = {}
    taken: set[str] = set()
    rows = []
    for place, (path, branch) in enumerate(tree.iteritems(recursive=True)):
        if isinstance(branch.interpretation, AsGrouped):
            continue
        name = branch.name if branch.name not in taken else path
        if name in taken:  # two branches of one path: uproot itself finds only the first
            continue
        taken.add(name)
        facts = _facts(tree, name, path, branch, forms)
        rows.append(_row(tree, place, branch, facts))
    return rows


def _facts(tree: Any, name: str, path: str, branch: Any, forms: dict[str, str]) -> BranchFacts:
    layout, reason = None, _damage(tree, path, branch)
    if not reason:
        try:
            layout = _encoding(name, path, branch, forms)
        except Exception as error:  # noqa: BLE001 - uproot raises many kinds at exotic classes
            reason = _one_line(error)
    if layout is not None and branch.embedded_baskets:
        layout = ColumnLayout(name, path, "uproot", layout.form)
    counting = branch.count_branch
    counter = "" if counting is None else str(counting.name)
    return BranchFacts(name, path, str(branch.typename), branch.title, layout, reason, counter)


def _row(tree: Any, place: int, branch: Any, facts: BranchFacts) -> BranchRow:
    normal = branch.num_baskets - len(branch.embedded_baskets)
    starts = np.asarray(branch.member("fBasketEntry")[: normal + 1], np.int64)
    whole = normal == branch.num_baskets and starts[-1] == tree.num_entries
    baskets = ColumnBaskets(
        seek=np.asarray(branch.member("fBasketSeek")[:normal], np.int64),
        num_bytes=np.asarray(branch.member("fBasketBytes")[:normal], np.int64),
        entry_starts=starts,
    )
    sizes = int(branch.compressed_bytes), int(branch.uncompressed_bytes)
    codes = int(branch.member("fCompress")), int(branch.file.fCompress)
    return make_row(facts, place, baskets if whole else None, sizes, codes)


def make_row(
    facts: BranchFacts,
    place: int,
    baskets: ColumnBaskets | None,
    sizes: tuple[int, int],
    codes: tuple[int, int],
) -> BranchRow:
    """Return the row of a branch, without baskets where it cannot be read.

    `sizes` are its bytes compressed and not, `codes` ROOT's compression of the branch and
    of its file.
    """
    if baskets is None or facts.reason:
        baskets = _UNREAD
    return BranchRow(
        facts=facts,
        place=place,
        seek=baskets.seek,
        num_bytes=baskets.num_bytes,
        entry_starts=baskets.entry_starts,
        compressed=sizes[0],
        uncompressed=sizes[1],
        compression=_compression(*codes, *sizes),
    )


def _compression(code: int, usual: int, compressed: int, uncompressed: int) -> int:
    if code > 0 or compressed >= uncompressed:
        return max(code, 0)
    return usual  # ROOT's kInherit, and what uproot leaves as 0


def _damage(tree: Any, path: str, branch: Any) -> str:
    """Return why a branch cannot be read whatever its type, or nothing."""
    elsewhere = branch.member("fFileName") if branch.has_member("fFileName") else ""
    if elsewhere:
        return f"its baskets are in another file, {str(elsewhere)!r}"
    if tree[path] is not branch:
        return "another branch has the same name"
    if branch.num_entries != tree.num_entries:
        return f"it has {branch.num_entries} entries, the tree {tree.num_entries}"
    try:
        edges = branch.entry_offsets
    except ValueError as error:
        return _one_line(error)
    if any(stop < start for start, stop in pairwise(edges)):
        return "its baskets are not in order"
    return ""


def _encoding(name: str, path: str, branch: Any, forms: dict[str, str]) -> ColumnLayout:
    kind = branch.interpretation
    if isinstance(kind, UnknownInterpretation):
        raise kind
    form = forms.get(kind.cache_key)
    if form is None:
        form = forms[kind.cache_key] = _form(kind, branch)
    if type(kind) is AsStrings and kind.length_bytes == "1-5":
        return ColumnLayout(name, path, "string", form, header_bytes=kind.header_bytes)
    content = kind.content if type(kind) is AsJagged else kind
    if type(content) is not AsDtype or content.from_dtype.fields:
        nested = nested_layout(name, path, branch, form)
        return nested or ColumnLayout(name, path, "uproot", form)
    return ColumnLayout(
        name,
        path,
        "flat" if content is kind else "jagged",
        form,
        file_dtype=content.from_dtype.base.str,
        dtype=content.to_dtype.base.name,
        inner_shape=content.from_dtype.shape,
        header_bytes=0 if content is kind else kind.header_bytes,
    )


def _form(interpretation: Any, branch: Any) -> str:
    form = interpretation.awkward_form(branch.file).to_dict(verbose=False)
    content = interpretation.content if type(interpretation) is AsJagged else interpretation
    if isinstance(content, AsStridedObjects):
        form = _visible(form)
    return form_json(form)


def _visible(form: Any) -> Any:
    """Drop the bookkeeping members of strided objects, as uproot does after reading them."""
    if isinstance(form, str):
        return form
    form = dict(form)
    if "content" in form:
        form["content"] = _visible(form["content"])
    if form.get("fields") is not None:
        kept = [
            (name, _visible(item))
            for name, item in zip(form["fields"], form["contents"], strict=True)
            if not name.startswith("@")
        ]
        if not kept:
            raise ValueError("its class has no members that can be read")
        form["fields"] = [name for name, _ in kept]
        form["contents"] = [item for _, item in kept]
    return form


def form_json(form: Any) -> str:
    """Return an awkward form (as a dict) as JSON without form keys."""
    return json.dumps(_without_keys(form), separators=(",", ":"))


def _without_keys(form: Any) -> Any:
    if isinstance(form, dict):
        return {key: _without_keys(item) for key, item in form.items() if key != "form_key"}
    return [_without_keys(item) for item in form] if isinstance(form, list) else form


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def field_facts(ntuple: Any) -> tuple[list[BranchRow], Int64Array, int]:
    """Return the top-level fields of an RNTuple, its cluster edges and its compressed bytes.

    A projected field has the sizes of the columns that it shows, which are
    counted once in the total.
    """
    records = ntuple.field_records
    below: dict[int, list[int]] = {}
    for number, record in enumerate(records):
        if record.parent_field_id != number:
            below.setdefault(record.parent_field_id, []).append(number)
    sizes = _field_sizes(ntuple)
    rows = []
    for number, record in enumerate(records):
        if record.parent_field_id != number:
            continue
        family = list(_family(number, below))
        sources = {_source(records, item) for item in family}
        known = [sizes[item] for item in sources if item in sizes]
        row = BranchRow(
            facts=_field(ntuple, number, family),
            place=number,
            seek=_NONE,
            num_bytes=_NONE,
            entry_starts=_NO_BASKETS,
            compressed=sum(item[0] for item in known),
            uncompressed=sum(item[1] for item in known),
            compression=known[0][2] if known else 0,
        )
        rows.append(row)
    clusters = [item.num_first_entry for item in ntuple.cluster_summaries]
    edges = np.unique(np.array([0, *clusters, int(ntuple.num_entries)], np.int64))
    return rows, edges, sum(item[0] for item in sizes.values())


def _family(number: int, below: dict[int, list[int]]) -> Iterable[int]:
    todo = [number]
    while todo:
        current = todo.pop()
        yield current
        todo.extend(reversed(below.get(current, [])))


def _source(records: Sequence[Any], number: int) -> int:
    source = records[number].source_field_id
    return number if source is None else int(source)


def _field(ntuple: Any, number: int, family: Sequence[int]) -> BranchFacts:
    # RNTuple.keys() looks through all fields for each field; the form of one
    # field needs the names of those below it only.
    fields = ntuple.all_fields
    name = str(fields[number].name)
    title, typename = str(fields[number].description), str(fields[number].typename)
    paths = [path for item in family if (path := fields[item].path) is not None]
    try:
        form = ntuple.field_form(number, paths)
    except Exception as error:  # noqa: BLE001 - uproot raises many kinds at exotic fields
        return BranchFacts(name, name, typename, title, None, _one_line(error))
    text = form_json(form.to_dict(verbose=False))
    return BranchFacts(name, name, typename, title, ColumnLayout(name, name, "uproot", text))


def _field_sizes(ntuple: Any) -> dict[int, tuple[int, int, int]]:
    """Return field number -> compressed bytes, bytes in memory, compression code."""
    sizes: dict[int, tuple[int, int, int]] = {}
    for column, record in enumerate(ntuple.column_records):
        packed = loose = code = 0
        for cluster in ntuple.page_link_list:
            if column >= len(cluster) or cluster[column].suppressed:
                continue
            pages = cluster[column].pages
            code = cluster[column].compression_settings or code
            packed += sum(page.locator.num_bytes for page in pages)
            loose += sum(page.num_elements for page in pages) * record.nbits // 8
        before = sizes.get(record.field_id, (0, 0, 0))
        sizes[record.field_id] = (before[0] + packed, before[1] + loose, code or before[2])
    return sizes

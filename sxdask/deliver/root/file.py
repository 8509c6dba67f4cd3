"""A ROOT file in memory: written with uproot, with a note of what its trees were before.

The note is a ``TObjString`` called ``sxdask``: JSON with the metadata of the
request and the Arrow schema of each tree, by which its tables are made again
with every type. Other readers need it as little as they know it.
"""

from __future__ import annotations

import io
import json
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import uproot

from sxdask.core.errors import RequestError
from sxdask.deliver.encode import PREFIX, schema_from_text, schema_to_text, to_table
from sxdask.deliver.format import output_of
from sxdask.deliver.part import content_key
from sxdask.deliver.root.conform import conform, forms_of, record_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

NOTE: Final = "sxdask"
NO_NAME: Final = "servicex"
"""The tree of rows that come from no tree: what ServiceX calls all of its trees."""

NUMBERS: Final = frozenset(
    [
        "bool",
        "float32",
        "float64",
        *(f"{sign}int{n}" for sign in ("", "u") for n in (8, 16, 32, 64)),
    ]
)
"""Types of numbers that ROOT has columns for."""

COMPRESSIONS: Final = ("zstd", "lz4", "zlib", "lzma", "none")
# Levels as ROOT's own writers take them.
_CODECS: Final = {
    "zstd": (uproot.ZSTD, 5),
    "lz4": (uproot.LZ4, 4),
    "zlib": (uproot.ZLIB, 1),
    "lzma": (uproot.LZMA, 7),
}
_MOST_LEVEL: Final = {"zstd": 22, "lz4": 12, "zlib": 9, "lzma": 9}


class _Memory(io.BytesIO):
    """Bytes that stay when uproot closes the file."""

    def close(self) -> None:
        """Do nothing: the bytes are wanted."""


@dataclass(slots=True)
class NewFile:
    """A ROOT file being written; `directory` is uproot's."""

    directory: Any
    memory: _Memory

    def data(self) -> pa.Buffer:
        """Return the bytes of the file."""
        return pa.py_buffer(self.memory.getvalue())


@contextmanager
def new_file(
    schemas: Sequence[pa.Schema], compression: str | None, level: int | None
) -> Iterator[NewFile]:
    """Give a new file; its trees are written by the caller, the note at the end.

    Its identity comes from the schemas, whose metadata name the content, so
    that a file that is written again is the same file.
    """
    memory = _Memory()
    texts = [schema_to_text(schema) for schema in schemas]
    identity = uuid.UUID(hex=content_key(*texts))
    codec = compression or COMPRESSIONS[0]
    chosen = None
    if codec != "none":
        kind, usual = _CODECS[codec]
        chosen = kind(usual if level is None else min(level, _MOST_LEVEL[codec]))
    with uproot.recreate(memory, compression=chosen, uuid_function=lambda: identity) as directory:
        yield NewFile(directory, memory)
        directory[NOTE] = json.dumps(_note(schemas, texts), indent=1)


def tree_name(schema: pa.Schema) -> str:
    """Return what the tree of a table is called: the output, or the tree it was read from."""
    metadata = schema.metadata or {}
    source = metadata.get(f"{PREFIX}tree".encode(), b"").decode()
    return (output_of(schema) or source or NO_NAME).partition(";")[0].strip("/")


def require_trees(schemas: Sequence[pa.Schema], kind: str) -> None:
    """Refuse trees without branches, and two trees of one name."""
    names: dict[str, str] = {}
    for schema in schemas:
        if not schema.names:
            raise RequestError(
                f"{kind} cannot hold rows without columns",
                hint="select at least one column, or use format='arrow'",
            )
        name, output = tree_name(schema), output_of(schema)
        if name in names or name == NOTE:
            raise RequestError(
                f"output {output!r} becomes a tree called {name!r}, and so does another object",
                hint="give it another name",
            )
        names[name] = output


def require_names(branches: Iterable[tuple[str, str]], kind: str) -> None:
    """Refuse two columns that become one branch; `branches` are pairs of column and branch."""
    owner: dict[str, str] = {}
    for column, branch in branches:
        if branch in owner:
            other = owner[branch]
            raise RequestError(
                f"columns {other!r} and {column!r} would both be {branch!r} in a {kind}",
                hint="give one of them another name",
                column=column,
            )
        owner[branch] = column


def opened(data: bytes) -> tuple[Any, list[dict[str, str]]]:
    """Return the file and what its note says of its trees.

    Raises
    ------
    ValueError
        If it is no ROOT file, or none of ours.
    """
    file = uproot.open(io.BytesIO(data))
    if file.file.fEND != len(data):
        raise ValueError(f"it has {len(data)} bytes, its header says {file.file.fEND}")
    try:
        trees = json.loads(str(file[NOTE]))["trees"]
    except (uproot.KeyInFileError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"it has no object {NOTE!r} that describes its trees") from error
    return file, list(trees)


def tree_of(data: bytes, output: str | None) -> tuple[Any, pa.Schema]:
    """Return the tree of `output` (None: the only one) and the schema of its table."""
    file, trees = opened(data)
    found = [tree for tree in trees if output is None or tree["output"] == output]
    if len(found) != 1:
        raise ValueError(f"it has {len(found)} trees of output {output!r}")
    return file[found[0]["tree"]], schema_from_text(found[0]["schema"])


def num_rows(data: bytes) -> int:
    """Return the entries of all trees of a file."""
    file, trees = opened(data)
    return sum(int(file[tree["tree"]].num_entries) for tree in trees)


def table_of(columns: Mapping[str, Any], schema: pa.Schema, length: int) -> pa.Table:
    """Return layouts as a file gave them as the table with `schema` that they were."""
    forms = forms_of(schema)
    whole = {name: conform(columns[name], form) for name, form in forms.items()}
    table = to_table(record_of(whole, length))
    return pa.Table.from_arrays(table.columns, schema=schema)


def _note(schemas: Sequence[pa.Schema], texts: Sequence[str]) -> dict[str, Any]:
    common: dict[str, str] = {}
    if schemas:
        common = {
            key.decode().removeprefix(PREFIX): value.decode()
            for key, value in (schemas[0].metadata or {}).items()
            if key.decode().startswith(PREFIX)
            and all((schema.metadata or {}).get(key) == value for schema in schemas)
        }
    trees = [
        {"tree": tree_name(schema), "output": output_of(schema), "schema": text}
        for schema, text in zip(schemas, texts, strict=True)
    ]
    return {**common, "trees": trees}

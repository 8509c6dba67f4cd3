"""What the objects of results are called."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sxdask.deliver.part import public_url

if TYPE_CHECKING:
    from sxdask.service.transforms.ports import ResultFormat

_SUFFIXES: Final = {"parquet": ".parquet", "root-file": ".root", "root-rntuple": ".root"}
_LONGEST: Final = 100
_ODD: Final = re.compile(r"[^A-Za-z0-9_+=,-]")


def object_name(path: str, file_id: int, result_format: ResultFormat) -> str:
    """Return the flat name of the result of a file, the same for every try at it.

    It begins as the file is called, has no dot but that of the suffix (tools
    take what has ``.root`` anywhere for ROOT), and the file's id tells files
    of one name apart.

    Examples
    --------
    >>> object_name("root://host//store/run.7/nano_3.root", 41, "parquet")
    'nano_3-41.parquet'
    """
    name = public_url(path).rstrip("/").rpartition("/")[2].removesuffix(".root")
    stem = _ODD.sub("_", name)[:_LONGEST] or "file"
    return f"{stem}-{file_id}{_SUFFIXES[result_format]}"

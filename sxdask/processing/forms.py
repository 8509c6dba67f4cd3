"""coffea's description of a tree, taken once for each kind of file and kept.

It is what coffea itself makes of the branches; a tenth of a second and more
for a thousand of them, besides opening the file. Files whose layouts have one
digest have the same, so it is kept by digest in the cache directory.
"""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from sxdask.core.errors import MissingExtraError
from sxdask.rootio.atomic import replace_bytes
from sxdask.rootio.build import open_root

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sxdask.core.settings import Settings
    from sxdask.rootio.index import FileIndex


def require_coffea() -> None:
    """Check that coffea is installed.

    Raises
    ------
    MissingExtraError
        If it is not; the hint is the line for pip.
    """
    if find_spec("coffea") is None:
        raise MissingExtraError(
            "processors need the package 'coffea'", hint="pip install 'sxdask[coffea]'"
        )


def base_form(
    index: FileIndex,
    schema: Any,
    settings: Settings,
    storage_options: Mapping[str, Any],
) -> bytes:
    """Return coffea's form of a tree before any schema, as packed JSON.

    Parameters
    ----------
    index
        Of a file of that kind.
    schema
        The schema class; that of EDM4hep needs more of the file than others.
    settings
        For the cache directory.
    storage_options
        For fsspec, if the file has to be opened.

    Raises
    ------
    DatasetError, DataError, SystemFaultError
        If the file has to be opened and cannot be.
    """
    from importlib.metadata import version

    from coffea.nanoevents.schemas.edm4hep import EDM4HEPSchema

    podio = isinstance(schema, type) and issubclass(schema, EDM4HEPSchema)
    mark = f"{index.stamp.uuid}-" if podio else ""  # its links are described beside the tree
    name = f"{index.layout.digest[:40]}-{mark}{version('coffea')}.json.z"
    path = settings.cache_dir / "coffea" / name
    with suppress(OSError, zlib.error):
        data = path.read_bytes()
        zlib.decompress(data)
        return data
    data = zlib.compress(json.dumps(_from_file(index, storage_options, podio=podio)).encode(), 1)
    with suppress(OSError):  # a cache that cannot be written is no cache
        replace_bytes(path, data)
    return data


def _from_file(
    index: FileIndex, storage_options: Mapping[str, Any], *, podio: bool
) -> dict[str, Any]:
    from coffea.nanoevents.mapping.uproot import UprootSourceMapping
    from coffea.nanoevents.schemas.edm4hep import podio_collection_types

    with open_root(index.url, storage_options, size=index.stamp.size) as file:
        tree = file[index.tree]
        form: dict[str, Any] = UprootSourceMapping._extract_base_form(tree)  # noqa: SLF001
        form["typenames"] = tree.typenames()
        if podio:
            form["podio_collection_types"] = podio_collection_types(tree)
    return form


def limited(form: dict[str, Any], keep: Callable[[str], bool]) -> dict[str, Any]:
    """Return a base form with only the branches that `keep` names."""
    kept = [
        (name, content)
        for name, content in zip(form["fields"], form["contents"], strict=True)
        if keep(name)
    ]
    typenames = {name: kind for name, kind in form["typenames"].items() if keep(name)}
    return {
        **form,
        "fields": [name for name, _ in kept],
        "contents": [content for _, content in kept],
        "typenames": typenames,
    }


def unpacked(data: bytes) -> dict[str, Any]:
    """Return the form that `base_form` packed."""
    return cast("dict[str, Any]", json.loads(zlib.decompress(data)))

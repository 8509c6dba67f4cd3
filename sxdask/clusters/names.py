"""Clusters by name: files that say which backend and which options a name stands for.

::

    lab:
      backend: gateway
      description: the batch farm
      storage: s3://scratch/checks
      options:
        address: https://dask.example.org
        minimum: 0
        maximum: 40
        worker: {x509_proxy: /etc/proxy/x509up}

The user's file is ``sxdask/clusters.yaml`` in the configuration directory;
``SXDASK_CLUSTERS`` names one or more in its place, the first of which wins.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sxdask.clusters.backend import BACKENDS
from sxdask.core.errors import RequestError, close_names
from sxdask.datasets.storage import refuse_secrets
from sxdask.requests.yaml_text import YamlText

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE: Final = "SXDASK_CLUSTERS"
_PATHS: Final = frozenset(
    {
        *("bearer_token_file", "s3_credentials"),  # files, whatever they hold
        *("proxy_secret", "pull_secrets", "s3_secret", "token_secret"),  # names in Kubernetes
    }
)


class NamedCluster(BaseModel):
    """What a name stands for. `storage` is where its workers may write, to be tried."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: str = Field(min_length=1)
    description: str = ""
    storage: str = ""
    options: dict[str, Any] = Field(default_factory=dict)


def cluster_files() -> list[Path]:
    """Return the files that name clusters, the first wins; they need not exist."""
    named = os.environ.get(VARIABLE)
    if named:
        return [Path(item).expanduser() for item in named.split(os.pathsep) if item]
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return [Path(base) / "sxdask" / "clusters.yaml"]


def named_clusters() -> dict[str, NamedCluster]:
    """Return the clusters that have names.

    Raises
    ------
    RequestError
        If a file is malformed, is missing though the environment names it, or
        holds a secret.
    """
    found: dict[str, NamedCluster] = {}
    for path in cluster_files():
        if path.exists():
            found = _read(path) | found
        elif VARIABLE in os.environ:
            raise RequestError(
                f"{VARIABLE} names {str(path)!r}, which does not exist",
                hint=f"correct {VARIABLE}, or unset it",
            )
    return found


def find_cluster(name: str) -> NamedCluster:
    """Return what `name` stands for: a name of a file, a backend, or the address of a scheduler.

    Raises
    ------
    RequestError
        If it is none of them; the hint lists what there is.
    """
    if "://" in name or _is_address(name):
        return NamedCluster(backend="address", options={"address": name})
    known = named_clusters()
    if name in known:
        return known[name]
    if name in BACKENDS.names():
        return NamedCluster(backend=name)
    names = sorted({*known, *BACKENDS.names()} - {"address"})
    raise RequestError(
        f"there is no cluster {name!r}",
        hint=close_names(name, names)
        or f"there is {', '.join(names)}; name more in {cluster_files()[0]}",
    )


def _is_address(name: str) -> bool:
    host, colon, port = name.rpartition(":")
    return bool(host and colon and port.isdigit())


def _read(path: Path) -> dict[str, NamedCluster]:
    text = YamlText(path)
    values = text.values if text.values is not None else {}
    if not isinstance(values, dict):
        raise RequestError(f"{path} names no clusters", hint="begin with 'NAME:' and 'backend:'")
    return {str(name): _entry(text, str(name), entry) for name, entry in values.items()}


def _entry(text: YamlText, name: str, entry: Any) -> NamedCluster:
    try:
        found = NamedCluster.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = (name, *first["loc"])
        shown = ".".join(map(str, place))
        wrong = str(first["loc"][-1]) if first["loc"] else ""
        known = list(NamedCluster.model_fields)
        raise RequestError(
            f"{text.path}:{text.line(place)}: {shown}: {first['msg'].lower()}",
            hint=close_names(wrong, known) or f"the keys are {', '.join(known)}",
        ) from None
    if found.backend not in BACKENDS.names():
        hint = close_names(found.backend, BACKENDS.names())
        raise RequestError(
            f"{text.path}:{text.line((name, 'backend'))}: {name}: no backend {found.backend!r}",
            hint=hint or f"there is {', '.join(BACKENDS.names())}",
        )
    if name in BACKENDS.names() and found.backend != name:
        raise RequestError(
            f"{text.path}:{text.line((name,))}: {name!r} is a backend and stands for itself",
            hint="choose another name",
        )
    refuse_secret_options(found.options, f"{text.path}: options of {name}")
    return found


def refuse_secret_options(options: Mapping[str, Any], place: str) -> None:
    """Check that options of a cluster hold no credential, only names of files and profiles.

    Raises
    ------
    RequestError
        With the name of the option, and without its value.
    """
    for name, value in options.items():
        if name in _PATHS:
            continue
        if isinstance(value, dict):
            refuse_secret_options(value, f"{place}.{name}")
        else:
            refuse_secrets({name: value}, place)

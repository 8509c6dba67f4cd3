"""Settings: read once at the edge, passed down as values.

Every setting has one default, here, and one environment variable,
``SXDASK_<NAME>`` in capitals.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sxdask.core.errors import RequestError

_CHOICES = {"column_cache": ("auto", "on", "off")}


def default_cache_dir() -> Path:
    """Return the user's cache directory for sxdask (``XDG_CACHE_HOME`` is honoured)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sxdask"


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator or a user may change.

    Sizes are in bytes. `partition_bytes` is the wanted compressed size of a
    partition's projected columns, `max_partition_memory` what they may take
    decoded before the partition is cut; `memory_budget` is what partitions in
    flight may take in one process (0: half of the memory there is). `threads`
    are the threads that decompress in one task (0: as many as the worker has
    cores, at most 4), `index_workers` the processes that build missing indexes
    (0: one a core). `allow_python` says whether requests may be Python
    functions, which workers run as they are.

    `result_cache` is where results of partitions are kept: a directory or any
    URL (``auto``: the folder ``results`` of `cache_dir`), at most
    `result_cache_bytes` of them (0: none). `column_cache` says whether baskets
    that were read are kept on the worker's disk, below `cache_dir`: those of
    remote files (``auto``), all (``on``) or none (``off``), at most
    `column_cache_bytes` of them.

    `catalog` is the file of named datasets (``auto``: ``catalog.json`` in the
    user's configuration directory for sxdask). Where a catalogue knows several
    replicas of a file, those at the sites `replica_sites` come first, and of one
    site those of the first of `replica_schemes`; both are lists with commas, the
    best first, and sites may be patterns. `opendata_url` is the portal that
    ``cernopendata://`` asks.
    """

    cache_dir: Path
    partition_bytes: int = 32 * 1024 * 1024
    max_selection_bytes: int = 1024 * 1024
    max_nesting: int = 200
    max_files: int = 1_000_000
    threads: int = 0
    index_workers: int = 0
    learn_zones: bool = True
    allow_python: bool = True
    memory_budget: int = 0
    max_partition_memory: int = 512 * 1024 * 1024
    result_cache: str = "auto"
    result_cache_bytes: int = 10 * 1024**3
    column_cache: str = "auto"
    column_cache_bytes: int = 10 * 1024**3
    no_worker_seconds: int = 300
    catalog: str = "auto"
    replica_sites: str = "*"
    replica_schemes: str = "root,https,http"
    opendata_url: str = "https://opendata.cern.ch"


def load_settings(environ: dict[str, str] | None = None) -> Settings:
    """Return the settings from the environment (``SXDASK_*``) over the defaults.

    Raises
    ------
    RequestError
        If a variable does not hold a value of its kind.
    """
    env = dict(os.environ) if environ is None else environ
    values: dict[str, Any] = {"cache_dir": default_cache_dir()}
    for item in fields(Settings):
        text = env.get(f"SXDASK_{item.name.upper()}")
        if text is None:
            continue
        values[item.name] = _parse(item.name, str(item.type), text)
    return Settings(**values)


def _parse(name: str, kind: str, text: str) -> Any:
    variable = f"SXDASK_{name.upper()}"
    if kind == "Path":
        return Path(text).expanduser()
    if kind == "str":
        return _parse_text(name, text)
    if kind == "bool":
        if text.lower() in {"1", "true", "yes", "on"}:
            return True
        if text.lower() in {"0", "false", "no", "off"}:
            return False
        raise RequestError(f"{variable} is {text!r}", hint="use 1 or 0")
    try:
        value = int(text)
    except ValueError:
        raise RequestError(f"{variable} is {text!r}", hint="use a whole number") from None
    if value < 0:
        raise RequestError(f"{variable} is {text!r}", hint="use a number that is not negative")
    return value


def _parse_text(name: str, text: str) -> str:
    known = _CHOICES.get(name)
    if known is None or text in known:
        return text
    raise RequestError(
        f"SXDASK_{name.upper()} is {text!r}", hint=f"use {', '.join(known[:-1])} or {known[-1]}"
    )

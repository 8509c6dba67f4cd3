"""Databases that tests share: SQLite with the service's tables, submissions and results."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sxdask.service.database.connect import open_database
from sxdask.service.database.migrate import upgrade
from sxdask.service.database.store import SqlStore
from sxdask.service.transforms.ports import DatasetFile, FileResult, NewTransform

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

NEW = NewTransform("title", "selection", "uproot-raw", "parquet", "object-store", "key")
_MIGRATED: list[str] = []


@contextmanager
def sqlite_database(folder: Path) -> Iterator[Engine]:
    """Give a fresh SQLite database in `folder`, with the tables that migrations make."""
    path = folder / "service.db"
    if _MIGRATED:
        with sqlite3.connect(path, isolation_level=None) as connection:
            connection.executescript(f"PRAGMA auto_vacuum=INCREMENTAL;{_MIGRATED[0]}")
        connection.close()
    engine = open_database(f"sqlite:///{path}")
    try:
        if not _MIGRATED:
            upgrade(engine)
            _MIGRATED.append(_dump(path))
        yield engine
    finally:
        engine.dispose()


def _dump(path: Path) -> str:
    connection = sqlite3.connect(path)
    lines = list(connection.iterdump())
    connection.close()
    return "\n".join(line for line in lines if "sqlite_sequence" not in line)


@contextmanager
def sqlite_store(folder: Path) -> Iterator[SqlStore]:
    """Give a store with nothing in it."""
    with sqlite_database(folder) as engine:
        yield SqlStore(engine)


def of_files(*paths: str, **changes: Any) -> NewTransform:
    """Return a submission of a list of files."""
    return replace(NEW, files=paths, **changes)


def of_dataset(did: str = "rucio://scope:name", **changes: Any) -> NewTransform:
    """Return a submission of a dataset."""
    return replace(NEW, did=did, **changes)


def good(file: DatasetFile, **facts: Any) -> FileResult:
    """Return what a file gave."""
    return FileResult(file.id, file.paths[0], ok=True, object=f"{file.paths[0]}.parquet", **facts)


def bad(file: DatasetFile, **facts: Any) -> FileResult:
    """Return why a file gave nothing."""
    values = {"code": "SX301", "message": "no such branch"} | facts
    return FileResult(file.id, file.paths[0], ok=False, **values)

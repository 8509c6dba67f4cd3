"""A database with many transforms of many files, filled by the database itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import Engine

USERS = 200
SHARED_BY = 10  # transforms that are of one dataset
RUNNING_EACH = 50  # of so many transforms one runs, without the results of its last two files

_NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {})"
_SECOND = ", f(j) AS (SELECT 1 UNION ALL SELECT j + 1 FROM f WHERE j < {})"
_SQLITE = {
    "time": "strftime('%Y-%m-%d %H:%M:%S', 1700000000 + {}, 'unixepoch') || '.000000'",
    "id": "printf('00000000-0000-4000-8000-%012d', {})",
    "yes": "1",
    "no": "0",
    "if": "iif({}, {}, {})",
    "json": "{}",
}
_POSTGRES = {
    "time": "timestamp '2023-11-14 22:13:20' + ({}) * interval '1 second'",
    "id": "'00000000-0000-4000-8000-' || lpad(({})::text, 12, '0')",
    "yes": "true",
    "no": "false",
    "if": "CASE WHEN {} THEN {} ELSE {} END",
    "json": "CAST({} AS json)",
}


@dataclass(frozen=True)
class Full:
    """What is in the database; every number begins with 1."""

    transforms: int
    files: int

    @property
    def datasets(self) -> int:
        """How many datasets there are."""
        return max(self.transforms // SHARED_BY, 1)

    def request_id(self, number: int) -> str:
        """Return the id of a transform."""
        return f"00000000-0000-4000-8000-{number:012d}"

    @property
    def running(self) -> str:
        """A transform that runs."""
        return self.request_id(self.transforms // 2 // RUNNING_EACH * RUNNING_EACH)

    @property
    def complete(self) -> str:
        """A transform that is complete."""
        return self.request_id(self.transforms // 2 // RUNNING_EACH * RUNNING_EACH + 1)


def fill(engine: Engine, full: Full) -> None:
    """Fill the tables of `engine`, and let the database look at what is in them."""
    words = _SQLITE if engine.dialect.name == "sqlite" else _POSTGRES
    statements = _statements(full, words)
    if engine.dialect.name != "sqlite":
        serial = {"users": "id", "datasets": "id", "transforms": "number", "files": "id"}
        statements += [
            f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), MAX({column}))"  # noqa: S608  names of ours
            f" FROM {table}"
            for table, column in {**serial, "results": "id", "events": "id"}.items()
        ]
    with engine.begin() as connection:
        driver = connection.connection.cursor()
        for statement in statements:  # as they are: neither colons nor percent signs are values
            driver.execute(statement)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE")


def _statements(full: Full, words: dict[str, str]) -> list[str]:
    number, files, datasets = full.transforms, full.files, full.datasets
    time, name, choose = words["time"].format, words["id"].format, words["if"].format
    as_json = words["json"].format
    yes, no = words["yes"], words["no"]
    runs = f"i % {RUNNING_EACH} = 0"
    left = choose(runs, files - 2, files)
    rows: list[tuple[str, str, dict[str, Any]]] = [
        (
            "users",
            _NUMBERS.format(USERS),
            {"id": "i", "subject": "'user ' || i", "name": "''", "email": "''"}
            | {"institution": "''", "experiment": "''", "admin": no, "pending": no}
            | {"token_id": "''", "created": time("i")},
        ),
        (
            "datasets",
            _NUMBERS.format(datasets),
            {"id": "i", "name": "'rucio://scope:' || i", "did_finder": "'rucio'"}
            | {"lookup_status": "'complete'", "num_files": files, "size": 0, "events": 0}
            | {"last_used": time("i"), "last_updated": time("i"), "stale": no, "reason": "''"},
        ),
        (
            "files",
            _NUMBERS.format(datasets * files),
            {"id": "i", "dataset_id": f"(i - 1) / {files} + 1", "position": f"(i - 1) % {files}"}
            | {"path": "'root://host//store/file-' || i || '.root'", "size": 0, "events": 0}
            | {"replicas": as_json("""'["root://host//store/file-' || i || '.root"]'""")},
        ),
        (
            "transforms",
            _NUMBERS.format(number),
            {"number": "i", "request_id": name("i"), "title": "'title'", "codegen": "'uproot'"}
            | {"selection": "'MET_pt > 25'", "result_format": "'parquet'", "bytes": 1000 * files}
            | {"destination": "'object-store'", "content_key": "'key ' || i", "priority": 0}
            | {"submitted_by": f"i % {USERS} + 1", "did": "'rucio://scope:name'", "reason": "''"}
            | {"did_id": f"(i - 1) % {datasets} + 1", "files": files, "completed": left}
            | {"status": choose(runs, "'Running'", "'Complete'"), "failed": 0, "looked_up": yes}
            | {"submitted": time("i"), "finished": choose(runs, "NULL", time("i"))}
            | {"last_result": time(f"i * {files}"), "archived": no, "used": time("i")},
        ),
        (
            "results",
            _NUMBERS.format(number) + _SECOND.format(files),
            {"request_id": name("i"), "file_id": f"(i - 1) % {datasets} * {files} + j"}
            | {"file_path": "'root://host//store/file.root'", "ok": yes, "rows": 5, "bytes": 1000}
            | {"object": "'file-' || j || '.parquet'", "seconds": 0.5, "code": "''"}
            | {"message": "''", "traceback": "''", "created": time(f"(i - 1) * {files} + j")},
        ),
        (
            "events",
            _NUMBERS.format(number),
            {
                "request_id": name("i"),
                "at": time("i"),
                "kind": "'CancelAsked'",
                "facts": as_json("'{}'"),
            },
        ),
    ]
    sources = dict.fromkeys(("users", "datasets", "files", "transforms", "events"), "n")
    sources["results"] = f"n, f WHERE j <= {left}"
    return [
        f"INSERT INTO {table} ({', '.join(values)}) {numbers}"  # noqa: S608  nothing from outside
        f" SELECT {', '.join(map(str, values.values()))} FROM {sources[table]}"
        for table, numbers, values in rows
    ]

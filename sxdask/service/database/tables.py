"""The tables. A change here needs a migration in `migrations/versions`, which a test compares.

Each index is there for a question that is asked often; tests look at how the
databases answer these (``tests/contracts/test_store_queries.py``).
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    UniqueConstraint,
    false,
)

from sxdask.service.database.types import NUMBER, LongText, ShortText, Utc

METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

USERS: Final = Table(
    "users",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("subject", ShortText(255), nullable=False, unique=True),
    Column("name", ShortText(255), nullable=False, default=""),
    Column("email", ShortText(320), nullable=False, default=""),
    Column("institution", ShortText(255), nullable=False, default=""),
    Column("experiment", ShortText(255), nullable=False, default=""),
    Column("admin", Boolean, nullable=False, default=False),
    Column("pending", Boolean, nullable=False, default=True),
    Column("token_id", ShortText(64), nullable=False, default=""),
    Column("created", Utc, nullable=False),
    # The number of a user who was removed is never given again: her tokens name it.
    sqlite_autoincrement=True,
)

DATASETS: Final = Table(
    "datasets",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", LongText, nullable=False),
    Column("did_finder", ShortText(64), nullable=False),
    Column("lookup_status", ShortText(32), nullable=False, default="created"),
    Column("num_files", Integer, nullable=False, default=0),
    Column("size", BigInteger, nullable=False, default=0),
    Column("events", BigInteger, nullable=False, default=0),
    Column("last_used", Utc, nullable=False),
    Column("last_updated", Utc, nullable=False),
    Column("stale", Boolean, nullable=False, default=False),
    Column("reason", LongText, nullable=False, default=""),
    sqlite_autoincrement=True,
)
# Of each name one dataset is good at any time, whoever asks first.
Index(
    "ix_datasets_fresh",
    DATASETS.c.name,
    unique=True,
    sqlite_where=DATASETS.c.stale == false(),
    postgresql_where=DATASETS.c.stale == false(),
)

FILES: Final = Table(
    "files",
    METADATA,
    Column("id", NUMBER, primary_key=True),
    Column("dataset_id", ForeignKey("datasets.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("path", LongText, nullable=False),
    Column("replicas", JSON, nullable=False),
    Column("adler32", ShortText(64)),
    Column("size", BigInteger, nullable=False, default=0),
    Column("events", BigInteger, nullable=False, default=0),
    UniqueConstraint("dataset_id", "path"),
    Index(None, "dataset_id", "position"),
)

TRANSFORMS: Final = Table(
    "transforms",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("request_id", ShortText(36), nullable=False, unique=True),
    Column("title", LongText, nullable=False),
    Column("selection", LongText, nullable=False),
    Column("codegen", ShortText(64), nullable=False),
    Column("result_format", ShortText(32), nullable=False),
    Column("destination", ShortText(32), nullable=False),
    Column("content_key", ShortText(64), nullable=False),
    Column("submitted_by", ForeignKey("users.id", ondelete="SET NULL")),
    Column("tree_name", LongText),
    Column("workers", Integer),
    Column("priority", Integer, nullable=False, default=0),
    Column("did", LongText, nullable=False),
    Column("did_id", ForeignKey("datasets.id"), nullable=False, index=True),
    Column("status", ShortText(32), nullable=False),
    Column("files", Integer, nullable=False, default=0),
    Column("completed", Integer, nullable=False, default=0),
    Column("failed", Integer, nullable=False, default=0),
    Column("looked_up", Boolean, nullable=False, default=False),
    Column("reason", LongText, nullable=False, default=""),
    Column("submitted", Utc, nullable=False),
    Column("finished", Utc),
    Column("last_result", Utc),
    Column("archived", Boolean, nullable=False, default=False),
    # Of all results together, and when somebody was last given this answer.
    Column("bytes", BigInteger, nullable=False, default=0),
    Column("used", Utc, nullable=False),
    Index(None, "content_key", "number"),
    Index(None, "submitted_by", "number"),
    Index(None, "status", "number"),
    Index(None, "used"),
    sqlite_autoincrement=True,
)
# Those whose files are not all known: a lookup tells them, and there may be thousands of others.
Index(
    "ix_transforms_waiting",
    TRANSFORMS.c.did_id,
    sqlite_where=TRANSFORMS.c.looked_up == false(),
    postgresql_where=TRANSFORMS.c.looked_up == false(),
)

RESULTS: Final = Table(
    "results",
    METADATA,
    Column("id", NUMBER, primary_key=True),
    Column("request_id", ForeignKey("transforms.request_id", ondelete="CASCADE"), nullable=False),
    Column("file_id", ForeignKey("files.id"), nullable=False),
    Column("file_path", LongText, nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("object", LongText, nullable=False, default=""),
    Column("rows", BigInteger, nullable=False, default=0),
    Column("bytes", BigInteger, nullable=False, default=0),
    Column("seconds", Float, nullable=False, default=0.0),
    Column("code", ShortText(16), nullable=False, default=""),
    Column("message", LongText, nullable=False, default=""),
    Column("traceback", LongText, nullable=False, default=""),
    Column("created", Utc, nullable=False),
    UniqueConstraint("file_id", "request_id"),  # the first report of a file counts
    UniqueConstraint("request_id", "created"),  # clients ask for what is strictly later
)

EVENTS: Final = Table(
    "events",
    METADATA,
    Column("id", NUMBER, primary_key=True),
    Column(
        "request_id",
        ForeignKey("transforms.request_id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("at", Utc, nullable=False, index=True),
    Column("kind", ShortText(32), nullable=False),
    Column("facts", JSON, nullable=False),
)

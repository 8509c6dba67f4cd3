"""The tables. A change here needs a migration in `migrations/versions`, which a test compares."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    false,
)

METADATA: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite counts rows by itself only in a column that is called INTEGER.
_NUMBER = BigInteger().with_variant(Integer, "sqlite")


class Utc(TypeDecorator[datetime]):
    """Times with zone outside, UTC without zone in the database, to the microsecond."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Return what is stored."""
        del dialect
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Return what was stored."""
        del dialect
        return None if value is None else value.replace(tzinfo=UTC)


USERS: Final = Table(
    "users",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("subject", String(255), nullable=False, unique=True),
    Column("name", String(255), nullable=False, default=""),
    Column("email", String(320), nullable=False, default=""),
    Column("institution", String(255), nullable=False, default=""),
    Column("experiment", String(255), nullable=False, default=""),
    Column("admin", Boolean, nullable=False, default=False),
    Column("pending", Boolean, nullable=False, default=True),
    Column("token_id", String(64), nullable=False, default=""),
    Column("created", Utc, nullable=False),
)

DATASETS: Final = Table(
    "datasets",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("did_finder", String(64), nullable=False),
    Column("lookup_status", String(32), nullable=False, default="created"),
    Column("num_files", Integer, nullable=False, default=0),
    Column("size", BigInteger, nullable=False, default=0),
    Column("events", BigInteger, nullable=False, default=0),
    Column("last_used", Utc, nullable=False),
    Column("last_updated", Utc, nullable=False),
    Column("stale", Boolean, nullable=False, default=False),
    Column("reason", Text, nullable=False, default=""),
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
    Column("id", _NUMBER, primary_key=True),
    Column("dataset_id", ForeignKey("datasets.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("path", Text, nullable=False),
    Column("replicas", JSON, nullable=False),
    Column("adler32", String(64)),
    Column("size", BigInteger, nullable=False, default=0),
    Column("events", BigInteger, nullable=False, default=0),
    UniqueConstraint("dataset_id", "path"),
)

TRANSFORMS: Final = Table(
    "transforms",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("request_id", String(36), nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("selection", Text, nullable=False),
    Column("codegen", String(64), nullable=False),
    Column("result_format", String(32), nullable=False),
    Column("destination", String(32), nullable=False),
    Column("content_key", String(64), nullable=False, index=True),
    Column("submitted_by", ForeignKey("users.id", ondelete="SET NULL"), index=True),
    Column("tree_name", Text),
    Column("workers", Integer),
    Column("priority", Integer, nullable=False, default=0),
    Column("did", Text, nullable=False),
    Column("did_id", ForeignKey("datasets.id"), nullable=False, index=True),
    Column("status", String(32), nullable=False, index=True),
    Column("files", Integer, nullable=False, default=0),
    Column("completed", Integer, nullable=False, default=0),
    Column("failed", Integer, nullable=False, default=0),
    Column("looked_up", Boolean, nullable=False, default=False),
    Column("reason", Text, nullable=False, default=""),
    Column("submitted", Utc, nullable=False),
    Column("finished", Utc),
    Column("last_result", Utc),
    Column("archived", Boolean, nullable=False, default=False),
)

RESULTS: Final = Table(
    "results",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column("request_id", ForeignKey("transforms.request_id", ondelete="CASCADE"), nullable=False),
    Column("file_id", ForeignKey("files.id"), nullable=False),
    Column("file_path", Text, nullable=False),
    Column("ok", Boolean, nullable=False),
    Column("object", Text, nullable=False, default=""),
    Column("rows", BigInteger, nullable=False, default=0),
    Column("bytes", BigInteger, nullable=False, default=0),
    Column("seconds", Float, nullable=False, default=0.0),
    Column("code", String(16), nullable=False, default=""),
    Column("message", Text, nullable=False, default=""),
    Column("traceback", Text, nullable=False, default=""),
    Column("created", Utc, nullable=False),
    UniqueConstraint("request_id", "file_id"),  # the first report of a file counts
    UniqueConstraint("request_id", "created"),  # clients ask for what is strictly later
)

EVENTS: Final = Table(
    "events",
    METADATA,
    Column("id", _NUMBER, primary_key=True),
    Column(
        "request_id",
        ForeignKey("transforms.request_id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("at", Utc, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("facts", JSON, nullable=False),
)

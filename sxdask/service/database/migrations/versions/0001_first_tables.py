"""The tables of the first release.

They are written out: a migration says what it did then, whatever tables say now.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TABLES = ("events", "results", "transforms", "files", "datasets", "users")


def upgrade() -> None:
    """Make users, datasets, files, transforms, results and events."""
    op.create_table(
        "users",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("subject", sa.String(255), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("email", sa.String(320), nullable=False),
        sa.Column("institution", sa.String(255), nullable=False),
        sa.Column("experiment", sa.String(255), nullable=False),
        sa.Column("admin", sa.Boolean, nullable=False),
        sa.Column("pending", sa.Boolean, nullable=False),
        sa.Column("token_id", sa.String(64), nullable=False),
        sa.Column("created", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("subject", name="uq_users_subject"),
    )
    op.create_table(
        "datasets",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("did_finder", sa.String(64), nullable=False),
        sa.Column("lookup_status", sa.String(32), nullable=False),
        sa.Column("num_files", sa.Integer, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("events", sa.BigInteger, nullable=False),
        sa.Column("last_used", sa.DateTime, nullable=False),
        sa.Column("last_updated", sa.DateTime, nullable=False),
        sa.Column("stale", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_datasets"),
    )
    is_fresh = sa.column("stale") == sa.false()
    op.create_index(
        "ix_datasets_fresh",
        "datasets",
        ["name"],
        unique=True,
        sqlite_where=is_fresh,
        postgresql_where=is_fresh,
    )
    op.create_table(
        "files",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("dataset_id", sa.Integer, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("replicas", sa.JSON, nullable=False),
        sa.Column("adler32", sa.String(64)),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("events", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_files"),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], "fk_files_dataset_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("dataset_id", "path", name="uq_files_dataset_id_path"),
    )
    _make_transforms()
    _make_results()


def _make_transforms() -> None:
    op.create_table(
        "transforms",
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("request_id", sa.String(36), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("selection", sa.Text, nullable=False),
        sa.Column("codegen", sa.String(64), nullable=False),
        sa.Column("result_format", sa.String(32), nullable=False),
        sa.Column("destination", sa.String(32), nullable=False),
        sa.Column("content_key", sa.String(64), nullable=False),
        sa.Column("submitted_by", sa.Integer),
        sa.Column("tree_name", sa.Text),
        sa.Column("workers", sa.Integer),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("did", sa.Text, nullable=False),
        sa.Column("did_id", sa.Integer, nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("files", sa.Integer, nullable=False),
        sa.Column("completed", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        sa.Column("looked_up", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("submitted", sa.DateTime, nullable=False),
        sa.Column("finished", sa.DateTime),
        sa.Column("last_result", sa.DateTime),
        sa.Column("archived", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_transforms"),
        sa.UniqueConstraint("request_id", name="uq_transforms_request_id"),
        sa.ForeignKeyConstraint(
            ["submitted_by"], ["users.id"], "fk_transforms_submitted_by", ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["did_id"], ["datasets.id"], "fk_transforms_did_id"),
    )
    for name in ("content_key", "submitted_by", "did_id", "status"):
        op.create_index(f"ix_transforms_{name}", "transforms", [name])


def _make_results() -> None:
    op.create_table(
        "results",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("request_id", sa.String(36), nullable=False),
        sa.Column("file_id", _NUMBER, nullable=False),
        sa.Column("file_path", sa.Text, nullable=False),
        sa.Column("ok", sa.Boolean, nullable=False),
        sa.Column("object", sa.Text, nullable=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("seconds", sa.Float, nullable=False),
        sa.Column("code", sa.String(16), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("traceback", sa.Text, nullable=False),
        sa.Column("created", sa.DateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_results"),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["transforms.request_id"],
            "fk_results_request_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["file_id"], ["files.id"], "fk_results_file_id"),
        sa.UniqueConstraint("request_id", "file_id", name="uq_results_request_id_file_id"),
        sa.UniqueConstraint("request_id", "created", name="uq_results_request_id_created"),
    )
    op.create_table(
        "events",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("request_id", sa.String(36), nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sa.ForeignKeyConstraint(
            ["request_id"],
            ["transforms.request_id"],
            "fk_events_request_id",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_events_request_id", "events", ["request_id"])


def downgrade() -> None:
    """Remove them."""
    for name in _TABLES:
        op.drop_table(name)

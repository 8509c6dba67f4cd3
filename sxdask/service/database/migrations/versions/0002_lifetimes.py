"""What ages out needs to know, indexes for what is asked often, numbers that never come again."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_COUNTED = ("users", "datasets", "transforms")  # whose numbers clients and tokens keep
_OLD = ("content_key", "submitted_by", "status")


def upgrade() -> None:
    """Add `bytes` and `used` to transforms, and the indexes."""
    with op.batch_alter_table("transforms") as table:
        for name in _OLD:
            table.drop_index(f"ix_transforms_{name}")
        table.add_column(sa.Column("bytes", sa.BigInteger, nullable=False, server_default="0"))
        table.add_column(sa.Column("used", sa.DateTime))
    op.execute("UPDATE transforms SET used = COALESCE(finished, submitted)")
    op.execute(
        "UPDATE transforms SET bytes = COALESCE((SELECT SUM(results.bytes) FROM results"
        " WHERE results.request_id = transforms.request_id), 0)"
    )
    with op.batch_alter_table("transforms", **_kwargs(counted=True)) as table:
        table.alter_column("bytes", existing_type=sa.BigInteger, server_default=None)
        table.alter_column("used", existing_type=sa.DateTime, nullable=False)
        for name in _OLD:
            table.create_index(f"ix_transforms_{name}_number", [name, "number"])
        table.create_index("ix_transforms_used", ["used"])
    is_open = sa.column("looked_up") == sa.false()
    op.create_index(
        "ix_transforms_waiting",
        "transforms",
        ["did_id"],
        sqlite_where=is_open,
        postgresql_where=is_open,
    )
    _recount(counted=True)
    with op.batch_alter_table("results") as table:
        table.drop_constraint("uq_results_request_id_file_id", type_="unique")
        table.create_unique_constraint("uq_results_file_id_request_id", ["file_id", "request_id"])
    op.create_index("ix_files_dataset_id_position", "files", ["dataset_id", "position"])
    op.create_index("ix_events_at", "events", ["at"])


def downgrade() -> None:
    """Go back to the tables of 0001."""
    op.drop_index("ix_events_at", "events")
    op.drop_index("ix_files_dataset_id_position", "files")
    with op.batch_alter_table("results") as table:
        table.drop_constraint("uq_results_file_id_request_id", type_="unique")
        table.create_unique_constraint("uq_results_request_id_file_id", ["request_id", "file_id"])
    _recount(counted=False)
    op.drop_index("ix_transforms_waiting", "transforms")
    op.drop_index("ix_transforms_used", "transforms")
    for name in _OLD:
        op.drop_index(f"ix_transforms_{name}_number", "transforms")
    with op.batch_alter_table("transforms", **_kwargs(counted=False)) as table:
        table.drop_column("used")
        table.drop_column("bytes")
        for name in _OLD:
            table.create_index(f"ix_transforms_{name}", [name])


def _recount(*, counted: bool) -> None:
    """Let SQLite never give a number again, as PostgreSQL does anyway."""
    if op.get_bind().dialect.name != "sqlite":
        return
    for name in _COUNTED[:2]:
        with op.batch_alter_table(name, **_kwargs(counted=counted)):
            pass


def _kwargs(*, counted: bool) -> dict[str, Any]:
    if op.get_bind().dialect.name != "sqlite":
        return {}
    return {"recreate": "always", "table_kwargs": {"sqlite_autoincrement": counted}}

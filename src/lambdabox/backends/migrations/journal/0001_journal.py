"""Create the journal: log groups, streams, events, and usage records.

It repeats the tables instead of importing them: a migration says what the schema was
when it was written, whatever the tables become later.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_groups()
    _create_streams()
    _create_events()
    _create_usage()


def _create_groups() -> None:
    op.create_table(
        "log_groups",
        sa.Column("id", ROW_ID, primary_key=True),
        sa.Column("account", sa.String(12), nullable=False),
        sa.Column("region", sa.String(32), nullable=False),
        sa.Column("name", sa.String(512), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("retention_days", sa.Integer()),
        sa.Column("log_class", sa.String(32), nullable=False),
        sa.UniqueConstraint("account", "region", "name", name="uq_log_groups_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "log_group_tags",
        sa.Column(
            "group_id",
            ROW_ID,
            sa.ForeignKey("log_groups.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("tag", sa.String(128), primary_key=True),
        sa.Column("value", sa.String(256), nullable=False),
    )


def _create_streams() -> None:
    op.create_table(
        "log_streams",
        sa.Column("id", ROW_ID, primary_key=True),
        sa.Column("group_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.String(512), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("first_event_ms", sa.BigInteger()),
        sa.Column("last_event_ms", sa.BigInteger()),
        sa.Column("last_ingested_ms", sa.BigInteger()),
        sa.Column("stored_bytes", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("group_id", "name", name="uq_log_streams_name"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_log_streams_last_event", "log_streams", ["group_id", "last_event_ms"])


def _create_events() -> None:
    op.create_table(
        "log_events",
        sa.Column("id", ROW_ID, primary_key=True),
        sa.Column("stream_id", sa.BigInteger(), nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column("ingested_ms", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
    )
    op.create_index("ix_log_events_stream", "log_events", ["stream_id", "timestamp_ms", "id"])


def _create_usage() -> None:
    op.create_table(
        "usage",
        sa.Column("id", ROW_ID, primary_key=True),
        sa.Column("account", sa.String(12), nullable=False),
        sa.Column("region", sa.String(32), nullable=False),
        sa.Column("function_name", sa.String(64), nullable=False),
        sa.Column("version", sa.String(32), nullable=False),
        sa.Column("architecture", sa.String(16), nullable=False),
        sa.Column("memory_mib", sa.Integer(), nullable=False),
        sa.Column("ephemeral_storage_mib", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.Float(53), nullable=False),
        sa.Column("init_ms", sa.Float(53)),
        sa.Column("billed_ms", sa.BigInteger(), nullable=False),
        sa.Column("max_memory_mib", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("error_type", sa.String(256)),
    )
    op.create_index("ix_usage_bill", "usage", ["account", "region", "day", "function_name"])

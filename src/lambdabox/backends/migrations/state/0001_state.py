"""Functions, versions, tags and the asynchronous queue."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "functions",
        sa.Column("account", sa.String(12), primary_key=True),
        sa.Column("region", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("next_version", sa.Integer, nullable=False),
        sa.Column("reserved_concurrency", sa.Integer),
    )
    op.create_table(
        "versions",
        sa.Column("account", sa.String(12), primary_key=True),
        sa.Column("region", sa.String(32), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("settings", sa.LargeBinary, nullable=False),
        sa.Column("code_digest", sa.String(64), nullable=False),
        sa.Column("code_bytes", sa.BigInteger, nullable=False),
        sa.Column("status", sa.LargeBinary, nullable=False),
        sa.Column("is_settled", sa.Boolean, nullable=False),
        sa.Column("revision_id", sa.String(36), nullable=False),
        sa.Column("last_modified", sa.Float(53), nullable=False),
        sa.Column("deployment", sa.LargeBinary),
        sa.Column("deployed_digest", sa.String(64)),
        sa.ForeignKeyConstraint(
            ["account", "region", "name"],
            ["functions.account", "functions.region", "functions.name"],
            ondelete="CASCADE",
        ),
    )
    op.create_index("versions_unsettled", "versions", ["is_settled"])
    op.create_table(
        "tags",
        sa.Column("resource", sa.String(256), primary_key=True),
        sa.Column("key", sa.String(128), primary_key=True),
        sa.Column("value", sa.String(256), nullable=False),
    )
    op.create_table(
        "queue",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("group", sa.String(256), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("enqueued_at", sa.Float(53), nullable=False),
        sa.Column("retries", sa.Integer, nullable=False),
        sa.Column("throttles", sa.Integer, nullable=False),
        sa.Column("visible_at", sa.Float(53), nullable=False),
        sa.Column("receipt", sa.String(36)),
    )
    op.create_index("queue_visible", "queue", ["visible_at"])

"""The queue's rows in the order of their arrival, and loans in memory alone."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("group", sa.String(256), nullable=False),
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("enqueued_at", sa.Float(53), nullable=False),
        sa.Column("retries", sa.Integer, nullable=False),
        sa.Column("throttles", sa.Integer, nullable=False),
        sa.Column("due_at", sa.Float(53)),
    )
    # What was on loan is ready: who had it is gone.
    op.execute("""
        INSERT INTO events ("group", id, body, enqueued_at, retries, throttles, due_at)
        SELECT "group", id, body, enqueued_at, retries, throttles,
               CASE WHEN receipt IS NULL THEN visible_at END
        FROM queue ORDER BY visible_at
    """)
    op.create_index("events_ready", "events", ["group"], sqlite_where=sa.text("due_at IS NULL"))
    op.create_index(
        "events_delayed", "events", ["due_at"], sqlite_where=sa.text("due_at IS NOT NULL")
    )
    op.drop_table("queue")

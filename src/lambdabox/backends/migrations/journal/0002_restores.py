"""Add to usage records how long the invocation's restore took, which is billed apart."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("usage", sa.Column("restore_ms", sa.Float(53)))

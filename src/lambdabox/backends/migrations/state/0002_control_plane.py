"""Aliases, layers, and what functions and accounts have beside their functions' settings."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "aliases",
        *_function_columns(),
        sa.Column("alias", sa.String(128), primary_key=True),
        sa.Column("document", sa.LargeBinary, nullable=False),
        _of_a_function(),
    )
    op.create_table(
        "function_records",
        *_function_columns(),
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("qualifier", sa.String(128), primary_key=True),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("lookup", sa.String(256)),
        _of_a_function(),
    )
    op.create_index("function_records_lookup", "function_records", ["kind", "lookup"])
    op.create_table(
        "account_records",
        *_account_columns(),
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("id", sa.String(256), primary_key=True),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("lookup", sa.String(256)),
    )
    op.create_index("account_records_lookup", "account_records", ["kind", "lookup"])
    op.create_table(
        "layers",
        *_account_columns(),
        sa.Column("name", sa.String(140), primary_key=True),
        sa.Column("next_version", sa.Integer, nullable=False),
    )
    op.create_table(
        "layer_versions",
        *_account_columns(),
        sa.Column("name", sa.String(140), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("code_digest", sa.String(64), nullable=False),
        sa.Column("code_bytes", sa.BigInteger, nullable=False),
        sa.ForeignKeyConstraint(
            ["account", "region", "name"], ["layers.account", "layers.region", "layers.name"]
        ),
    )


def _account_columns() -> list[sa.Column[str]]:
    return [
        sa.Column("account", sa.String(12), primary_key=True),
        sa.Column("region", sa.String(32), primary_key=True),
    ]


def _function_columns() -> list[sa.Column[str]]:
    return [*_account_columns(), sa.Column("name", sa.String(64), primary_key=True)]


def _of_a_function() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["account", "region", "name"],
        ["functions.account", "functions.region", "functions.name"],
        ondelete="CASCADE",
    )

"""The tables of what exists. Migrations create them; a test keeps the two alike."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
)

metadata = MetaData()

functions = Table(
    "functions",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("next_version", Integer, nullable=False),
    Column("reserved_concurrency", Integer),
)

versions = Table(
    "versions",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("settings", LargeBinary, nullable=False),
    Column("code_digest", String(64), nullable=False),
    Column("code_bytes", BigInteger, nullable=False),
    Column("status", LargeBinary, nullable=False),
    Column("is_settled", Boolean, nullable=False),
    Column("revision_id", String(36), nullable=False),
    Column("last_modified", Float(53), nullable=False),
    Column("deployment", LargeBinary),
    Column("deployed_digest", String(64)),
    ForeignKeyConstraint(
        ["account", "region", "name"],
        ["functions.account", "functions.region", "functions.name"],
        ondelete="CASCADE",
    ),
    Index("versions_unsettled", "is_settled"),
)
"""`position` is 0 for $LATEST, so that versions sort as numbers with $LATEST first."""

tags = Table(
    "tags",
    metadata,
    Column("resource", String(256), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("value", String(256), nullable=False),
)

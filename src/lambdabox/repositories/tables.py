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

aliases = Table(
    "aliases",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("alias", String(128), primary_key=True),
    Column("document", LargeBinary, nullable=False),
    ForeignKeyConstraint(
        ["account", "region", "name"],
        ["functions.account", "functions.region", "functions.name"],
        ondelete="CASCADE",
    ),
)

function_records = Table(
    "function_records",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("qualifier", String(128), primary_key=True),
    Column("document", LargeBinary, nullable=False),
    Column("lookup", String(256)),
    ForeignKeyConstraint(
        ["account", "region", "name"],
        ["functions.account", "functions.region", "functions.name"],
        ondelete="CASCADE",
    ),
    Index("function_records_lookup", "kind", "lookup"),
)
"""What a function, a version or an alias has beside its settings, at most one of each kind.
`qualifier` is empty for the function itself; `lookup` is another name to find it by."""

account_records = Table(
    "account_records",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("kind", String(32), primary_key=True),
    Column("id", String(256), primary_key=True),
    Column("document", LargeBinary, nullable=False),
    Column("lookup", String(256)),
    Index("account_records_lookup", "kind", "lookup"),
)
"""What an account has in a region beside functions and layers, by kind and id."""

layers = Table(
    "layers",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("name", String(140), primary_key=True),
    Column("next_version", Integer, nullable=False),
)
"""A row outlives the versions of its layer, so that numbers are never reused."""

layer_versions = Table(
    "layer_versions",
    metadata,
    Column("account", String(12), primary_key=True),
    Column("region", String(32), primary_key=True),
    Column("name", String(140), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("document", LargeBinary, nullable=False),
    Column("code_digest", String(64), nullable=False),
    Column("code_bytes", BigInteger, nullable=False),
    ForeignKeyConstraint(
        ["account", "region", "name"], ["layers.account", "layers.region", "layers.name"]
    ),
)
"""Functions that use a version name its content themselves, and go on when its row is deleted."""

tags = Table(
    "tags",
    metadata,
    Column("resource", String(256), primary_key=True),
    Column("key", String(128), primary_key=True),
    Column("value", String(256), nullable=False),
)

"""Policies of functions, versions and aliases, as the documents that are shown."""

from lambdabox.domain.values import dataclass
from lambdabox.ports import Database
from lambdabox.repositories.function_records import FunctionRecords


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    document: str
    """JSON, as `domain/policy_documents` writes it."""
    revision_id: str


def policy_records(database: Database) -> FunctionRecords[PolicyRecord]:
    return FunctionRecords(database, "policy", PolicyRecord)

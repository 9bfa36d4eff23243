"""The tables in, all that is wrong with them out; and the same mended."""

from collections.abc import Iterable, Sequence

from ingestion_assets.retrieval.lookup import EXACT_LIMIT
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.damage import attached, chunks, ledger, schema, vectors
from ingestion_assets.store.damage.finding import EXAMPLES, Check, Finding, Kind, Scope
from ingestion_assets.store.damage.index import IndexCheck
from ingestion_assets.store.damage.schema import SchemaCheck
from ingestion_assets.store.generations import Generation, in_use


def examine(connection: Connection, scope: Scope) -> list[Finding]:
    """What is wrong in the tables; call it in a snapshot, and it is right about one moment."""
    found = [f for check in _checks(connection, scope) for f in check.find(connection)]
    return merged(found)


def mend(connection: Connection, scope: Scope) -> None:
    """Mend what is wrong in the tables, in small transactions; call it outside of any.

    The schema comes first: what its triggers missed is found afterwards.

    Raises:
        StoreUnavailableError: a lock was not to be had in time; retryable.
    """
    SchemaCheck().mend(connection)
    for check in _checks(connection, scope):
        if check.find(connection):
            check.mend(connection)


def merged(found: Iterable[Finding]) -> list[Finding]:
    """One finding of each kind, in the order they were found."""
    by_kind: dict[Kind, Finding] = {}
    for each in found:
        known = by_kind.get(each.kind, Finding(each.kind, 0, ()))
        examples = (*known.examples, *each.examples)[:EXAMPLES]
        by_kind[each.kind] = Finding(each.kind, known.count + each.count, examples)
    return list(by_kind.values())


def _checks(connection: Connection, scope: Scope) -> list[Check]:
    lost = schema.lost(connection)
    there = [generation for generation in in_use(connection) if generation not in lost]
    found: list[Check] = [SchemaCheck(), *_of_rows(there, scope)]
    found.append(IndexCheck(there, EXACT_LIMIT))
    return found if scope.sources else [*found, *attached.checks(connection)]


def _of_rows(there: Sequence[Generation], scope: Scope) -> list[Check]:
    found: list[Check] = []
    if there:
        found += chunks.checks(there[0], scope)
        found += ledger.of_no_generation(there[0], scope)
    for generation in there:
        found += vectors.checks(generation, scope)
        found += ledger.checks(generation, scope)
    return found

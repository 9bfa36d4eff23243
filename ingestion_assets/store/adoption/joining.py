"""A recipe and a name in, the generation to copy vectors into and the right to do so out."""

from ingestion_assets.errors import ConfigError
from ingestion_assets.store.adoption.adopting import KIND, Target
from ingestion_assets.store.connection import Connection
from ingestion_assets.store.generations import Generation, Recipe, active, open_generation

_PARTS = ("model", "digest", "dimensions", "document_prefix", "query_prefix", "options")


def joined(connection: Connection, recipe: Recipe) -> Generation | None:
    """The generation that is searched, if vectors of this recipe belong there; none if none is.

    Raises:
        ConfigError: it is of another recipe, and mixing them would spoil both.
    """
    found = active(connection)
    if found is None:
        return None
    other = {part: (getattr(found, part), getattr(recipe, part)) for part in _PARTS}
    different = [
        f"{part} {theirs!r} instead of {ours!r}"
        for part, (theirs, ours) in other.items()
        if theirs != ours
    ]
    if different:
        raise ConfigError(
            f"search reads generation {found.generation_id}, which has {'; '.join(different)}."
            f" Have everything embedded by it first (`ingest reembed --model {recipe.model}`), or"
            f" adopt with --model {found.model}, if that made the vectors"
        )
    return found


def join(connection: Connection, recipe: Recipe) -> Generation:
    """As `joined`; opens the first generation, which is searched at once, if there is none.

    Raises:
        ConfigError: as `joined`.
    """
    return joined(connection, recipe) or open_generation(connection, recipe)


def check_name(connection: Connection, target: Target) -> None:
    """See to it that a source of this name is another table's by no means.

    Raises:
        ConfigError: it is; names whose.
    """
    row = connection.execute(
        "SELECT kind, config ->> 'table' FROM ingestion.sources WHERE name = %s", (target.source,)
    ).fetchone()
    if row is None or row == (KIND, target.table):
        return
    whose = f"adopted from {row[1]}" if row[0] == KIND else f"of kind {row[0]!r}"
    raise ConfigError(
        f"a source named {target.source!r} is {whose} already; choose another --source"
    )

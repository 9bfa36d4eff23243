"""A search in, the one SQL statement that answers it out; it never contains a value."""

from dataclasses import dataclass

from psycopg import sql

from ingestion_assets.store.generations import Generation
from ingestion_assets.store.index import text_index, words
from ingestion_assets.store.pages import PAGE

MOST_POSTINGS = 20_000  # chunks that are looked at for one word; more than ever are asked for

# "+ 0" keeps the planner off an approximate index, which may return fewer rows than exist.
_EXACT = """near AS MATERIALIZED (
    SELECT e.chunk_id, (e.embedding <=> {question}) + 0 AS distance
    FROM {table} e {filter}
    ORDER BY distance, e.chunk_id LIMIT %(depth)s
)"""
_JOINED = """JOIN ingestion.chunks c USING (chunk_id) JOIN ingestion.documents d USING (document_id)
    WHERE {condition}"""
# A subquery for each row in the order of the index: a join might be done in another order.
_APPROXIMATE = """near AS MATERIALIZED (
    SELECT e.chunk_id, e.embedding <=> {question} AS distance
    FROM {table} e {filter}
    ORDER BY e.embedding <=> {question} LIMIT %(depth)s
)"""
_CHECKED = """WHERE (
        SELECT {condition} FROM ingestion.chunks c JOIN ingestion.documents d USING (document_id)
        WHERE c.chunk_id = e.chunk_id
    )"""
# BM25, Robertson and Zaragoza 2009, with k1 = 1.2 and b = 0.75. How rare a word is counts most:
# by that alone the chunks are chosen whose words are then counted, which means parsing them again.
# Of a very common word not every chunk is looked at, since it hardly tells one from another; how
# common it is the statistics say.
_WORDED = r"""{parsed}terms AS MATERIALIZED (
    SELECT lexeme, (
        $$'$$ || replace(replace(lexeme, $$\$$, $$\\$$), $$'$$, $$''$$) || $$'$$
    )::tsquery AS term
    FROM unnest(to_tsvector({language}, %(words)s))
), postings AS MATERIALIZED (
    SELECT t.lexeme, c.chunk_id
    FROM terms t CROSS JOIN LATERAL (SELECT c.chunk_id FROM {searched} LIMIT {most}) c
), common AS (
    SELECT lexeme, share
    FROM pg_stats, unnest(most_common_elems::text::text[], most_common_elem_freqs) u (lexeme, share)
    WHERE schemaname = 'ingestion' AND tablename = {index}
), frequencies AS (
    SELECT lexeme, greatest(found, CASE WHEN found = {most} THEN share * of_all END) AS chunks,
           greatest(of_all, max(found) OVER ()) AS of_all
    FROM (SELECT lexeme, count(*) AS found FROM postings GROUP BY lexeme) counted
    CROSS JOIN (SELECT reltuples AS of_all FROM pg_class
                WHERE oid = 'ingestion.chunks'::regclass) estimated
    LEFT JOIN common USING (lexeme)
), weights AS MATERIALIZED (
    SELECT lexeme, ln(1 + (of_all - chunks + 0.5) / (chunks + 0.5)) AS weight FROM frequencies
), chosen AS MATERIALIZED (
    SELECT chunk_id FROM postings JOIN weights USING (lexeme)
    GROUP BY chunk_id ORDER BY round(1e6 * sum(weight)) DESC, chunk_id
    LIMIT greatest(200, 4 * %(depth)s)
), counted AS (
    SELECT c.chunk_id, u.lexeme, cardinality(u.positions) AS times,
           c.tokens / c.usual AS length
    FROM (SELECT c.chunk_id, c.tokens, avg(c.tokens) OVER () AS usual, {vector} AS vector
          FROM chosen JOIN ingestion.chunks c USING (chunk_id)) c
    CROSS JOIN LATERAL unnest(c.vector) u
), worded AS MATERIALIZED (
    SELECT chunk_id, round(
               1e6 * sum(weight * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * length)))
           ) / 1e6 AS score
    FROM counted JOIN weights USING (lexeme)
    GROUP BY chunk_id ORDER BY score DESC, chunk_id LIMIT %(depth)s
)"""
_INDEXED = "ingestion.chunks c {documents} WHERE {condition} AND {matches}"
# Without the index every chunk is parsed, but once only.
_PARSED = """parsed AS MATERIALIZED (
    SELECT c.chunk_id, {vector} AS vector FROM ingestion.chunks c {documents} WHERE {condition}
), """
_SCANNED = "parsed c WHERE {matches}"
_BY_VECTOR = """found AS (
    SELECT chunk_id, 1 - distance AS score, near.rank AS vector_rank, NULL::bigint AS text_rank,
           near.rank AS place
    FROM (SELECT *, row_number() OVER (ORDER BY distance, chunk_id) AS rank FROM near) near
)"""
_BY_WORDS = """found AS (
    SELECT chunk_id, score, NULL::bigint AS vector_rank, worded.rank AS text_rank,
           worded.rank AS place
    FROM (SELECT *, row_number() OVER (ORDER BY score DESC, chunk_id) AS rank FROM worded) worded
)"""
# Reciprocal rank fusion with k = 60, Cormack et al. 2009.
_BY_BOTH = """found AS (
    SELECT *, row_number() OVER (ORDER BY score DESC, chunk_id) AS place FROM (
        SELECT chunk_id, near.rank AS vector_rank, worded.rank AS text_rank,
               coalesce(1.0 / (60 + near.rank), 0)::float8
               + coalesce(1.0 / (60 + worded.rank), 0)::float8 AS score
        FROM (SELECT *, row_number() OVER (ORDER BY distance, chunk_id) AS rank FROM near) near
        FULL JOIN (SELECT *, row_number() OVER (ORDER BY score DESC, chunk_id) AS rank
                   FROM worded) worded USING (chunk_id)
    ) fused
)"""
_ANSWER = """
SELECT f.score, c.chunk_id, c.document_id, d.source, d.uri, d.title, c.heading, c.text,
       c.start_offset, c.end_offset, p.page,
       CASE WHEN p.page IS NULL THEN d.metadata ELSE d.metadata - 'pages' END AS metadata,
       {distance} AS distance, {embedded} AS embedded,
       f.vector_rank, f.text_rank, f.place AS retrieved_rank, {embedding} AS embedding
FROM found f
JOIN ingestion.chunks c USING (chunk_id)
JOIN ingestion.documents d USING (document_id)
CROSS JOIN LATERAL (SELECT {page} AS page) p
{vectors}
WHERE f.place <= %(limit)s
ORDER BY f.place
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a search is done.

    Attributes:
        generation: whose vectors are compared, or told of; none if there is none.
        by_vector: whether a question's vector is compared, as the parameter `question`.
        by_words: whether words are looked for, as the parameter `words`.
        approximate: through the index of the vectors.
        language: of the words.
        strict: whether the words must be as websearch_to_tsquery reads the parameter `text`.
        has_text_index: whether there is an index over the words.
        with_embeddings: whether the vectors found are wanted too.
        condition: what must hold for a document `d`; none if nothing must.
    """

    generation: Generation | None
    by_vector: bool
    by_words: bool
    approximate: bool
    language: str
    strict: bool
    has_text_index: bool
    with_embeddings: bool
    condition: sql.Composed | None

    def statement(self) -> sql.Composed:
        """The statement; further parameters are `depth`, `limit` and those of the condition."""
        parts: list[sql.Composable] = [self._near()] if self.by_vector else []
        parts += [self._worded()] if self.by_words else []
        both = self.by_vector and self.by_words
        parts.append(sql.SQL(_BY_BOTH if both else _BY_VECTOR if self.by_vector else _BY_WORDS))
        return sql.SQL("WITH ") + sql.SQL(", ").join(parts) + self._answer()

    def candidates(self) -> sql.Composed:
        """Counts the chunks that the condition leaves, up to the parameter `most`."""
        return sql.SQL(
            "SELECT count(*) FROM (SELECT FROM ingestion.documents d"
            " JOIN ingestion.chunks c USING (document_id) WHERE {} LIMIT %(most)s) fitting"
        ).format(self.condition or sql.SQL("true"))

    def _near(self) -> sql.Composed:
        template, filtered = (_APPROXIMATE, _CHECKED) if self.approximate else (_EXACT, _JOINED)
        return sql.SQL(template).format(
            question=self._question(),
            table=self.table,
            filter=sql.SQL(filtered).format(condition=self.condition)
            if self.condition
            else sql.SQL(""),
        )

    def _worded(self) -> sql.Composed:
        joined = "JOIN ingestion.documents d USING (document_id)" if self.condition else ""
        chunks = {
            "vector": words(self.language),
            "documents": sql.SQL(joined),
            "condition": self._current(),
            "matches": self._matches(),
        }
        return sql.SQL(_WORDED).format(
            language=sql.Literal(self.language),
            vector=words(self.language),
            parsed=sql.SQL("" if self.has_text_index else _PARSED).format(**chunks),
            searched=sql.SQL(_INDEXED if self.has_text_index else _SCANNED).format(**chunks),
            most=sql.Literal(MOST_POSTINGS),
            index=sql.Literal(text_index(self.language)),
        )

    def _matches(self) -> sql.Composed:
        """Whether a chunk has a word; and whatever else was asked for, if anything was."""
        vector = words(self.language) if self.has_text_index else sql.SQL("c.vector")
        matches = sql.SQL("{} @@ t.term").format(vector)
        if self.strict:
            matches += sql.SQL(" AND {} @@ websearch_to_tsquery({}, %(text)s)").format(
                vector, sql.Literal(self.language)
            )
        return matches

    def _current(self) -> sql.Composed:
        """What a chunk must be like to be found by its words."""
        tests = [sql.Composed([sql.SQL("NOT c.superseded")])]
        return sql.SQL(" AND ").join([*tests, self.condition] if self.condition else tests)

    def _answer(self) -> sql.Composed:
        page = sql.SQL(PAGE)
        if self.generation is None:
            nothing = sql.SQL("NULL")
            return sql.SQL(_ANSWER).format(
                distance=nothing,
                embedded=sql.SQL("false"),
                embedding=nothing,
                vectors=sql.SQL(""),
                page=page,
            )
        distance: sql.Composable = sql.SQL("NULL")
        if self.by_vector:
            distance = sql.SQL("e.embedding <=> {}").format(self._question())
        return sql.SQL(_ANSWER).format(
            distance=distance,
            embedded=sql.SQL("e.chunk_id IS NOT NULL"),
            embedding=sql.SQL("e.embedding::real[]" if self.with_embeddings else "NULL"),
            vectors=sql.SQL("LEFT JOIN {} e ON e.chunk_id = f.chunk_id").format(self.table),
            page=page,
        )

    @property
    def table(self) -> sql.Identifier:
        """The table of the vectors."""
        if self.generation is None:
            raise AssertionError("vectors are compared, but there are none")
        return self.generation.table

    def _question(self) -> sql.Composed:
        storage = (
            "halfvec" if self.generation and self.generation.storage == "halfvec" else "vector"
        )
        return sql.SQL("%(question)s::{}").format(sql.Identifier(storage))


def exact(generation: Generation, condition: sql.Composed | None = None) -> Plan:
    """A comparison with every vector of a generation, by meaning alone.

    Args:
        condition: what must hold for a document `d`.
    """
    return Plan(
        generation=generation,
        by_vector=True,
        by_words=False,
        approximate=False,
        language="simple",
        strict=False,
        has_text_index=False,
        with_embeddings=False,
        condition=condition,
    )

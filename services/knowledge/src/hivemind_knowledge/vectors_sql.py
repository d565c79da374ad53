"""The SQL of vectors. pgvector's types and operators stand in the schema that the extension was made in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import asyncpg
import numpy as np

from hivemind_common.db import Conn
from hivemind_common.ids import BotId
from hivemind_knowledge.minilm import Vectors

PREPARE: Final = "SELECT knowledge.prepare_vectors()"

# The nearest, by an exact scan of this bot's: an index over all bots would be filtered after it was searched, and miss some.
NEAREST: Final = """
WITH near AS MATERIALIZED (
    SELECT id, 1 - (vector OPERATOR({home}.<=>) $2::text::{home}.halfvec(384)) AS cosine
      FROM knowledge.embedding
     WHERE bot_id = $1 AND vector IS NOT NULL
)
(SELECT id, cosine FROM near ORDER BY cosine DESC, id LIMIT $3)
UNION
SELECT id, cosine FROM near WHERE id = ANY ($4)
"""

COUNT_PENDING: Final = "SELECT count(*) FROM knowledge.embedding WHERE vector IS NULL"

# One replica at a time: the others would make the same vectors.
BEGIN_BATCH: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended('knowledge.vectors', 0))"
READ_PENDING: Final = """
SELECT snippet.bot_id, snippet.id, snippet.corpus_version, snippet.title, snippet.body
  FROM knowledge.embedding JOIN knowledge.snippet USING (bot_id, id)
 WHERE embedding.vector IS NULL
 LIMIT $1
"""

# Not of a text that was edited meanwhile: whoever is editing it is waited for, and has the last word.
KEEP: Final = """
WITH made AS (
    SELECT snippet.bot_id, snippet.id, made.vector
      FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[]) AS made (bot_id, id, version, vector)
      JOIN knowledge.snippet ON snippet.bot_id = made.bot_id AND snippet.id = made.id
                            AND snippet.corpus_version = made.version
       FOR SHARE OF snippet
)
UPDATE knowledge.embedding
   SET vector = made.vector::{home}.halfvec(384)
  FROM made
 WHERE embedding.bot_id = made.bot_id AND embedding.id = made.id
"""


class NoVectorsError(Exception):
    """This Postgres keeps no vectors; the words say what is missing."""


@dataclass(frozen=True)
class Pending:
    """A snippet without a vector."""

    bot_id: UUID
    id: UUID
    version: int
    text: str


async def prepare(conn: Conn) -> str:
    """Make the table of vectors where it is not there; returns the schema of pgvector. Raises `NoVectorsError`."""
    try:
        return str(await conn.fetchval(PREPARE))
    except (asyncpg.UndefinedFileError, asyncpg.FeatureNotSupportedError) as fault:
        raise NoVectorsError("this Postgres has no pgvector: install it, at least 0.7") from fault
    except asyncpg.InsufficientPrivilegeError as fault:
        raise NoVectorsError("nobody may make pgvector here: CREATE EXTENSION vector, as a superuser") from fault
    except asyncpg.UndefinedObjectError as fault:
        raise NoVectorsError("this pgvector has no halfvec: it takes at least 0.7") from fault


async def nearest(
    conn: Conn, home: str, bot_id: BotId, vector: Vectors, limit: int, also: Sequence[UUID]
) -> dict[UUID, float]:
    """Return the cosines of the snippets nearest to a vector, and of these others as far as they have one."""
    rows = await conn.fetch(NEAREST.format(home=home), bot_id, written(vector), limit, list(also))
    return {row["id"]: float(row["cosine"]) for row in rows}


async def read_pending(conn: Conn, limit: int) -> list[Pending]:
    """Read snippets without a vector; none where another replica is at it. Wants a transaction."""
    if not await conn.fetchval(BEGIN_BATCH):
        return []
    rows = await conn.fetch(READ_PENDING, limit)
    return [Pending(row["bot_id"], row["id"], row["corpus_version"], f"{row['title']}\n{row['body']}") for row in rows]


async def keep(conn: Conn, home: str, pending: Sequence[Pending], vectors: Vectors) -> None:
    """Keep vectors, but for those of texts that have changed since they were read."""
    await conn.execute(
        KEEP.format(home=home),
        [each.bot_id for each in pending],
        [each.id for each in pending],
        [each.version for each in pending],
        [written(vector) for vector in vectors],
    )


async def count_pending(conn: Conn) -> int:
    """Count the snippets that have no vector yet."""
    return int(await conn.fetchval(COUNT_PENDING))


def written(vector: Vectors) -> str:
    """Write a vector as pgvector reads it."""
    return "[" + ",".join(f"{number:.6g}" for number in np.asarray(vector, dtype=np.float32).tolist()) + "]"

from __future__ import annotations

from typing import Any
from uuid import uuid4

from hivemind_common.testing.servers import Servers
from hivemind_knowledge.corpus_sql import RANK, READ_CHANGES, READ_UNKNOWN


async def test_candidates_come_through_the_index_that_is_scoped_to_the_bot(servers: Servers, owner: Any) -> None:
    await owner.execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")
    lexemes = ["refund", "day"]

    ranking = await owner.fetch(f"EXPLAIN {RANK}", uuid4(), lexemes, [0, 1], [1.0, 1.0], [False] * 2, lexemes, 10)
    unknown = await owner.fetch(f"EXPLAIN {READ_UNKNOWN}", uuid4(), lexemes)

    assert "\n".join(row[0] for row in ranking).count("Bitmap Index Scan on snippet_lexemes") == 2
    assert "Bitmap Index Scan on snippet_lexemes" in "\n".join(row[0] for row in unknown)


async def test_changes_come_through_the_index_on_versions(owner: Any) -> None:
    await owner.execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")

    plan = "\n".join(row[0] for row in await owner.fetch(f"EXPLAIN {READ_CHANGES}", uuid4(), 5))

    assert "snippet_changed" in plan
    assert "tombstone_changed" in plan


async def test_lexemes_are_taken_as_they_are(owner: Any) -> None:
    words = ["it's", "a\\b", "x:*", "& | !", "ü"]

    query = await owner.fetchval("SELECT knowledge.any_of($1)::text", words)

    assert query == r"'it''s' | 'a\\b' | 'x:*' | '& | !' | 'ü'"
    assert await owner.fetchval("SELECT knowledge.any_of('{}')") is None

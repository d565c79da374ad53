from __future__ import annotations

from typing import Any
from uuid import uuid4

from hivemind_common.testing.servers import Servers
from hivemind_knowledge.storage import FIND_CANDIDATES


async def test_candidates_come_through_the_index_that_is_scoped_to_the_bot(servers: Servers, owner: Any) -> None:
    await owner.execute("SET enable_seqscan = off; SET plan_cache_mode = force_generic_plan")

    rows = await owner.fetch(f"EXPLAIN {FIND_CANDIDATES}", uuid4(), ["refund", "day"], 10)

    assert "Bitmap Index Scan on snippet_lexemes" in "\n".join(row[0] for row in rows)


async def test_lexemes_are_taken_as_they_are(owner: Any) -> None:
    words = ["it's", "a\\b", "x:*", "& | !", "ü"]

    query = await owner.fetchval("SELECT knowledge.any_of($1)::text", words)

    assert query == r"'it''s' | 'a\\b' | 'x:*' | '& | !' | 'ü'"
    assert await owner.fetchval("SELECT knowledge.any_of('{}')") is None

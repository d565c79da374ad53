"""Bots are edited by members, paused, cloned, archived for 30 days, brought back and ended; a slug stays what it is."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import asyncpg
import pytest

from hivemind_bots.lifecycle import Lifecycle
from hivemind_bots.providers import Providers
from hivemind_common.clock import system_clock
from hivemind_common.db import open_database
from hivemind_common.environment import Environment
from hivemind_common.ids import new_id
from hivemind_common.testing.servers import Servers
from tests.conftest import Instance, Start

DESK: Final = "/api/v1/bots/desk"


@pytest.fixture
async def desk(instance: Instance) -> Instance:
    """An instance with a bot that was taught nothing."""
    await instance.mint("desk", name="Desk", system_prompt="Be kind.")
    return instance


async def bot(instance: Instance, slug: str = "desk") -> Any:
    _, body, _ = await instance.call("GET", f"/api/v1/bots/{slug}", expect=200)
    return body


async def edit(instance: Instance, *, expect: int = 200, **more: Any) -> Any:
    _, body, _ = await instance.call("PATCH", DESK, expect=expect, **more)
    return body


async def audited(owner: Any, action: str, target: str) -> list[Any]:
    said = "SELECT actor_kind, actor_name, details FROM audit.entry WHERE action = $1 AND target = $2 ORDER BY seq"
    return [dict(row) for row in await owner.fetch(said, action, target)]


SLUGS: Final = {
    "abc": "",
    "a--b": "",
    "123": "",
    "a" * 32: "",
    "0-0": "",
    "ab": "too_short",
    "": "too_short",
    "a" * 33: "too_long",
    "new": "reserved",
    "Abc": "malformed",
    "-ab": "malformed",
    "ab-": "malformed",
    "a_b": "malformed",
    "a b": "malformed",
    " abc": "malformed",
    "abc\n": "malformed",
    "äbc": "malformed",
    "ａｂｃ": "malformed",
    "a.b": "malformed",
    "a@1": "malformed",
    "аbc": "malformed",  # the first letter is Cyrillic
}


@pytest.mark.parametrize("door", ["create", "clone"])
async def test_a_slug_is_taken_as_it_is_or_refused(desk: Instance, door: str) -> None:
    for slug, fault in SLUGS.items():
        path, form = {
            "create": ("/api/v1/bots", {"slug": slug, "name": "Bot", "system_prompt": "Be kind."}),
            "clone": (f"{DESK}/clone", {"slug": slug}),
        }[door]
        status, body, response = await desk.call("POST", path, json=form)

        if fault:
            assert (status, body["errors"][0]["path"], body["errors"][0]["code"]) == (422, "slug", fault), slug
            continue
        assert (status, body["slug"], response.headers["Location"]) == (201, slug, f"/api/v1/bots/{slug}")
        assert await bot(desk, slug) == body
        status, body, _ = await desk.call("POST", path, json=form)
        assert (status, body["code"]) == (409, "slug_taken"), slug
        await desk.call("DELETE", f"/api/v1/bots/{slug}?purge=true", expect=204)


async def test_a_slug_in_an_edit_is_a_text(desk: Instance) -> None:
    for slug in (5, None, ["desk"]):
        assert (await edit(desk, expect=422, json={"slug": slug}))["errors"][0]["path"] == "slug"


async def test_a_slug_is_never_renamed(desk: Instance) -> None:
    before = await bot(desk)
    refused = await edit(desk, expect=409, json={"slug": "counter", "name": "Counter"})
    assert refused["code"] == "slug_immutable"
    assert await edit(desk, json={"slug": "desk"}) == before
    assert await bot(desk) == before


MEMBERS: Final[dict[str, tuple[Any, ...]]] = {
    "name": ("Help desk",),
    "description": ("For everybody.", ""),
    "tier": ("public", "restricted"),
    "provider": ("quote", "default", None),
    "model": ("small", None),
    "fallbacks": ([{"provider": "quote", "model": "quote"}], []),
    "max_output_tokens": (1, 32_768),
    "temperature": (0, 0.7, 2, None),
    "cost_cap_day_micro_usd": (0, 10**12, None),
    "cost_cap_month_micro_usd": (0, 10**12, None),
    "rate_limit_per_minute": (1, 100_000, None),
    "user_rate_limit_per_minute": (1, 100_000, None),
    "grounding": ("open", "grounded"),
    "strictness": ("lenient", "strict"),
    "knowledge_search_enabled": (True, False),
    "channel_reply_mode": ("channel_mention", "both", "dm_only"),
    "allowed_users": (["0192c7f0-0000-7000-8000-000000000001"], []),
    "allowed_origins": (["https://www.example.org"], []),
    "allow_hosted_provider": (True, False),
    "retention_days": (1, 3_650, None),
    "system_prompt": ("Be brief.",),
}


async def test_every_member_is_edited_by_itself(desk: Instance) -> None:
    for member, value in ((member, value) for member, values in MEMBERS.items() for value in values):
        before = await bot(desk)
        after = await edit(desk, json={member: value})

        assert after[member] == value
        assert await bot(desk) == after
        changed = {name for name in after if after[name] != before[name]}
        own = {member, "updated_at"} | ({"version"} if member == "system_prompt" else set())
        assert changed <= own | {"readiness", "effective"}
        assert after["updated_at"] > before["updated_at"]


WRONG: Final[list[tuple[dict[str, Any], str]]] = [
    ({"name": ""}, "name"),
    ({"name": None}, "name"),
    ({"name": "x" * 81}, "name"),
    ({"description": "x" * 501}, "description"),
    ({"tier": "secret"}, "tier"),
    ({"provider": "nobody"}, "provider"),
    ({"fallbacks": [{"provider": "nobody", "model": "x"}]}, "fallbacks.0.provider"),
    ({"fallbacks": [{"provider": "quote", "model": "x"}] * 4}, "fallbacks"),
    ({"fallbacks": None}, "fallbacks"),
    ({"max_output_tokens": 0}, "max_output_tokens"),
    ({"max_output_tokens": "5"}, "max_output_tokens"),
    ({"temperature": 2.1}, "temperature"),
    ({"cost_cap_day_micro_usd": -1}, "cost_cap_day_micro_usd"),
    ({"cost_cap_month_micro_usd": 10**12 + 1}, "cost_cap_month_micro_usd"),
    ({"rate_limit_per_minute": 0}, "rate_limit_per_minute"),
    ({"grounding": "none"}, "grounding"),
    ({"strictness": None}, "strictness"),
    ({"knowledge_search_enabled": 1}, "knowledge_search_enabled"),
    ({"channel_reply_mode": "everywhere"}, "channel_reply_mode"),
    ({"allowed_users": ["bob"]}, "allowed_users.0"),
    ({"allowed_origins": ["https://example.org/path"]}, "allowed_origins.0"),
    ({"retention_days": 0}, "retention_days"),
    ({"system_prompt": " "}, "system_prompt"),
    ({"system_prompt": "x" * 32_001}, "system_prompt"),
    ({"note": "x" * 501, "system_prompt": "Be brief."}, "note"),
    ({"id": "0192c7f0-0000-7000-8000-000000000001"}, "id"),
    ({"status": "paused"}, "status"),
    ({"version": 2}, "version"),
    ({"pinned_version": 1}, "pinned_version"),
    ({"snippet_count": 3}, "snippet_count"),
    ({"readiness": []}, "readiness"),
    ({"effective": {}}, "effective"),
    ({"created_at": "2026-11-22T18:04:05.123Z"}, "created_at"),
    ({"colour": "red"}, "colour"),
]


async def test_a_wrong_member_is_named_and_nothing_is_changed(desk: Instance) -> None:
    before = await bot(desk)
    for sent, path in WRONG:
        refused = await edit(desk, expect=422, json={"description": "changed"} | sent)
        assert path in {error["path"] for error in refused["errors"]}, sent
    assert await bot(desk) == before


async def test_an_edit_is_in_the_audit_log_and_one_of_nothing_is_not(desk: Instance, owner: Any) -> None:
    same = await edit(desk, json={"tier": "internal", "name": " Desk "})
    assert (same["name"], same["updated_at"]) == ("Desk", same["created_at"])
    assert await audited(owner, "bot.updated", same["id"]) == []

    await edit(desk, json={"channel_reply_mode": "both", "description": "Told to nobody."})
    [entry] = await audited(owner, "bot.updated", same["id"])
    assert entry["actor_name"] == "ada"
    assert '"channel_reply_mode": ["dm_only", "both"]' in entry["details"]
    assert "Told to nobody" not in entry["details"]


async def test_who_knows_an_old_state_is_refused_and_told_who_changed_it(desk: Instance) -> None:
    _, _, old = await desk.call("GET", DESK, expect=200)
    known = {"If-Match": old.headers["ETag"]}
    await edit(desk, json={"name": "Counter"}, headers=known)
    acts: list[tuple[str, str, dict[str, Any]]] = [
        ("PATCH", DESK, {"json": {"name": "Desk"}}),
        ("DELETE", DESK, {}),
        ("POST", f"{DESK}/pause", {}),
    ]
    for method, path, more in acts:
        _, refused, _ = await desk.call(method, path, headers=known, expect=412, **more)
        assert (refused["code"], refused["changed_by"]) == ("precondition_failed", "ada")
        _, _, now = await desk.call("GET", DESK, expect=200)
        assert refused["current_etag"] == now.headers["ETag"]
    assert (await bot(desk))["name"] == "Counter"


async def test_two_edits_at_once_lose_nothing(desk: Instance) -> None:
    await asyncio.gather(
        *(edit(desk, json={"rate_limit_per_minute": number}) for number in range(1, 6)),
        *(edit(desk, json={"user_rate_limit_per_minute": number}) for number in range(1, 6)),
        edit(desk, json={"description": "kept"}),
        edit(desk, json={"system_prompt": "Be brief."}),
    )
    after = await bot(desk)
    assert (after["description"], after["system_prompt"], after["version"]) == ("kept", "Be brief.", 2)


async def test_a_paused_bot_answers_nobody_and_all_else_works(desk: Instance, owner: Any) -> None:
    await desk.teach("desk", "Refunds", "Refunds take ten days.")
    _, paused, _ = await desk.call("POST", f"{DESK}/pause", expect=200)
    assert paused["status"] == "paused"
    _, again, _ = await desk.call("POST", f"{DESK}/pause", expect=200)
    assert again == paused

    _, refused, _ = await desk.call("POST", f"{DESK}/chat", json={"message": "Refunds?"}, expect=409)
    assert refused["code"] == "bot_paused"
    await edit(desk, json={"name": "Counter"})
    _, hits, _ = await desk.call("GET", f"{DESK}/knowledge/search?q=refunds", expect=200)
    assert len(hits["items"]) == 1
    _, resumed, _ = await desk.call("POST", f"{DESK}/resume", expect=200)
    assert resumed["status"] == "active"
    await desk.call("POST", f"{DESK}/chat", json={"message": "Refunds?"}, expect=200)
    assert len(await audited(owner, "bot.paused", paused["id"])) == 1
    assert len(await audited(owner, "bot.resumed", paused["id"])) == 1


@pytest.mark.parametrize("paused", [False, True])
async def test_an_archived_bot_is_nowhere_and_comes_back_whole(desk: Instance, paused: bool) -> None:
    snippet = await desk.teach("desk", "Refunds", "Refunds take ten days.")
    _, answer, _ = await desk.call("POST", f"{DESK}/chat", json={"message": "Refunds?"}, expect=200)
    if paused:
        await desk.call("POST", f"{DESK}/pause", expect=200)
    before = await bot(desk)
    _, nobodys, _ = await desk.call("GET", "/api/v1/bots/nobody", expect=404)

    await desk.call("DELETE", DESK, expect=204)
    acts: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", DESK, {}),
        ("PATCH", DESK, {"json": {}}),
        ("DELETE", DESK, {}),
        ("POST", f"{DESK}/pause", {}),
        ("POST", f"{DESK}/clone", {"json": {"slug": "twin"}}),
        ("GET", f"{DESK}/prompt", {}),
        ("GET", f"{DESK}/prompt/versions", {}),
        ("GET", f"{DESK}/golden-questions", {}),
        ("GET", f"{DESK}/knowledge", {}),
        ("GET", f"{DESK}/knowledge/{snippet['id']}", {}),
        ("POST", f"{DESK}/chat", {"json": {"message": "Refunds?"}}),
    ]
    for method, path, more in acts:
        _, refused, _ = await desk.call(method, path, expect=404, **more)
        assert refused | {"request_id": ""} == nobodys | {"request_id": ""}
    _, page, _ = await desk.call("GET", "/api/v1/bots", expect=200)
    assert page["items"] == []
    _, page, _ = await desk.call("GET", "/api/v1/bots?status=archived", expect=200)
    assert [(each["slug"], each["status"]) for each in page["items"]] == [("desk", "archived")]
    _, taken, _ = await desk.call(
        "POST", "/api/v1/bots", json={"slug": "desk", "name": "x", "system_prompt": "x"}, expect=409
    )
    assert taken["code"] == "slug_taken"

    _, restored, _ = await desk.call("POST", f"{DESK}/restore", expect=200)
    assert restored == before | {"updated_at": restored["updated_at"]}
    _, again, _ = await desk.call("POST", f"{DESK}/restore", expect=200)
    assert again == restored
    if not paused:
        going_on = {"message": "Refunds?", "conversation_id": answer["conversation_id"]}
        _, more, _ = await desk.call("POST", f"{DESK}/chat", json=going_on, expect=200)
        assert more["citations"][0]["snippet_id"] == snippet["id"]


@pytest.mark.parametrize("archived", [False, True])
async def test_a_purged_bot_is_gone_and_its_slug_is_free(desk: Instance, owner: Any, archived: bool) -> None:
    bot_id = (await bot(desk))["id"]
    await desk.teach("desk", "Refunds", "Refunds take ten days.")
    await desk.call("POST", f"{DESK}/chat", json={"message": "Refunds?"}, expect=200)
    if archived:
        await desk.call("DELETE", DESK, expect=204)
    await desk.call("DELETE", f"{DESK}?purge=true", expect=204)

    await desk.call("DELETE", f"{DESK}?purge=true", expect=404)
    await desk.call("POST", f"{DESK}/restore", expect=404)
    for table in ("bots.bot", "bots.conversation", "bots.message", "knowledge.snippet", "knowledge.corpus"):
        assert await owner.fetchval(f"SELECT count(*) FROM {table}") == 0
    [entry] = await audited(owner, "bot.purged", bot_id)
    assert entry["actor_name"] == "ada"
    assert await audited(owner, "bot.deleted", bot_id) == []
    fresh = await desk.mint("desk")
    assert fresh["snippet_count"] == 0


async def test_thirty_days_after_it_was_archived_a_bot_is_ended(
    desk: Instance, owner: Any, servers: Servers, database: str
) -> None:
    await desk.mint("young")
    bot_id = (await bot(desk))["id"]
    await desk.teach("desk", "Refunds", "Refunds take ten days.")
    for slug in ("desk", "young"):
        await desk.call("DELETE", f"/api/v1/bots/{slug}", expect=204)
    await owner.execute("UPDATE bots.bot SET archived_at = now() - interval '30 days 1 minute' WHERE slug = 'desk'")

    async with open_database(servers.dsn("hivemind_bots", database), "bots", size=2) as pool:
        lifecycle = Lifecycle(pool, Providers(Environment()), clock=system_clock, new_id=new_id)
        await asyncio.gather(lifecycle.end_overdue(), lifecycle.end_overdue())  # two replicas at once
    _, page, _ = await desk.call("GET", "/api/v1/bots?status=archived", expect=200)
    assert [each["slug"] for each in page["items"]] == ["young"]
    [entry] = await audited(owner, "bot.purged", bot_id)
    assert (entry["actor_kind"], entry["actor_name"]) == ("service", "bots")


async def test_a_clone_has_all_but_conversations(desk: Instance) -> None:
    await edit(desk, json={"tier": "public", "rate_limit_per_minute": 7, "system_prompt": "Be brief."})
    tagged = await desk.teach("desk", "Refunds", "Refunds take ten days.", tags=["money"], source="faq.md")
    german = await desk.teach("desk", "Öffnungszeiten", "Montag bis Freitag.", language="de")
    question = {"question": "When is my money back?", "expect": {"snippets": ["Refunds"]}}
    await desk.call("POST", f"{DESK}/golden-questions", json=question, expect=201)
    await desk.call("POST", f"{DESK}/chat", json={"message": "Refunds?"}, expect=200)
    await desk.call("POST", f"{DESK}/pause", expect=200)

    _, clone, response = await desk.call("POST", f"{DESK}/clone", json={"slug": "twin"}, expect=201)
    assert response.headers["ETag"]
    original = await bot(desk)
    own = {"id", "slug", "status", "version", "created_at", "updated_at"}
    assert {name: clone[name] for name in clone.keys() - own} == {name: original[name] for name in clone.keys() - own}
    assert (clone["status"], clone["version"]) == ("active", 1)
    _, page, _ = await desk.call("GET", "/api/v1/bots/twin/knowledge", expect=200)
    times = ("id", "created_at", "updated_at")
    assert [{**each, **dict.fromkeys(times)} for each in page["items"]] == [
        {**each, **dict.fromkeys(times)} for each in (german, tagged)
    ]
    _, page, _ = await desk.call("GET", "/api/v1/bots/twin/golden-questions", expect=200)
    assert [each["question"] for each in page["items"]] == [question["question"]]
    _, answer, _ = await desk.call("POST", "/api/v1/bots/twin/chat", json={"message": "Refunds?"}, expect=200)
    assert answer["citations"][0]["title"] == "Refunds"
    assert answer["citations"][0]["snippet_id"] != tagged["id"]
    # Each goes its own way from here.
    await desk.call("DELETE", f"{DESK}?purge=true", expect=204)
    assert (await bot(desk, "twin"))["snippet_count"] == 2
    _, named, _ = await desk.call(
        "POST", "/api/v1/bots/twin/clone", json={"slug": "third", "name": "Third"}, expect=201
    )
    assert named["name"] == "Third"


async def test_a_clone_that_cannot_be_leaves_nothing(desk: Instance, owner: Any) -> None:
    await desk.teach("desk", "Refunds", "Refunds take ten days.")
    _, refused, _ = await desk.call("POST", f"{DESK}/clone", json={"slug": "desk"}, expect=409)
    assert refused["code"] == "slug_taken"
    await desk.call("POST", "/api/v1/bots/nobody/clone", json={"slug": "twin"}, expect=404)
    assert await owner.fetchval("SELECT count(*) FROM bots.bot") == 1
    assert await owner.fetchval("SELECT count(*) FROM knowledge.snippet") == 1


async def test_teaching_and_ending_at_once_end_without_a_deadlock(instance: Instance) -> None:
    for number in range(8):
        await instance.mint(f"desk-{number}")
        path = f"/api/v1/bots/desk-{number}"
        form = {"title": "Refunds", "body": "Refunds take ten days."}
        answers = await asyncio.gather(
            *(instance.call("POST", f"{path}/knowledge", json=form) for _ in range(4)),
            instance.call("DELETE", f"{path}?purge=true"),
        )
        assert {status for status, _, _ in answers} <= {201, 204, 404}
        assert answers[-1][0] == 204


REFUSED_BY_SQL: Final = [
    ("channel_reply_mode = 'everywhere'", "bot_channel_reply_mode"),
    ("tier = 'secret'", "bot_tier"),
    ("slug = 'Not A Slug'", "bot_slug_form"),
    ("name = ''", "bot_name"),
    ("description = repeat('x', 501)", "bot_description"),
    ("max_output_tokens = 0", "bot_max_output_tokens"),
    ("temperature = 3", "bot_temperature"),
    ("cost_cap_day_micro_usd = -1", "bot_cost_cap_day"),
    ("cost_cap_month_micro_usd = 10 ^ 13", "bot_cost_cap_month"),
    ("rate_limit_per_minute = 0", "bot_rate_limit"),
    ("user_rate_limit_per_minute = 0", "bot_user_rate_limit"),
    ("retention_days = 0", "bot_retention_days"),
    ("status = 'asleep'", "bot_status"),
    ("pinned_version = 9", "bot_pinned_version"),
]


async def test_what_the_api_refuses_sql_is_refused_too(desk: Instance, owner: Any) -> None:
    for statement, constraint in REFUSED_BY_SQL:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
            await owner.execute(f"UPDATE bots.bot SET {statement}")
        assert refused.value.constraint_name == constraint
    assert (await bot(desk))["status"] == "active"


async def test_what_sql_sets_holds_and_is_in_the_audit_log(desk: Instance, owner: Any) -> None:
    await owner.execute("UPDATE bots.bot SET channel_reply_mode = 'channel_mention' WHERE slug = 'desk'")
    assert (await bot(desk))["channel_reply_mode"] == "channel_mention"
    await owner.execute("UPDATE bots.bot SET status = 'paused' WHERE slug = 'desk'")
    await owner.execute("UPDATE bots.bot SET status = 'archived' WHERE slug = 'desk'")
    _, restored, _ = await desk.call("POST", f"{DESK}/restore", expect=200)
    assert restored["status"] == "paused"
    entries = await audited(owner, "bot.updated", restored["id"])
    assert '"channel_reply_mode": ["dm_only", "channel_mention"]' in entries[0]["details"]
    assert {entry["actor_kind"] for entry in entries} == {"sql"}


async def test_an_edit_holds_for_the_next_turn_of_every_replica(start: Start, owner: Any) -> None:
    await owner.execute("TRUNCATE bots.bot, auth.account CASCADE")
    async with start() as one, start() as other:
        other.key = await one.register()
        await one.mint("desk", system_prompt="Be kind.")
        for number in range(2, 8):
            await (one if number % 2 else other).call(
                "PUT", f"{DESK}/prompt", json={"system_prompt": f"Be kind, {number}."}, expect=200
            )
            answers = await asyncio.gather(
                *(each.call("POST", f"{DESK}/chat", json={"message": "Hello?"}, expect=200) for each in (one, other))
            )
            assert {answer["version"] for _, answer, _ in answers} == {number}
        await one.call("POST", f"{DESK}/pause", expect=200)
        await other.call("POST", f"{DESK}/chat", json={"message": "Hello?"}, expect=409)


async def test_a_removal_is_archived_or_purged_and_nothing_between(desk: Instance) -> None:
    for query in ("purge=1", "purge=yes", "purge=True", "purge=", "prune=true", "purge=true&purge=true"):
        await desk.call("DELETE", f"{DESK}?{query}", expect=422)
    assert (await bot(desk))["status"] == "active"


def lacks(shown: Any) -> dict[str, str]:
    return {note["code"]: note["detail"] for note in shown["readiness"]}


async def test_placeholders_are_asked_for_until_the_last_one_is_filled_in(desk: Instance) -> None:
    await desk.teach("desk", "Hours", "Write to {{support_email}} of {{company}}.")
    await desk.teach("desk", "Address {{street}}", "Near the station.")
    prompted = await edit(
        desk, json={"system_prompt": "You work for {{company}} at {{ website }}, {{9}}, {{.Values.x}}."}
    )
    where = "in the prompt and the snippets"
    assert lacks(prompted) == {
        "placeholders_left": f"fill in {{{{company}}}}, {{{{street}}}}, {{{{support_email}}}} {where}"
    }
    prompted = await edit(desk, json={"system_prompt": "You work for Acme."})
    assert lacks(prompted)["placeholders_left"].endswith("{{support_email}} in the snippets")

    _, page, _ = await desk.call("GET", f"{DESK}/knowledge", expect=200)
    for snippet in page["items"]:
        filled = {
            name: snippet[name].replace("{{street}}", "1").replace("{{support_email}}", "a@example.org")
            for name in ("title", "body")
        }
        await desk.call("PATCH", f"{DESK}/knowledge/{snippet['id']}", json=filled, expect=200)
    assert lacks(await bot(desk)) == {"placeholders_left": "fill in {{company}} in the snippets"}
    await desk.call("DELETE", f"{DESK}/knowledge/{page['items'][1]['id']}", expect=204)
    assert lacks(await bot(desk)) == {}


async def test_a_template_is_overridden_member_by_member_or_not_at_all(instance: Instance, owner: Any) -> None:
    own = {
        "tier": "restricted",
        "name": "Mine",
        "description": "",
        "system_prompt": "Be brief.",
        "retention_days": None,
    }
    form = {"slug": "mine", "template": "hr-faq"}
    _, minted, _ = await instance.call("POST", "/api/v1/bots", json=form | own, expect=201)
    assert {name: minted[name] for name in own} == own
    assert minted["snippet_count"] >= 8
    assert minted["knowledge_search_enabled"] is True
    plain = {"slug": "plain", "template": "hr-faq"}
    _, minted, _ = await instance.call("POST", "/api/v1/bots", json=plain, expect=201)
    _, page, _ = await instance.call("GET", "/api/v1/templates", expect=200)
    [template] = [each for each in page["items"] if each["slug"] == "hr-faq"]
    members = ("name", "description", "tier", "system_prompt")
    assert {name: minted[name] for name in members} == {name: template[name] for name in members}
    assert "placeholders_left" in lacks(minted)
    for wrong in ({"tier": "secret"}, {"provider": "nobody"}, {"slug": "mine"}, {"template": "none-such"}):
        status, _, _ = await instance.call("POST", "/api/v1/bots", json={**form, "slug": "other"} | wrong)
        assert status in {409, 422}
    assert await owner.fetchval("SELECT count(*) FROM bots.bot") == 2
    assert await owner.fetchval("SELECT count(*) FROM knowledge.corpus") == 2

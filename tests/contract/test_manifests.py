"""Bots are exported as YAML, and applied: all or nothing, the same again changes nothing, and nothing secret is in it."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import yaml

from tests.conftest import Instance

BASE: Final = "/api/v1/bots"
MADE: Final = ("id", "created_at", "updated_at")
"""What every instance gives anew."""


async def export(instance: Instance, slug: str = "desk") -> str:
    _, text, response = await instance.call("GET", f"{BASE}/{slug}/export", expect=200)
    assert response.content_type == "application/yaml"
    return str(text)


async def apply(instance: Instance, text: str | bytes, query: str = "", expect: int = 200) -> Any:
    headers = {"Content-Type": "application/yaml"}
    data = text if isinstance(text, bytes) else text.encode()
    _, body, _ = await instance.call("POST", f"/api/v1/apply{query}", data=data, headers=headers, expect=expect)
    return body["changes"] if expect == 200 else body


def actions(changes: Any) -> dict[str, str]:
    return {change["slug"]: change["action"] for change in changes}


async def answers(instance: Instance, slug: str = "desk") -> dict[str, Any]:
    """What the API tells of a bot, but for what every instance gives anew."""
    found = {}
    for path in ("", "/prompt", "/prompt/versions", "/knowledge?limit=200", "/golden-questions"):
        _, body, _ = await instance.call("GET", f"{BASE}/{slug}{path}", expect=200)
        for each in body.get("items", [body]):
            for name in MADE:
                each.pop(name, None)
        found[path] = body
    return found


async def furnish(instance: Instance) -> None:
    """A bot that has something of everything."""
    await instance.mint("desk", name="Desk: 100 %", system_prompt="First.\n", tier="public")
    form: dict[str, Any] = {
        "description": "no",
        "provider": "quote",
        "temperature": 0.7,
        "cost_cap_day_micro_usd": None,
        "fallbacks": [{"provider": "quote", "model": "quote"}],
        "allowed_origins": ["https://www.example.org"],
        "retention_days": None,
        "channel_reply_mode": "both",
    }
    await instance.call("PATCH", f"{BASE}/desk", json=form, expect=200)
    for text, note in (("Second.\n\n- with a list\n\ttab ", "longer"), ("Third: {{company}}", "")):
        await instance.call("PUT", f"{BASE}/desk/prompt", json={"system_prompt": text, "note": note}, expect=200)
    await instance.call("POST", f"{BASE}/desk/prompt/versions/2/pin", expect=200)
    await instance.teach("desk", "Refunds", "Refunds take ten days.\n\nNo: null\n", tags=["a", "b c"], source="faq.md")
    await instance.teach("desk", "Öffnungszeiten", "Wir haben von Montag bis Freitag für Sie geöffnet. 🙂\nBis bald!")
    await instance.teach("desk", "Refunds", "Dasselbe noch einmal.", language="de")
    await instance.teach("desk", "true", "2026-11-25")
    for form in (
        {"question": "Money back?", "expect": {"snippets": ["Refunds"], "not_contains": ["never"], "cites": True}},
        {"question": "Who won?", "expect": {"refuses": True}},
    ):
        await instance.call("POST", f"{BASE}/desk/golden-questions", json=form, expect=201)
    await instance.call("PATCH", f"{BASE}/desk", json={"knowledge_search_enabled": False}, expect=200)
    await instance.call("POST", f"{BASE}/desk/pause", expect=200)


async def test_what_was_exported_and_purged_comes_back_as_it_was(instance: Instance) -> None:
    await furnish(instance)
    before, text = await answers(instance), await export(instance)
    await instance.call("DELETE", f"{BASE}/desk?purge=true", expect=204)

    [change] = await apply(instance, text)
    assert (change["slug"], change["action"]) == ("desk", "create")
    assert await answers(instance) == before
    assert await export(instance) == text
    # The same again changes nothing, and leaves no trace.
    _, bot, _ = await instance.call("GET", f"{BASE}/desk", expect=200)
    assert await apply(instance, text) == [{"slug": "desk", "action": "none", "diff": "", "conversations": 0}]
    _, again, _ = await instance.call("GET", f"{BASE}/desk", expect=200)
    assert again == bot


async def test_every_template_survives_the_same(instance: Instance) -> None:
    _, page, _ = await instance.call("GET", "/api/v1/templates", expect=200)
    slugs = [template["slug"] for template in page["items"]]
    for slug in slugs:
        await instance.call("POST", BASE, json={"slug": slug, "template": slug}, expect=201)
    before = {slug: await answers(instance, slug) for slug in slugs}
    text = "---\n".join([await export(instance, slug) for slug in slugs])
    for slug in slugs:
        await instance.call("DELETE", f"{BASE}/{slug}?purge=true", expect=204)
    assert set(actions(await apply(instance, text)).values()) == {"create"}
    assert {slug: await answers(instance, slug) for slug in slugs} == before
    assert set(actions(await apply(instance, text, "?prune=true")).values()) == {"none"}


async def test_an_export_reads_well_and_any_reader_understands_it(instance: Instance) -> None:
    await instance.mint("desk", name="Desk", system_prompt="You are kind.\n\n1. Be brief.\n")
    await instance.teach("desk", "Refunds", "Ten days.\nNot more.", tags=["money"])
    text = await export(instance)
    assert text.startswith("slug: desk\nname: Desk\n")
    assert "system_prompt: |\n  You are kind.\n\n  1. Be brief.\n" in text
    assert "snippets:\n- title: Refunds\n  body: |-\n    Ten days.\n    Not more.\n  tags:\n  - money\n" in text
    assert yaml.safe_load(text)["snippets"][0]["tags"] == ["money"]
    assert "prompt_versions" not in text


async def test_a_document_by_hand_makes_a_bot_and_a_second_one_changes_what_it_names(instance: Instance) -> None:
    by_hand = """
slug: desk
name: Desk
system_prompt: Be kind.
snippets:
- {title: Refunds, body: Refunds take ten days.}
- {title: Hours, body: Open from nine to five., tags: [time]}
golden_questions:
- {question: "Money back?", expect: {snippets: [Refunds]}}
"""
    assert actions(await apply(instance, by_hand)) == {"desk": "create"}
    _, answer, _ = await instance.call("POST", f"{BASE}/desk/chat", json={"message": "How long do refunds take?"})
    assert answer["citations"][0]["title"] == "Refunds"
    _, kept, _ = await instance.call("GET", f"{BASE}/desk/knowledge", expect=200)
    assert [each["language"] for each in kept["items"]] == ["en", "en"]

    [change] = await apply(
        instance,
        "slug: desk\ntier: public\nsnippets:\n- {title: Hours, body: Open from nine to six., tags: [time]}\n"
        "- {title: Parking, body: Behind the house.}\n",
    )
    assert change["action"] == "update"
    assert change["diff"].splitlines() == [
        "-tier: internal",
        "+tier: public",
        '@@ snippet "Refunds" @@',
        "-title: Refunds",
        "-body: Refunds take ten days.",
        "-detected_language: en",
        '@@ snippet "Hours" @@',
        " title: Hours",
        "-body: Open from nine to five.",
        "+body: Open from nine to six.",
        " tags:",
        " - time",
        '@@ snippet "Parking" @@',
        "+title: Parking",
        "+body: Behind the house.",
        "+detected_language: en",
    ]
    _, after, _ = await instance.call("GET", f"{BASE}/desk/knowledge", expect=200)
    assert [each["title"] for each in after["items"]] == ["Parking", "Hours"]
    assert after["items"][1]["id"] == kept["items"][0]["id"]  # it was edited, not replaced
    _, hits, _ = await instance.call("GET", f"{BASE}/desk/knowledge/search?q=refunds", expect=200)
    assert hits["items"] == []
    _, questions, _ = await instance.call("GET", f"{BASE}/desk/golden-questions", expect=200)
    assert len(questions["items"]) == 1  # not named, so not touched


async def test_the_order_in_a_document_is_no_change(instance: Instance) -> None:
    await furnish(instance)
    document = yaml.safe_load(await export(instance))
    for name in ("snippets", "golden_questions"):
        document[name] = document[name][1:] + document[name][:1]
    text = yaml.safe_dump(document, allow_unicode=True)
    assert actions(await apply(instance, text)) == {"desk": "none"}
    document["snippets"].insert(1, {"title": "Between", "body": "Between two others."})
    text = yaml.safe_dump(document, allow_unicode=True)
    assert [actions(await apply(instance, text))["desk"] for _ in range(3)] == ["update", "none", "none"]


async def test_a_dry_run_tells_the_same_and_changes_nothing(instance: Instance, owner: Any) -> None:
    await furnish(instance)
    await instance.mint("other", system_prompt="Be kind.")
    changed = (await export(instance)).replace("Refunds take ten days.", "Refunds take two days.")
    text = f"{changed}---\nslug: fresh\nname: Fresh\nsystem_prompt: Hello.\n"
    before = await answers(instance)
    entries = await owner.fetchval("SELECT count(*) FROM audit.entry")

    told = await apply(instance, text, "?dry_run=true&prune=true")
    assert actions(told) == {"desk": "update", "fresh": "create", "other": "archive"}
    assert await answers(instance) == before
    assert await owner.fetchval("SELECT count(*) FROM audit.entry") == entries
    _, page, _ = await instance.call("GET", BASE, expect=200)
    assert [bot["slug"] for bot in page["items"]] == ["desk", "other"]
    assert await apply(instance, text, "?prune=true") == told
    assert actions(await apply(instance, text, "?prune=true")) == {"desk": "none", "fresh": "none"}


async def test_what_is_pruned_is_archived_with_its_conversations_and_applied_again_comes_back(
    instance: Instance,
) -> None:
    await instance.mint("desk", system_prompt="Be kind.")
    await instance.teach("desk", "Refunds", "Refunds take ten days.")
    for _ in range(2):
        await instance.call("POST", f"{BASE}/desk/chat", json={"message": "Refunds?"}, expect=200)
    await instance.call("POST", f"{BASE}/desk/pause", expect=200)
    _, before, _ = await instance.call("GET", f"{BASE}/desk", expect=200)
    other = "slug: other\nname: Other\nsystem_prompt: Hello.\n"

    told = await apply(instance, other, "?prune=true")
    assert told[0] == {
        "slug": "desk",
        "action": "archive",
        "diff": "-status: paused\n+status: archived\n",
        "conversations": 2,
    }
    await instance.call("GET", f"{BASE}/desk", expect=404)
    assert actions(await apply(instance, other, "?prune=true")) == {"other": "none"}
    [change] = await apply(instance, "slug: desk\n")
    assert (change["action"], change["diff"]) == ("update", "-status: archived\n+status: paused\n")
    _, after, _ = await instance.call("GET", f"{BASE}/desk", expect=200)
    assert after == before | {"updated_at": after["updated_at"]}


WRONG: Final = {
    "": (400, "bad_request", ""),
    "a: [1": (400, "malformed_yaml", ""),
    "a: &x 1\nb: *x": (400, "malformed_yaml", ""),
    "a: 1\na: 2": (400, "malformed_yaml", ""),
    "a: !!python/name:os.system x": (400, "malformed_yaml", ""),
    "# nothing": (422, "validation_failed", ""),
    "---\n---\n": (422, "validation_failed", ""),
    "hello": (422, "validation_failed", "documents.0"),
    "- slug: desk": (422, "validation_failed", "documents.0"),
    "name: Desk": (422, "validation_failed", "documents.0.slug"),
    "slug: X y": (422, "validation_failed", "X y.slug"),
    "slug: new": (422, "validation_failed", "new.slug"),
    "slug: 5": (422, "validation_failed", "documents.0.slug"),
    "slug: desk": (422, "validation_failed", "desk.name"),
    "slug: desk\nname: Desk": (422, "validation_failed", "desk.system_prompt"),
    "slug: desk\nname: Desk\nsystem_prompt: x\ncolour: red": (422, "validation_failed", "desk.colour"),
    "slug: desk\nname: Desk\nsystem_prompt: x\nid: y": (422, "validation_failed", "desk.id"),
    "slug: desk\nname: Desk\nsystem_prompt: x\ntier: secret": (422, "validation_failed", "desk.tier"),
    "slug: desk\nname: Desk\nsystem_prompt: x\nstatus: archived": (422, "validation_failed", "desk.status"),
    "slug: desk\nname: Desk\nsystem_prompt: x\nprovider: nobody": (422, "validation_failed", "desk.provider"),
    "slug: desk\nname: 5\nsystem_prompt: x": (422, "validation_failed", "desk.name"),
    "slug: desk\nname: x\nsystem_prompt: x\npinned_version: 2": (422, "validation_failed", "desk.pinned_version"),
    "slug: desk\nname: x\nsystem_prompt: x\nretention_days: 9.5": (422, "validation_failed", "desk.retention_days"),
    'slug: desk\nname: "a\\0b"\nsystem_prompt: x': (422, "validation_failed", "desk.name"),
    "slug: desk\nname: x\nsystem_prompt: x\nsnippets: [{title: x}]": (422, "validation_failed", "desk.snippets.0.body"),
    "slug: desk\nname: x\nsystem_prompt: x\nsnippets: {}": (422, "validation_failed", "desk.snippets"),
    "slug: desk\nname: x\nsystem_prompt: x\nsnippets: [{title: x, body: y, language: xx}]": (
        *(422, "validation_failed", "desk.snippets.0.language"),
    ),
    "slug: desk\nname: x\nsystem_prompt: x\ngolden_questions: [{question: x, expect: {}}]": (
        *(422, "validation_failed", "desk.golden_questions.0.expect"),
    ),
    "slug: desk\nname: x\nsystem_prompt: x\nprompt_versions: [{version: 2, system_prompt: x}]": (
        *(422, "validation_failed", "desk.prompt_versions"),
    ),
    "slug: desk\nname: x\nsystem_prompt: x\n---\nslug: desk": (422, "validation_failed", "desk.slug"),
    "slug: desk\nname: x\nsystem_prompt: x\n---\nslug: other\nname: ''": (422, "validation_failed", "other.name"),
    "slug: desk\nname: x\nsystem_prompt: x\nsnippets: [{title: x, body: 'AKIAIOSFODNN7EXAMPLA and more'}]": (
        *(422, "looks_like_secret", "desk.snippets.0.body"),
    ),
}


async def test_what_cannot_be_applied_is_named_with_its_place_and_nothing_is_done(
    instance: Instance, owner: Any
) -> None:
    for text, (status, code, path) in WRONG.items():
        refused = await apply(instance, text, "?prune=true", expect=status)
        assert refused["code"] == code, text
        if status == 422:
            assert path in {error["path"] for error in refused["errors"]}, text
    assert await owner.fetchval("SELECT count(*) FROM bots.bot") == 0


async def test_of_several_documents_one_that_fails_late_undoes_them_all(instance: Instance, owner: Any) -> None:
    await instance.mint("desk", system_prompt="Be kind.")
    entries = await owner.fetchval("SELECT count(*) FROM audit.entry")
    text = "slug: desk\nname: Changed\n---\nslug: aaa\nname: A\nsystem_prompt: x\n---\nslug: zzz\npinned_version: 9\n"
    await apply(instance, text, "?prune=true", expect=422)
    _, page, _ = await instance.call("GET", BASE, expect=200)
    assert [(bot["slug"], bot["name"] == "Changed") for bot in page["items"]] == [("desk", False)]
    assert await owner.fetchval("SELECT count(*) FROM audit.entry") == entries


async def test_a_body_of_another_type_or_too_large_is_not_read(instance: Instance) -> None:
    for kind, status in (("application/json", 415), ("text/plain", 415), ("text/yaml", 200)):
        await instance.call(
            "POST",
            "/api/v1/apply?dry_run=true",
            data=b"slug: desk\nname: x\nsystem_prompt: x\n",
            headers={"Content-Type": kind},
            expect=status,
        )
    await apply(instance, b"x" * (16 * 1024 * 1024 + 1), expect=413)
    await apply(instance, b"\xff\xfe", expect=400)


async def test_an_allowed_secret_is_let_in_with_its_reason(instance: Instance) -> None:
    text = (
        "slug: desk\nname: x\nsystem_prompt: x\nsnippets:\n"
        "- {title: x, body: 'AKIAIOSFODNN7EXAMPLA and more', allow_secret: an example}\n"
    )
    assert actions(await apply(instance, text)) == {"desk": "create"}
    assert "an example" not in await export(instance)


async def test_many_apply_the_same_at_once_and_it_is_done_once(instance: Instance) -> None:
    await furnish(instance)
    text = (await export(instance)).replace("ten days", "two days")
    told = await asyncio.gather(*(apply(instance, text) for _ in range(6)))
    assert sorted(change["action"] for [change] in told) == ["none"] * 5 + ["update"]
    _, page, _ = await instance.call("GET", f"{BASE}/desk/knowledge", expect=200)
    assert len(page["items"]) == 4


async def test_a_bot_that_knows_much_goes_out_and_in(instance: Instance) -> None:
    await instance.mint("desk", system_prompt="Be kind.")
    entries = "".join(
        f"- title: Thing {number}\n  body: |\n    Thing {number} is kept in room {number}.\n    {'word ' * 150}\n"
        "  detected_language: en\n"
        for number in range(3_000)
    )
    text = f"slug: desk\nsnippets:\n{entries}"
    assert len(text) > 2_000_000
    [change] = await apply(instance, text)
    assert change["action"] == "update"
    assert "more lines @@" in change["diff"]
    _, hits, _ = await instance.call("GET", f"{BASE}/desk/knowledge/search?q=thing+2718", expect=200)
    assert hits["items"][0]["title"] == "Thing 2718"
    out = await export(instance)
    assert len(yaml.load(out, Loader=yaml.CSafeLoader)["snippets"]) == 3_000
    assert actions(await apply(instance, out)) == {"desk": "none"}


async def test_an_archived_or_unknown_bot_is_not_exported(instance: Instance) -> None:
    await instance.mint("desk")
    await instance.call("DELETE", f"{BASE}/desk", expect=204)
    for slug in ("desk", "nobody"):
        _, refused, _ = await instance.call("GET", f"{BASE}/{slug}/export", expect=404)
        assert refused["code"] == "bot_not_found"


async def test_a_bot_of_another_language_stays_one_and_nothing_is_left_of_an_upload(
    instance: Instance, owner: Any
) -> None:
    text = "slug: desk\nname: Desk\nsystem_prompt: x\nsnippets:\n- title: Öffnungszeiten\n  body: Wir haben montags geöffnet.\n"
    await apply(instance, text + "- title: Parken\n  body: Hinter dem Haus ist ein Parkplatz für unsere Gäste.\n")
    languages = "SELECT languages FROM knowledge.corpus"
    assert await owner.fetchval(languages) == ["de"]
    await apply(instance, text)
    await apply(instance, "slug: desk\nsnippets: []\n")
    assert await owner.fetchval(languages) == ["de"]
    await apply(instance, "slug: desk\nname: ''\n", expect=422)
    assert await owner.fetchval("SELECT count(*) FROM bots.upload") == 0


async def test_teaching_and_applying_at_once_end_without_a_deadlock(instance: Instance) -> None:
    for number in range(6):
        await instance.mint(f"desk-{number}")
        form = {"title": "Refunds", "body": "Refunds take ten days."}
        text = f"slug: desk-{number}\nsnippets:\n- title: Hours\n  body: Open from nine to five.\n"
        await asyncio.gather(
            *(instance.call("POST", f"{BASE}/desk-{number}/knowledge", json=form, expect=201) for _ in range(4)),
            apply(instance, text),
            apply(instance, text),
        )

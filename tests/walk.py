"""A walk through the product by its door: what people do with it, and every refusal that they can bring about.

The same walk is recorded, and taken by instances whose services are of different ages. Who changes it records it anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final
from uuid import UUID

import orjson

from tests.conftest import PASSWORD, Instance

BREAK_GLASS: Final = "break-glass-key-of-the-walk-and-nothing-else"
VARIABLES: Final[Mapping[str, str]] = {
    "ADMIN_API_KEY": BREAK_GLASS,
    "HIVEMIND_LLM_PROVIDER": "openai-compat",
    "HIVEMIND_LLM_ENDPOINT": "http://127.0.0.1:9/v1",  # nobody listens on the port of `discard`
    "HIVEMIND_LLM_MODEL": "away",
    "HIVEMIND_LLM_LOCAL": "false",
}
"""The instance's own provider is hosted and away, so that its refusals are met; the bots that answer use `quote`."""

NOBODY: Final = UUID("01900000-0000-7000-8000-000000000000")
BOTS: Final = "/api/v1/bots"
DESK: Final = f"{BOTS}/desk"
QUESTION: Final = {"message": "How long do refunds take?"}
SECRET: Final = "The password is Sommer2026!x"
REFUND: Final = "Refunds take ten days after the return reached us."


async def walk(instance: Instance, known: Collection[str]) -> None:
    """Walk from an empty database, whose first admin registers; leaves the instance well.

    `known` are the contracts that all of its services know: what takes a newer one is left out.
    """
    for contract, step in NEWER.items():
        if contract in known:
            await step(instance)
    await _sign_in(instance)
    await _mint(instance)
    await _teach(instance)
    await _chat(instance)
    if "knowledge.v1.gap.list" in known:
        await _fill_gaps(instance)
        await _edit(instance)
    if "bots.v1.bot.edit" in known:
        await _change_bots(instance)
        await _save_prompts(instance)
        await _keep_golden_questions(instance)
        await _export_and_apply(instance)
    await _be_refused_a_chat(instance)
    if "auth.v1.session.list" in known:
        await _manage_sessions(instance)
    _, health, _ = await instance.call("GET", "/api/v1/health", key="", expect=200)
    assert {name for name, each in health["components"].items() if each["status"] != "ok"} == {"llm"}, health


async def refused(instance: Instance, code: str, method: str, path: str, **options: Any) -> None:
    """Ask, and expect to be refused with this code."""
    status, body, _ = await instance.call(method, path, **options)
    assert (status >= 400, body["code"]) == (True, code), (status, body)


async def _sign_in(instance: Instance) -> None:
    await instance.register()
    form = {"username": "bob", "email": "bob@example.org", "password": PASSWORD}
    await refused(instance, "already_registered", "POST", "/auth/register", json=form, key="")
    login = {"email": "ada@example.org", "password": PASSWORD}
    _, account, response = await instance.call("POST", "/auth/login", json=login, key="", expect=200)
    cookie = {"Cookie": response.headers["Set-Cookie"].partition(";")[0]}
    for headers, key in ((cookie, ""), ({}, None)):
        _, me, _ = await instance.call("GET", "/auth/me", headers=headers, key=key, expect=200)
        assert me["id"] == account["id"]
    wrong = login | {"password": "another horse battery"}
    await refused(instance, "invalid_credentials", "POST", "/auth/login", json=wrong, key="")
    await refused(instance, "invalid_api_key", "GET", "/auth/me", key=f"hm_{'x' * 60}")


async def _break_the_glass(instance: Instance) -> None:
    shown = {"Authorization": f"Bearer {BREAK_GLASS}"}
    _, me, _ = await instance.call("GET", "/auth/me", headers=shown, key="", expect=200)
    assert me["auth"] == "break_glass"


async def _be_refused_the_setup(instance: Instance) -> None:
    form = {"username": "eve", "email": "eve@example.org", "password": PASSWORD, "setup_token": "x" * 43}
    await refused(instance, "setup_token_required", "POST", "/auth/register", json=form, key="")


async def _manage_sessions(instance: Instance) -> None:
    """See, end and leave sessions, change the password and change it back; at the end this door is shut for a while."""
    login = {"email": "ada@example.org", "password": PASSWORD}
    cookies = []
    for _ in range(2):
        _, _, response = await instance.call("POST", "/auth/login", json=login, key="", expect=200)
        cookies.append({"Cookie": response.headers["Set-Cookie"].partition(";")[0]})
    here, _there = cookies
    _, page, _ = await instance.call("GET", "/api/v1/sessions", headers=here, key="", expect=200)
    other = next(each["id"] for each in page["items"] if not each["current"])
    await instance.call("DELETE", f"/api/v1/sessions/{other}", headers=here, key="", expect=204)
    await refused(instance, "not_found", "DELETE", f"/api/v1/sessions/{other}", headers=here, key="")
    for current, new in ((PASSWORD, "another battery staple"), ("another battery staple", PASSWORD)):
        form = {"password": new, "current_password": current}
        await instance.call("PATCH", "/auth/me", json=form, headers=here, key="", expect=200)
    wrong = {"password": PASSWORD, "current_password": "not the current one"}
    for _ in range(10):
        await refused(instance, "validation_failed", "PATCH", "/auth/me", json=wrong, headers=here, key="")
    await refused(instance, "rate_limited", "PATCH", "/auth/me", json=wrong, headers=here, key="")
    await refused(instance, "rate_limited", "POST", "/auth/login", json=login, key="")
    await instance.call("POST", "/auth/logout", headers=here, key="", expect=204)


NEWER: Final[Mapping[str, Callable[[Instance], Awaitable[None]]]] = {
    "auth.v1.break-glass.use": _break_the_glass,
    "auth.v1.setup-refusal.note": _be_refused_the_setup,
}
"""Steps before anybody has registered, each with the contract that the previous state may not know."""


async def _mint(instance: Instance) -> None:
    _, templates, _ = await instance.call("GET", "/api/v1/templates", expect=200)
    bot = await instance.mint("desk", provider="quote", description="Answers about orders.", temperature=0.5)
    assert bot["effective"] == {"provider": "quote", "model": "quote"}
    for template in templates["items"]:
        draft = {"slug": f"a-{template['slug']}"[:32].strip("-"), "template": template["slug"]}
        _, bot, _ = await instance.call("POST", BOTS, json=draft, expect=201)
        assert bot["snippet_count"] == len(template["snippets"])
    draft = {"slug": "desk", "name": "Desk", "system_prompt": "You help."}
    await refused(instance, "slug_taken", "POST", BOTS, json=draft)
    await refused(instance, "unknown_template", "POST", BOTS, json={"slug": "other", "template": "nope"})
    await refused(instance, "validation_failed", "POST", BOTS, json=draft | {"slug": "other", "provider": "nope"})
    _, page, _ = await instance.call("GET", f"{BOTS}?limit=1", expect=200)
    _, rest, _ = await instance.call("GET", f"{BOTS}?limit=200&cursor={page['next']}", expect=200)
    assert len(page["items"]) + len(rest["items"]) == 1 + len(templates["items"])
    _, found, _ = await instance.call("GET", f"{BOTS}?q=orders&tier=internal&status=active", expect=200)
    assert [each["slug"] for each in found["items"]] == ["desk"]
    _, shown, _ = await instance.call("GET", DESK, expect=200)
    assert shown == found["items"][0]
    await refused(instance, "bot_not_found", "GET", f"{BOTS}/nobody")


async def _teach(instance: Instance) -> None:
    for number in range(3):
        await instance.teach("desk", f"Opening hours {number}", f"Shop {number} is open from nine to five.")
    first = await instance.teach("desk", "Refunds", REFUND, tags=["orders"], source="handbook", language="en")
    second = await instance.teach("desk", "Parcels", "A parcel may weigh thirty kilograms.")
    snippets = f"{DESK}/knowledge"
    _, page, _ = await instance.call("GET", f"{snippets}?limit=2", expect=200)
    assert [each["id"] for each in page["items"]] == [second["id"], first["id"]]
    _, rest, _ = await instance.call("GET", f"{snippets}?cursor={page['next']}", expect=200)
    assert len(rest["items"]) == 3
    _, shown, _ = await instance.call("GET", f"{snippets}/{first['id']}", expect=200)
    assert shown == first
    _, found, _ = await instance.call("GET", f"{snippets}/search?q=refunding", expect=200)
    assert [each["id"] for each in found["items"]] == [first["id"]]
    await instance.call("DELETE", f"{snippets}/{second['id']}", expect=204)
    for method in ("GET", "DELETE"):
        await refused(instance, "snippet_not_found", method, f"{snippets}/{second['id']}")
    await refused(instance, "bot_not_found", "GET", f"{BOTS}/nobody/knowledge")


async def _chat(instance: Instance) -> None:
    _, answer, _ = await instance.call("POST", f"{DESK}/chat", json=QUESTION, expect=200)
    assert answer["reply"] == f"{REFUND} [1]"
    more = QUESTION | {"conversation_id": answer["conversation_id"]}
    _, text, _ = await instance.call(
        "POST", f"{DESK}/chat", json=more, headers={"Accept": "text/event-stream"}, expect=200
    )
    done = orjson.loads(text.strip().split("\n\n")[-1].partition("data: ")[2])
    assert (done["reply"], done["conversation_id"]) == (answer["reply"], answer["conversation_id"])
    _, unknown, _ = await instance.call("POST", f"{DESK}/chat", json={"message": "Do you take cats?"}, expect=200)
    assert (unknown["grounded"], unknown["finish_reason"]) == (False, "refused")


async def _fill_gaps(instance: Instance) -> None:
    gaps = f"{DESK}/knowledge/gaps"
    for message in ("Do you take cats?", "Is the moon made of cheese?"):
        await instance.call("POST", f"{DESK}/chat", json={"message": message}, expect=200)
    _, page, _ = await instance.call("GET", gaps, expect=200)
    moon, cats = page["items"]
    _, shown, _ = await instance.call("GET", f"{gaps}/{cats['id']}", expect=200)
    assert (shown, cats["asked"]) == (cats, 2)
    secret = {"title": "Cats", "body": SECRET}
    await refused(instance, "looks_like_secret", "POST", f"{gaps}/{cats['id']}/snippet", json=secret)
    draft = {"title": "Cats", "body": "Cats are welcome.", "tags": ["pets"]}
    await instance.call("POST", f"{gaps}/{cats['id']}/snippet", json=draft, expect=201)
    await instance.call("DELETE", f"{gaps}/{moon['id']}", expect=204)
    for method, path, more in (("GET", "", {}), ("DELETE", "", {}), ("POST", "/snippet", {"json": draft})):
        await refused(instance, "gap_not_found", method, f"{gaps}/{cats['id']}{path}", **more)


async def _edit(instance: Instance) -> None:
    snippets = f"{DESK}/knowledge"
    draft = {"title": "Dogs", "body": "Dogs wait outside.", "tags": ["pets"]}
    await refused(instance, "looks_like_secret", "POST", snippets, json=draft | {"body": SECRET})
    _, dogs, response = await instance.call("POST", snippets, json=draft, expect=201)
    at, old = f"{snippets}/{dogs['id']}", {"If-Match": response.headers["ETag"]}
    change: dict[str, Any] = {"json": {"body": "Dogs are welcome.", "source": None}}
    # Not by its tag: of a recording that is of another moment.
    await instance.call("PATCH", at, headers={"If-Match": "*"}, expect=200, **change)
    await refused(instance, "looks_like_secret", "PATCH", at, json={"body": SECRET})
    await refused(instance, "precondition_failed", "PATCH", at, headers=old, **change)
    await refused(instance, "precondition_failed", "DELETE", at, headers=old)
    _, removed, _ = await instance.call("DELETE", f"{snippets}?tag=pets", expect=200)
    assert removed == {"deleted": 2}
    await refused(instance, "snippet_not_found", "PATCH", at, **change)


async def _change_bots(instance: Instance) -> None:
    first = f"{BOTS}/first"
    bot = await instance.mint("first", provider="quote")
    _, _, shown = await instance.call("GET", first, expect=200)
    known = {"If-Match": shown.headers["ETag"]}
    changes = {"name": "First", "tier": "public", "model": "small", "retention_days": None, "description": "Changed."}
    _, edited, _ = await instance.call("PATCH", first, json=changes, headers={"If-Match": "*"}, expect=200)
    assert (edited["name"], edited["retention_days"], edited["id"]) == ("First", None, bot["id"])
    await refused(instance, "slug_immutable", "PATCH", first, json={"slug": "second"})
    await refused(instance, "bot_not_found", "PATCH", f"{BOTS}/nobody", json={})
    await refused(instance, "precondition_failed", "PATCH", first, json={}, headers=known)
    for act, status in (("pause", "paused"), ("resume", "active"), ("pause", "paused"), ("restore", "paused")):
        await refused(instance, "precondition_failed", "POST", f"{first}/{act}", headers=known)
        _, acted, _ = await instance.call("POST", f"{first}/{act}", expect=200)
        assert acted["status"] == status
        await refused(instance, "bot_not_found", "POST", f"{BOTS}/nobody/{act}")
    await refused(instance, "bot_paused", "POST", f"{first}/chat", json=QUESTION)
    _, clone, _ = await instance.call("POST", f"{DESK}/clone", json={"slug": "twin", "name": "Twin"}, expect=201)
    assert clone["snippet_count"] > 0
    await refused(instance, "slug_taken", "POST", f"{DESK}/clone", json={"slug": "twin"})
    await refused(instance, "bot_not_found", "POST", f"{BOTS}/nobody/clone", json={"slug": "third"})
    await refused(instance, "precondition_failed", "DELETE", first, headers=known)
    await instance.call("DELETE", first, expect=204)
    await refused(instance, "bot_not_found", "DELETE", first)
    await instance.call("POST", f"{first}/restore", expect=200)
    for slug in ("first", "twin"):
        await instance.call("DELETE", f"{BOTS}/{slug}?purge=true", expect=204)


async def _save_prompts(instance: Instance) -> None:
    prompt = f"{DESK}/prompt"
    _, before, response = await instance.call("GET", prompt, expect=200)
    known = {"If-Match": response.headers["ETag"]}
    form = {"system_prompt": "You help, briefly.", "note": "shorter"}
    _, saved, _ = await instance.call("PUT", prompt, json=form, headers={"If-Match": "*"}, expect=200)
    assert (saved["version"], saved["live"]) == (before["version"] + 1, True)
    await refused(instance, "precondition_failed", "PUT", prompt, json=form | {"note": ""}, headers=known)
    _, page, _ = await instance.call("GET", f"{prompt}/versions?limit=1", expect=200)
    _, rest, _ = await instance.call("GET", f"{prompt}/versions?cursor={page['next']}", expect=200)
    assert [each["version"] for each in page["items"] + rest["items"]] == [2, 1]
    await instance.call("POST", f"{prompt}/versions/1/pin", expect=200)
    _, answer, _ = await instance.call("POST", f"{DESK}@2/chat", json=QUESTION, expect=200)
    assert answer["version"] == 2
    await instance.call("DELETE", f"{prompt}/pin", expect=204)
    await instance.call("POST", f"{prompt}/versions/1/restore", expect=200)
    for method, path in (("GET", "/9"), ("POST", "/9/restore"), ("POST", "/9/pin")):
        await refused(instance, "version_not_found", method, f"{prompt}/versions{path}")
    await refused(instance, "version_not_found", "DELETE", f"{prompt}/pin")
    await refused(instance, "version_not_found", "POST", f"{DESK}@9/chat", json=QUESTION)


async def _keep_golden_questions(instance: Instance) -> None:
    questions = f"{DESK}/golden-questions"
    draft = {"question": "When is my money back?", "expect": {"snippets": ["Refunds"], "contains": ["ten days"]}}
    _, kept, response = await instance.call("POST", questions, json=draft, expect=201)
    at, old = f"{questions}/{kept['id']}", {"If-Match": response.headers["ETag"]}
    change: dict[str, Any] = {"json": {"expect": {"contains": None, "cites": True}}}
    _, changed, _ = await instance.call("PATCH", at, headers={"If-Match": "*"}, expect=200, **change)
    assert changed["expect"]["cites"] is True
    _, shown, _ = await instance.call("GET", at, expect=200)
    assert shown == changed
    await refused(instance, "precondition_failed", "PATCH", at, headers=old, **change)
    await refused(instance, "precondition_failed", "DELETE", at, headers=old)
    _, page, _ = await instance.call("GET", questions, expect=200)
    assert page["items"][0] == changed
    await instance.call("DELETE", at, expect=204)
    for method, more in (("GET", {}), ("DELETE", {}), ("PATCH", change)):
        await refused(instance, "golden_question_not_found", method, at, **more)


async def _export_and_apply(instance: Instance) -> None:
    _, text, _ = await instance.call("GET", f"{DESK}/export", expect=200)
    await refused(instance, "bot_not_found", "GET", f"{BOTS}/nobody/export")
    kind = {"Content-Type": "application/yaml"}
    for query, slug, action in (("?dry_run=true", "copy", "create"), ("", "copy", "create"), ("", "copy", "none")):
        document = text.replace("slug: desk", f"slug: {slug}").encode()
        path = f"/api/v1/apply{query}"
        _, told, _ = await instance.call("POST", path, data=document, headers=kind, expect=200)
        assert [change["action"] for change in told["changes"]] == [action]
    secret = f"slug: copy\nsnippets: [{{title: x, body: '{SECRET}'}}]".encode()
    await refused(instance, "looks_like_secret", "POST", "/api/v1/apply", data=secret, headers=kind)
    await instance.call("DELETE", f"{BOTS}/copy?purge=true", expect=204)


async def _be_refused_a_chat(instance: Instance) -> None:
    _, me, _ = await instance.call("GET", "/auth/me", expect=200)
    await instance.mint("theirs", tier="restricted", provider="quote")
    await instance.mint("hosted", tier="restricted", allowed_users=[me["id"]])
    await instance.mint("away")
    elsewhere = QUESTION | {"conversation_id": str(NOBODY)}
    await refused(instance, "bot_not_found", "POST", f"{BOTS}/nobody/chat", json=QUESTION)
    await refused(instance, "bot_not_allowed", "POST", f"{BOTS}/theirs/chat", json=QUESTION)
    await refused(instance, "provider_not_local", "POST", f"{BOTS}/hosted/chat", json=QUESTION)
    await refused(instance, "provider_unavailable", "POST", f"{BOTS}/away/chat", json=QUESTION)
    await refused(instance, "conversation_not_found", "POST", f"{DESK}/chat", json=elsewhere)

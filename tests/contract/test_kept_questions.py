"""A bot keeps golden questions: added, listed, edited member by member, deleted."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest

from hivemind_common.contracts.golden_questions import MOST_QUESTIONS
from hivemind_common.ids import new_id
from tests.conftest import Instance

QUESTIONS: Final = "/api/v1/bots/desk/golden-questions"
REFUND: Final = {"question": "When is my money back?", "expect": {"snippets": ["Refunds"], "contains": ["ten days"]}}
NOTHING: Final = dict.fromkeys(("snippets", "contains", "not_contains", "cites", "refuses"))


@pytest.fixture
async def desk(instance: Instance) -> Instance:
    """An instance with a bot."""
    await instance.mint("desk")
    return instance


async def add(instance: Instance, form: Any = REFUND, expect: int = 201) -> Any:
    _, body, _ = await instance.call("POST", QUESTIONS, json=form, expect=expect)
    return body


async def edit(instance: Instance, question_id: str, form: Any, expect: int = 200, **more: Any) -> Any:
    _, body, _ = await instance.call("PATCH", f"{QUESTIONS}/{question_id}", json=form, expect=expect, **more)
    return body


async def listed(instance: Instance) -> list[Any]:
    _, body, _ = await instance.call("GET", QUESTIONS, expect=200)
    return list(body["items"])


async def test_a_question_is_kept_as_it_was_given(desk: Instance) -> None:
    _, kept, response = await desk.call("POST", QUESTIONS, json=REFUND, expect=201)
    assert kept["question"] == REFUND["question"]
    assert kept["expect"] == NOTHING | {"snippets": ["Refunds"], "contains": ["ten days"]}
    assert response.headers["Location"] == f"{QUESTIONS}/{kept['id']}"
    _, shown, again = await desk.call("GET", f"{QUESTIONS}/{kept['id']}", expect=200)
    assert (shown, again.headers["ETag"]) == (kept, response.headers["ETag"])
    other = await add(desk, {"question": "Who won in 1954?", "expect": {"refuses": True}})
    assert await listed(desk) == [other, kept]


async def test_a_part_of_what_is_expected_is_changed_by_itself(desk: Instance) -> None:
    kept = await add(desk)
    changed = await edit(desk, kept["id"], {"expect": {"contains": None, "cites": True}})
    assert changed["expect"] == NOTHING | {"snippets": ["Refunds"], "cites": True}
    assert changed["question"] == kept["question"]
    assert await edit(desk, kept["id"], {"expect": {"cites": True}}) == changed
    assert await edit(desk, kept["id"], {}) == changed
    changed = await edit(desk, kept["id"], {"question": "Where is my money?"})
    assert (changed["question"], changed["expect"]["cites"]) == ("Where is my money?", True)
    assert await listed(desk) == [changed]


NONE: Final[list[tuple[Any, str]]] = [
    ({"question": "x"}, "expect"),
    ({"expect": {"refuses": True}}, "question"),
    ({"question": "", "expect": {"refuses": True}}, "question"),
    ({"question": "x" * 8_001, "expect": {"refuses": True}}, "question"),
    ({"question": "x", "expect": {}}, "expect"),
    ({"question": "x", "expect": {"snippets": []}}, "expect"),
    ({"question": "x", "expect": {"refuses": None}}, "expect"),
    ({"question": "x", "expect": {"refuses": True, "cites": True}}, "expect"),
    ({"question": "x", "expect": {"refuses": True, "snippets": ["Refunds"]}}, "expect"),
    ({"question": "x", "expect": {"refuses": "yes"}}, "expect.refuses"),
    ({"question": "x", "expect": {"snippets": [""]}}, "expect.snippets.0"),
    ({"question": "x", "expect": {"snippets": ["x" * 201]}}, "expect.snippets.0"),
    ({"question": "x", "expect": {"contains": ["x"] * 21}}, "expect.contains"),
    ({"question": "x", "expect": {"contains": "x"}}, "expect.contains"),
    ({"question": "x", "expect": {"says": "x"}}, "expect.says"),
    ({"question": "x", "expect": {"refuses": True}, "id": "x"}, "id"),
]


async def test_what_is_no_golden_question_is_refused(desk: Instance) -> None:
    for form, path in NONE:
        assert path in {error["path"] for error in (await add(desk, form, 422))["errors"]}, form
    assert await listed(desk) == []


@pytest.mark.parametrize(
    ("form", "path"),
    [
        ({"expect": {"snippets": None, "contains": None}}, "expect"),
        ({"expect": {"refuses": True}}, "expect"),
        ({"expect": None}, "expect"),
        ({"question": None}, "question"),
        ({"created_at": "2026-11-22T18:04:05.123Z"}, "created_at"),
    ],
)
async def test_an_edit_that_leaves_no_golden_question_is_refused(desk: Instance, form: Any, path: str) -> None:
    kept = await add(desk)
    assert [error["path"] for error in (await edit(desk, kept["id"], form, 422))["errors"]] == [path]
    assert await listed(desk) == [kept]


async def test_who_knows_an_old_state_is_refused(desk: Instance) -> None:
    kept = await add(desk)
    _, _, response = await desk.call("GET", f"{QUESTIONS}/{kept['id']}", expect=200)
    known = {"If-Match": response.headers["ETag"]}
    await edit(desk, kept["id"], {"question": "Where is it?"}, headers=known)
    refused = await edit(desk, kept["id"], {"question": "Where?"}, 412, headers=known)
    assert (refused["code"], refused["changed_by"]) == ("precondition_failed", "ada")
    await desk.call("DELETE", f"{QUESTIONS}/{kept['id']}", headers=known, expect=412)
    await desk.call("DELETE", f"{QUESTIONS}/{kept['id']}", headers={"If-Match": refused["current_etag"]}, expect=204)
    await desk.call("DELETE", f"{QUESTIONS}/{kept['id']}", expect=404)


async def test_a_question_of_another_bot_is_not_found(desk: Instance) -> None:
    kept = await add(desk)
    await desk.mint("other")
    bodies: dict[str, Any] = {"GET": {}, "PATCH": {"json": {}}, "DELETE": {}}
    for method, body in bodies.items():
        for path in (f"/api/v1/bots/other/golden-questions/{kept['id']}", f"{QUESTIONS}/{new_id()}", f"{QUESTIONS}/x"):
            _, refused, _ = await desk.call(method, path, expect=404, **body)
            assert refused["code"] == "golden_question_not_found"
    assert await listed(desk) == [kept]


async def test_a_bot_keeps_so_many_and_no_more_also_at_once(desk: Instance, owner: Any) -> None:
    await owner.execute(
        "INSERT INTO bots.golden_question SELECT id, gen_random_uuid(), 'x', '{\"refuses\": true}', now(), now(), ''"
        " FROM bots.bot, generate_series(1, $1)",
        MOST_QUESTIONS - 2,
    )
    answers = await asyncio.gather(*(desk.call("POST", QUESTIONS, json=REFUND) for _ in range(6)))
    assert sorted(status for status, _, _ in answers) == [201, 201, 409, 409, 409, 409]
    assert {body["code"] for status, body, _ in answers if status == 409} == {"too_many_questions"}


async def test_a_bot_from_a_template_has_its_questions_in_their_order(instance: Instance) -> None:
    _, page, _ = await instance.call("GET", "/api/v1/templates", expect=200)
    for template in page["items"]:
        slug = f"from-{template['slug']}"
        await instance.call("POST", "/api/v1/bots", json={"slug": slug, "template": template["slug"]}, expect=201)
        _, kept, _ = await instance.call("GET", f"/api/v1/bots/{slug}/golden-questions", expect=200)
        told = [{"question": each["question"], "expect": each["expect"]} for each in kept["items"]]
        assert told == template["golden_questions"]

"""The document tells where an answer leads, what a body may look like, and what no text may hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from hivemind_common.errors import ValidationFailedError
from hivemind_gateway import bodies, openapi
from hivemind_gateway.routing import Route
from hivemind_gateway.service import ROUTES

DOCUMENT: Final = openapi.document(ROUTES)
OPERATIONS: Final[dict[str, dict[str, Any]]] = {
    operation["operationId"]: operation | {"path": path}
    for path, item in DOCUMENT["paths"].items()
    for operation in item.values()
}
WITH_A_BODY: Final = [row for row in ROUTES if row.form is not None]


def links_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for response in OPERATIONS[name]["responses"].values():
        found |= response.get("links", {})
    return found


def every_link() -> Iterator[tuple[str, str, Any]]:
    for name in OPERATIONS:
        for link, what in links_of(name).items():
            yield name, link, what


def judge(schema: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{schema}", "components": DOCUMENT["components"]})


@pytest.mark.parametrize("row", WITH_A_BODY, ids=lambda row: row.handler.__name__)
def test_an_operation_that_takes_a_body_shows_one_that_it_would_take(row: Route) -> None:
    assert row.form is not None
    assert row.example is not None
    bodies.validate(row.form, dict(row.example))
    shown = OPERATIONS[row.handler.__name__]["requestBody"]["content"][row.medium.types[0]]["example"]
    assert shown == row.example


OF_KNOWLEDGE = ("list_snippets", "remove_tagged", "list_gaps", "search")
ON_A_BOT = (
    *("edit_bot", "remove_bot", "pause_bot", "resume_bot", "restore_bot", "clone_bot"),
    *("show_prompt", "save_prompt", "list_versions", "unpin_prompt", "list_questions", "add_question", "export_bot"),
    *("chat", "add_snippet", *OF_KNOWLEDGE),
)


@pytest.mark.parametrize(
    ("name", "leads_to"),
    [
        ("create_bot", {"show_bot", *ON_A_BOT}),
        ("list_bots", {"next", "show_bot", *ON_A_BOT}),
        ("show_bot", set(ON_A_BOT)),
        ("list_versions", {"next", "show_version", "restore_version", "pin_version"}),
        ("show_version", {"restore_version", "pin_version"}),
        ("show_prompt", {"save_prompt", "unpin_prompt", "list_versions"}),
        ("add_question", {"show_question", "edit_question", "remove_question", "list_questions"}),
        ("add_snippet", {"show_snippet", "edit_snippet", "remove_snippet", *OF_KNOWLEDGE}),
        ("list_snippets", {"next", "show_snippet", "edit_snippet", "remove_snippet", *OF_KNOWLEDGE[1:], "add_snippet"}),
        ("show_snippet", {"edit_snippet", "remove_snippet"}),
        ("list_sessions", {"next", "revoke_session"}),
        ("chat", {"go_on"}),
        ("login", {"me", "list_sessions"}),
        ("remove_snippet", set()),
        ("logout", set()),
    ],
)
def test_an_answer_leads_to_what_can_be_asked_with_it(name: str, leads_to: set[str]) -> None:
    assert set(links_of(name)) == leads_to


@pytest.mark.parametrize(
    ("name", "link", "what"), [pytest.param(*each, id="-".join(each[:2])) for each in every_link()]
)
def test_a_link_gives_its_target_what_that_takes_and_this_tells(name: str, link: str, what: dict[str, Any]) -> None:
    target = OPERATIONS[what["operationId"]]
    given = what.get("parameters", {})
    taken = {each["name"]: each for each in target.get("parameters", ())}

    assert link in {what["operationId"], "next", "go_on"}
    assert set(given) <= set(taken)
    assert {each["name"] for each in taken.values() if each["in"] == "path"} <= set(given)
    here = OPERATIONS[name]
    own = {(each["in"], each["name"]) for each in here.get("parameters", ())}
    for expression in given.values():
        asked = re.fullmatch(r"\$request\.(path|query)\.([a-z_]+)", expression)
        assert asked is None or (asked[1], asked[2]) in own
        assert asked is not None or re.fullmatch(r"\$response\.body#(/items/0)?/(id|slug|next|version)", expression)


def test_a_conversation_goes_on_under_the_id_that_its_beginning_told() -> None:
    assert links_of("chat")["go_on"] == {
        "operationId": "chat",
        "parameters": {"slug": "$request.path.slug"},
        "requestBody": {
            "message": "$request.body#/message",
            "conversation_id": "$response.body#/conversation_id",
        },
    }


def test_a_bot_has_a_template_or_a_name_and_a_prompt() -> None:
    takes = judge("BotFormSent")

    for whole in ({"template": "customer-support"}, {"name": "Desk", "system_prompt": "You help."}):
        assert takes.is_valid({"slug": "desk"} | whole)
    for lacking in (
        {},
        {"name": "Desk"},
        {"template": None, "name": "Desk"},
        {"name": None, "system_prompt": "You help."},
    ):
        assert not takes.is_valid({"slug": "desk"} | lacking)


def test_a_text_that_is_sent_holds_anything_but_the_character_zero() -> None:
    snippet = {"title": "Refunds", "body": "Refunds take ten days.", "source": "handbook", "tags": ["orders"]}
    takes = judge("SnippetDraftSent")

    assert takes.is_valid(snippet)
    for name in ("title", "body", "source"):
        assert takes.is_valid(snippet | {name: "\x01\u2028\U0001f4a1"})
        assert not takes.is_valid(snippet | {name: "a\0b"})
    assert not takes.is_valid(snippet | {"tags": ["a\0b"]})
    question = next(each for each in OPERATIONS["search"]["parameters"] if each["name"] == "q")
    assert not Draft202012Validator(question["schema"]).is_valid("a\0b")


@pytest.mark.parametrize("blank", ["\t", "\x1d", "\x85", "\u00a0", "\u2029", "\u3000", "\ufeff"])
def test_what_is_blank_to_any_reader_of_the_schema_is_blank_to_all_of_them(blank: str) -> None:
    snippet = {"title": "Refunds", "body": "Refunds take ten days."}
    takes = judge("SnippetDraftSent")
    forms = {row.handler.__name__: row.form for row in WITH_A_BODY}
    form = forms["add_snippet"]
    assert form is not None

    for name in ("title", "body"):
        bodies.validate(form, snippet | {name: f"{blank}a"})
        assert takes.is_valid(snippet | {name: f"{blank}a"})
        assert not takes.is_valid(snippet | {name: blank * 2})
        with pytest.raises(ValidationFailedError):
            bodies.validate(form, snippet | {name: blank * 2})


def test_what_is_answered_may_hold_anything() -> None:
    assert "not" not in DOCUMENT["components"]["schemas"]["Snippet"]["properties"]["title"]

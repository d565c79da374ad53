"""A bot minted from a template answers what its users will ask, out of the box and without a language model."""

from __future__ import annotations

import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import pytest

from hivemind_bots.showing import PLACEHOLDER
from hivemind_bots.templates import all_templates
from hivemind_common.contracts.bots import Template
from tests.conftest import Instance

Ask = Callable[[str], Awaitable[dict[str, Any]]]

GOLDEN: Final = Path(__file__).parents[1] / "data" / "templates"
LEAST_RIGHT: Final = 7 / 8


def golden(slug: str) -> Any:
    return tomllib.loads((GOLDEN / f"{slug}.toml").read_text(encoding="utf-8"))


TEMPLATES: Final = {template.slug: template for template in all_templates()}


@pytest.fixture
async def golden_bot(instance: Instance, request: pytest.FixtureRequest) -> Ask:
    """A bot fresh from the template that the test is about, and how to ask it."""
    await instance.call("POST", "/api/v1/bots", json={"slug": "golden", "template": request.param}, expect=201)

    async def ask(message: str) -> dict[str, Any]:
        _, answer, _ = await instance.call("POST", "/api/v1/bots/golden/chat", json={"message": message}, expect=200)
        return dict(answer)

    return ask


def test_the_five_templates_are_there_with_their_tiers() -> None:
    assert {slug: template.tier for slug, template in TEMPLATES.items()} == {
        "customer-support": "public",
        "hr-faq": "internal",
        "internal-it-faq": "internal",
        "product-docs": "public",
        "sales-sdr": "public",
    }


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_a_template_is_whole(template: Template) -> None:
    titles = [snippet.title for snippet in template.snippets]
    expected = [question.expect for question in template.golden_questions]

    assert len(template.snippets) >= 8
    assert len(set(titles)) == len(titles)
    assert sum(bool(expect.refuses) for expect in expected) == 4
    assert sum(expect.snippets is not None for expect in expected) >= 8
    assert {title for expect in expected for title in expect.snippets or ()} <= set(titles)
    assert len(template.system_prompt.split()) >= 200
    for text in (template.system_prompt, *(snippet.body for snippet in template.snippets)):
        assert text == text.strip()
    # What the operator fills in is asked for in the prompt and in what it knows, under the same names.
    texts = [template.system_prompt, *(f"{snippet.title} {snippet.body}" for snippet in template.snippets)]
    braces = sum(text.count("{{") for text in texts)
    assert braces == sum(len(PLACEHOLDER.findall(text)) for text in texts) >= 5


@pytest.mark.parametrize(
    ("golden_bot", "template"),
    [(slug, each) for slug, each in TEMPLATES.items()],
    indirect=["golden_bot"],
    ids=TEMPLATES,
)
async def test_a_template_answers_the_golden_questions_that_it_ships(golden_bot: Ask, template: Template) -> None:
    wrong = {}
    for question in template.golden_questions:
        answer = await golden_bot(question.question)
        titles = [citation["title"] for citation in answer["citations"]]
        if question.expect.refuses:
            assert (answer["finish_reason"], titles) == ("refused", []), question.question
        elif not set(question.expect.snippets or ()) <= set(titles):
            wrong[question.question] = titles
    known = sum(question.expect.snippets is not None for question in template.golden_questions)
    assert len(wrong) <= (1 - LEAST_RIGHT) * known, wrong


@pytest.mark.parametrize(
    ("golden_bot", "slug"), [(slug, slug) for slug in TEMPLATES], indirect=["golden_bot"], ids=TEMPLATES
)
async def test_a_template_answers_questions_that_its_author_has_not_written(golden_bot: Ask, slug: str) -> None:
    asked = golden(slug)
    wrong = {}
    for question in asked["question"]:
        titles = [citation["title"] for citation in (await golden_bot(question["text"]))["citations"]]
        if question["answer"] not in titles:
            wrong[question["text"]] = titles
    answered = {
        text: answer["reply"] for text in asked["other"]["texts"] if (answer := await golden_bot(text))["grounded"]
    }

    assert len(asked["question"]) >= 8
    assert len(asked["other"]["texts"]) >= 4
    assert len(wrong) <= (1 - LEAST_RIGHT) * len(asked["question"]), wrong
    assert answered == {}

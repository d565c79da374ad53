"""A bot minted from a template answers what its users will ask, out of the box and without a language model."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

from hivemind_bots.templates import all_templates
from tests.conftest import Instance

GOLDEN: Final = Path(__file__).parents[1] / "data" / "templates"
LEAST_RIGHT: Final = 7 / 8


def golden(slug: str) -> Any:
    return tomllib.loads((GOLDEN / f"{slug}.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("slug", [template.slug for template in all_templates()])
async def test_a_template_answers_its_golden_questions_and_nothing_else(instance: Instance, slug: str) -> None:
    asked = golden(slug)
    await instance.call("POST", "/api/v1/bots", json={"slug": "golden", "template": slug}, expect=201)

    async def ask(message: str) -> dict[str, Any]:
        _, answer, _ = await instance.call("POST", "/api/v1/bots/golden/chat", json={"message": message}, expect=200)
        return dict(answer)

    wrong = {}
    for question in asked["question"]:
        titles = [citation["title"] for citation in (await ask(question["text"]))["citations"]]
        if question["answer"] not in titles:
            wrong[question["text"]] = titles
    answered = {text: answer["reply"] for text in asked["other"]["texts"] if (answer := await ask(text))["grounded"]}

    assert len(asked["question"]) >= 8
    assert len(asked["other"]["texts"]) >= 4
    assert len(wrong) <= (1 - LEAST_RIGHT) * len(asked["question"]), wrong
    assert answered == {}

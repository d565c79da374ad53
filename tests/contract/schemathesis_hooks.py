"""What schemathesis is told beside its settings: which refusals of valid input are right, and whose session it shows.

It is loaded by a process of its own, by the name in `SCHEMATHESIS_HOOKS`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import schemathesis
from schemathesis import AuthContext, Case, CheckContext, Response

SESSIONS: Final = "SCHEMATHESIS_SESSIONS"
"""Names the variable that names the file with a session's token in each line."""

CURSOR: Final = ("invalid_cursor", "")
IF_MATCH: Final = ("validation_failed", "header.If-Match")
OF_A_BOT: Final = ("provider", "fallbacks.*.provider", "allowed_origins.*")
"""What only the instance knows, or no pattern tells."""

REFUSALS: Final[Mapping[str, set[tuple[str, str]]]] = {
    **{
        name: {IF_MATCH}
        for name in (
            *("edit_snippet", "remove_snippet", "remove_question", "save_prompt"),
            *("remove_bot", "pause_bot", "resume_bot", "restore_bot"),
        )
    },
    "edit_bot": {IF_MATCH, *(("validation_failed", place) for place in OF_A_BOT)},
    "add_question": {("validation_failed", "expect")},
    "edit_question": {IF_MATCH, ("validation_failed", "expect")},
    "list_questions": {CURSOR},
    "list_versions": {CURSOR},
    "apply": {
        *(("validation_failed", f"<slug>.{place}") for place in OF_A_BOT),
        ("validation_failed", "<slug>.name"),
        ("validation_failed", "<slug>.system_prompt"),
        ("validation_failed", "<slug>.prompt_versions"),
        ("validation_failed", "<slug>.pinned_version"),
        ("validation_failed", "<slug>.golden_questions.*.expect"),
        ("looks_like_secret", "<slug>.snippets.*.body"),
    },
    "list_bots": {CURSOR},
    "list_gaps": {CURSOR},
    "list_sessions": {CURSOR},
    "list_snippets": {CURSOR},
    "create_bot": {("unknown_template", "template"), *(("validation_failed", place) for place in OF_A_BOT)},
    "change_password": {("validation_failed", "current_password")},
}
"""By operation: the codes and places of what is refused though the document's schemas allow it."""


@schemathesis.check
def valid_input_is_refused_for_nothing_else(_ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """Holds 422 to what no schema can say: the settings could only allow the status."""
    if response.status_code != 422 or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    told = response.json()
    name = case.operation.definition.raw["operationId"]
    paths = [re.sub(r"\.[0-9]+", ".*", each["path"]) for each in told.get("errors", [{"path": ""}])]
    if name == "apply":
        paths = [re.sub(r"^[^.]+\.", "<slug>.", path) for path in paths]
    reasons = {(told["code"], path) for path in paths}
    assert reasons <= REFUSALS.get(name, set()), f"{name} refuses what is valid: {reasons}"


class Cookie:
    """The session of one account; of the next one when that has ended."""

    def __init__(self) -> None:
        self._tokens = iter(Path(os.environ[SESSIONS]).read_text(encoding="utf-8").split())

    def get(self, _case: Case[Any], _ctx: AuthContext) -> str:
        """Return a token that nobody has signed out with; kept until it is refused."""
        return next(self._tokens)

    def set(self, case: Case[Any], data: str, _ctx: AuthContext) -> None:
        """Show it."""
        case.cookies = {**(case.cookies or {}), "hm_session": data}


if SESSIONS in os.environ:
    schemathesis.auth(refresh_interval=86_400, retry_on=[401])(Cookie)

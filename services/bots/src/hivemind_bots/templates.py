"""Templates: bots ready to be minted, as files of this package."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

from hivemind_common.contracts.bots import Template, UnknownTemplateError


@cache
def all_templates() -> tuple[Template, ...]:
    """Return the templates that ship, by slug."""
    folder = files("hivemind_bots") / "templates"
    texts = (entry.read_text(encoding="utf-8") for entry in folder.iterdir() if entry.name.endswith(".toml"))
    return tuple(sorted((_read(text) for text in texts), key=lambda each: each.slug))


def _read(text: str) -> Template:
    found = tomllib.loads(text)
    # Texts of several lines end in a line break there, which belongs to the file.
    found["system_prompt"] = found["system_prompt"].strip()
    for snippet in found["snippets"]:
        snippet["body"] = snippet["body"].strip()
    return Template.model_validate(found)


def get_template(slug: str) -> Template:
    """Return one; raises `UnknownTemplateError` naming those that there are."""
    for template in all_templates():
        if template.slug == slug:
            return template
    known = ", ".join(template.slug for template in all_templates())
    raise UnknownTemplateError(
        f"template: there is none of that name; choose one of {known}",
        facts={"errors": [{"path": "template", "code": "unknown", "message": f"choose one of {known}"}]},
    )

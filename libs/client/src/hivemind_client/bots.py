"""Bots, their prompts and their golden questions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from hivemind_client.asking import Asking, bot_path, expecting, once, part
from hivemind_client.models import Bot, Changes, GoldenQuestion, Prompt, Template
from hivemind_client.wire import Request


class Bots(Asking):
    """Minting, changing and ending bots."""

    async def create_bot(self, slug: str, members: Mapping[str, Any], *, template: str | None = None) -> Bot:
        """Mint a bot; `members` override what the template says."""
        body = {"slug": slug, **members}
        if template is not None:
            body["template"] = template
        return self._read(Bot, await self._change(Request("POST", "/api/v1/bots", body=body, headers=once()), 201))

    def bots(
        self, *, status: str | None = None, tier: str | None = None, at_most: int | None = None
    ) -> AsyncIterator[Bot]:
        """The bots that this caller may see, by slug; archived ones only when asked for."""
        query = {name: value for name, value in (("status", status), ("tier", tier)) if value is not None}
        return self._list(Bot, "/api/v1/bots", query, at_most)

    async def bot(self, slug: str) -> Bot:
        """One bot."""
        return self._read(Bot, await self._get(bot_path(slug)))

    async def tagged_bot(self, slug: str) -> tuple[Bot, str | None]:
        """One bot, and the tag of the state that it is in."""
        reply = await self._get(bot_path(slug))
        return self._read(Bot, reply), reply.headers.get("ETag")

    async def edit_bot(self, slug: str, changes: Mapping[str, Any], *, tag: str | None = None) -> Bot:
        """Change these members, and None clears; only in the state that `tag` names, where one is given."""
        request = Request("PATCH", bot_path(slug), body=changes, headers=expecting(tag))
        return self._read(Bot, await self._change(request, 200))

    async def pause_bot(self, slug: str) -> Bot:
        """Let a bot answer nobody."""
        return await self._act(Bot, f"{bot_path(slug)}/pause")

    async def resume_bot(self, slug: str) -> Bot:
        """Let a paused bot answer again."""
        return await self._act(Bot, f"{bot_path(slug)}/resume")

    async def restore_bot(self, slug: str) -> Bot:
        """Bring an archived bot back whole."""
        return await self._act(Bot, f"{bot_path(slug)}/restore")

    async def clone_bot(self, slug: str, to: str, *, name: str | None = None) -> Bot:
        """Make another bot with the same prompt, settings, snippets and golden questions."""
        body = {"slug": to} | ({} if name is None else {"name": name})
        return self._read(Bot, await self._change(Request("POST", f"{bot_path(slug)}/clone", body, once()), 201))

    async def delete_bot(self, slug: str, *, purge: bool = False, tag: str | None = None) -> None:
        """Archive a bot for 30 days, or end it for good with all that it knows and said."""
        query = {"purge": "true"} if purge else {}
        await self._change(Request("DELETE", bot_path(slug), query=query, headers=expecting(tag)), 204)

    async def templates(self) -> list[Template]:
        """The bots that are ready to be minted."""
        return [template async for template in self._list(Template, "/api/v1/templates", None, None)]

    async def export_bot(self, slug: str) -> str:
        """A bot as a YAML document, with its prompts, snippets and golden questions."""
        reply = await self._get(f"{bot_path(slug)}/export")
        try:
            return reply.text
        except ValueError:
            raise self._misfit("document") from None

    async def apply(self, documents: str, *, dry_run: bool = False, prune: bool = False) -> Changes:
        """Make bots what YAML documents say, all or nothing; with `prune` those that they do not name are archived."""
        query = {name: "true" for name, is_set in (("dry_run", dry_run), ("prune", prune)) if is_set}
        request = Request("POST", "/api/v1/apply", documents, once(), query)
        return self._read(Changes, await self._change(request, 200))

    async def prompt(self, slug: str, version: int | None = None) -> Prompt:
        """The live prompt of a bot, or a version of it."""
        return (await self.tagged_prompt(slug, version))[0]

    async def tagged_prompt(self, slug: str, version: int | None = None) -> tuple[Prompt, str | None]:
        """The same, and the tag of the state that it is in."""
        reply = await self._get(f"{bot_path(slug)}/prompt" + ("" if version is None else f"/versions/{version}"))
        return self._read(Prompt, reply), reply.headers.get("ETag")

    def prompts(self, slug: str, *, at_most: int | None = None) -> AsyncIterator[Prompt]:
        """The versions that the prompt of a bot has had, newest first."""
        return self._list(Prompt, f"{bot_path(slug)}/prompt/versions", {}, at_most)

    async def save_prompt(self, slug: str, text: str, *, note: str = "", tag: str | None = None) -> Prompt:
        """Save a prompt: live at once, unless a version is pinned. The same text is no new version."""
        body = {"system_prompt": text, "note": note}
        request = Request("PUT", f"{bot_path(slug)}/prompt", body, expecting(tag))
        return self._read(Prompt, await self._change(request, 200))

    async def restore_prompt(self, slug: str, version: int) -> Prompt:
        """Save the text of an old version anew."""
        return await self._act(Prompt, f"{bot_path(slug)}/prompt/versions/{version}/restore")

    async def pin_prompt(self, slug: str, version: int) -> Prompt:
        """Keep a version live, whatever is saved."""
        return await self._act(Prompt, f"{bot_path(slug)}/prompt/versions/{version}/pin")

    async def unpin_prompt(self, slug: str) -> None:
        """Let the newest version go live again."""
        await self._change(Request("DELETE", f"{bot_path(slug)}/prompt/pin"), 204)

    def golden_questions(self, slug: str, *, at_most: int | None = None) -> AsyncIterator[GoldenQuestion]:
        """The questions that a bot is measured by, newest first."""
        return self._list(GoldenQuestion, f"{bot_path(slug)}/golden-questions", {}, at_most)

    async def golden_question(self, slug: str, question_id: str) -> tuple[GoldenQuestion, str | None]:
        """One of them, and the tag of the state that it is in."""
        reply = await self._get(f"{bot_path(slug)}/golden-questions/{part(question_id)}")
        return self._read(GoldenQuestion, reply), reply.headers.get("ETag")

    async def add_golden_question(self, slug: str, question: str, expect: Mapping[str, Any]) -> GoldenQuestion:
        """Keep a question, and what its answer must be."""
        body = {"question": question, "expect": expect}
        request = Request("POST", f"{bot_path(slug)}/golden-questions", body, once())
        return self._read(GoldenQuestion, await self._change(request, 201))

    async def edit_golden_question(
        self, slug: str, question_id: str, changes: Mapping[str, Any], *, tag: str | None = None
    ) -> GoldenQuestion:
        """Change these members of a golden question, within `expect` too, and None expects nothing of the kind."""
        path = f"{bot_path(slug)}/golden-questions/{part(question_id)}"
        return self._read(GoldenQuestion, await self._change(Request("PATCH", path, changes, expecting(tag)), 200))

    async def delete_golden_question(self, slug: str, question_id: str) -> None:
        """Forget a golden question."""
        await self._change(Request("DELETE", f"{bot_path(slug)}/golden-questions/{part(question_id)}"), 204)

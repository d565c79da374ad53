"""What bots know."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from hivemind_client.asking import Asking, bot_path, expecting, once, part, text
from hivemind_client.models import Deleted, Gap, SearchHit, Snippet
from hivemind_client.wire import Request


class Knowledge(Asking):
    """Teaching bots, and searching as they would."""

    async def add_snippet(
        self,
        slug: str,
        title: str,
        body: str,
        *,
        tags: Iterable[str] = (),
        source: str | None = None,
        language: str | None = None,
        allow_secret: str | None = None,
        gap: str | None = None,
    ) -> Snippet:
        """Teach a bot one thing; the very next search finds it. With a `gap` it answers that question, which is gone."""
        given = {"tags": list(tags) or None, "source": source, "language": language, "allow_secret": allow_secret}
        members: dict[str, Any] = {"title": title, "body": body}
        members |= {name: value for name, value in given.items() if value is not None}
        at = f"{bot_path(slug)}/knowledge"
        path = at if gap is None else f"{at}/gaps/{part(gap)}/snippet"
        return self._read(Snippet, await self._change(Request("POST", path, body=members, headers=once()), 201))

    def snippets(self, slug: str, *, at_most: int | None = None) -> AsyncIterator[Snippet]:
        """What a bot knows, newest first."""
        return self._list(Snippet, f"{bot_path(slug)}/knowledge", {}, at_most)

    async def snippet(self, slug: str, snippet_id: str) -> Snippet:
        """One snippet."""
        return self._read(Snippet, await self._get(f"{bot_path(slug)}/knowledge/{part(snippet_id)}"))

    async def edit_snippet(self, slug: str, snippet_id: str, changes: Mapping[str, Any], *, tag: str | None) -> Snippet:
        """Change these members of a snippet, and None clears; only in the state that `tag` names, where one is given."""
        path = f"{bot_path(slug)}/knowledge/{part(snippet_id)}"
        return self._read(Snippet, await self._change(Request("PATCH", path, changes, expecting(tag)), 200))

    async def tagged_snippet(self, slug: str, snippet_id: str) -> tuple[Snippet, str | None]:
        """One snippet, and the tag of the state that it is in."""
        reply = await self._get(f"{bot_path(slug)}/knowledge/{part(snippet_id)}")
        return self._read(Snippet, reply), reply.headers.get("ETag")

    async def delete_snippet(self, slug: str, snippet_id: str) -> None:
        """Make a bot forget one thing, for good."""
        await self._change(Request("DELETE", f"{bot_path(slug)}/knowledge/{part(snippet_id)}"), 204)

    async def delete_tagged(self, slug: str, tag: str) -> int:
        """Make a bot forget all that has a tag, for good; how many that were."""
        request = Request("DELETE", f"{bot_path(slug)}/knowledge", query={"tag": text(tag)})
        return self._read(Deleted, await self._change(request, 200)).deleted

    def gaps(self, slug: str, *, at_most: int | None = None) -> AsyncIterator[Gap]:
        """The questions that a bot had no answer to, newest first."""
        return self._list(Gap, f"{bot_path(slug)}/knowledge/gaps", {}, at_most)

    async def dismiss_gap(self, slug: str, gap_id: str) -> None:
        """Forget a question that needs no answer."""
        await self._change(Request("DELETE", f"{bot_path(slug)}/knowledge/gaps/{part(gap_id)}"), 204)

    async def search(self, slug: str, question: str, *, at_most: int | None = None) -> list[SearchHit]:
        """What a bot would find for a question, best first."""
        query = {"q": text(question)} | ({} if at_most is None else {"limit": str(at_most)})
        items, _ = self._page(SearchHit, await self._get(f"{bot_path(slug)}/knowledge/search", query))
        return items

"""Talking to a bot."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping

from hivemind_client.asking import Asking, bot_path, once
from hivemind_client.errors import ApiError, NotHivemindError, UnreachableError
from hivemind_client.events import BrokenStreamError, EventReader
from hivemind_client.models import Answer, ChatEvent, Delta, Done, Problem, Start
from hivemind_client.wire import Reply, Request, refusal


class Talking(Asking):
    """Asking for a whole answer, or for one as it is made."""

    async def ask(self, slug: str, message: str, *, conversation_id: str | None = None) -> Answer:
        """One question, one whole answer."""
        request = _chat(slug, message, conversation_id, once())
        return self._read(Answer, await self._change(request, 200))

    async def ask_streaming(
        self, slug: str, message: str, *, conversation_id: str | None = None
    ) -> AsyncGenerator[ChatEvent, None]:
        """One question, the answer as it is made: Start, Deltas, Done. Closing it early tells the server to stop.

        A refusal is raised whenever it comes, before the first event or in the middle of the answer.
        """
        # No Idempotency-Key: with one the server would finish an answer that nobody reads any more.
        request = _chat(slug, message, conversation_id, {"Accept": "text/event-stream"})
        async with self._wire.stream(request, deadline=self._deadline()) as answer:
            if isinstance(answer, Reply):
                if answer.status != 200:
                    raise refusal(self.url, answer)
                yield Done(answer=self._read(Answer, answer))  # a server, or a proxy, that does not stream
                return
            reader = EventReader()
            async for chunk in answer:
                try:
                    events = reader.feed(chunk)
                except BrokenStreamError as error:
                    raise NotHivemindError(f"{self.url}: {error}") from error
                for event in events:
                    if (known := self._chat_event(event.name, event.data)) is not None:
                        yield known
                        if isinstance(known, Done):
                            return
        raise UnreachableError(f"the answer of {self.url} broke off before its end", hint="hm health says how it is")

    def _chat_event(self, name: str, data: str) -> ChatEvent | None:
        kinds: dict[str, type[Start | Delta | Done]] = {"start": Start, "delta": Delta, "done": Done}
        if name != "error" and name not in kinds:
            return None
        try:
            raw = json.loads(data)
            if name != "error":
                return kinds[name].read(raw)
            problem = Problem.read(raw)
        except (ValueError, RecursionError):
            raise self._misfit(f"event {name}") from None
        raise ApiError(problem.status or 500, problem.raw)


def _chat(slug: str, message: str, conversation_id: str | None, headers: Mapping[str, str]) -> Request:
    body = {"message": message}
    if conversation_id is not None:
        body["conversation_id"] = conversation_id
    return Request("POST", f"{bot_path(slug)}/chat", body=body, headers=headers)

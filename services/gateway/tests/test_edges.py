from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from hivemind_gateway import cursors
from hivemind_gateway.bodies import parse
from hivemind_gateway.chat import wants_events
from hivemind_gateway.credentials import checksum, new_key, password_digest
from hivemind_gateway.problems import BadRequestError, InvalidCursorError, MalformedJsonError, NotAcceptableError
from hivemind_gateway.service import ROUTES


@given(st.text(max_size=60), st.text(max_size=60).filter(str.isprintable))
def test_a_cursor_leads_back_to_its_place(scope: str, place: str) -> None:
    assert cursors.read(scope, cursors.write(scope, place)) == place


@given(st.text(max_size=80))
def test_what_was_not_handed_out_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursorError):
        cursors.read("/list", text)


def test_another_spelling_of_a_cursor_is_none() -> None:
    cursor = cursors.write("/list", "place")

    for forged in (cursor + "=", cursor + "A", cursor[:-1], cursor.swapcase(), f" {cursor}"):
        with pytest.raises(InvalidCursorError):
            cursors.read("/list", forged)
    with pytest.raises(InvalidCursorError):
        cursors.read("/other", cursor)


def test_a_key_has_the_published_form_and_a_checksum() -> None:
    key = new_key()

    assert re.fullmatch(r"hm_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}", key)
    assert checksum(key[:-6]) == key[-6:]
    assert new_key() != key


def test_a_password_never_stands_in_what_is_sent_for_it() -> None:
    assert password_digest(SecretStr("correct horse")) == password_digest(SecretStr("correct horse"))
    assert re.fullmatch(r"[0-9a-f]{64}", password_digest(SecretStr("correct horse")))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_malformed(raw: bytes) -> None:
    with suppress(MalformedJsonError, BadRequestError):
        parse(raw)


def test_every_route_has_a_row_and_no_path_two_of_a_method() -> None:
    rows = [(route.method, route.path) for route in ROUTES]

    assert len(set(rows)) == len(rows)
    open_paths = {route.path for route in ROUTES if not route.access.scopes}
    assert open_paths == {
        "/auth/register",
        "/auth/login",
        "/auth/logout",
        "/auth/me",
        "/api/v1/sessions",
        "/api/v1/sessions/{id}",
        "/api/v1/health",
        "/api/v1/openapi.json",
        "/livez",
        "/readyz",
        "/metrics",
        "/docs",
        "/docs/{chapter}",
        "/static/{name}",
    }


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/*", False),
        ("application/json, text/event-stream", False),
        ("text/event-stream;q=0.5, application/json;q=0.6", False),
        ("text/event-stream;q=0, */*", False),
        ("text/*;q=0.1, */*;q=0.2", False),
        ("text/event-stream;q=2, application/json;q=0.1", False),
        ("text/event-stream", True),
        ("Text/Event-Stream", True),
        ("text/*", True),
        ("text/*, application/json", True),
        ("text/event-stream, application/json", True),
        ("text/event-stream, */*", True),
        ("application/json;q=0, */*", True),
        ("application/*;q=0, */*;q=0.1", True),
        ("text/event-stream;q=0.001", True),
        ("text/html, text/event-stream ; q=0.3", True),
        ("text/html", None),
        ("*/*;q=0", None),
        ("application/json;q=0", None),
        ("text/*;q=0, application/xml", None),
        ("text/event-stream;q=nan", None),
        ("json", None),
    ],
)
def test_of_what_is_accepted_the_most_welcome_is_given(accept: str, expected: bool | None) -> None:
    if expected is None:
        with pytest.raises(NotAcceptableError):
            wants_events([accept])
    else:
        assert wants_events([accept]) is expected

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from hivemind_gateway import cursors
from hivemind_gateway.bodies import parse
from hivemind_gateway.credentials import checksum, new_key, password_digest
from hivemind_gateway.problems import InvalidCursorError, MalformedJsonError
from hivemind_gateway.service import ROUTES


@given(st.text(max_size=60), st.text(max_size=60))
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
    with suppress(MalformedJsonError):
        parse(raw)


def test_every_route_has_a_row_and_no_path_two_of_a_method() -> None:
    rows = [(route.method, route.path) for route in ROUTES]

    assert len(set(rows)) == len(rows)
    open_paths = {route.path for route in ROUTES if route.access.scope is None}
    assert open_paths == {
        "/auth/register",
        "/auth/login",
        "/auth/me",
        "/api/v1/health",
        "/livez",
        "/readyz",
        "/metrics",
    }

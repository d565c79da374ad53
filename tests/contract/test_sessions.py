"""Sessions and the password that opens them: in, out, seen, revoked, and not guessed."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest

from hivemind_common.testing.waiting import until
from tests.conftest import PASSWORD, Instance, Start

EMAIL = "ada@example.org"
NEW_PASSWORD = "another battery staple"


async def sign_in(
    instance: Instance, password: str = PASSWORD, email: str = EMAIL, **headers: str
) -> tuple[int, Any, str]:
    status, body, response = await instance.call(
        "POST", "/auth/login", json={"email": email, "password": password}, key="", headers=headers
    )
    cookie = response.headers.get("Set-Cookie", "").partition(";")[0]
    return status, body, cookie


async def ask(instance: Instance, method: str, path: str, cookie: str, **options: Any) -> tuple[int, Any]:
    status, body, _ = await instance.call(method, path, key="", headers={"Cookie": cookie}, **options)
    return status, body


async def test_logout_ends_the_session_at_once_and_clears_the_cookie(instance: Instance) -> None:
    _, _, cookie = await sign_in(instance)
    assert (await ask(instance, "GET", "/auth/me", cookie))[0] == 200

    status, _, response = await instance.call("POST", "/auth/logout", key="", headers={"Cookie": cookie})

    assert status == 204
    assert "hm_session=;" in response.headers["Set-Cookie"]
    assert "Max-Age=0" in response.headers["Set-Cookie"]
    assert (await ask(instance, "GET", "/auth/me", cookie))[1]["code"] == "invalid_session"


@pytest.mark.parametrize("cookie", ["", "hm_session=nonsense", "hm_session="])
async def test_logout_is_204_whoever_asks(instance: Instance, cookie: str) -> None:
    status, _ = await ask(instance, "POST", "/auth/logout", cookie)

    assert status == 204


async def test_a_page_of_another_origin_signs_nobody_out(instance: Instance) -> None:
    _, _, cookie = await sign_in(instance)

    status, body, _ = await instance.call(
        "POST", "/auth/logout", key="", headers={"Cookie": cookie, "Origin": "https://evil.example"}
    )

    assert (status, body["code"]) == (403, "csrf")
    assert (await ask(instance, "GET", "/auth/me", cookie))[0] == 200


async def test_one_sees_ones_sessions_and_which_of_them_asks(instance: Instance) -> None:
    _, _, first = await sign_in(instance, **{"User-Agent": "a telephone"})
    _, _, second = await sign_in(instance, **{"User-Agent": "a desk"})

    _, body = await ask(instance, "GET", "/api/v1/sessions", second)

    assert body["next"] is None
    assert {(each["user_agent"], each["current"]) for each in body["items"]} == {
        ("a telephone", False),
        ("a desk", True),
    }
    assert set(body["items"][0]) == {
        "id", "created_at", "last_seen_at", "expires_at", "address", "user_agent", "current"
    }  # fmt: skip
    other = next(each["id"] for each in body["items"] if not each["current"])
    assert (await ask(instance, "DELETE", f"/api/v1/sessions/{other}", second))[0] == 204
    assert (await ask(instance, "GET", "/auth/me", first))[0] == 401
    assert (await ask(instance, "DELETE", f"/api/v1/sessions/{other}", second))[0] == 404


async def test_a_list_of_sessions_neither_skips_nor_repeats_what_comes_and_goes(instance: Instance) -> None:
    cookies = [(await sign_in(instance))[2] for _ in range(7)]
    path = "/api/v1/sessions"
    _, body = await ask(instance, "GET", path, cookies[0])
    assert [each["current"] for each in body["items"]] == [False] * 6 + [True], "newest first"
    known = [each["id"] for each in body["items"]]

    _, page = await ask(instance, "GET", f"{path}?limit=3", cookies[0])
    seen = [each["id"] for each in page["items"]]
    await sign_in(instance)  # before the place
    for gone in (2, 3, 1):  # the place itself, the one behind it, and one that was seen
        assert (await ask(instance, "DELETE", f"{path}/{known[gone]}", cookies[0]))[0] == 204
    await ask(instance, "GET", "/auth/me", cookies[1])  # being used moves none
    while page["next"]:
        _, page = await ask(instance, "GET", f"{path}?limit=3&cursor={page['next']}", cookies[0])
        seen += [each["id"] for each in page["items"]]

    assert seen == [known[number] for number in (0, 1, 2, 4, 5, 6)]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "validation_failed"),
        ("limit=201", "validation_failed"),
        ("limit=x", "validation_failed"),
        ("page=2", "validation_failed"),
        ("cursor=", "invalid_cursor"),
        ("cursor=nonsense", "invalid_cursor"),
    ],
)
async def test_a_page_of_sessions_is_asked_for_in_the_one_way(instance: Instance, query: str, code: str) -> None:
    _, _, cookie = await sign_in(instance)

    status, body = await ask(instance, "GET", f"/api/v1/sessions?{query}", cookie)

    assert (status, body["code"]) == (422, code)
    assert (await ask(instance, "GET", "/api/v1/sessions?limit=200", cookie))[0] == 200


async def test_a_page_has_fifty_sessions_where_nothing_is_said(
    instance: Instance, owner: asyncpg.Connection[Any]
) -> None:
    await owner.execute(
        "INSERT INTO auth.session (id, account_id, digest, created_at, last_seen_at, expires_at, address, user_agent)"
        " SELECT gen_random_uuid(), account.id, sha256(number::text::bytea), now(), now(), now() + interval '1 day',"
        " '192.0.2.7', '' FROM auth.account, generate_series(1, 120) AS number"
    )
    for query, sizes in (("", [50, 50, 20]), ("limit=120&", [120]), ("limit=119&", [119, 1])):
        seen: set[str] = set()
        counts: list[int] = []
        cursor: str | None = ""
        while cursor is not None:
            _, page, _ = await instance.call("GET", f"/api/v1/sessions?{query}{cursor}", expect=200)
            counts.append(len(page["items"]))
            seen |= {each["id"] for each in page["items"]}
            cursor = f"cursor={page['next']}" if page["next"] is not None else None
        assert (counts, len(seen)) == (sizes, 120)


async def test_a_page_is_nobody_elses(instance: Instance, owner: asyncpg.Connection[Any]) -> None:
    _, _, mine = await sign_in(instance)
    await sign_in(instance)
    _, page = await ask(instance, "GET", "/api/v1/sessions?limit=1", mine)
    await owner.execute(
        "INSERT INTO auth.account (id, username, email, role, password_hash, created_at)"
        " SELECT gen_random_uuid(), 'bob', 'bob@example.org', 'user', password_hash, now() FROM auth.account LIMIT 1"
    )
    _, _, his = await sign_in(instance, email="bob@example.org")

    status, body = await ask(instance, "GET", f"/api/v1/sessions?cursor={page['next']}", his)

    assert (status, body["code"]) == (422, "invalid_cursor")


async def test_a_session_of_somebody_else_is_not_there(instance: Instance, owner: asyncpg.Connection[Any]) -> None:
    _, _, mine = await sign_in(instance)
    await owner.execute(
        "INSERT INTO auth.account (id, username, email, role, password_hash, created_at)"
        " SELECT gen_random_uuid(), 'bob', 'bob@example.org', 'user', password_hash, now() FROM auth.account LIMIT 1"
    )
    _, _, his = await sign_in(instance, email="bob@example.org")
    _, body = await ask(instance, "GET", "/api/v1/sessions", his)
    (only,) = body["items"]

    assert (await ask(instance, "DELETE", f"/api/v1/sessions/{only['id']}", mine))[0] == 404
    assert (await ask(instance, "GET", "/auth/me", his))[0] == 200


async def test_a_new_password_ends_all_other_sessions(instance: Instance) -> None:
    _, _, here = await sign_in(instance)
    _, _, there = await sign_in(instance)
    form = {"password": NEW_PASSWORD, "current_password": PASSWORD}

    status, body = await ask(instance, "PATCH", "/auth/me", here, json=form)

    assert (status, body["username"], body["auth"]) == (200, "ada", "session")
    assert (await ask(instance, "GET", "/auth/me", here))[0] == 200
    assert (await ask(instance, "GET", "/auth/me", there))[0] == 401
    assert (await sign_in(instance))[0] == 401
    assert (await sign_in(instance, NEW_PASSWORD))[0] == 200


@pytest.mark.parametrize(
    ("form", "path"),
    [
        ({"password": NEW_PASSWORD, "current_password": "not the one"}, "current_password"),
        ({"password": "short", "current_password": PASSWORD}, "password"),
        ({"password": NEW_PASSWORD}, "current_password"),
        ({"password": NEW_PASSWORD, "current_password": PASSWORD, "role": "admin"}, "role"),
    ],
)
async def test_a_password_is_changed_by_who_knows_the_current_one(
    instance: Instance, form: dict[str, str], path: str
) -> None:
    _, _, cookie = await sign_in(instance)

    status, body = await ask(instance, "PATCH", "/auth/me", cookie, json=form)

    assert (status, body["code"], body["errors"][0]["path"]) == (422, "validation_failed", path)
    assert (await sign_in(instance))[0] == 200


async def test_of_two_changes_at_once_one_wins(instance: Instance) -> None:
    cookies = [(await sign_in(instance))[2] for _ in range(4)]
    forms = [{"password": f"{NEW_PASSWORD} {number}", "current_password": PASSWORD} for number in range(4)]

    answers = await asyncio.gather(
        *(ask(instance, "PATCH", "/auth/me", cookie, json=form) for cookie, form in zip(cookies, forms, strict=True))
    )

    statuses = [status for status, _ in answers]
    assert statuses.count(200) == 1
    winner = forms[statuses.index(200)]["password"]
    assert (await sign_in(instance, winner))[0] == 200


async def test_a_key_may_do_so_only_when_it_may_do_everything(
    instance: Instance, owner: asyncpg.Connection[Any]
) -> None:
    assert (await instance.call("GET", "/api/v1/sessions"))[0] == 200
    await owner.execute("UPDATE auth.api_key SET scopes = '{chat,users,keys}'")

    async def is_refused() -> bool:
        status, body, _ = await instance.call("GET", "/api/v1/sessions")
        return status == 403 and body["code"] == "insufficient_scope" and body["scope"] == "admin"

    await until(is_refused, limit=5, what="the scopes of the key hold")
    status, _, _ = await instance.call(
        "PATCH", "/auth/me", json={"password": NEW_PASSWORD, "current_password": PASSWORD}
    )
    assert status == 403


async def test_ten_wrong_passwords_make_that_pair_wait_and_nobody_else(start: Start, owner: Any) -> None:
    await owner.execute("TRUNCATE bots.bot, auth.account, auth.sign_in_tries CASCADE")
    async with start(HIVEMIND_TRUSTED_PROXIES="127.0.0.1/32") as instance:
        await instance.register()
        here, neighbour, elsewhere = "192.0.2.7", "192.0.2.200", "198.51.100.1"
        for _ in range(10):
            assert (await sign_in(instance, "wrong password", **{"X-Forwarded-For": here}))[0] == 401

        status, body, _ = await sign_in(instance, PASSWORD, **{"X-Forwarded-For": here})
        assert (status, body["code"], body["scope"]) == (429, "rate_limited", "login")
        assert (await sign_in(instance, PASSWORD, **{"X-Forwarded-For": neighbour}))[0] == 429, "the same /24"
        assert (await sign_in(instance, PASSWORD, **{"X-Forwarded-For": elsewhere}))[0] == 200
        assert (await sign_in(instance, "wrong", "bob@example.org", **{"X-Forwarded-For": here}))[0] == 401


async def test_an_address_that_nobody_has_waits_just_so(instance: Instance, owner: Any) -> None:
    await owner.execute("TRUNCATE auth.sign_in_tries")
    statuses = [(await sign_in(instance, "wrong", "nobody@example.org"))[0] for _ in range(12)]

    assert statuses == [401] * 10 + [429] * 2


async def test_each_answer_says_how_many_tries_are_left(instance: Instance, owner: Any) -> None:
    await owner.execute("TRUNCATE auth.sign_in_tries")

    async def tell(method: str, path: str, form: dict[str, str], expect: int, **headers: str) -> list[str]:
        _, body, response = await instance.call(method, path, json=form, key="", headers=headers, expect=expect)
        assert "remaining" not in body
        limit, left, reset = (response.headers[f"RateLimit-{name}"] for name in ("Limit", "Remaining", "Reset"))
        assert 0 <= int(reset) <= 900
        return [limit, left]

    right, wrong = ({"email": EMAIL, "password": password} for password in (PASSWORD, "wrong"))
    assert [await tell("POST", "/auth/login", wrong, 401) for _ in range(2)] == [["10", "9"], ["10", "8"]]
    assert await tell("POST", "/auth/login", right, 200) == ["10", "10"]
    _, _, cookie = await sign_in(instance)
    form = {"password": NEW_PASSWORD, "current_password": "wrong"}
    for left in range(9, -1, -1):
        assert await tell("PATCH", "/auth/me", form, 422, Cookie=cookie) == ["10", str(left)]
    assert await tell("POST", "/auth/login", right, 429) == ["10", "0"]
    await owner.execute("TRUNCATE auth.sign_in_tries")
    form["current_password"] = PASSWORD
    assert await tell("PATCH", "/auth/me", form, 200, Cookie=cookie) == ["10", "10"]


async def test_no_spelling_of_an_address_has_tries_of_its_own(instance: Instance, owner: Any) -> None:
    await owner.execute("TRUNCATE auth.sign_in_tries")
    # Of each pair the database says that both are one address.
    for first, second in (("i", "I"), ("ß", "ẞ"), ("i", "İ"), ("k", "\u212a"), ("σ", "Σ"), ("ǆ", "ǅ")):
        if await owner.fetchval("SELECT lower($1) = lower($2)", first, second):
            for number in range(10):
                status, _, _ = await sign_in(instance, "wrong", f"{first if number % 2 else second}@example.org")
                assert status == 401
            assert (await sign_in(instance, "wrong", f"{first}@example.org"))[0] == 429, (first, second)
            assert (await sign_in(instance, "wrong", f"{second}@example.org"))[0] == 429, (first, second)
            await owner.execute("TRUNCATE auth.sign_in_tries")


async def test_the_right_password_forgets_the_wrong_ones(instance: Instance, owner: Any) -> None:
    await owner.execute("TRUNCATE auth.sign_in_tries")
    for _ in range(3):
        for _ in range(9):
            assert (await sign_in(instance, "wrong"))[0] == 401
        assert (await sign_in(instance))[0] == 200


async def test_tries_at_once_are_no_more_than_tries_in_a_row(instance: Instance, owner: Any) -> None:
    await owner.execute("TRUNCATE auth.sign_in_tries")

    answers = await asyncio.gather(*(sign_in(instance, f"wrong {number}") for number in range(60)))

    statuses = [status for status, _, _ in answers]
    assert statuses.count(401) <= 10
    assert set(statuses) <= {401, 429, 503}


async def test_an_old_try_counts_no_more(instance: Instance, owner: Any) -> None:
    await owner.execute("TRUNCATE auth.sign_in_tries")
    for _ in range(10):
        await sign_in(instance, "wrong")
    status, _, response = await instance.call(
        "POST", "/auth/login", json={"email": EMAIL, "password": PASSWORD}, key=""
    )
    assert status == 429
    assert 1 <= int(response.headers["Retry-After"]) <= 900

    await owner.execute(
        "UPDATE auth.sign_in_tries SET tries = ARRAY(SELECT each - interval '15 minutes' FROM unnest(tries) AS each)"
    )

    assert (await sign_in(instance))[0] == 200


async def test_old_tries_are_forgotten_though_nobody_signs_in(instance: Instance, owner: Any) -> None:
    await owner.execute("TRUNCATE auth.sign_in_tries")
    await owner.execute(
        "INSERT INTO auth.sign_in_tries (pair, tries, last_try)"
        " SELECT sha256(number::text::bytea), ARRAY[moment], moment"
        " FROM generate_series(1, 50) AS number, (SELECT now() - interval '16 minutes' AS moment) AS old"
    )
    for number in range(3):
        assert (await sign_in(instance, "wrong", f"nobody{number}@example.org"))[0] == 401

    assert await owner.fetchval("SELECT count(*) FROM auth.sign_in_tries") == 3


async def test_who_was_turned_away_for_the_crowd_has_lost_no_try(instance: Instance, owner: Any) -> None:
    await owner.execute("TRUNCATE auth.sign_in_tries")

    answers = await asyncio.gather(*(sign_in(instance, "wrong", f"{number}@example.org") for number in range(80)))

    statuses = [status for status, _, _ in answers]
    assert set(statuses) == {401, 503}
    assert await owner.fetchval("SELECT count(*) FROM auth.sign_in_tries") == statuses.count(401)


async def test_acts_on_sessions_and_passwords_are_in_the_audit_log(instance: Instance, owner: Any) -> None:
    _, _, first = await sign_in(instance)
    _, _, second = await sign_in(instance)
    _, body = await ask(instance, "GET", "/api/v1/sessions", first)
    other = next(each["id"] for each in body["items"] if not each["current"])
    await ask(instance, "DELETE", f"/api/v1/sessions/{other}", first)
    await ask(instance, "PATCH", "/auth/me", first, json={"password": NEW_PASSWORD, "current_password": PASSWORD})
    await ask(instance, "POST", "/auth/logout", first)

    rows = await owner.fetch("SELECT action, actor_name, target FROM audit.entry ORDER BY seq DESC LIMIT 3")

    assert [(row["action"], row["actor_name"]) for row in rows] == [
        ("session.closed", "ada"),
        ("password.changed", "ada"),
        ("session.revoked", "ada"),
    ]
    assert rows[2]["target"] == other
    assert (await ask(instance, "GET", "/auth/me", second))[0] == 401

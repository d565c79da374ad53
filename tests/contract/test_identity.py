"""Who may come in: the first admin, sessions, keys, break-glass."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from hivemind_common.testing.servers import Servers
from hivemind_gateway.credentials import checksum
from hivemind_server.services import SERVICES
from tests.conftest import PASSWORD, Instance, Start

ADMIN_KEY = "break-glass-0123456789abcdef"
FORM = {"username": "grace", "email": "grace@example.org", "password": PASSWORD}
ME = "/auth/me"


@pytest.fixture
async def fresh(start: Start, owner: Any) -> Any:
    """An instance that nobody has registered at, with a setup token."""
    await owner.execute("TRUNCATE auth.account CASCADE")
    async with start(HIVEMIND_SETUP_TOKEN="token-0123456789abcdefghij", ADMIN_API_KEY=ADMIN_KEY) as opened:
        yield opened


async def test_registering_answers_once_and_shows_the_key_once(fresh: Instance) -> None:
    _, body, response = await fresh.call("POST", "/auth/register", json=FORM, expect=201)

    assert "Set-Cookie" not in response.headers, "no session is opened"
    assert set(body) == {"id", "username", "email", "role", "api_key"}
    assert (body["role"], body["username"], body["email"]) == ("admin", "grace", "grace@example.org")
    _, me, _ = await fresh.call("GET", ME, key=body["api_key"], expect=200)
    assert (me["id"], me["auth"]) == (body["id"], "api_key")
    assert "admin" in me["scopes"]
    others: tuple[Any, ...] = (FORM, {}, {"username": 5}, [], "x")
    for again in others:
        _, refusal, _ = await fresh.call("POST", "/auth/register", json=again, expect=409)
        assert refusal["code"] == "already_registered"
    await fresh.call("POST", "/auth/register", data=b"{", headers={"Content-Type": "application/json"}, expect=400)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "localhost.evil.example"},
        {"Host": "127.0.0.1.evil.example:8585"},
        {"X-Forwarded-For": "127.0.0.1"},
        {"X-Real-IP": "127.0.0.1"},
        {"Forwarded": "for=127.0.0.1"},
        {"X-Forwarded-Proto": "https"},
    ],
)
async def test_a_stranger_needs_the_setup_token(fresh: Instance, headers: dict[str, str]) -> None:
    _, body, _ = await fresh.call("POST", "/auth/register", json=FORM, headers=headers, expect=403)
    assert body["code"] == "setup_token_required"

    for wrong in ("token", "", 5):
        await fresh.call("POST", "/auth/register", json=FORM | {"setup_token": wrong}, headers=headers, expect=403)

    form = FORM | {"setup_token": "token-0123456789abcdefghij"}
    await fresh.call("POST", "/auth/register", json=form, headers=headers, expect=201)


async def test_a_request_without_a_host_makes_nobody_an_admin(fresh: Instance) -> None:
    _, body, _ = await fresh.call("POST", "/auth/register", json=FORM, headers={"Host": ""}, expect=400)
    assert body["code"] == "bad_request"

    await fresh.call("POST", "/auth/register", json=FORM, expect=201)


@pytest.mark.parametrize("host", ["localhost:8585", "127.0.0.1", "127.8.9.1:80", "[::1]:8585", "LOCALHOST"])
async def test_somebody_at_this_machine_needs_none(fresh: Instance, host: str) -> None:
    await fresh.call("POST", "/auth/register", json=FORM, headers={"Host": host}, expect=201)


async def test_the_file_of_the_setup_token_goes_with_the_first_admin(start: Start, owner: Any, tmp_path: Any) -> None:
    await owner.execute("TRUNCATE auth.account CASCADE")
    file = tmp_path / "setup-token"
    file.write_text("token-0123456789abcdefghij\n")

    async with start(HIVEMIND_SETUP_TOKEN_FILE=str(file)) as instance:
        await instance.call("POST", "/auth/register", json=FORM | {"password": "short"}, expect=422)
        assert file.exists()
        await instance.call("POST", "/auth/register", json=FORM, expect=201)

    assert not file.exists()


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"username": "a"}, "username"),
        ({"username": "-ada"}, "username"),
        ({"username": "ada lovelace"}, "username"),
        ({"username": "a" * 65}, "username"),
        ({"email": "ada"}, "email"),
        ({"email": "a@b@c"}, "email"),
        ({"email": "a b@c"}, "email"),
        ({"email": "a" * 251 + "@b.c"}, "email"),
        ({"password": "elevenchars"}, "password"),
        ({"password": "x" * 257}, "password"),
        ({"password": 123456789012}, "password"),
        ({"role": "admin"}, "role"),
        ({"username": None}, "username"),
    ],
)
async def test_a_wrong_member_is_named_and_never_repeated(fresh: Instance, changed: dict[str, Any], path: str) -> None:
    _, body, _ = await fresh.call("POST", "/auth/register", json=FORM | changed, expect=422)

    assert [error["path"] for error in body["errors"]] == [path]
    assert str(changed.get("password", "never")) not in str(body)
    assert await fresh.call("POST", "/auth/register", json=FORM, expect=201)


@pytest.mark.parametrize(
    "form",
    [
        {"password": "twelvechars+"},
        {"username": "a0", "email": "a@b", "password": "            "},
        {"username": "0" + "._-A" * 15 + "z._", "email": "ä" * 250 + "@b.c", "password": "x" * 256},
        {"password": "пароль-пароль", "setup_token": None},
        {"password": "\U0001f511" * 12},
    ],
)
async def test_what_is_just_within_the_limits_passes_and_signs_in(fresh: Instance, form: dict[str, Any]) -> None:
    form = FORM | form

    await fresh.call("POST", "/auth/register", json=form, expect=201)

    login = {"email": form["email"].upper(), "password": form["password"]}
    _, body, _ = await fresh.call("POST", "/auth/login", json=login, expect=200)
    assert (body["username"], body["email"]) == (form["username"], form["email"])
    await fresh.call("POST", "/auth/login", json=login | {"password": form["password"][:-1]}, expect=401)


async def test_signing_in_sets_a_cookie_that_works(instance: Instance) -> None:
    credentials = {"email": "ADA@example.org", "password": PASSWORD}
    _, body, response = await instance.call("POST", "/auth/login", json=credentials, key="", expect=200)

    assert set(body) == {"id", "username", "email", "role", "expires_at"}
    cookie = response.headers["Set-Cookie"]
    token, *attributes = cookie.split("; ")
    assert attributes == ["Path=/", "HttpOnly", "SameSite=Lax", "Max-Age=604800"]
    _, me, _ = await instance.call("GET", ME, key="", headers={"Cookie": token}, expect=200)
    assert (me["username"], me["auth"]) == ("ada", "session")


async def test_a_browser_may_call_itself_what_it_likes(instance: Instance, owner: Any) -> None:
    for agent in ("x" * 5_000, "\udcff\udc80 strange", "Übrowser/1.0", ""):
        headers = {"User-Agent": agent}
        credentials = {"email": "ada@example.org", "password": PASSWORD}
        await instance.call("POST", "/auth/login", json=credentials, headers=headers, key="", expect=200)

    assert await owner.fetchval("SELECT max(length(user_agent)) FROM auth.session") == 400


async def test_over_https_the_cookie_is_secure(instance: Instance, start: Start) -> None:
    credentials = {"email": "ada@example.org", "password": PASSWORD}
    proxied = {"X-Forwarded-Proto": "https"}
    _, _, response = await instance.call("POST", "/auth/login", json=credentials, headers=proxied, key="", expect=200)
    assert response.headers["Set-Cookie"].endswith("; Secure")
    for proto, is_secure in (("HTTPS", True), ("https, http", True), ("http, https", False), ("", False), ("x", False)):
        headers = {"X-Forwarded-Proto": proto, "Cookie": "hm_session=dead"}
        ways: tuple[tuple[str, str, dict[str, Any]], ...] = (
            ("POST", "/auth/login", {"json": credentials, "key": ""}),
            ("POST", "/auth/logout", {}),
            ("GET", ME, {}),
        )
        for method, path, options in ways:
            _, _, response = await instance.call(method, path, headers=headers, **options)
            assert response.headers["Set-Cookie"].endswith("; Secure") is is_secure, (proto, path)

    for url in ("https://bots.example.org", "https://Bots.example.org:443/"):
        async with start(HIVEMIND_PUBLIC_URL=url, HIVEMIND_TRUSTED_PROXIES="192.0.2.7/32") as public:
            page = {"Origin": "https://bots.example.org"}
            _, _, response = await public.call(
                "POST", "/auth/login", json=credentials, headers=page, key="", expect=200
            )
            assert response.headers["Set-Cookie"].endswith("; Secure")

    async with start(HIVEMIND_TRUSTED_PROXIES="192.0.2.7/32") as direct:
        _, _, response = await direct.call("POST", "/auth/login", json=credentials, headers=proxied, key="", expect=200)
        assert response.headers["Set-Cookie"].endswith("Max-Age=604800"), "said by nobody that is trusted"


async def test_a_wrong_password_and_an_unknown_address_are_told_the_same(instance: Instance) -> None:
    told = []
    for email in ("ada@example.org", "nobody@example.org"):
        credentials = {"email": email, "password": "not the password"}
        _, body, response = await instance.call("POST", "/auth/login", json=credentials, key="", expect=401)
        body.pop("request_id")
        told.append((body, response.headers["WWW-Authenticate"]))

    assert told[0] == told[1]
    assert told[0][0]["code"] == "invalid_credentials"


@pytest.mark.parametrize(
    ("headers", "code", "words"),
    [
        ({}, "missing_api_key", "missing X-API-Key header"),
        ({"X-API-Key": ""}, "missing_api_key", "missing X-API-Key header"),
        ({"Authorization": "Basic YTpi"}, "missing_api_key", "missing X-API-Key header"),
        ({"X-API-Key": "hm_wrong"}, "invalid_api_key", "invalid or inactive API key"),
        ({"X-API-Key": "x" * 5000}, "invalid_api_key", "invalid or inactive API key"),
        ({"X-API-Key": "hm-ünïcode"}, "invalid_api_key", "invalid or inactive API key"),
        ({"X-API-Key": ADMIN_KEY}, "invalid_api_key", "invalid or inactive API key"),
        ({"Authorization": "Bearer hm_wrong"}, "invalid_api_key", "invalid or inactive API key"),
        ({"Cookie": "hm_session=dead"}, "invalid_session", "session is not valid; sign in again"),
    ],
)
async def test_the_words_of_401_are_the_published_ones(
    fresh: Instance, headers: dict[str, str], code: str, words: str
) -> None:
    for path in (ME, "/api/v1/bots"):
        _, body, response = await fresh.call("GET", path, headers=headers, expect=401)
        assert (body["code"], body["error"], body["detail"]) == (code, words, words)
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="hivemind"'


async def test_break_glass_works_when_nobody_has_an_account(fresh: Instance) -> None:
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    _, me, _ = await fresh.call("GET", ME, headers=headers, expect=200)

    assert (me["id"], me["username"], me["email"], me["auth"]) == (None, "break-glass", None, "break_glass")
    await fresh.call(
        "POST", "/api/v1/bots", json={"slug": "desk", "template": "customer-support"}, headers=headers, expect=201
    )


async def test_a_cookie_that_another_host_has_set_signs_nobody_in_as_somebody_else(
    instance: Instance, owner: Any
) -> None:
    await owner.execute(
        "INSERT INTO auth.account (id, username, email, role, password_hash, created_at)"
        " SELECT gen_random_uuid(), 'eve', 'eve@example.org', 'user', password_hash, now() FROM auth.account"
    )
    hers, evil = [await session_of(instance, f"{name}@example.org") for name in ("ada", "eve")]
    for both in (f"{hers}; {evil}", f"{evil};{hers}"):
        _, body, _ = await instance.call("GET", ME, key="", headers={"Cookie": both}, expect=400)
        assert body["code"] == "ambiguous_credentials"
    # What is dead or nonsense beside her own counts for nothing, and her own cookie is left to her.
    for both in (f"hm_session=dead; {hers}", f'{hers}; hm_session="dead"', f"a=b; hm_session=; {hers}; {hers}"):
        _, me, response = await instance.call("GET", ME, key="", headers={"Cookie": both}, expect=200)
        assert me["username"] == "ada"
        assert "Set-Cookie" not in response.headers

    await instance.call("POST", "/auth/logout", key="", headers={"Cookie": f"hm_session=dead; {hers}"}, expect=204)
    await instance.call("GET", ME, key="", headers={"Cookie": hers}, expect=401)


async def session_of(instance: Instance, email: str) -> str:
    form = {"email": email, "password": PASSWORD}
    _, _, response = await instance.call("POST", "/auth/login", json=form, key="", expect=200)
    return response.headers["Set-Cookie"].split(";")[0]


async def test_each_sign_in_has_a_token_of_its_own_whatever_cookie_is_sent(instance: Instance) -> None:
    first = await session_of(instance, "ada@example.org")
    form = {"email": "ada@example.org", "password": PASSWORD}
    tokens = {first, "hm_session=chosen-by-somebody-else"}
    for sent in (first, "hm_session=chosen-by-somebody-else"):
        _, _, response = await instance.call(
            "POST", "/auth/login", json=form, key="", headers={"Cookie": sent}, expect=200
        )
        token = response.headers["Set-Cookie"].split(";")[0]
        assert token not in tokens
        assert len(token) == len("hm_session=") + 43, "256 bits"
        tokens.add(token)
    await instance.call("GET", ME, key="", headers={"Cookie": "hm_session=chosen-by-somebody-else"}, expect=401)


async def test_a_key_set_by_sql_works_though_its_check_characters_are_wrong(instance: Instance, owner: Any) -> None:
    # It has the form of ours by accident; what is looked up is the whole of it.
    key = f"hm_{'a' * 12}_{'b' * 32}000000"
    assert checksum(key[:-6]) != key[-6:]

    await owner.execute("UPDATE users SET api_key = $1 WHERE username = 'ada'", key)

    _, me, _ = await instance.call("GET", ME, key=key, expect=200)
    assert me["auth"] == "api_key"
    for wrong in (key[:-1], key[:-6] + checksum(key[:-6]), key + "0"):
        _, body, _ = await instance.call("GET", ME, key=wrong, expect=401)
        assert body["code"] == "invalid_api_key"


async def test_a_key_works_as_a_bearer_token_too(instance: Instance) -> None:
    await instance.call("GET", ME, key="", headers={"Authorization": f"Bearer {instance.key}"}, expect=200)


async def test_credentials_side_by_side(start: Start, owner: Any) -> None:
    await owner.execute("TRUNCATE auth.account CASCADE")
    async with start(ADMIN_API_KEY=ADMIN_KEY) as instance:
        await instance.register()
        for wrong in ({"X-API-Key": "hm_wrong"}, {"Authorization": "Bearer hm_wrong"}):
            _, body, _ = await instance.call("GET", ME, key="", headers={"Cookie": "hm_session=x"} | wrong, expect=401)
            assert body["code"] == "invalid_api_key"
        # A dead session beside a key is passed over and cleared; a wrong key never is.
        _, me, response = await instance.call("GET", ME, headers={"Cookie": "hm_session=dead"}, expect=200)
        assert me["auth"] == "api_key"
        assert "hm_session=;" in response.headers["Set-Cookie"]
        _, _, response = await instance.call(
            "POST", "/auth/login", json={"email": "ada@example.org", "password": PASSWORD}, key="", expect=200
        )
        cookie = response.headers["Set-Cookie"].split(";")[0]
        await instance.call("GET", ME, key="hm_wrong", headers={"Cookie": cookie}, expect=401)
        _, me, response = await instance.call("GET", ME, headers={"Cookie": cookie}, expect=200)
        assert me["auth"] == "session", "the same person twice: the session counts"
        assert "Set-Cookie" not in response.headers
        foreign = {"Cookie": cookie, "Sec-Fetch-Site": "cross-site"}
        _, body, _ = await instance.call("POST", "/api/v1/bots", json={}, headers=foreign, expect=403)
        assert body["code"] == "csrf"
        for header in (f"Bearer {ADMIN_KEY}", f"Bearer {instance.key}x"):
            await instance.call(
                "GET", ME, key="", headers={"X-API-Key": ADMIN_KEY, "Authorization": header}, expect=401
            )
        both = {"Authorization": f"Bearer {ADMIN_KEY}"}
        _, body, _ = await instance.call("GET", ME, headers=both, expect=400)
        assert body["code"] == "ambiguous_credentials"


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost:{port}"}, False),
        ({"Origin": "http://localhost:{port}"}, True),
        ({"Origin": "http://127.0.0.1:{port}"}, True),
        ({"Origin": "http://localhost:1"}, False),
        ({"Origin": "https://localhost:{port}"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "http://localhost.evil.example:{port}"}, False),
        ({"Origin": "http://evil.example", "Host": "evil.example"}, False),
    ],
)
async def test_a_page_of_another_origin_changes_nothing(
    instance: Instance, headers: dict[str, str], passes: bool
) -> None:
    port = instance.url.rpartition(":")[2]
    filled = {name: value.format(port=port) for name, value in headers.items()}
    login = {"email": "ada@example.org", "password": PASSWORD}
    _, _, response = await instance.call("POST", "/auth/login", json=login, key="", expect=200)
    cookie = {"Cookie": response.headers["Set-Cookie"].split(";")[0]}
    draft = {"slug": "desk", "name": "Desk", "system_prompt": "You help."}

    status, body, _ = await instance.call("POST", "/api/v1/bots", json=draft, key="", headers=filled | cookie)
    assert (status, body.get("code")) == ((201, None) if passes else (403, "csrf"))
    status, body, _ = await instance.call("POST", "/auth/login", json=login, key="", headers=filled)
    assert status == (200 if passes else 403)
    if not passes:
        await instance.call("GET", "/api/v1/bots/desk", expect=404)
        await instance.call(
            "POST", "/api/v1/bots", json=draft, headers=filled, expect=201
        )  # with a key it is no browser


async def test_an_account_that_is_disabled_is_out_within_a_second(instance: Instance, owner: Any) -> None:
    await instance.call("GET", ME, expect=200)
    await owner.execute("UPDATE auth.account SET status = 'disabled'")
    loop = asyncio.get_running_loop()
    ended = loop.time() + 5

    while (await instance.call("GET", ME))[0] == 200:
        assert loop.time() < ended
        await asyncio.sleep(0.05)


async def test_a_session_ends_when_it_is_idle_or_old(instance: Instance, owner: Any) -> None:
    login = {"email": "ada@example.org", "password": PASSWORD}
    for change in ("last_seen_at = now() - interval '13 hours'", "expires_at = now() - interval '1 second'"):
        _, _, response = await instance.call("POST", "/auth/login", json=login, key="", expect=200)
        await owner.execute(f"UPDATE auth.session SET {change}")
        cookie = {"Cookie": response.headers["Set-Cookie"].split(";")[0]}
        _, body, _ = await instance.call("GET", ME, key="", headers=cookie, expect=401)
        assert body["code"] == "invalid_session"


async def test_without_auth_each_answer_names_it_and_says_when_to_ask_again(
    servers: Servers, database: str, owner: Any
) -> None:
    await owner.execute("TRUNCATE auth.account CASCADE")
    async with AsyncExitStack() as stack:
        running = {}
        for service in SERVICES:
            if service.name != "auth":
                environment = servers.environment(service, database, ADMIN_API_KEY=ADMIN_KEY)
                running[service.name] = await stack.enter_async_context(service.open(environment))
        http = await stack.enter_async_context(aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()))
        instance = Instance(f"http://127.0.0.1:{running['gateway'].http_port}", http, running)
        login = {"email": "ada@example.org", "password": PASSWORD}
        shown: tuple[dict[str, str], ...] = (
            {"X-API-Key": "hm_whatever"},
            {"Cookie": "hm_session=whatever"},
            {"Authorization": f"Bearer {ADMIN_KEY}"},
        )
        answers = [await instance.call("GET", "/api/v1/bots", headers=headers, expect=503) for headers in shown]
        answers.append(await instance.call("POST", "/auth/login", json=login, expect=503))
        answers.append(await instance.call("POST", "/auth/register", json=FORM, expect=503))
        # Who shows nothing is told so all the same, and nobody is signed out because auth is away.
        await instance.call("GET", "/api/v1/bots", expect=401)
        health = await instance.call("GET", "/api/v1/health", expect=503)

    assert [(body["code"], body["service"]) for _, body, _ in answers] == [("unavailable", "auth")] * 5
    assert all("Set-Cookie" not in response.headers for _, _, response in answers)
    assert [response.headers["Retry-After"] for _, _, response in (*answers, health)] == ["1"] * 6


async def test_secrets_are_kept_as_digests_alone(instance: Instance, owner: Any) -> None:
    await instance.call("POST", "/auth/login", json={"email": "ada@example.org", "password": PASSWORD}, expect=200)
    rows = []
    for table in ("account", "api_key", "session"):
        rows += [str(dict(row)) for row in await owner.fetch(f"SELECT * FROM auth.{table}")]

    assert not any(PASSWORD in row or instance.key in row for row in rows)
    assert any("$argon2id$v=19$m=47104,t=1,p=1$" in row for row in rows)


async def test_metrics_on_the_main_port_need_their_token(start: Start) -> None:
    async with start(HIVEMIND_METRICS_TOKEN="metrics-0123456789abcdefgh") as instance:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            await instance.call("GET", "/metrics", headers=headers, expect=404)
        headers = {"Authorization": "Bearer metrics-0123456789abcdefgh"}
        _, text, response = await instance.call("GET", "/metrics", headers=headers, expect=200)

    assert 'hivemind_build_info{service="gateway",version="0.1.0"} 1.0' in text
    assert "hivemind_http_requests_total" in text
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"

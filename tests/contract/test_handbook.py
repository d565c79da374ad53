"""The reference and the handbook as the gateway shows them: whole, in agreement with the table, and nothing from elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urljoin, urlsplit

import pytest

from hivemind_gateway.pages.handbook import CHAPTERS
from hivemind_gateway.service import ROUTES
from tests.conftest import Instance
from tests.contract.test_errors import codes

PAGES: Final = ("/docs", *(f"/docs/{name}" for name in CHAPTERS))


class Page(HTMLParser):
    """What a page names, and the places that can be named in it."""

    def __init__(self, path: str, html: str) -> None:
        super().__init__()
        self.path = path
        self.places: list[str] = []
        self.links: list[str] = []
        self.files: list[str] = []
        self.inline: list[str] = []
        """What the policy for content would stop: scripts, styles and handlers that stand in the page."""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.places.append(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(urljoin(self.path, given["href"]))
        elif tag in {"link", "use", "script", "img"}:
            self.files.append(urljoin(self.path, given.get("href", given.get("src", ""))))
        self.inline += [f"{tag} {name}" for name in given if name == "style" or name.startswith("on")]
        self.inline += [tag] if tag == "style" or (tag == "script" and "src" not in given) else []


async def read(instance: Instance, path: str) -> Page:
    async with instance.http.get(instance.url + path) as answer:
        assert (answer.status, answer.content_type, answer.charset) == (200, "text/html", "utf-8")
        return Page(path, await answer.text())


async def test_every_link_of_every_page_leads_to_a_place_that_is_there(instance: Instance) -> None:
    pages = {path: await read(instance, path) for path in PAGES}
    dead = []
    for page in pages.values():
        assert len(page.places) == len(set(page.places)), page.path
        for link in page.links:
            target = urlsplit(link)
            found = pages.get(target.path)
            if target.netloc or (found is None and target.path == "/api/v1/openapi.json"):
                continue
            if found is None or (target.fragment and target.fragment not in found.places):
                dead.append(f"{page.path}: {link}")
    assert dead == []


async def test_every_error_code_is_a_place_on_the_page_that_a_refusal_names(instance: Instance) -> None:
    _, refusal, _ = await instance.call("GET", "/api/v1/bots", key="", expect=401)
    page, _, code = str(refusal["type"]).partition("#")

    assert code == "missing_api_key"
    assert codes() <= set((await read(instance, page)).places)


async def test_the_reference_shows_every_operation_of_the_document(instance: Instance) -> None:
    _, document, _ = await instance.call("GET", "/api/v1/openapi.json", key="", expect=200)

    shown = set((await read(instance, "/docs")).places)

    assert {told["operationId"] for item in document["paths"].values() for told in item.values()} <= shown
    assert set(document["components"]["schemas"]) <= shown


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_brings_nothing_from_elsewhere_and_nothing_that_its_policy_stops(
    instance: Instance, path: str
) -> None:
    page = await read(instance, path)

    assert page.inline == []
    assert all(re.fullmatch(r"/static/[\w-]+\.[0-9a-f]{16}\.(css|svg|js)(#[\w-]+)?", name) for name in page.files)
    async with instance.http.get(instance.url + path) as answer:
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'; img-src 'self' data:;")
        assert answer.headers["Referrer-Policy"] == "same-origin"


async def test_files_are_kept_for_a_year_because_their_name_changes_with_them(instance: Instance) -> None:
    files = {name.partition("#")[0] for path in PAGES for name in (await read(instance, path)).files}
    assert len(files) >= 6
    for name in files:
        async with instance.http.get(instance.url + name) as answer:
            assert answer.status == 200
            assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            text = await answer.text()
        for named in re.findall(r'url\("([^"]+)"\)', text):
            async with instance.http.get(urljoin(instance.url + name, named)) as answer:
                assert answer.status == 200


async def test_a_page_that_was_seen_is_not_sent_again(instance: Instance) -> None:
    async with instance.http.get(instance.url + "/docs") as answer:
        tag = answer.headers["ETag"]
    async with instance.http.get(instance.url + "/docs", headers={"If-None-Match": tag}) as answer:
        assert (answer.status, answer.headers["Cache-Control"]) == (304, "no-cache")


@pytest.mark.parametrize("path", ["/docs/", "/docs/nothing", "/docs/..%2Ferrors", "/static/tokens.css", "/static/x"])
async def test_what_is_no_page_is_not_found(instance: Instance, path: str) -> None:
    await instance.call("GET", path, key="", expect=404)


async def test_a_query_on_a_page_is_ignored(instance: Instance) -> None:
    await read(instance, "/docs?from=search")


def test_every_row_of_the_api_is_in_the_reference_or_for_machines_alone() -> None:
    others = {row.path for row in ROUTES if not row.path.startswith(("/api/v1/", "/auth/"))}
    assert others == {"/livez", "/readyz", "/metrics", "/docs", "/docs/{chapter}", "/static/{name}"}

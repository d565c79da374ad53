"""Nobody becomes the first admin from elsewhere without the setup token, by any of the tricks in the table."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from hivemind_gateway import peers
from tests.conftest import Instance, Start
from tests.contract.raw_http import DATA, Answer, Line

TOLD: Final = {
    "may": (422, "validation_failed"),
    "403": (403, "setup_token_required"),
    "400": (400, "bad_request"),
}
"""The form that is sent is empty: who may is told so, and no admin is made."""

GATEWAY: Final = ipaddress.IPv4Address("172.18.0.1")


def rows(setting: str) -> list[tuple[int, str, str, str, list[str]]]:
    """Read the rows of a setting."""
    found = []
    for number, line in enumerate((DATA.parent / "first_admin.tsv").read_text().split("\n"), 1):
        if line and not line.startswith("#"):
            expected, wanted, peer, target, headers = line.split("\t")
            if wanted == setting:
                found.append((number, expected, peer, target, [each for each in headers.split("|") if each]))
    return found


async def try_it(instance: Instance, target: str, headers: list[str]) -> Answer | None:
    if not any(each.lower().startswith("host:") for each in headers):
        headers = ["Host: 127.0.0.1:8585", *headers]
    head = [f"POST {target} HTTP/1.1", *headers, "Content-Type: application/json", "Content-Length: 2", "", "{}"]
    line = await Line.to(instance)
    try:
        await line.send("\r\n".join(head).encode())
        return await line.answer()
    finally:
        await line.close()


@pytest.mark.parametrize("setting", ["-", "gateway"])
async def test_each_trick_of_the_table_ends_as_it_says(
    start: Start, owner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    await owner.execute("TRUNCATE auth.account CASCADE")
    table = tmp_path / "route"
    number_of_gateway = int.from_bytes(GATEWAY.packed, sys.byteorder)
    table.write_text(f"Iface Destination Gateway\neth0 00000000 {number_of_gateway:08X} 0003 0 0 0 00000000 0 0 0\n")
    monkeypatch.setattr(peers, "ROUTING_TABLE", table)
    variables = {"HIVEMIND_SETUP_TOKEN": "token-0123456789abcdefghij"}
    if setting == "gateway":
        variables["HIVEMIND_SETUP_FROM_GATEWAY"] = "true"
    wrong = []
    async with start(**variables) as instance:
        for number, expected, peer, target, headers in rows(setting):
            # The one thing that is put in: all connections of a test come from this machine.
            address = ipaddress.ip_address(peer)
            monkeypatch.setattr(peers, "peer_of", lambda _, address=address: address)
            answer = await try_it(instance, target, headers)
            told = (answer.status, answer.problem.get("code")) if answer is not None else None
            if told != TOLD[expected]:
                wrong.append(f"first_admin.tsv:{number} {peer} {target} {headers} is {told}")

    assert not wrong, "\n".join(wrong)
    assert await owner.fetchval("SELECT count(*) FROM auth.account") == 0


async def test_where_no_routing_table_can_be_read_nobody_comes_from_the_gateway(
    start: Start, owner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await owner.execute("TRUNCATE auth.account CASCADE")
    monkeypatch.setattr(peers, "peer_of", lambda _: GATEWAY)
    async with start(HIVEMIND_SETUP_FROM_GATEWAY="true") as instance:
        for content in (None, "", "nonsense", "Iface\neth0 x y z 0 0 0 u 0 0 0\n", "ünïcode"):
            table = tmp_path / "route"
            if content is not None:
                table.write_text(content)
            monkeypatch.setattr(peers, "ROUTING_TABLE", table)

            answer = await try_it(instance, "/auth/register", [])

            assert answer is not None
            assert (answer.status, answer.problem["code"]) == TOLD["403"], content


async def test_a_network_that_changes_has_its_new_gateway_at_once(
    start: Start, owner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await owner.execute("TRUNCATE auth.account CASCADE")
    table = tmp_path / "route"
    monkeypatch.setattr(peers, "ROUTING_TABLE", table)
    monkeypatch.setattr(peers, "peer_of", lambda _: GATEWAY)
    async with start(HIVEMIND_SETUP_FROM_GATEWAY="true") as instance:
        for gateway, expected in (("172.18.0.9", "403"), ("172.18.0.1", "may"), ("172.19.0.1", "403")):
            number = int.from_bytes(ipaddress.IPv4Address(gateway).packed, sys.byteorder)
            table.write_text(f"Iface Destination Gateway\neth0 00000000 {number:08X} 0003 0 0 0 00000000 0 0 0\n")

            answer = await try_it(instance, "/auth/register", [])

            assert answer is not None
            assert (answer.status, answer.problem["code"]) == TOLD[expected], gateway

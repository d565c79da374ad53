"""Who is at the other end of a connection, and what a routing table says."""

from __future__ import annotations

import sys
from ipaddress import ip_network
from typing import Final
from unittest.mock import Mock

import pytest
from aiohttp.test_utils import make_mocked_request
from multidict import CIMultiDict

from hivemind_common.environment import Environment
from hivemind_gateway.peers import client_of, default_gateways, peer_of

HEAD: Final = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"


@pytest.mark.parametrize(
    ("name", "is_loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:192.0.2.7", False),
        ("::ffff:0.0.0.0", False),
        ("::127.0.0.1", False),
        ("fe80::1%lo", False),
        ("0.0.0.0", False),
        ("172.18.0.1", False),
    ],
)
def test_a_peer_is_loopback_however_its_address_is_wrapped_and_nobody_else_is(name: str, is_loopback: bool) -> None:
    transport = Mock()
    transport.get_extra_info = lambda key: (name, 4711) if key == "peername" else None

    peer = peer_of(make_mocked_request("GET", "/", transport=transport))

    assert peer is not None
    assert peer.is_loopback is is_loopback


def as_written(address: str) -> str:
    """Write an address as the kernel does, which prints the four bytes as one number of the machine."""
    return f"{int.from_bytes(bytes(map(int, address.split('.'))), sys.byteorder):08X}"


def row(destination: str, gateway: str, mask: str, flags: str = "0003") -> str:
    """Write a line of the table."""
    return f"eth0\t{as_written(destination)}\t{as_written(gateway)}\t{flags}\t0\t0\t0\t{as_written(mask)}\t0\t0\t0\n"


def test_the_gateway_is_the_one_of_the_default_route_and_no_other() -> None:
    table = (
        HEAD
        + row("0.0.0.0", "172.18.0.1", "0.0.0.0")
        + row("172.18.0.0", "0.0.0.0", "255.255.0.0", "0001")
        + row("10.0.0.0", "172.18.0.9", "255.0.0.0")
        + row("0.0.0.0", "172.18.0.8", "128.0.0.0")
        + row("0.0.0.0", "172.18.0.7", "0.0.0.0", "0002")
    )

    assert [str(each) for each in default_gateways(table)] == ["172.18.0.1"]


@pytest.mark.parametrize("table", ["", HEAD, "eth0\n", HEAD + "eth0\t0\t0\n", HEAD + "\n\n"])
def test_a_table_without_a_default_route_has_no_gateway(table: str) -> None:
    assert default_gateways(table) == frozenset()


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("192.0.2.7", [], "192.0.2.7"),
        ("::ffff:192.0.2.7", [], "192.0.2.7"),
        # Who is no proxy of ours names nobody.
        ("192.0.2.7", [("X-Forwarded-For", "198.51.100.1"), ("X-Real-IP", "198.51.100.1")], "192.0.2.7"),
        ("127.0.0.1", [("X-Forwarded-For", "198.51.100.1")], "198.51.100.1"),
        ("127.0.0.1", [("X-Forwarded-For", "2001:db8::7")], "2001:db8::7"),
        ("127.0.0.1", [("X-Forwarded-For", "::ffff:198.51.100.1")], "198.51.100.1"),
        # What the client wrote itself stands before what our proxy added.
        ("127.0.0.1", [("X-Forwarded-For", "203.0.113.9, 198.51.100.1")], "198.51.100.1"),
        ("127.0.0.1", [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-For", "198.51.100.1")], "198.51.100.1"),
        # Two proxies of ours in a row.
        ("127.0.0.1", [("X-Forwarded-For", "203.0.113.9, 198.51.100.1, 10.0.0.5")], "198.51.100.1"),
        ("127.0.0.1", [("X-Forwarded-For", "10.0.0.5"), ("X-Real-IP", "198.51.100.1")], "198.51.100.1"),
        ("127.0.0.1", [("X-Real-IP", "198.51.100.1")], "198.51.100.1"),
        ("127.0.0.1", [("X-Forwarded-For", "198.51.100.1"), ("X-Real-IP", "203.0.113.9")], "198.51.100.1"),
        # What is no address ends the chain: before it stands what nobody vouches for.
        ("127.0.0.1", [("X-Forwarded-For", "203.0.113.9, unknown")], "127.0.0.1"),
        ("127.0.0.1", [("X-Forwarded-For", "203.0.113.9, unknown, 10.0.0.5")], "127.0.0.1"),
        ("127.0.0.1", [("X-Forwarded-For", "")], "127.0.0.1"),
        ("127.0.0.1", [("X-Real-IP", "nonsense")], "127.0.0.1"),
        ("127.0.0.1", [("Forwarded", "for=198.51.100.1")], "127.0.0.1"),
    ],
)
def test_the_client_is_whom_our_own_proxies_name(peer: str, headers: list[tuple[str, str]], client: str) -> None:
    transport = Mock()
    transport.get_extra_info = lambda key: (peer, 4711) if key == "peername" else None
    ours = (ip_network("127.0.0.1/32"), ip_network("10.0.0.5/32"))
    request = make_mocked_request("GET", "/", headers=CIMultiDict(headers), transport=transport)

    assert client_of(request, Environment(trusted_proxies=ours)) == client

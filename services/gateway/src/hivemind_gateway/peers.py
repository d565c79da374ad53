"""Where a request comes from: the peer, and what a trusted proxy says about whom it speaks for."""

from __future__ import annotations

import ipaddress
import re
import sys
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from hivemind_common.environment import Environment, Network

Address = IPv4Address | IPv6Address

_ORIGIN: Final = re.compile(r"http://(\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::([0-9]{1,5}))?")
"""As a browser writes it: nothing before the name, nothing behind the port."""

_FORWARDING: Final = re.compile(
    r"via|cdn-loop|cf-.*|x-original-.*|x-envoy-.*|x-amzn-.*|x-azure-.*"
    r"|.*(forward|client-?ip|real-?ip|connecting-ip|remote-(ip|addr)|user-?ip).*"
)
"""The names under which proxies say that they are there, and for whom."""

ROUTING_TABLE: Final = Path("/proc/net/route")
_IS_UP_GATEWAY: Final = 0x3


def peer_of(request: web.BaseRequest) -> Address | None:
    """Return the address at the other end of the connection."""
    transport = request.transport
    name = transport.get_extra_info("peername") if transport is not None else None
    return _address(name[0]) if name else None


@lru_cache(maxsize=4096)
def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def is_in(address: Address | None, networks: tuple[Network, ...]) -> bool:
    """Whether an address lies in one of the networks."""
    return address is not None and any(address in network for network in networks)


def client_of(request: web.BaseRequest, environment: Environment) -> str:
    """Return the address of the person: the peer's, or the one that a trusted proxy names."""
    peer = peer_of(request)
    if is_in(peer, environment.trusted_proxies):
        # From the right: what our own proxies added can be believed, what stands before them cannot.
        named = request.headers.getall("X-Forwarded-For", [])
        for part in reversed([part.strip() for value in named for part in value.split(",")]):
            address = _address(part)
            if address is None:
                break
            if not is_in(address, environment.trusted_proxies):
                return str(address)
        real = _address(request.headers.get("X-Real-IP", "").strip())
        if real is not None:
            return str(real)
    return str(peer or "unknown")


def is_outer_https(request: web.Request, environment: Environment) -> bool:
    """Whether the browser speaks https to us, or to the proxy before us."""
    if (environment.public_url or "").startswith("https://"):
        return True
    if is_in(peer_of(request), environment.trusted_proxies):
        # Proxies in a row each add theirs; the first is what the browser speaks.
        return request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip().lower() == "https"
    return False


def host_of(request: web.Request) -> tuple[str, int | None]:
    """Return the name and the port that the Host header says."""
    try:
        parts = urlsplit(f"//{request.headers.get('Host', '')}")
        return (parts.hostname or "").lower(), parts.port
    except ValueError:
        return "", None


def is_loopback_name(name: str) -> bool:
    """Whether a host name can mean nothing but this machine."""
    address = _address(name)
    return name == "localhost" or (address is not None and address.is_loopback)


def is_from_here(request: web.Request, environment: Environment) -> bool:
    """Whether somebody at this machine asks: a loopback peer, a loopback Host, and no proxy between.

    The Host is looked at because a page of a stranger can make a browser here ask under a name of its own. In a
    container whose port is published on the host's loopback alone, who asks there comes from the network's gateway.
    """
    peer = peer_of(request)
    if peer is None or any(_FORWARDING.fullmatch(name.lower().replace("_", "-")) for name in request.headers):
        return False
    if not peer.is_loopback and not (environment.setup_from_gateway and peer in _gateways_now()):
        return False
    return len(request.headers.getall("Host", [])) == 1 and is_loopback_name(host_of(request)[0])


def default_gateways(table: str) -> frozenset[IPv4Address]:
    """Return the gateways of the default routes in a table as Linux writes it: addresses as they lie in memory."""
    rows = (line.split() for line in table.splitlines()[1:])
    return frozenset(
        IPv4Address(int(row[2], 16).to_bytes(4, sys.byteorder))
        for row in rows
        if len(row) > 7
        and int(row[1], 16) == int(row[7], 16) == 0
        and int(row[3], 16) & _IS_UP_GATEWAY == _IS_UP_GATEWAY
    )


def _gateways_now() -> frozenset[IPv4Address]:
    # Looked at each time: a container can be put into another network while it runs.
    try:
        return default_gateways(ROUTING_TABLE.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return frozenset()


def is_same_origin(request: web.Request, environment: Environment) -> bool:
    """Whether no page of another origin made the request (the rule of Go's `http.CrossOriginProtection`).

    Neither header means that no browser made it: each sends `Origin` with unsafe methods. The request's own Host
    proves nothing but the port.
    """
    sites = request.headers.getall("Sec-Fetch-Site", [])
    if sites:
        return len(sites) == 1 and sites[0] in {"same-origin", "none"}
    origins = request.headers.getall("Origin", [])
    if not origins:
        return True
    if len(origins) > 1:
        return False
    origin = origins[0].lower()
    if origin == environment.public_url:
        return True
    parts = _ORIGIN.fullmatch(origin)
    if parts is None or not is_loopback_name(parts[1].strip("[]")):
        return False
    return _port(parts[2]) == _port(host_of(request)[1])


def cross_origin_of(request: web.BaseRequest, environment: Environment) -> str | None:
    """Return the page elsewhere that makes a request of the API, where it is one that may; empty where it may not.

    None: where no page may, or of what pages never ask, the answer is the same for all.
    """
    if not environment.cors_origins or not request.path.startswith(("/api/v1/", "/v1/")):
        return None
    origins = request.headers.getall("Origin", [])
    return origins[0] if len(origins) == 1 and origins[0] in environment.cors_origins else ""


def _port(given: str | int | None) -> int:
    return int(given) if given is not None else 80

"""Keys as the door makes them, and what stands for a password on the bus."""

from __future__ import annotations

import hashlib
import zlib

from pydantic import SecretStr

from hivemind_common.secrets import BASE62, new_token


def password_digest(password: SecretStr) -> str:
    """Return what stands for a password on the bus; auth stores a slow hash of it."""
    return hashlib.sha256(b"hivemind-password-v1:" + password.get_secret_value().encode()).hexdigest()


def new_key() -> str:
    """Make an API key: `hm_`, 12 characters of id, `_`, 32 of secret, 6 of checksum (CRC-32 in base 62)."""
    text = f"hm_{new_token(12)}_{new_token(32)}"
    return text + checksum(text)


def checksum(text: str) -> str:
    """Return the six characters by which people and scanners for leaked secrets know a key of ours from a mistyped one.

    The door refuses nothing for them: a key set by SQL may have any form, this one by accident too, so what decides is
    the digest of the whole.
    """
    number = zlib.crc32(text.encode())
    signs = []
    for _ in range(6):
        number, place = divmod(number, len(BASE62))
        signs.append(BASE62[place])
    return "".join(reversed(signs))

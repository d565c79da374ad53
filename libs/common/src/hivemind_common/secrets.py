"""Secrets: a type that does not print, and the digest under which a secret is looked up."""

import hashlib
import secrets

from pydantic import SecretStr

__all__ = ["BASE62", "SecretStr", "digest", "new_token"]

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def digest(secret: str) -> bytes:
    """Return the SHA-256 of a secret of high entropy: what is stored, sent over the bus and looked up instead of it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def new_token(length: int) -> str:
    """Return `length` random characters of `[0-9A-Za-z]`, 5.95 bits each."""
    return "".join(secrets.choice(BASE62) for _ in range(length))

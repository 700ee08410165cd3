"""Addresses of services: which are safe to write into a policy, and which stay on this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(url: str) -> bool:
    """Whether an address is this machine's own; what listens there may pass things on all the same."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def safe_address(url: str) -> str:
    """The address, where neither it nor what is sent there gives anything away.

    Raises:
        ValueError: not https:// (http:// is for this machine alone), or more in it than an address.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("should be an address such as https://api.example.com/v1") from None
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(url)):
        raise ValueError("should be https://, or http:// on this machine: texts and key would travel in the clear")
    if not parts.hostname:
        raise ValueError("should be an address such as https://api.example.com/v1")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("should be an address alone: a secret in it would stand in every report")
    return url

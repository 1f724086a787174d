"""Where a model is, as a user writes it."""

from __future__ import annotations

import os
from dataclasses import dataclass

PUBLIC_URL = "https://api.openai.com/v1"
"""What `openai:#MODEL` means where OPENAI_BASE_URL says nothing else; the official client's default."""


@dataclass(frozen=True)
class EndpointAddress:
    """Where a model is."""

    url: str
    """Up to and with the version, without a slash at the end."""
    model: str

    def __str__(self) -> str:
        return f"openai:{self.url}#{self.model}"


def parse_endpoint(text: str) -> EndpointAddress:
    """`openai:http://HOST:PORT/v1#MODEL`, or `openai:#MODEL` for OPENAI_BASE_URL. Raises `ValueError`."""
    scheme, colon, rest = text.partition(":")
    url, hash_, model = rest.partition("#")
    wanted = "write openai:http://HOST:PORT/v1#MODEL, or openai:#MODEL for the endpoint in OPENAI_BASE_URL"
    if scheme != "openai" or not colon:
        raise ValueError(f"{text!r} names no endpoint: {wanted}")
    if not hash_ or not model.strip():
        raise ValueError(f"{text!r} names no model: {wanted}")
    url = (url or os.environ.get("OPENAI_BASE_URL") or PUBLIC_URL).rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"the URL of an endpoint must start with http:// or https://, not {url!r}: {wanted}")
    if "@" in url.partition("//")[2].partition("/")[0]:
        raise ValueError("the URL of an endpoint must not hold a password: the key comes from OPENAI_API_KEY")
    return EndpointAddress(url, model)

"""Find the client's gateway key, and name every header that says who asks or who pays.

This is the only such list: all doors, the management API and Envoy's configuration use it. None of
these values goes to a provider.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import unquote_plus

OWN_HEADER = "x-litellm-api-key"
"""A header that no provider knows, so the client may send its own provider credential beside it."""
AUTHORIZATION = "authorization"
KEY_HEADERS = (
    OWN_HEADER,
    AUTHORIZATION,
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "ocp-apim-subscription-key",
)
"""Headers in which clients send a key, in order of precedence: ours, then those of the SDKs."""
KEY_MEMBER = "key"
"""The query parameter in which Google's clients send a key; headers take precedence."""
PAYER_HEADERS = (
    "anthropic-organization",
    "anthropic-organization-id",
    "anthropic-workspace-id",
    "azureml-model-deployment",
    "cf-aig-authorization",
    "helicone-auth",
    "helicone-fallbacks",
    "helicone-model-override",
    "helicone-target-url",
    "openai-organization",
    "openai-project",
    "proxy-authorization",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "x-goog-fieldmask",
    "x-goog-iam-authorization-token",
    "x-goog-iam-authority-selector",
    "x-goog-user-project",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-portkey-api-key",
    "x-portkey-config",
    "x-portkey-custom-host",
    "x-portkey-provider",
    "x-portkey-virtual-key",
    "x-rewrite-url",
    "x-serverless-authorization",
)
"""Headers by which a client could choose the provider account that pays, the deployment there, or
another request than the one that was admitted: its method, path or model, or a reply without usage.
"""
OWN_PREFIX = "x-litellm-"
"""Prefix of headers that are meant for a gateway and not for a provider."""

_BEARER = "bearer "


def find_secret(headers: Mapping[str, str], query: str) -> str | None:
    """Return the client's key from lower-case headers and a query without its question mark.

    None if there is no key. `Authorization` requires the scheme `Bearer`; in our own header it is
    optional. Other schemes never carry a gateway key.
    """
    for name in KEY_HEADERS:
        if (value := headers.get(name)) and (secret := _secret_of(name, value)):
            return secret
    if query:
        for name, value in _members(query):
            if name == KEY_MEMBER and value:
                return value
    return None


def _secret_of(name: str, value: str) -> str:
    if name not in (OWN_HEADER, AUTHORIZATION):
        return value
    if value[: len(_BEARER)].lower() == _BEARER:
        return value[len(_BEARER) :].strip()
    if name != OWN_HEADER:
        return ""
    return value.strip()


def _members(query: str) -> Iterator[tuple[str, str]]:
    for member in query.split("&"):
        name, _, value = member.partition("=")
        yield unquote_plus(name), unquote_plus(value)


def without_key(target: str) -> str:
    """Return path and query without the client's key, however its name is encoded.

    Every other byte is unchanged.
    """
    path, mark, query = target.partition("?")
    if not mark:
        return target
    members = query.split("&")
    kept = [
        member for member in members if unquote_plus(member.partition("=")[0]).lower() != KEY_MEMBER
    ]
    if len(kept) == len(members):
        return target
    if kept:
        return f"{path}?{'&'.join(kept)}"
    return path


def passed_headers(own_header: str) -> tuple[str, ...]:
    """Return the headers that reach a deployment which accepts clients' own credentials:
    `Authorization`, and the header in which its provider expects one.
    """
    return tuple(dict.fromkeys((AUTHORIZATION, own_header)))


def passed_secrets(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield every header value that may reach a provider and could be a gateway key."""
    for name in KEY_HEADERS:
        if name != OWN_HEADER and (value := headers.get(name)):
            yield value.partition(" ")[2].strip() or value

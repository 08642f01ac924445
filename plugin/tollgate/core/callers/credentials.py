"""Where a client's key for the gateway stands, and what else of a request says who asks or who
pays: the one list for every door, the management API and Envoy's configuration.

None of it goes on to a provider.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import unquote_plus

OWN_HEADER = "x-litellm-api-key"
"""The header that no provider knows: beside it a client may send a credential of its own for the
provider.
"""
AUTHORIZATION = "authorization"
KEY_HEADERS = (
    OWN_HEADER,
    AUTHORIZATION,
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "ocp-apim-subscription-key",
)
"""The headers in which the providers' SDKs put a key, and ours: the first that has one counts."""
KEY_MEMBER = "key"
"""The member of a query in which Google's clients put theirs. It counts after all headers."""
PAYER_HEADERS = (
    "anthropic-organization",
    "anthropic-organization-id",
    "anthropic-workspace-id",
    "azureml-model-deployment",
    "cf-aig-authorization",
    "helicone-auth",
    "openai-organization",
    "openai-project",
    "proxy-authorization",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "x-goog-iam-authorization-token",
    "x-goog-iam-authority-selector",
    "x-goog-user-project",
    "x-portkey-api-key",
    "x-portkey-virtual-key",
    "x-serverless-authorization",
)
"""Headers with which a client could choose whose account at the provider pays, or which deployment
there serves.
"""
OWN_PREFIX = "x-litellm-"
"""What headers begin with that are for a gateway, and not for a provider."""

_BEARER = "bearer "


def find_secret(headers: Mapping[str, str], query: str) -> str | None:
    """The client's key, by headers with lower-case names and a query without its question mark;
    None: it names none.

    In Authorization it follows `Bearer`, in our own header it may; other schemes hold no key of
    ours.
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
    return value.strip() if name == OWN_HEADER else ""


def _members(query: str) -> Iterator[tuple[str, str]]:
    for member in query.split("&"):
        name, _, value = member.partition("=")
        yield unquote_plus(name), unquote_plus(value)


def without_key(target: str) -> str:
    """A path and its query without the client's key, however its name is encoded; every other byte
    as it was.
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
    return f"{path}?{'&'.join(kept)}" if kept else path


def passed_headers(own_header: str) -> tuple[str, ...]:
    """The headers that go on to a deployment that takes its clients' own credentials:
    Authorization, and where its provider wants one.
    """
    return tuple(dict.fromkeys((AUTHORIZATION, own_header)))


def passed_secrets(headers: Mapping[str, str]) -> Iterator[str]:
    """Every text of a request's headers that may go on to a provider and could be a key of ours."""
    for name in KEY_HEADERS:
        if name != OWN_HEADER and (value := headers.get(name)):
            yield value.partition(" ")[2].strip() or value

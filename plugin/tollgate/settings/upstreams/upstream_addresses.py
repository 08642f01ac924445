"""Read an `api_base` that already holds what a client's path adds to it.

People paste the address that their provider's page shows: with the endpoint, with the version of
the API, and for Azure with the deployment and `api-version`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

_ENDPOINT = re.compile(
    r"/(chat/completions|completions|embeddings|responses|messages|rerank|images/generations"
    r"|audio/(speech|transcriptions|translations))/?$"
)
_VERSION = re.compile(r"/v\d\w*$")
_AZURE = re.compile(r"/openai(/v1|/deployments(/(?P<deployment>[^/]+))?)?$")
_VERSION_IN_CLIENTS_PATH = frozenset({"anthropic", "cohere", "cohere_chat", "gemini"})
# https://learn.microsoft.com/azure/ai-foundry/foundry-models/concepts/endpoints: a resource serves
# all models at /openai/v1; a serverless endpoint serves its own at /v1.
_FOUNDRY = ".services.ai.azure.com"
_SERVERLESS = ".models.ai.azure.com", ".inference.ai.azure.com"


@dataclass(frozen=True, slots=True)
class UpstreamAddress:
    """An address to which Envoy adds the rest of the path.

    `deployment` and `api_version` are Azure's, where the address told them.
    """

    api_base: str
    deployment: str | None = None
    api_version: str | None = None


def upstream_address(provider: str, api_base: str) -> UpstreamAddress:
    """Return an address without what the path of a call adds to it."""
    parts = urlsplit(api_base)
    path = _ENDPOINT.sub("", parts.path).rstrip("/")
    deployment, api_version = None, None
    if provider in _VERSION_IN_CLIENTS_PATH:
        path = _VERSION.sub("", path)
    elif provider == "azure":
        if (match := _AZURE.search(path)) is not None:
            path = path[: match.start()]
            deployment = unquote(match["deployment"]) if match["deployment"] else None
        api_version = parse_qs(parts.query).get("api-version", [None])[0]
    elif provider == "azure_ai":
        path = _foundry_path(parts.hostname or "", path)
    return UpstreamAddress(
        urlunsplit((parts.scheme, parts.netloc, path, "", "")), deployment, api_version
    )


def _foundry_path(host: str, path: str) -> str:
    if host.endswith(_FOUNDRY) and path in ("", "/models"):
        return "/openai/v1"
    if host.endswith(_SERVERLESS) and not path:
        return "/v1"
    return path

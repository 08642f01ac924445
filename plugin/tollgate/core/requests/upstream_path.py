"""Rewrite a client's path, and the model in it, for the deployment that gets the call."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_plus, urlsplit

from tollgate.core.errors import BadRequest
from tollgate.core.models.deployment import Deployment
from tollgate.core.requests import dialects
from tollgate.core.requests.dialects import Dialect, Family
from tollgate.core.requests.endpoints import Endpoint, Wire, normal_path, wires_of

_TAKE_ENDLESS = frozenset({"llamafile", "lm_studio", "ollama", "ollama_chat"})

# Providers that keep OpenAI's paths elsewhere.
_OTHER_PATHS = frozenset({"azure", "ollama", "ollama_chat"})

# OpenAI-compatible providers whose address may point anywhere.
_MAYBE_OWN = frozenset({"custom_openai", "openai", "openai_like", "text-completion-openai"})

# https://docs.cloud.google.com/apis/docs/system-parameters: what would leave usage out of a reply,
# or write it in another format; and credentials.
_GOOGLES_OWN = frozenset({"access_token", "callback", "fields", "oauth_token", "quotauser"})
_GOOGLES_FORMATS = frozenset({"", "json", "sse"})
_QUERY_SEPARATORS = re.compile("[&;]")

_VERTEX_PLACE = re.compile(
    r"(?<=/projects/)[^/]+(?=/locations/)|(?<=/locations/)[^/]+(?=/publishers/)"
)


def names_model_in_body(endpoint: Endpoint | None, deployment: Deployment) -> bool:
    """Return whether the deployment's provider reads the model's name from the body."""
    if endpoint is None or endpoint.model is None:
        return True
    if endpoint.wire is Wire.VERTEX:
        return endpoint.dialect.family is Family.OPENAI
    return endpoint.wire is Wire.AZURE and Wire.AZURE not in wires_of(deployment)


def check_query(endpoint: Endpoint, query: str) -> None:
    """Raise BadRequest for a query by which Google's replies would not report what they cost."""
    if endpoint.wire not in (Wire.GEMINI, Wire.VERTEX):
        return
    for member in _QUERY_SEPARATORS.split(query):
        written, _, value = member.partition("=")
        name = unquote_plus(written).lower().lstrip("$").strip()
        form = unquote_plus(value).lower().partition(";")[0]
        unread = name == "alt" and form not in _GOOGLES_FORMATS
        if name in _GOOGLES_OWN or unread:
            raise BadRequest(
                f"The query parameter {name!r} is not let through: the reply has to report its "
                "usage in JSON, at the gateway's expense.",
                param=name,
            )


def takes_endless(dialect: Dialect, deployment: Deployment) -> bool:
    """Return whether the deployment's server reads a negative output limit as "unlimited".

    Documented by Ollama (https://docs.ollama.com/modelfile, num_predict), LM Studio
    (https://lmstudio.ai/docs/developer/openai-compat) and llama.cpp's server
    (tools/server/README.md, n_predict). Assumed for custom addresses, where any server may run.
    """
    if dialect.family is not Family.OPENAI or deployment.provider in _TAKE_ENDLESS:
        return True
    host = urlsplit(deployment.api_base).hostname or ""
    return deployment.provider in _MAYBE_OWN and not f".{host}".endswith(".openai.com")


def find_upstream_path(endpoint: Endpoint, target: str, deployment: Deployment) -> str | None:
    """Return the upstream path and query if they differ from the client's, else None.

    The model is renamed, a Vertex project and location become the deployment's, and OpenAI's paths
    become those of a provider that keeps them elsewhere. Envoy adds the path of `api_base` itself.
    """
    path, mark, query = target.partition("?")
    path = endpoint.path or normal_path(path)
    if endpoint.wire is Wire.OPENAI:
        if deployment.provider in _OTHER_PATHS:
            path, query = _own_path(endpoint, query, deployment)
    elif endpoint.wire is Wire.AZURE and Wire.AZURE not in wires_of(deployment):
        path, query, mark = f"/v1{endpoint.rest}", _without_version(query), ""
    elif endpoint.model is not None:
        name = endpoint.model if deployment.model == endpoint.model else deployment.model
        encoded = (
            path[endpoint.start : endpoint.end] if name == endpoint.model else quote(name, safe="@")
        )
        path = path[: endpoint.start] + encoded + path[endpoint.end :]
    if endpoint.wire is Wire.VERTEX:
        path = _placed(path, deployment)
    mark = "?" if query else mark
    changed = f"{path}{mark}{query}"
    if changed == target:
        return None
    return changed


def _own_path(endpoint: Endpoint, query: str, deployment: Deployment) -> tuple[str, str]:
    """Return the path and query at a provider that keeps OpenAI's paths elsewhere."""
    if deployment.provider != "azure":
        return f"/v1{endpoint.rest}", query
    # https://learn.microsoft.com/azure/ai-foundry/openai/api-version-lifecycle: the v1 surface
    # takes the deployment's name as its model.
    if deployment.api_version is None or endpoint.dialect is dialects.OPENAI_RESPONSES:
        return f"/openai/v1{endpoint.rest}", query
    version = f"api-version={quote(deployment.api_version)}"
    if "api-version=" in query:
        version = ""
    return f"/openai/deployments/{quote(deployment.model, safe='')}{endpoint.rest}", "&".join(
        filter(None, (query, version))
    )


def _without_version(query: str) -> str:
    """Return the query without `api-version`, which only Azure reads."""
    return "&".join(each for each in query.split("&") if not each.startswith("api-version="))


def _placed(path: str, deployment: Deployment) -> str:
    """Return the path with the deployment's project and location.

    A project chosen by the client would put the call on somebody else's bill.
    """
    places = {"projects": deployment.vertex_project, "locations": deployment.vertex_location}
    return _VERTEX_PLACE.sub(
        lambda match: places[path[: match.start() - 1].rpartition("/")[2]] or match[0], path
    )

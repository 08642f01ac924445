"""Describe a deployment's origin, its paths and Host, and how its cluster adds the credential.

Credentials are added in the cluster: no filter before the router sees one, and each attempt gets
its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from tollgate.core.callers.credentials import KEY_HEADERS
from tollgate.core.models.deployment import Deployment
from tollgate.core.requests.endpoints import Wire, wires_of
from tollgate.envoy_config.literals import Json, config_source, filter_literal, lua_source, typed
from tollgate.settings import Credential
from tollgate.topology import Discovery, secret_name


@dataclass(frozen=True, slots=True)
class CredentialForm:
    """The form in which a provider expects its key."""

    header: str = "authorization"
    prefix: str = "Bearer "


# From each provider's API reference on authentication. All others take a bearer token, including
# Cohere, Vertex and Bedrock's API keys.
_CREDENTIAL_FORMS = {
    "anthropic": CredentialForm("x-api-key", ""),
    "azure": CredentialForm("api-key", ""),
    "gemini": CredentialForm("x-goog-api-key", ""),
}


@dataclass(frozen=True, slots=True)
class Origin:
    """The server that an api_base names.

    `authority` omits the scheme's default port, as clients do.
    """

    tls: bool
    host: str
    port: int

    @classmethod
    def of(cls, api_base: str) -> Origin:
        """Parse an http or https address."""
        parts = urlsplit(api_base)
        tls = parts.scheme == "https"
        return cls(tls, parts.hostname or "", parts.port or (443 if tls else 80))

    @property
    def authority(self) -> str:
        """Return the value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def cluster_name(deployment: Deployment) -> str:
    """Return the name of a deployment's cluster."""
    return f"deployment/{deployment.id}"


@dataclass(frozen=True, slots=True)
class PathRule:
    """How a client's path becomes the provider's: the match of `pattern` at its beginning is
    replaced by `prefix` and a slash.
    """

    pattern: str
    prefix: str


def path_rule(deployment: Deployment) -> PathRule:
    """Return the rule of the deployment's provider. The query is not matched."""
    base = urlsplit(deployment.api_base).path.rstrip("/")
    if deployment.compatible:
        return PathRule("^(/openai)?(/v1)?/", base)
    if deployment.provider == "anthropic":
        # Its SDKs take the address without /v1 and add that themselves.
        return PathRule("^(/v1)?/", re.sub(r"/v1$", "", base) + "/v1")
    if wires_of(deployment) == {Wire.OPENAI}:
        # OpenAI's SDKs take the address including whatever precedes the path.
        return PathRule("^(/openai)?(/v1)?/", base)
    # All other paths are complete, so the beginning of a path must not be repeated in the address.
    return PathRule("^/", re.sub(r"(/openai)?(/v[12]\w*)?$", "", base))


def rewriting(deployment: Deployment) -> Json:
    """Return the rewriting of path and Host for a deployment with alternatives.

    A route's own rewriting would run once, for whichever deployment is tried first.
    """
    rule, origin = path_rule(deployment), Origin.of(deployment.api_base)
    script = lua_source(
        "upstream",
        PREFIX=_lua_text(rule.prefix),
        AUTHORITY=_lua_text(origin.authority),
        CREDENTIALS=", ".join(map(_lua_text, KEY_HEADERS)),
    )
    return filter_literal("lua", "Lua", default_source_code={"inline_string": script})


def _lua_text(text: str) -> str:
    return (
        '"'
        + re.sub(
            r"[^A-Za-z0-9/.:_~-]",
            lambda match: "".join(f"\\{b:03d}" for b in match[0].encode()),
            text,
        )
        + '"'
    )


def credential_header(deployment: Deployment) -> str:
    """Return the header in which the deployment's provider expects its key."""
    return credential_form(deployment).header


def credential_form(deployment: Deployment) -> CredentialForm:
    """Return the form of the key; endpoints for OpenAI's clients expect it as OpenAI does."""
    if deployment.compatible:
        return CredentialForm()
    return _CREDENTIAL_FORMS.get(deployment.provider, CredentialForm())


def credential_filters(
    deployment: Deployment, credential: Credential | None, discovery: Discovery | None
) -> list[Json]:
    """Return the filters that add the credential; a private model server may need none.

    `discovery`: where credentials are; those that it does not name are in Envoy's environment.
    """
    files = {} if discovery is None else discovery.secrets
    if deployment.pass_credentials:
        return []
    if deployment.provider == "bedrock" and (credential is None or credential.aws):
        return [_signing(deployment, credential, files)]
    if credential is None:
        return []
    form = credential_form(deployment)
    secret: Json = {"name": credential.variable}
    if discovery is not None and credential.variable in files:
        file = files[credential.variable]
        secret = {"name": secret_name(file), "sds_config": config_source(discovery, file)}
    generic = typed(
        "envoy.extensions.http.injected_credentials.generic.v3.Generic",
        credential=secret,
        header=form.header,
    )
    if form.prefix:
        generic["header_value_prefix"] = form.prefix
    injected = {"name": "envoy.http.injected_credentials.generic", "typed_config": generic}
    return [
        filter_literal(
            "credential_injector", "CredentialInjector", overwrite=True, credential=injected
        )
    ]


def _signing(
    deployment: Deployment, credential: Credential | None, files: Mapping[str, str]
) -> Json:
    """Return AWS Signature Version 4.

    Without credentials in the file, Envoy finds them itself: environment, profiles, the machine's
    role.
    """
    signing: Json = {"service_name": "bedrock", "region": deployment.region or ""}
    if credential is not None:
        file = files.get(credential.variable)
        source = (
            {"environment_variable": credential.variable} if file is None else {"filename": file}
        )
        signing["credential_provider"] = {
            # Otherwise Envoy's environment would take precedence.
            "custom_credential_provider_chain": True,
            "credentials_file_provider": {"credentials_data_source": source},
        }
    return filter_literal("aws_request_signing", "AwsRequestSigning", **signing)

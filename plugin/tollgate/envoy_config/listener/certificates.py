"""TLS of the gateway's own port: certificates in files, which are reread when they are replaced.

Envoy watches files of a secret only where it discovered the secret itself (SDS):
https://www.envoyproxy.io/docs/envoy/latest/configuration/security/secret#certificate-rotation.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from tollgate.envoy_config.literals import Json, typed
from tollgate.settings import TollgateSettings
from tollgate.settings.edge_settings import TlsSettings
from tollgate.topology import Discovery

_MESSAGES = "envoy.extensions.transport_sockets.tls.v3"
_CERTIFICATE, _AUTHORITIES = "tollgate.certificate", "tollgate.client_ca"


def transport_socket(ours: TollgateSettings, discovery: Discovery | None) -> Json:
    """Return the listener's TLS transport socket; nothing if no certificate is configured.

    Clients may negotiate HTTP/2, but not HTTP/3. `discovery`: where Envoy discovers certificates;
    without files of ours it reads them at its start.
    """
    if ours.tls is None:
        return {}
    common: Json = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
    }
    if discovery is None or discovery.by_ads:
        common["tls_certificates"] = [_certificate(ours.tls)]
        if ours.tls.client_ca is not None:
            common["validation_context"] = _authorities(ours.tls.client_ca)
    else:
        common["tls_certificate_sds_secret_configs"] = [
            _discovered(_CERTIFICATE, discovery.certificate)
        ]
        if ours.tls.client_ca is not None:
            common["validation_context_sds_secret_config"] = _discovered(
                _AUTHORITIES, discovery.client_ca
            )
    context = typed(f"{_MESSAGES}.DownstreamTlsContext", common_tls_context=common)
    if ours.tls.client_ca is not None:
        context["require_client_certificate"] = True
    return {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": context}}


def certificate_files(ours: TollgateSettings, discovery: Discovery) -> dict[str, bytes]:
    """Return the files from which Envoy discovers the certificates: content by path."""
    if ours.tls is None or discovery.by_ads:
        return {}
    certificate = _certificate(ours.tls)
    folders = {ours.tls.certificate.absolute().parent, ours.tls.key.absolute().parent}
    if len(folders) == 1:
        # Kubernetes replaces a link beside the files, not the files.
        certificate["watched_directory"] = {"path": str(folders.pop())}
    found = {discovery.certificate: _secret(_CERTIFICATE, tls_certificate=certificate)}
    if ours.tls.client_ca is not None:
        authorities = _authorities(ours.tls.client_ca)
        authorities["watched_directory"] = {"path": str(ours.tls.client_ca.absolute().parent)}
        found[discovery.client_ca] = _secret(_AUTHORITIES, validation_context=authorities)
    return found


def _certificate(tls: TlsSettings) -> Json:
    return {
        "certificate_chain": {"filename": str(tls.certificate.absolute())},
        "private_key": {"filename": str(tls.key.absolute())},
    }


def _authorities(file: Path) -> Json:
    return {"trusted_ca": {"filename": str(file.absolute())}}


def _discovered(name: str, file: str) -> Json:
    source = {"path_config_source": {"path": file}, "resource_api_version": "V3"}
    return {"name": name, "sds_config": source}


def _secret(name: str, **content: object) -> bytes:
    return msgspec.json.encode({"resources": [typed(f"{_MESSAGES}.Secret", name=name, **content)]})

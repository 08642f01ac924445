"""Render the objects of a control plane as YAML."""

from __future__ import annotations

from tollgate.core.errors import SettingsError
from tollgate.envoy_config.forms import contour_proxy, envoy_gateway, istio_mesh
from tollgate.envoy_config.forms.kubernetes_objects import Object, Place
from tollgate.envoy_config.http_filters.verifying import verifying_names
from tollgate.envoy_config.yaml_text import yaml_text
from tollgate.settings import Settings
from tollgate.topology import ControlPlane

_OBJECTS = {
    ControlPlane.ENVOY_GATEWAY: envoy_gateway.objects,
    ControlPlane.ISTIO: istio_mesh.objects,
    ControlPlane.CONTOUR: contour_proxy.objects,
}


def rendered_form(plane: ControlPlane, settings: Settings, place: Place) -> str:
    """Return the objects as one stream of YAML documents.

    Raises SettingsError for settings that the control plane's Envoy cannot serve.
    """
    if settings.tollgate.mode == "native":
        raise SettingsError(f"tollgate.mode: {plane} knows no filters of native mode; use grpc")
    if verifying_names(settings.tollgate):
        raise SettingsError(
            f"tollgate.identity: {plane} has other ways to set what Envoy vouches for; plain Envoy"
            " alone is rendered with it"
        )
    if plane is ControlPlane.ISTIO_MESH_CONFIG:
        documents: list[Object] = [istio_mesh.mesh_config(settings, place)]
    else:
        documents = list(_OBJECTS[plane](settings, place))
    return "---\n".join(map(yaml_text, documents))

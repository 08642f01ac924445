"""Define the model that `tollgate doctor` calls, whose provider is Tollgate's management server.

Envoy has a route and a cluster for it as for every other deployment, so a call of it shows what
becomes of any call. No list names it, no wildcard serves it, and only a key whose own list of
models names it may call it.
"""

from __future__ import annotations

from typing import Final

from tollgate.core.models.deployment import Deployment

PROBE_MODEL: Final = "tollgate-probe"
LATE_PROBE_MODEL: Final = f"{PROBE_MODEL}-late"
"""A call of it is refused only after LATE_S, which is longer than Envoy should wait."""
LATE_S: Final = 20.0
PROBE_HOST: Final = "tollgate-probe"
PROBE_PATH: Final = "/diagnosis/v1"
"""Where the management server answers such calls. No route of a client leads there."""
DAMAGED_PROBE: Final = "damaged_probe"
"""The code of the provider's answer to a body that is no JSON any more."""

PROBE: Final = Deployment(
    id=PROBE_MODEL,
    model_name=PROBE_MODEL,
    provider="openai",
    # Another name than the client's, so that the body has to be edited on its way.
    model="probe",
    api_base=f"http://{PROBE_HOST}{PROBE_PATH}",
    max_output_tokens=1000,
)


def is_probe(name: str) -> bool:
    """Return whether a name is kept for probes."""
    return name.startswith(PROBE_MODEL)

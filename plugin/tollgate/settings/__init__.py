"""Read the configuration file as pydantic models: LiteLLM's sections, and our own `tollgate:`.

Only this package reads the file and the environment. Keys of a LiteLLM file that Tollgate does not
serve are reported, one line each (`Settings.notices`); an unknown key in `tollgate:` is an error.
"""

from pathlib import Path

from tollgate.settings.own_section import EnvoyVersion, TollgateSettings
from tollgate.settings.settings_file import load
from tollgate.settings.validated import MOCK_HOST, Credential, Settings

EXAMPLE_FILE = Path(__file__).parent.with_name("example.yaml")

__all__ = [
    "EXAMPLE_FILE",
    "MOCK_HOST",
    "Credential",
    "EnvoyVersion",
    "Settings",
    "TollgateSettings",
    "load",
]

"""The configuration file, as pydantic models: the page's own form, and our section `tollgate:`.

This is the only package that reads the file and the environment. What a LiteLLM file may hold and
we do not serve is reported in one line each (`Settings.notices`); an unknown key in our own section
is an error.
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

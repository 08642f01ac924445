"""Build Envoy's configuration from the settings.

Renders dictionaries; starts nothing, and reads no file except the Lua scripts.

- bootstrap.py: the whole file; parts.py: a part of it
- discovered.py: what changes while Envoy runs, rendered without message classes
"""

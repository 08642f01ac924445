"""Import what a LiteLLM server knows: read its API or a dump, map it, send it to
POST /global/import.
"""

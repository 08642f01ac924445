"""What a LiteLLM server knows, carried over to Tollgate: read from its API or a dump, put into our
words, sent to POST /global/import.
"""

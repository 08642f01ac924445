"""The management API from a shell: one module per noun, each with its `app` for the command line.

They speak HTTP, nothing else.
"""

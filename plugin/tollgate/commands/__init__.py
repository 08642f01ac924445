"""Call the management API from a shell: one module per noun, each with its `app`.

Commands use HTTP only.
"""

"""Read a request: its path, its body, the deployment that serves it and what it may cost."""

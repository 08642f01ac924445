"""Judge models that are added over the API, and pass them on."""

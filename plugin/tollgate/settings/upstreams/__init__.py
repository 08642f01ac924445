"""Read where the deployments of a LiteLLM file are called, and with what."""

"""Manage models that are served beside those of the configuration file."""

"""The APIs that the stand-in provider speaks."""

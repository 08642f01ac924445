"""Scopes beside keys, users and teams: organizations, and what requests themselves name."""

"""The web console at /ui: pages for people, over the use cases that the API serves.

The server renders every page; nothing is loaded from elsewhere, and nothing has to be built.
"""

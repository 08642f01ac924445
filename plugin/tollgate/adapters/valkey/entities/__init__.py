"""Entities: documents, their names, and the directory that workers read them from."""

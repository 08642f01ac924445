"""Store entities: documents, unique names, and the directory that workers read."""

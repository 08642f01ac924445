"""Know models by name: parse names, bound their output, tell what each is for."""

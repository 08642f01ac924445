"""Examine a gateway from outside, as its clients meet it: `tollgate doctor`.

Probes are calls of a model that the management server answers (core/models/probe_model.py), so they
pass Envoy as any call does and cost no provider anything. What is judged is what came of them: the
replies, what arrived at the provider, and the ledger.
"""

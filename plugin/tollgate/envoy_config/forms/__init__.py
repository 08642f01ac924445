"""Tollgate for Envoys that a control plane configures: Kubernetes objects instead of a bootstrap.

All are made of the same settings, routes, filters and clusters as the plain configuration.
"""

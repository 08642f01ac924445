"""Clusters: providers, Tollgate itself, circuit breakers, failover."""

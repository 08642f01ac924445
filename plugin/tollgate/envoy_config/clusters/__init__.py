"""Build clusters: providers, Tollgate itself, circuit breakers, failover."""

"""What is measured by team, key and limit, for metrics: off the path of requests."""

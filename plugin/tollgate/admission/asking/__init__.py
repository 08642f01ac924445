"""Find out who asks, and which values of a request are told apart."""

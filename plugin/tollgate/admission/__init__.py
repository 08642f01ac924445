"""Admit requests: who asks, which model, which limits, and the hold."""

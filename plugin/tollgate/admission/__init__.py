"""The way in: who asks, which model, which limits, and the hold."""

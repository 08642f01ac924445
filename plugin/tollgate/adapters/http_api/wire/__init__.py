"""Define the bodies of requests, as checked, and of answers, as printed: one module per noun."""

"""Who asks: the key in a request, its people, and the accounts that its calls are charged to."""

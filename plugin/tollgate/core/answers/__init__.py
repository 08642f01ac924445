"""What a client is told: headers, refusals and their wording."""

"""What requests tell of the scopes that they belong to."""

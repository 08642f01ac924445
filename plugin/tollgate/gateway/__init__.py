"""The processes of a gateway: what runs them, and where they listen."""

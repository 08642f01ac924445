"""Connect to the store: its address, the client library, our own pipe, start-up checks."""

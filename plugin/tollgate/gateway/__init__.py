"""Run the processes of a gateway, and decide where they listen."""

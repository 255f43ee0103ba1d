"""The networks: those built in, and a user's own, imported, looked at and tried."""

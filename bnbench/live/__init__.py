"""How sweeps stand, in a browser, while they run: it only reads."""

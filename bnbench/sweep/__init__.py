"""A grid of fits: planned, spread, computed, watched."""

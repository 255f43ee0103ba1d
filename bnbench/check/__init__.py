"""Fits held to a committed baseline."""

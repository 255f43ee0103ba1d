"""Measures: numbers that say how far one fit came, a file for each, which ends in its ``MEASURE``."""

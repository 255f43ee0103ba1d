"""Measures: numbers that say how far one fit came, a file for each. Every file here with a ``MEASURE`` is one."""

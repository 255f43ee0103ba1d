"""A sweep as Python asks for it, and its result as a notebook shows it."""

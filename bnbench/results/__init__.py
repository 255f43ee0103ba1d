"""What is stored, where it lies, and how it is read."""

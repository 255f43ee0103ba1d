"""Each figure with its caption and the table that holds its numbers."""

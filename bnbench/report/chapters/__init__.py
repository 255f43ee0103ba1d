"""What the report says of a sweep: sentences, figures and tables, nothing written yet."""

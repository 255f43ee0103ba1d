"""What the fits say: tables in, tables out."""

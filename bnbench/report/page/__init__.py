"""What is written: the page, the record, and the files of every figure and table."""

"""A design from blocks of a table larger than memory."""

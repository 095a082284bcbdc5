"""The compiled heart of the exact engine: numbers in two flat arrays, read by place."""

"""Items to scores, by keys that are data."""

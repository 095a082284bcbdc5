"""One equation over its rows, and what several share."""

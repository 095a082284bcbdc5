"""Readers of a fit held against a simulation worked out apart, on fits whose draws are stated parameters."""

"""Rows, no model: reading, rules, the session table and its description."""

"""Grouping factors and the effects of their levels."""

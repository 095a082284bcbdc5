"""Families of outcomes: one file each, behind one contract, with NumPy and SciPy alone."""

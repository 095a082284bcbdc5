"""Outcomes observed in PyMC models: one ``observe`` per family."""

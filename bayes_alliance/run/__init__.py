"""Analyses as files: run, stored, run again."""

"""What needs more than the chains of one fit."""

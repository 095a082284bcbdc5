"""Reading a Fit: summaries, variance shares. Fits are never changed."""

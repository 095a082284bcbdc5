"""What a fit predicts that it has not seen, and which of several does it best."""

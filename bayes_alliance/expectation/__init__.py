"""What a model expects in rows: the fit's own, with variables set, or new ones."""

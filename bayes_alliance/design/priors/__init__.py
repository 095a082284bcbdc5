"""Every prior as numbers."""

"""Pictures: matplotlib figures, returned and never shown."""

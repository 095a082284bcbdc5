"""The command line: models, show, check, fit, simulate, demo."""

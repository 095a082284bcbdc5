"""Known truth in plain NumPy: spec × layout × truth to a table, and twins of studies as data. Never through build."""

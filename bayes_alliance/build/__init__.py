"""Design to PyMC: an ordinary ``pm.Model`` with named dims, to open, graph, extend and sample without us."""

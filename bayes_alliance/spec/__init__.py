"""Claims, no data: model files, formulas, priors, the registry. Standard library, pydantic and tomli-w only."""

"""Validate the docstrings of public names by numpydoc: what a function takes, returns and is called for.

    uv run --group docs --group test python docs/validate.py

It exits with 1 where something is wrong.
"""

from __future__ import annotations

import sys

from numpydoc.validate import validate

import bayes_alliance as ba

CHECKS = {
    "GL03": "two blank lines in a row",
    "GL08": "no docstring",
    "PR01": "parameters are not documented",
    "PR02": "documented parameters do not exist",
    "PR07": "a parameter has no description",
    "RT01": "no section on what is returned",
    "SS02": "the summary does not start with a capital letter",
    "SS03": "the summary does not end with a period",
    "SS05": "the summary is not in the imperative",
    "SS06": "the summary takes several lines",
}
"""Codes of numpydoc that public docstrings have to pass."""

RECORDS_NEED_NOT = {"PR01"}
"""Codes that do not hold for classes: records describe their fields in sentences."""


def problems() -> list[str]:
    """Return what is wrong, a line per finding."""
    found = []
    for name in sorted(ba.__all__):
        own = getattr(ba, name)
        left = CHECKS.keys() - (RECORDS_NEED_NOT if isinstance(own, type) else set())
        result = validate(f"{own.__module__}.{own.__qualname__}") if hasattr(own, "__qualname__") else {"errors": []}
        found += [f"{name}: {code} {text}" for code, text in result["errors"] if code in left]
    return found


if __name__ == "__main__":
    lines = problems()
    print(*lines, sep="\n")
    sys.exit(bool(lines))

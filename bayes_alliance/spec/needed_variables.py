"""The variables that a study must have a column for."""

from __future__ import annotations

from bayes_alliance.spec.expressions import Name
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.variables_read import values_in


def needed_variables(spec: ModelSpec) -> tuple[str, ...]:
    """Return the variables a study must have a column for: declared ones replaced by what they read."""
    names: list[str] = []
    for equation in spec.equation:
        for name in spec.variables_of(equation):
            call = spec.declared.get(name)
            read = [] if call is None else call.arguments if call.function == "survive" else call.arguments[:1]
            entry = None if call is None else dict(call.keywords).get("entry")
            read = [*read, *([entry] if isinstance(entry, Name) else [])]
            if name not in spec.raters:
                names += [name] if call is None else [part for argument in read for part in values_in(argument)]
    return tuple(dict.fromkeys(names))

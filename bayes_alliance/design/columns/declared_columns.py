"""Columns that a study works out of sessions, ``outcome_pre = "first(phq9)"``, as variables that its model declares."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from bayes_alliance.errors import SpecError
from bayes_alliance.spec.functions import VARIABLE_FUNCTIONS
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.model_parsing import make_model

_CALL: Final = re.compile(rf"\s*(?:{'|'.join(VARIABLE_FUNCTIONS)})\s*\(.*\)\s*\Z", re.DOTALL)


def is_declaration(text: str) -> bool:
    """Return whether the column that is stated for a variable is a summary of sessions, such as ``first(phq9)``."""
    return _CALL.match(text) is not None


def declare_columns(
    spec: ModelSpec, columns: Mapping[str, str], known: Collection[str] = ()
) -> tuple[ModelSpec, dict[str, str]]:
    """Return a model that declares what a study works out, and the columns without it.

    Parameters
    ----------
    spec : ModelSpec
        The model.
    columns : mapping of str to str
        Model variable to column, or to a summary such as ``first(phq9)`` or ``window(wai, 1, 4)`` of a variable.
    known : collection of str
        Columns that there are; a column that is called like a summary is one.

    Raises
    ------
    SpecError
        If a summary is none that can be worked out.
    """
    used = {name for equation in spec.equation for name in equation.variables}
    texts = {name: text for name, text in columns.items() if isinstance(text, str)}  # others are reported with names
    stated = {name: text for name, text in texts.items() if is_declaration(text) and text not in known}
    made = {name: text.strip() for name, text in stated.items() if name in used}
    rest = {name: text for name, text in columns.items() if name not in stated or name not in used}
    if not made:
        return spec, dict(columns)
    content = spec.model_dump(mode="json", exclude_defaults=True)
    content["variables"] = {**content.get("variables", {}), **made}
    try:
        return make_model(content), rest
    except SpecError as error:
        raise SpecError(error.problems, "columns") from None

"""The nested family of response surfaces: one model in every form of its surface, to be weighed on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bayes_alliance._messages import quote, unknown
from bayes_alliance.design.columns.surfaces import FORMS
from bayes_alliance.errors import SpecError
from bayes_alliance.spec.expressions import Text, calls_in, render
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.variants import alter_model


def surface_family(spec: ModelSpec, *, forms: Sequence[str] = tuple(FORMS)) -> dict[str, ModelSpec]:
    """Return a model with its surface in several forms, for ``compare_models``.

    Parameters
    ----------
    spec : ModelSpec
        With one ``surface(x, y)``, in formula and group terms alike.
    forms : sequence of str
        Of ``full``; ``linear``; ``IA`` (interaction); ``SQD`` and ``SSQD`` (squared difference, and with a shifted
        point of agreement); ``RR`` and ``SRR`` (rising ridge, and shifted); ``CA`` and ``CL`` (cubic: asymmetric, and
        level-dependent congruence). SRRR and SRSQD are under equations that are not linear in the coefficients and
        are no forms here; full holds both.

    Returns
    -------
    dict of str to ModelSpec
        By form.

    Raises
    ------
    SpecError
        If a form is unknown, or the model has no surface or several.
    """
    odd = [form for form in forms if form not in FORMS]
    if odd:
        raise SpecError(unknown("form", odd[0], FORMS))
    terms = [term for equation in spec.equation for term in equation.parsed.every_term]
    calls = {render(c): c for t in terms for part in t.parts for c in calls_in(part) if c.function == "surface"}
    if len(calls) != 1:
        raise SpecError(f"A family is of one surface; the model has {quote(calls) or 'none'}.")
    ((text, call),) = calls.items()
    rest = tuple(keyword for keyword in call.keywords if keyword[0] != "form")
    made = {}
    for form in forms:
        stated = rest if form == "full" else (*rest, ("form", Text(form)))
        new = render(replace(call, keywords=stated))
        made[form] = spec if new == text else alter_model(spec, swap={text: new})
    return made

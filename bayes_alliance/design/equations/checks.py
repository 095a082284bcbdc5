"""What must hold of coded columns before anything is built: values, spread, rank, cells; and what is worth a note."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from scipy import linalg

from bayes_alliance._messages import are, count_of, quote
from bayes_alliance.design.columns.terms import Columns
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.groups.groups import GroupDesign, nests_in
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.names import INTERCEPT
from bayes_alliance.outcome.contract import Outcome
from bayes_alliance.spec.expressions import Call, render
from bayes_alliance.spec.model import ModelSpec


def check_labels(where: str, named: Sequence[tuple[str, str]]) -> list[Problem]:
    """Report columns that come out with one label, such as those of a level and of a column called ``arm[CBT]``.

    Parameters
    ----------
    where : str
        Whose they are, for the message.
    named : sequence of (label, term)
        In the study's names, and as the model writes it.
    """
    owners: dict[str, list[str]] = {}
    for label, term in named:
        owners.setdefault(label, []).append(term)
    return [
        Problem(
            f"{count_of(len(terms), 'coefficient')} of {where} would have one name, {label!r}: from the terms "
            f"{quote(terms)}.",
            fix="Rename a column or a level.",
        )
        for label, terms in owners.items()
        if len(terms) > 1
    ]


def check_columns_named(outcome: str, coef: Columns, groups: Sequence[GroupDesign] = ()) -> list[Problem]:
    """Report columns of one label among the population columns of an equation, or among the effects of a factor."""
    named = [(outcome, coef), *((f"{outcome} by {group.factor}", group.columns) for group in groups if not group.slot)]
    return [p for where, own in named for p in check_labels(where, list(zip(own.labels, own.terms, strict=True)))]


def check_predictors(coef: Columns, findings: Findings, shrunk: Collection[str] = ()) -> None:
    """Report constant columns, empty cells of products, and columns that others determine.

    Columns of ``shrunk`` terms may be determined by others of them, which is a message: their prior distinguishes them.
    """
    low, high = coef.values.min(axis=0, initial=np.inf), coef.values.max(axis=0, initial=-np.inf)
    check_columns(coef, low, high, findings, shrunk)


def check_columns(
    coef: Columns,
    low: np.ndarray,
    high: np.ndarray,
    findings: Findings,
    shrunk: Collection[str] = (),
) -> None:
    """Report the same of columns with given extremes, and values that depend on each other as those of all rows do."""
    usable = []
    for i, label in enumerate(coef.labels):
        if label != INTERCEPT and low[i] == high[i]:
            product = ":" in coef.terms[i] and low[i] == 0
            what = "no row is in this cell" if product else f"it is {low[i]:g} in every row used"
            advice = "Leave out the product or the level." if product else "Leave the predictor out."
            findings.problem(f"Predictor {label!r} is constant: {what}.", fix=advice)
        else:
            usable.append(i)
    dependent = _dependent(coef.values[:, usable])
    for position, others in dependent:
        names = quote(coef.labels[usable[i]] for i in others)
        if all(coef.terms[usable[i]] in shrunk for i in (position, *others)):
            findings.note(
                f"Predictor {coef.labels[usable[position]]!r} is determined by {names} in the rows used; only their "
                f"shrinkage prior tells them apart."
            )
            continue
        findings.problem(
            f"Predictor {coef.labels[usable[position]]!r} is determined by {names} (perfect collinearity).",
            fix="Leave one out.",
        )


def check_groups(groups: Sequence[GroupDesign], family: Outcome) -> list[Problem]:
    """Report factors and slopes the data cannot identify, whatever the prior."""
    problems = []
    for number, group in enumerate(groups):
        if len(group.levels) < 2:
            continue
        per_level = np.bincount(group.code[group.inside], minlength=len(group.levels))
        if group.weight is not None:
            continue
        if (per_level == 1).all():
            problems.append(say_one_row_each(group.factor, family))
        for other in groups[:number]:
            if _same_partition(group, other):
                problems.append(say_alike(group.factor, other.factor))
        problems += check_effects(group.factor, group.effects, group.values[group.inside])
        problems += _slopes_that_never_vary(group)
    return problems


def _same_partition(one: GroupDesign, two: GroupDesign) -> bool:
    """Return whether two factors put the same rows together."""
    if len(one.levels) != len(two.levels) or not np.array_equal(one.inside, two.inside):
        return False
    pairs = np.unique(np.column_stack([one.code[one.inside], two.code[two.inside]]), axis=0)
    return len(pairs) == len(one.levels)


def say_one_row_each(factor: str, family: Outcome) -> Problem:
    """Return that a factor's levels have one row each."""
    rest = "the residual" if family.spread else "chance"
    return Problem(
        f"Every level of {factor!r} has one row, so its effects cannot be told from {rest}.", fix="Leave the term out."
    )


def say_alike(one: str, two: str) -> Problem:
    """Return that two factors put the same rows together."""
    return Problem(
        f"{one!r} and {two!r} group the rows alike (one level each), so their effects cannot be told apart.",
        fix="Leave one out.",
    )


def say_never_varies(label: str, factor: str) -> Problem:
    """Return that a covariate does not vary within the levels of a factor."""
    return Problem(
        f"{label!r} never varies within a {factor}, so it has no slope by {factor}.",
        fix="Take it out of the group term.",
    )


def check_effects(factor: str, effects: Sequence[str], values: np.ndarray) -> list[Problem]:
    """Report effects of a factor that others of it determine; values have shape (row, effect)."""
    return [
        Problem(
            f"The effect {effects[i]!r} of {factor!r} is determined by {quote(effects[j] for j in others)} of "
            "the same factor.",
            fix="Leave one out.",
        )
        for i, others in _dependent(values)
    ]


def _slopes_that_never_vary(group: GroupDesign) -> list[Problem]:
    problems = []
    for i, label in enumerate(group.effects):
        values = group.values[group.inside, i]
        alone = len(group.effects) == 1 and np.ptp(values) == 0
        if label == INTERCEPT or alone:
            continue
        low, high = np.full(len(group.levels), np.inf), np.full(len(group.levels), -np.inf)
        np.minimum.at(low, group.code[group.inside], values)
        np.maximum.at(high, group.code[group.inside], values)
        if not (high > low).any():
            problems.append(say_never_varies(label, group.factor))
    return problems


def notes_on_groups(groups: Sequence[GroupDesign]) -> list[str]:
    """Describe what the data cannot tell about a factor: levels with one row, few levels, one factor in another."""
    notes = []
    for group in groups:
        if group.weight is not None:
            continue
        per_level = np.bincount(group.code[group.inside], minlength=len(group.levels))
        single = int((per_level == 1).sum())
        if single:
            says = are(single, "says", "say")
            slope = f" and {says} nothing about slopes" if len(group.effects) > 1 else ""
            notes.append(
                f"{count_of(single, 'level')} of {group.factor} ({single / len(group.levels):.0%}) "
                f"{are(single, 'has one row: it is', 'have one row: they are')} kept{slope}."
            )
        if len(group.levels) < 10 and group.factor != "patient":
            notes.append(
                f"{group.factor} has {count_of(len(group.levels), 'level')}: with fewer than ten, its SD leans on its "
                f"prior."
            )
        for other in groups:
            if other is not group and nests_in(other, group):
                both = group.inside & other.inside
                holder = np.full(len(other.levels), -1)
                holder[other.code[both]] = group.code[both]
                alone = int((np.bincount(holder[holder >= 0]) == 1).sum())
                if alone:
                    notes.append(
                        f"{count_of(alone, 'level')} of {group.factor} {are(alone, 'holds', 'hold')} one "
                        f"{other.factor} only; there the two "
                        f"effects cannot be told apart."
                    )
    return notes


def notes_on_means(spec: ModelSpec) -> list[str]:
    """Name means of an outcome that predict another one whose intercepts correlate with its own.

    A unit's observed mean is nearly its intercept, so its coefficient and the correlation tell one story twice.
    """
    notes = []
    for equation in spec.equation:
        for term in equation.parsed.terms:
            call = term.parts[0]
            if len(term.parts) > 1 or not isinstance(call, Call) or call.function != "between":
                continue
            name, factor = (render(argument) for argument in call.arguments)
            pair = {name, equation.outcome}
            if len(pair) == 2 and name in spec.outcomes and pair <= set(spec.group(factor).correlate):
                notes.append(
                    f"{render(call)} predicts {equation.outcome}, and the intercepts by {factor} of {name} and "
                    f"{equation.outcome} correlate: a {factor}'s mean is nearly its intercept, so the data can hardly "
                    f"tell the two apart. Leave one of them out."
                )
    return notes


def notes_on_origin(groups: Sequence[GroupDesign]) -> list[str]:
    """Name slopes of a factor whose 0 lies further from its rows than these spread, where intercepts have a meaning.

    Intercepts, their SD and their correlation with slopes are those at 0, and so are the priors of the three.
    """
    notes = []
    for group in groups:
        if INTERCEPT not in group.effects or not group.inside.any():
            continue
        for place, effect in enumerate(group.effects):
            values = group.columns.values[group.inside, place]
            low, high = float(values.min()), float(values.max())
            if effect != INTERCEPT and max(low, -high) > high - low > 0:
                notes.append(
                    f"Slopes of {effect} by {group.factor}: 0 lies far from its rows ({low:g} to {high:g}), and "
                    f"intercepts, their SD and their correlation with slopes are those at 0. Subtract a middle value, "
                    f"such as {effect} - {(low + high) / 2:.3g}, in a column of the table."
                )
    return notes


def notes_on_time(outcome: Variable, predictors: Sequence[Variable]) -> list[str]:
    """Name declared predictors that were measured after the declared outcome, or while it changed."""
    if outcome.sessions is None:
        return []
    notes = []
    for variable in predictors:
        if variable is outcome or variable.sessions is None:
            continue
        if variable.sessions[1] > outcome.sessions[1]:
            notes.append(
                f"{variable.label} is measured up to session {variable.sessions[1]:g}, later than {outcome.label} "
                f"(session {outcome.sessions[1]:g}): it cannot be its cause."
            )
        elif variable.sessions[1] > outcome.sessions[0] and outcome.sessions[0] < outcome.sessions[1]:
            notes.append(
                f"{variable.label} and {outcome.label} overlap in time (sessions {variable.sessions[0]:g} to "
                f"{variable.sessions[1]:g} and {outcome.sessions[0]:g} to {outcome.sessions[1]:g}): which came first "
                f"is an assumption."
            )
    return notes


def notes_on_separation(label: str, outcome: np.ndarray, coef: Columns) -> list[str]:
    """Name predictors that alone predict a 0/1 outcome without error; their coefficient rests on the prior.

    Also where both outcomes occur at one value alone (quasi-complete separation; Albert and Anderson 1984).
    """
    notes = []
    for i, name in enumerate(coef.labels):
        if name == INTERCEPT:
            continue
        zeros, ones = coef.values[outcome == 0, i], coef.values[outcome == 1, i]
        apart = zeros.max() <= ones.min() or ones.max() <= zeros.min()
        indicator = np.isin(coef.values[:, i], (0.0, 1.0)).all()
        on = outcome[coef.values[:, i] == 1]
        if apart or (indicator and len(on) and np.ptp(on) == 0):
            notes.append(
                f"Separation: {name!r} predicts {label!r} without error in some or all rows. Its coefficient rests on "
                f"the prior; try others."
            )
    return notes


def _dependent(values: np.ndarray) -> list[tuple[int, list[int]]]:
    """Return columns in the span of earlier ones, each with the columns that determine it."""
    if values.shape[1] == 0 or len(values) == 0:
        return []
    scale = np.sqrt((values**2).mean(axis=0))
    scaled = values / np.where(scale > 0, scale, 1.0)
    # The diagonal of R is what is left of each column given the earlier ones: one decomposition tells if none is
    # determined by others.
    if len(scaled) >= scaled.shape[1]:
        left = np.abs(np.diag(linalg.qr(scaled, mode="r")[0])) / np.sqrt(len(scaled))
        if (left > 1e-6).all():
            return []
    kept: list[int] = []
    found = []
    for i in range(values.shape[1]):
        if kept:
            solution, _, _, _ = linalg.lstsq(scaled[:, kept], scaled[:, i])
            left = scaled[:, i] - scaled[:, kept] @ solution
            if np.sqrt((left**2).mean()) < 1e-8:
                found.append((i, [kept[j] for j in np.flatnonzero(np.abs(solution) > 1e-6)]))
                continue
        kept.append(i)
    return found

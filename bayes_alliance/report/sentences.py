"""Sentences as the APA manual wants them, every number with the parameter it is of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bayes_alliance.report.document import Number, Words

REFER = "Intervals are equal-tailed and hold 95 % of the posterior."


def two_places(value: float) -> str:
    """Return a number with two places, more where two would hide it, and a real minus sign."""
    for places in (2, 3, 4, 5):
        text = f"{value:.{places}f}"
        if value == 0 or float(text) != 0:
            break
    else:
        text = f"{value:.1e}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "\u2212")


def probability(value: float) -> str:
    """Return a probability without a leading zero; what lies beyond the draws is a bound."""
    if value > 0.999:
        return "above .999"
    if value < 0.001:
        return "below .001"
    places = 3 if value < 0.01 or value > 0.99 else 2
    return f"{value:.{places}f}".removeprefix("0")


def estimand_sentence(row: Mapping[str, Any], model: str) -> Words:
    """Return the sentence for an estimand.

    Parameters
    ----------
    row : mapping
        An estimand as a run's record has it.
    model : str
        Label of its model, for the places of numbers.
    """
    place = (model, str(row["name"]))

    def number(value: float) -> Number:
        return Number(two_places(value), place)

    middle, what = (row["mean"], "mean") if row["mean"] is not None else (row["median"], "median")
    parts: list[str | Number] = [f"{_name(row['name'])}: the posterior {what} was ", number(middle), f" {row['unit']}"]
    parts += [", 95 % interval [", number(row["eti95_lb"]), ", ", number(row["eti95_ub"]), "]"]
    if row["null"] is not None:
        above = row["p_above"]
        side, share = ("above", above) if above >= 0.5 else ("below", 1 - above)
        parts += [f"; the probability that it lies {side} {row['null']:g} is ", Number(probability(share), place)]
    if row["p_rope"] is not None and row["rope"]:
        low, high = (stated(bound) for bound in row["rope"])
        parts += [f"; that it lies between {low} and {high}, which was stated to be no difference in practice, is "]
        parts += [Number(probability(row["p_rope"]), place)]
    parts += [f" ({_mixing(row)})."]
    if not row["mixed"]:
        parts += [" The chains did not mix: this number is not to be reported."]
    return tuple(parts)


def coefficient_sentence(row: Mapping[str, Any], model: str) -> Words:
    """Return the sentence for a parameter of a summary, for models that state no estimand."""
    place = (model, str(row["name"]))
    name = str(row["name"])
    return (
        f"{name}: posterior mean ",
        Number(two_places(row["mean"]), place),
        ", 95 % interval [",
        Number(two_places(row["eti95_lb"]), place),
        ", ",
        Number(two_places(row["eti95_ub"]), place),
        f"] ({_mixing(row)}).",
    )


def plain_sentence(row: Mapping[str, Any], *, passed: bool = True) -> str:
    """Return what an estimand says to somebody who knows no statistics; nothing where its model's sampling failed."""
    name = _name(row["name"])
    if not (passed and row["mixed"]):
        return f"{name}: the computation did not settle, so that nothing can be said of it yet."
    low, high, null = row["eti95_lb"], row["eti95_ub"], row["null"]
    middle = row["mean"] if row["mean"] is not None else row["median"]
    text = (
        f"{name} is most likely near {two_places(middle)} {row['unit']}, and lies between {two_places(low)} and "
        f"{two_places(high)} with a probability of 95 %."
    )
    if null is not None and (low > null or high < null):
        text += f" The value of no difference, {null:g}, is not among the plausible ones."
    elif null is not None:
        text += f" The value of no difference, {null:g}, is among the plausible ones: which way it goes is open."
    if row["rope"] and row["p_rope"] is not None:
        low, high = (stated(bound) for bound in row["rope"])
        text += f" It is too small to matter ({low} to {high}) with a probability of {probability(row['p_rope'])}."
    return text


def stated(bound: float) -> str:
    """Return a number that somebody stated as it was stated."""
    return f"{bound:g}".replace("-", "\u2212")


def _mixing(row: Mapping[str, Any]) -> str:
    """Return R-hat and ESS; one chain by itself has no R-hat."""
    hat = "not known of one chain" if row["r_hat"] is None else f"= {row['r_hat']:.3f}"
    size = "not known" if row["ess_bulk"] is None else f"= {row['ess_bulk']:,.0f}"
    return f"R-hat {hat}, bulk ESS {size}"


def _name(name: object) -> str:
    """Return a stated name as words; one that the program made, with variables in brackets, as it is."""
    text = str(name)
    return text if "[" in text else text.replace("_", " ").capitalize()

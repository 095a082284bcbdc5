"""A twin whose classical analyses print what a study printed: the same coefficients and test statistics, to the digit.

Numbers are moved as little as it takes: residuals and predictors keep their shape, and are shifted and scaled. What is
matched says nothing of anything else in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import optimize, special, stats

from bayes_alliance.errors import SpecError
from bayes_alliance.simulate.simulation import SimulatedTable
from bayes_alliance.simulate.twins import simulate_twin
from bayes_alliance.table.sessions import SessionTable, make_table

WEEKS = (2.0, 5.0, 9.0)

SPREAD = 1.15
"""How far sums of items spread, of the twin's: residuals of distress then have an SD of about 4."""

LEFT = 26
"""Patients who left and have an early alliance: with more the standard error of .31 would need less spread."""

PRINTED: Mapping[str, str] = {
    "distress": "early alliance on distress: B = -.12, t(114) = -2.656",
    "wellbeing": "early alliance on well-being: B = .23, t(113) = 2.651",
    "moderation": "early alliance x eMBCT on distress: B = .22, t(113) = 2.261",
    "time": "alliance over weeks 2, 5 and 9: F(2, 90) = 16.46, Wilks .732",
    "time by condition": "its increase by condition: F(1, 91) = 0.114",
    "dropout": "early alliance on dropout: B = -.39, P = .21",
}
"""What the abstract of Bisseling et al. (2019, JMIR) prints."""

ASSUMED = (
    "Regressions adjust for the outcome's score before treatment and for the condition: 118 and 117 rows give their "
    "degrees of freedom.",
    "MBCT is the reference. The ratio of the two standard errors on distress, .097 to .045, needs 30 % of the "
    "information on the alliance in one arm; here it is MBCT.",
    "In regressions and growth the alliance is a sum of 12 items; on dropout it is their mean, which an odds ratio of "
    ".68 per unit needs: the study seems to mix the two.",
    "Dropout is regressed on the early alliance alone, on all who have it.",
    "F(1, 91) is the linear contrast of weeks (first to last) by condition; a test of both contrasts would have 2 and "
    "90 degrees of freedom.",
    "Which patients lack a score is by chance, given the numbers of rows; 26 of those who left have an early alliance.",
)
"""What had to be decided so that the printed numbers go together."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Patients of the matched study, one row each, and who is in which analysis."""

    people: pd.DataFrame
    outcome: np.ndarray
    wellbeing: np.ndarray
    growth: np.ndarray
    left: np.ndarray

    @property
    def condition(self) -> np.ndarray:
        """Return 1 for eMBCT and 0 for MBCT."""
        return (self.people["arm"] == "eMBCT").to_numpy(float)


def simulate_matched(*, seed: int) -> SessionTable:
    """Simulate the eMBCT trial so that its published statistics come out of the table.

    Parameters
    ----------
    seed : int
        The same seed gives the same table.

    Returns
    -------
    SessionTable
        SYNTHETIC: one row per patient and week, the twin ``embct-mbct`` with ``alliance`` as a sum of 12 items and
        ``alliance_mean`` as their mean. Its messages list what was matched and what had to be assumed. It carries no
        truth: what is matched was not drawn from one.

    Raises
    ------
    SpecError
        For a seed whose patients cannot be moved so far, about a quarter of all.

    Notes
    -----
    Least squares on 118 rows (distress), 117 (well-being) and 93 (growth), and a logistic regression on all with an
    early alliance, print B, t, F and P as published (``PRINTED``).
    """
    twin = simulate_twin("embct-mbct", seed=seed)
    rng = np.random.default_rng(np.random.SeedSequence([seed, 118]))
    rows = _choose_rows(twin, rng)
    people = rows.people
    alliance = 12 * people["w2"].to_numpy(float)
    alliance = _unequal_information(rows, alliance.mean() + SPREAD * (alliance - alliance.mean()))
    people["w2"] = alliance
    people["hads_post"] = _match_distress(rows)
    people["mhc_post"] = _match_wellbeing(rows)
    _match_growth(rows)
    _match_dropout(rows)
    return _as_table(twin, rows)


def _choose_rows(twin: SimulatedTable, rng: np.random.Generator) -> Rows:
    """Return one row per patient, complete, and who will have which score."""
    frame = twin.frame.copy()
    frame["therapist"] = frame["therapist"].astype(str)
    people = frame.groupby("patient", sort=True).first(min_count=-1)
    waves = frame.pivot(index="patient", columns="week", values="alliance")
    for week in WEEKS:
        filled = waves[week].to_numpy(float, copy=True)
        lacking = np.isnan(filled)
        filled[lacking] = rng.choice(filled[~lacking], lacking.sum())
        people[f"w{week:.0f}"] = filled
    for name in ("hads_post", "mhc_post"):
        values = people[name].to_numpy(float, copy=True)
        lacking = np.isnan(values)
        values[lacking] = rng.choice(values[~lacking], lacking.sum())
        people[name] = values
    dropout = people["dropout"].to_numpy() == 1
    order = rng.permutation(len(people))
    stayed = order[~dropout[order]]
    outcome = np.zeros(len(people), dtype=bool)
    outcome[stayed[:118]] = True
    wellbeing = outcome.copy()
    wellbeing[stayed[0]] = False
    growth = np.zeros(len(people), dtype=bool)
    growth[stayed[:93]] = True
    left = np.zeros(len(people), dtype=bool)
    left[order[dropout[order]][:LEFT]] = True
    return Rows(people.reset_index(), outcome, wellbeing, growth, left)


def fit_least_squares(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return coefficients, standard errors and residuals of least squares."""
    b, *_ = np.linalg.lstsq(x, y, rcond=None)
    residual = y - x @ b
    variance = residual @ residual / (len(y) - x.shape[1])
    return b, np.sqrt(variance * np.diag(np.linalg.inv(x.T @ x))), residual


def match_least_squares(y: np.ndarray, x: np.ndarray, wanted: Mapping[int, float], t: tuple[int, float]) -> np.ndarray:
    """Return outcomes whose regression on ``x`` has stated coefficients and one stated t statistic.

    Parameters
    ----------
    y : ndarray, shape (obs,)
        Whose residuals keep their shape and whose other coefficients stay.
    x : ndarray, shape (obs, coef)
    wanted : mapping of int to float
        Coefficients by column.
    t : (int, float)
        A column of ``wanted`` and its t statistic, which sets the size of residuals.
    """
    b, se, residual = fit_least_squares(y, x)
    for column, value in wanted.items():
        b[column] = value
    column, statistic = t
    return np.asarray(x @ b + residual * (wanted[column] / statistic) / se[column])


def _root(apart: Callable[[float], float], low: float, high: float) -> float:
    """Return where a difference vanishes between two values.

    Raises
    ------
    SpecError
        If it does not.
    """
    if apart(low) * apart(high) > 0:
        raise SpecError("The patients of this seed cannot be moved to what was printed; try another seed.")
    return float(optimize.brentq(apart, low, high))


def _unequal_information(rows: Rows, alliance: np.ndarray) -> np.ndarray:
    """Spread the alliance of MBCT less, until the two standard errors on distress have their ratio."""
    condition, pre = rows.condition, rows.people["hads_pre"].to_numpy(float)
    chosen, middle = rows.outcome, np.array([alliance[rows.condition == arm].mean() for arm in (0, 1)])
    b, t = {"main": -0.12, "product": 0.22}, {"main": -2.656, "product": 2.261}
    # both models leave the same outcomes, so that their residual variances are in the ratio of 114 (1 + t^2/113) ...
    residual = np.sqrt((1 + t["product"] ** 2 / 113) * 113 / 114)
    wanted = (b["product"] / t["product"]) / (b["main"] / t["main"]) * residual

    def spread(size: float) -> np.ndarray:
        scale = np.where(condition == 0, size, 1.0)
        return np.asarray(middle.mean() + (alliance - middle[condition.astype(int)]) * scale)

    def ratio(size: float) -> float:
        moved = spread(size)[chosen]
        one, arm = np.ones(len(moved)), condition[chosen]
        plain = np.column_stack([one, pre[chosen], arm, moved])
        product = np.column_stack([plain, arm * moved])
        information = [np.linalg.inv(x.T @ x)[-1, -1] for x in (plain, product)]
        return float(np.sqrt(information[1] / information[0]) - wanted)

    return spread(float(_root(ratio, 0.2, 1.0)))


def _match_distress(rows: Rows) -> np.ndarray:
    """Return distress after treatment with both printed regressions."""
    people, condition = rows.people[rows.outcome], rows.condition[rows.outcome]
    alliance = people["w2"].to_numpy(float)
    x = np.column_stack([np.ones(118), people["hads_pre"].to_numpy(float), condition, alliance])
    full = np.column_stack([x, condition * (alliance - alliance.mean())])
    y = people["hads_post"].to_numpy(float)

    def with_slope(slope: float) -> np.ndarray:
        return match_least_squares(y, full, {3: slope, 4: 0.22}, (4, 2.261))

    def apart(slope: float) -> float:
        return float(fit_least_squares(with_slope(slope), x)[0][3] + 0.12)

    values = rows.people["hads_post"].to_numpy(float, copy=True)
    values[rows.outcome] = with_slope(float(_root(apart, -2.0, 2.0)))
    return values


def _match_wellbeing(rows: Rows) -> np.ndarray:
    people = rows.people[rows.wellbeing]
    x = np.column_stack(
        [np.ones(117), people["mhc_pre"].to_numpy(float), rows.condition[rows.wellbeing], people["w2"].to_numpy(float)]
    )
    values = rows.people["mhc_post"].to_numpy(float, copy=True)
    values[rows.wellbeing] = match_least_squares(people["mhc_post"].to_numpy(float), x, {3: 0.23}, (3, 2.651))
    return values


def time_effects(first: np.ndarray, middle: np.ndarray, last: np.ndarray, group: np.ndarray) -> dict[str, float]:
    """Return the tests of a repeated-measures MANOVA of three waves in two groups.

    ``wilks`` and ``time`` (F with 2 and n - 3 degrees of freedom) are of the mean of the groups' changes, ``by_group``
    (F with 1 and n - 2) of the groups' difference in the change from the first to the last wave.
    """
    changes = np.column_stack([middle - first, last - first])
    x = np.column_stack([np.ones(len(group)), np.where(group == 1, 0.5, -0.5)])
    b, *_ = np.linalg.lstsq(x, changes, rcond=None)
    residual = changes - x @ b
    error = residual.T @ residual
    inverse = np.linalg.inv(x.T @ x)
    hypothesis = np.outer(b[0], b[0]) / inverse[0, 0]
    wilks = float(np.linalg.det(error) / np.linalg.det(error + hypothesis))
    degrees = len(group) - 3
    last_variance = error[1, 1] / (len(group) - 2)
    return {
        "wilks": wilks,
        "time": (1 - wilks) / wilks * degrees / 2,
        "by_group": float(b[1, 1] ** 2 / (last_variance * inverse[1, 1])),
    }


def _match_growth(rows: Rows) -> None:
    """Move weeks 5 and 9 of those with all waves; the others' are moved alike."""
    people, group = rows.people, rows.condition
    first = people["w2"].to_numpy(float)
    changes = 12 * np.column_stack([people["w5"] - people["w2"] / 12, people["w9"] - people["w2"] / 12])
    changes = np.where(
        group[:, None] == 1, changes - changes[group == 1].mean(0), changes - changes[group == 0].mean(0)
    )
    for arm in (0, 1):
        own = rows.growth & (group == arm)
        changes[group == arm] -= changes[own].mean(axis=0)
    chosen, g = changes[rows.growth], group[rows.growth]
    direction, difference = np.array([0.6, 1.0]), np.array([0.0, 1.0])
    start = first[rows.growth]

    def tests(size: float, gap: float) -> dict[str, float]:
        moved = chosen + size * direction + np.outer(np.where(g == 1, 0.5, -0.5), gap * difference)
        return time_effects(start, start + moved[:, 0], start + moved[:, 1], g)

    gap = float(_root(lambda gap: tests(1.0, gap)["by_group"] - 0.114, 0.0, 20.0))
    size = float(_root(lambda size: tests(size, gap)["time"] - 16.46, 0.0, 50.0))
    moved = changes + size * direction + np.outer(np.where(group == 1, 0.5, -0.5), gap * difference)
    people["w5"], people["w9"] = first + moved[:, 0], first + moved[:, 1]


def fit_logistic(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return coefficients and standard errors of a logistic regression, by Newton's method."""
    b = np.zeros(x.shape[1])
    for _ in range(60):
        chance = special.expit(x @ b)
        information = x.T @ (x * (chance * (1 - chance))[:, None])
        b = b + np.linalg.solve(information, x.T @ (y - chance))
    return b, np.sqrt(np.diag(np.linalg.inv(information)))


def _match_dropout(rows: Rows) -> None:
    """Shift and spread the early alliance of those who left, which no other analysis reads."""
    mean = rows.people["w2"].to_numpy(float) / 12
    known = rows.outcome | rows.left
    z = stats.norm.ppf(0.21 / 2)
    mine = mean[rows.left] - mean[rows.left].mean()
    y = rows.left[known].astype(float)

    def moved(shift: float, log_spread: float) -> np.ndarray:
        values = mean.copy()
        values[rows.left] = mean[rows.outcome].mean() + shift + np.exp(log_spread) * mine
        return values

    def apart(point: np.ndarray) -> list[float]:
        x = moved(*point)[known]
        b, se = fit_logistic(y, np.column_stack([np.ones(len(x)), x]))
        return [b[1] + 0.39, b[1] / se[1] - z]

    found = optimize.root(apart, np.array([-0.2, 0.0]), tol=1e-12)
    if np.abs(apart(found.x)).max() > 1e-6:
        raise SpecError("No early alliance of those who left gives the printed B and P; try another seed.")
    rows.people["w2"] = 12 * moved(*found.x)


def _as_table(twin: SimulatedTable, rows: Rows) -> SessionTable:
    """Return the patients as a table by week, with the gaps that leave each analysis its rows."""
    frame = twin.frame.copy()
    by_patient = rows.people.set_index("patient")
    known = rows.outcome | rows.left
    has_early = dict(zip(rows.people["patient"], known, strict=True))
    whole = dict(zip(rows.people["patient"], rows.growth, strict=True))
    early = frame["week"] == WEEKS[0]
    values = np.full(len(frame), np.nan)
    for week in WEEKS:
        here = (frame["week"] == week).to_numpy()
        values[here] = frame["patient"][here].map(by_patient[f"w{week:.0f}"])
    values[(early & ~frame["patient"].map(has_early)).to_numpy()] = np.nan
    lacking = (~early & frame["patient"].map(has_early) & ~frame["patient"].map(whole)).to_numpy()
    values[lacking & (frame["week"] == WEEKS[2]).to_numpy()] = np.nan
    frame["alliance"], frame["alliance_mean"] = values, values / 12
    for name, chosen in (("hads_post", rows.outcome), ("mhc_post", rows.wellbeing)):
        kept = by_patient[name].where(pd.Series(chosen, index=by_patient.index))
        frame[name] = frame["patient"].map(kept)
    messages = [f"SYNTHETIC: matched to what was printed, seed {twin.seed}; not drawn from a truth."]
    messages += [f"Matched: {text}." for text in PRINTED.values()]
    messages += [f"Assumed: {text}" for text in ASSUMED]
    return make_table(frame, twin.roles, tuple(messages), twin.bounds)

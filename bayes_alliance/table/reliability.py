"""Reliability of scores: of one occasion, of a person's changes over sessions, and of persons' means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of, escaped
from bayes_alliance.errors import TableError
from bayes_alliance.findings import Findings, Problem
from bayes_alliance.names import SESSION, Coefficient
from bayes_alliance.table.scores.instrument import load_instrument
from bayes_alliance.table.scores.scoring import ScoreSpec, answers_of, item_columns
from bayes_alliance.table.sessions import SessionTable

FEWEST: Final = 10
"""Patients below which no reliability is worked out."""

RESAMPLES: Final = 1000

NO_COMMON_SESSIONS: Final = (
    "hardly two patients share a session number, so that what all have in common at one cannot be told from their own "
    "differences"
)


@dataclass(frozen=True, eq=False)
class Reliability:
    """How reliable a scale is, at every level at which a model may read it.

    ``table`` has a line per coefficient: ``coefficient``, what it is ``of``, its ``value`` and an interval from
    resampled patients. ``components`` are the variances that it is made of, per item: ``person``, ``person_item``,
    ``session`` (person x session) and ``error``. ``notes`` are sentences.
    """

    table: pd.DataFrame
    components: dict[str, float]
    notes: tuple[str, ...]

    @escaped
    def __str__(self) -> str:
        return "\n".join([self.table.round(3).to_string(index=False), *self.notes])


def reliability(
    sessions: SessionTable,
    items: str | Sequence[str],
    *,
    instrument: str | Path,
    subscale: str | None = None,
    ci_prob: float = 0.95,
    seed: int = 1,
) -> Reliability:
    """Return the reliability of a scale at one occasion, within persons and between them.

    Items are crossed with patients and with session numbers: y = session number x item + person + person x item +
    person x session + error (Cranford et al. 2006). What all patients share at a session number is no difference
    between persons or between their sessions. Variances are those of an analysis of variance of the means of items and
    of contrasts between items, for any number of sessions.

    Parameters
    ----------
    sessions : SessionTable
        With the columns of the items. Sessions in which an item is missing are left out and counted.
    items, instrument, subscale
        As in ``read_sessions(scores=...)``.
    ci_prob : float
        Of the percentile intervals of resampled patients, the means of session numbers held.
    seed : int
        Of the resampled patients.

    Returns
    -------
    Reliability
        ``alpha`` and ``omega`` (one factor, least squares) at patients' first sessions; ``R_C`` of differences between
        a patient's sessions, the one for ``within(x, patient)``; ``R_KF`` of patients' means over their sessions, the
        one for observed ``between(x, patient)``. A latent mean has no such error.

    Raises
    ------
    TableError
        If items do not fit the key, fewer than ten patients have a whole session, or none has two.
    """
    findings = Findings()
    key = load_instrument(instrument)
    spec = ScoreSpec(instrument, items, "complete", subscale)
    columns = item_columns("reliability", spec, key, list(sessions.units), findings)
    if subscale is not None and subscale not in key.subscales:
        findings.problem(f"{key.title} has no subscale {subscale!r}.")
    if not isinstance(ci_prob, (int, float)) or not 0 < ci_prob < 1:
        findings.problem(f"ci_prob is {ci_prob!r}.", allowed="A probability between 0 and 1, such as .95.")
    values = answers_of(sessions.frame, "reliability", columns, key, findings) if columns else None
    findings.stop(TableError)
    assert values is not None
    chosen = key.counted if subscale is None else key.subscales[subscale]
    values = values[:, [item - 1 for item in chosen]]
    whole = ~np.isnan(values).any(axis=1)
    patients = pd.factorize(sessions.ids("patient")[whole])[0]
    answers = values[whole]
    count = int(patients.max(initial=-1)) + 1
    too_few = _too_few(answers, count, sessions_needed=2)
    if too_few:
        raise TableError(too_few)
    first = answers[np.unique(patients, return_index=True)[1]]
    adjusted, lost = _without_sessions(answers, patients, _times(sessions, whole))
    if len(answers) - count - lost < 1:
        raise TableError(
            Problem(f"Reliability cannot be worked out: {NO_COMMON_SESSIONS}.", fix="Number sessions in order.")
        )
    summed = _summed(adjusted, patients)
    point = _coefficients(summed, first, lost)
    rng = np.random.default_rng(seed)
    again = rng.integers(0, count, (RESAMPLES, count))
    drawn = [_coefficients([part.of(rows) for part in summed], first[rows], lost) for rows in again]
    tail = 100 * (1 - ci_prob) / 2
    of = {
        "alpha": "one session (patients' first)",
        "omega": "one session (patients' first)",
        "R_C": "differences between a patient's sessions",
        "R_KF": "patients' means over their sessions",
    }
    width = f"{100 * ci_prob:g}"
    lines = [
        {
            "coefficient": name,
            "of": what,
            "value": point[name],
            f"bootstrap{width}_lb": float(np.nanpercentile([one[name] for one in drawn], tail)),
            f"bootstrap{width}_ub": float(np.nanpercentile([one[name] for one in drawn], 100 - tail)),
        }
        for name, what in of.items()
    ]
    notes = [f"{count_of(len(answers), 'session')} of {count_of(count, 'patient')}, {answers.shape[1]} items."]
    left = int((~whole).sum())
    if left:
        notes.append(f"{count_of(left, 'session')} with items missing left out.")
    components = {name: point[name] for name in ("person", "person_item", "session", "error")}
    if min(components.values()) < 0:
        notes.append("A variance is below 0: the scale has less spread there than its error would give.")
    return Reliability(pd.DataFrame(lines), components, tuple(notes))


def error_of_scores(
    sessions: SessionTable, name: str, coefficient: Coefficient, rows: np.ndarray, findings: Findings
) -> tuple[float, np.ndarray]:
    """Return a coefficient of a score of the table, and the SD of the error of every row's score in its points.

    The algebra is that of ``reliability``, without resampling. Where the mean of the items that are answered stands for
    the others, its error is that of so many fewer items.

    Parameters
    ----------
    sessions : SessionTable
        With the items of the score.
    name : str
        A score of it.
    coefficient : {"alpha", "omega", "R_C", "R_KF"}
        Which is asked for. Of alpha and omega the error is the share of the variance of these scores, of the others
        that of items in sessions.
    rows : ndarray of bool, shape (row,)
        The sessions that the score is read of.
    findings : Findings
        Gets what keeps it from being worked out.

    Returns
    -------
    tuple of float and ndarray, shape (row,)
        NaN where there is a problem.
    """
    scale = sessions.scales[name]
    nothing = float("nan"), np.full(len(sessions), np.nan)
    values = scale.answers(sessions.frame, name, findings)
    if values is None:
        return nothing
    whole = rows & ~np.isnan(values).any(axis=1)
    patients = pd.factorize(sessions.ids("patient")[whole])[0]
    answers = values[whole]
    one = coefficient in ("alpha", "omega")
    too_few = _too_few(answers, int(patients.max(initial=-1)) + 1, sessions_needed=1 if one else 2)
    if too_few:
        findings.problem(f"{coefficient} of {name!r} cannot be worked out: {too_few}", fix="State a number.")
        return nothing
    first = answers[np.unique(patients, return_index=True)[1]]
    if one:
        value = _alpha(first) if coefficient == "alpha" else _omega(first)
        spread = float(first.mean(axis=1).std(ddof=1))
        error = spread * float(np.sqrt(max(1 - value, 0.0)))
    else:
        adjusted, lost = _without_sessions(answers, patients, _times(sessions, whole))
        if len(answers) - (patients.max() + 1) - lost < 1:
            findings.problem(
                f"{coefficient} of {name!r} cannot be worked out: {NO_COMMON_SESSIONS}.",
                fix="Number sessions in order, or state a number.",
            )
            return nothing
        found = _coefficients(_summed(adjusted, patients), first, lost)
        value, error = found[coefficient], float(np.sqrt(max(found["error"], 0.0) / answers.shape[1]))
    if not 0 < value < 1 or error < 1e-9:
        findings.problem(
            f"{coefficient} of {name!r} is {value:.3g}: its items tell nothing apart at this level, or have no error.",
            fix="State a number, or read the score as it is.",
        )
        return nothing
    answered = (~np.isnan(values)).sum(axis=1)
    return value, error * scale.factor * np.sqrt(values.shape[1] / np.maximum(answered, 1))


def _too_few(answers: np.ndarray, patients: int, sessions_needed: int) -> str:
    """Return in a sentence what is lacking for a coefficient, nothing where it can be worked out."""
    enough = patients >= FEWEST and answers.shape[1] >= 2 and (sessions_needed == 1 or len(answers) > patients)
    if enough:
        return ""
    more = ", some with two sessions" if sessions_needed > 1 else ""
    return (
        f"{count_of(patients, 'patient')} {are(patients, 'has', 'have')} {count_of(len(answers), 'session')} with all "
        f"{count_of(answers.shape[1], 'item')}. Reliability needs ten patients{more}, and two items."
    )


def _times(sessions: SessionTable, whole: np.ndarray) -> np.ndarray:
    """Return the session number of rows as a code, one for all where the table has none."""
    number = sessions.roles.get(SESSION)
    if number is None:
        return np.zeros(int(whole.sum()), dtype=int)
    return np.asarray(pd.factorize(sessions.frame[number][whole])[0])


def _without_sessions(answers: np.ndarray, patients: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, int]:
    """Return answers less what all patients share at a session number, and the degrees of freedom that this takes.

    Differences between session numbers are those within patients, by least squares.
    """
    dummies = np.eye(int(times.max()) + 1)[times][:, 1:]
    if not dummies.size:
        return answers, 0
    member = pd.DataFrame(dummies).groupby(patients)
    within = dummies - member.transform("mean").to_numpy()
    own = answers - pd.DataFrame(answers).groupby(patients).transform("mean").to_numpy()
    effects, _, rank, _ = np.linalg.lstsq(within, own, rcond=None)
    return answers - dummies @ effects, int(rank)


@dataclass(frozen=True, eq=False)
class _Sums:
    """What an analysis of variance needs of each patient: rows, means of columns and squares around them."""

    sizes: np.ndarray
    centres: np.ndarray
    squares: np.ndarray

    def of(self, rows: np.ndarray) -> _Sums:
        return _Sums(self.sizes[rows], self.centres[rows], self.squares[rows])


def _summed(answers: np.ndarray, patients: np.ndarray) -> tuple[_Sums, _Sums]:
    """Return the sums of the means of items, and of contrasts between items."""
    contrasts = _contrasts(answers.shape[1])
    found = []
    for values in (answers.mean(axis=1, keepdims=True), answers @ contrasts.T):
        grouped = pd.DataFrame(values).groupby(patients)
        apart = (values - grouped.transform("mean").to_numpy()) ** 2
        squares = np.bincount(patients, apart.sum(axis=1))
        found.append(_Sums(grouped.size().to_numpy(float), grouped.mean().to_numpy(), squares))
    return found[0], found[1]


def _coefficients(summed: Sequence[_Sums], first: np.ndarray, lost: int) -> dict[str, float]:
    """Return coefficients and variances; ``first`` are the answers of patients' first sessions."""
    size = first.shape[1]
    within, between = _components(summed[0], lost)
    error, person_item = _components(summed[1], lost)
    session, person = within - error / size, between - person_item / size
    k = float(summed[0].sizes.mean())
    return {
        "alpha": _alpha(first),
        "omega": _omega(first),
        "R_C": _ratio(session, session + error / size),
        "R_KF": _ratio(between, between + error / (k * size)),
        "person": person,
        "person_item": person_item,
        "session": session,
        "error": error,
    }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else float("nan")


def _contrasts(size: int) -> np.ndarray:
    """Return orthonormal contrasts between items, shape (item - 1, item)."""
    raw = np.eye(size)[1:] - 1 / size
    return np.asarray(np.linalg.qr(raw.T)[0].T)


def _components(own: _Sums, lost: int) -> tuple[float, float]:
    """Return the variances within and between patients, pooled over columns: analysis of variance, unequal sizes."""
    sizes, centres = own.sizes, own.centres
    width, total, count = centres.shape[1], sizes.sum(), len(sizes)
    grand = (sizes[:, None] * centres).sum(axis=0) / total
    between = float((sizes[:, None] * (centres - grand) ** 2).sum())
    inside = float(own.squares.sum()) / (width * (total - count - lost))
    mean_square = between / (width * (count - 1))
    usual = (total - (sizes**2).sum() / total) / (count - 1)
    return inside, float((mean_square - inside) / usual)


def _alpha(answers: np.ndarray) -> float:
    size = answers.shape[1]
    whole = answers.sum(axis=1).var(ddof=1)
    return float(size / (size - 1) * (1 - answers.var(axis=0, ddof=1).sum() / whole)) if whole > 0 else float("nan")


def _omega(answers: np.ndarray) -> float:
    """Return omega of one common factor, whose loadings leave the least squares of covariances between items."""
    cov = np.cov(answers.T)
    loadings = _one_factor(cov)
    common = float(loadings.sum()) ** 2
    unique = float((np.diag(cov) - loadings**2).sum())
    return common / (common + unique) if common + unique > 0 else float("nan")


def _one_factor(cov: np.ndarray) -> np.ndarray:
    """Return the loadings of one factor: principal axes until what items share stays the same."""
    sd = np.sqrt(np.maximum(np.diag(cov), 1e-300))
    reduced = cov / np.outer(sd, sd)
    shared = np.abs(reduced - np.eye(len(sd))).max(axis=0)
    for _ in range(500):
        np.fill_diagonal(reduced, shared)
        values, vectors = np.linalg.eigh(reduced)
        found = vectors[:, -1] * np.sqrt(max(values[-1], 0.0))
        if np.abs(found**2 - shared).max() < 1e-10:
            break
        shared = np.minimum(found**2, 1.0)
    return np.asarray(found * sd * (1.0 if found.sum() >= 0 else -1.0))

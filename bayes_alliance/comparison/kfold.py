"""Predict what is held out by fitting anew: units in folds, or the next session from those before."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bayes_alliance._messages import first_few, quote
from bayes_alliance.comparison.integration import integrated_density
from bayes_alliance.comparison.loo import check_outcomes
from bayes_alliance.comparison.refits import fit_jobs, leave_out, refit_job, score_unseen, unseen_draws
from bayes_alliance.comparison.scores import Method, Scores, average_density
from bayes_alliance.comparison.units import UnitName, Units, find_units, fingerprint
from bayes_alliance.design.design import Design, make_design_until
from bayes_alliance.design.subset import keep_rows
from bayes_alliance.errors import AllianceWarning, FitError
from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.fit.seeds import check_seed
from bayes_alliance.fit.settings import Progress
from bayes_alliance.spec.variables_read import values_in
from bayes_alliance.study import Study
from bayes_alliance.table.sessions import SessionTable


def kfold(
    fit: Fit,
    *,
    unit: UnitName = "patient",
    k: int = 10,
    seed: int,
    outcomes: Sequence[str] | str | None = None,
    given_others: bool = False,
    folder: str | Path | None = None,
    executor: Executor | Any | None = None,
    progress: Progress = "auto",
) -> Scores:
    """Predict units in folds from fits without them.

    Coded columns, centring constants and the numbers of priors are those of all rows; levels without rows go, and
    effects of units that were held out are integrated out, as for new ones.

    Parameters
    ----------
    fit : Fit
        With its design; its engine and settings are taken.
    unit : {"session", "patient", "therapist", "group", "site"}
        What is kept together.
    k : int
        Folds, of as equal numbers of units as can be, drawn at random.
    seed : int
        For folds and fits.
    outcomes, given_others
        As in ``loo``.
    folder : str or Path, optional
        Where fits are kept, so that a run that was killed goes on; a temporary one unless stated.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Where to fit; one after the other in this process unless stated.
    progress : {"auto", "off"}
        Whether a bar is shown.

    Returns
    -------
    Scores
        One number per unit: the joint density of its outcomes.

    Raises
    ------
    FitError
        If k is none, the model has no such unit, or a fold could not be fitted.
    """
    check_seed(seed)
    design = design_of(fit)
    wanted = check_outcomes(design, outcomes, given_others)
    units = find_units(design, unit, wanted)
    if not isinstance(k, int) or isinstance(k, bool) or not 2 <= k <= len(units):
        raise FitError(f"k must be a whole number from 2 to {len(units)}, the number of {unit}s; it is {k!r}.")
    order = np.random.default_rng(np.random.SeedSequence(seed)).permutation(len(units))
    folds = [np.sort(order[i::k]) for i in range(k)]
    lefts = [leave_out(design, units, fold.tolist()) for fold in folds]
    fits = _fit_all(fit, lefts, [f"fold {i + 1}" for i in range(k)], seed, folder, executor, progress)
    density = np.zeros((2, len(units)))
    for fold, own in zip(folds, fits, strict=True):
        scored = score_unseen(own, design, units, fold.tolist(), wanted, given_others=given_others)
        density[:, fold] = average_density(scored)
    rest = [e.outcome for e in design.equations if e.outcome not in wanted]
    named = quote(wanted) if rest else "all outcomes"
    target = f"{named}, {unit}s held out in {k} folds"
    return _scores(fit, units, wanted, density, target, "kfold", fingerprint(design, units, wanted))


def leave_future_out(
    fit: Fit,
    sessions: SessionTable,
    *,
    start: float | None = None,
    seed: int,
    folder: str | Path | None = None,
    executor: Executor | Any | None = None,
    progress: Progress = "auto",
) -> Scores:
    """Predict every patient's next session from fits of the sessions so far.

    For each session number t from ``start`` the model is fitted to all sessions up to t, with means and lags worked out
    anew from these, and predicts the following session of the patients it has seen, given their effects. Where one
    outcome predicts another of the same session, the joint density is that of the first times that of the second given
    the first as observed.

    Parameters
    ----------
    fit : Fit
        Its model, columns, numbers of priors, engine and settings are taken.
    sessions : SessionTable
        The rows it was fitted to.
    start : float, optional
        First session number to predict from; the middle one of those there are unless stated.
    seed : int
        For the fits.
    folder, executor, progress
        As in ``kfold``.

    Returns
    -------
    Scores
        One number per patient and predicted session: the joint density of its outcomes.

    Raises
    ------
    FitError
        If an equation has one row per patient, these are other rows, or too few sessions are left to fit.
    """
    check_seed(seed)
    fit = fit.with_rows(sessions)
    design = design_of(fit)
    others = [e.outcome for e in design.equations if e.spec.unit != "session"]
    if others:
        raise FitError(f"{quote(others)} has one row per patient: there is no next session to predict.")
    unknown_to = [e.outcome for e in design.equations if e.serial or e.modelled is not None]
    if unknown_to:
        raise FitError(
            f"The next session is not predicted where residuals correlate over sessions or values are modelled: "
            f"{quote(unknown_to)}."
        )
    numbers = np.unique(np.concatenate([e.session for e in design.equations]))
    first = numbers[(len(numbers) - 1) // 2] if start is None else start
    steps = [(t, after) for t, after in pairwise(numbers) if t >= first]
    if not steps:
        raise FitError(f"No session comes after {first:g}; there are {first_few([f'{t:g}' for t in numbers])}.")
    parts = [_split(fit, design, sessions, float(t), float(after)) for t, after in steps]
    names = [f"sessions up to {t:g}" for t, _ in steps]
    fits = _fit_all(fit, [train for train, _ in parts], names, seed, folder, executor, progress)
    density: list[np.ndarray] = []
    labels: list[str] = []
    codes: dict[str, list[np.ndarray]] = {e.outcome: [] for e in design.equations}
    digests: list[str] = []
    for (_, test), own in zip(parts, fits, strict=True):
        units = _test_units(test)
        density.append(average_density(integrated_density(test, units, unseen_draws(own, test), inside=())))
        digests.append(fingerprint(test, units, list(codes)))
        for outcome, code in units.codes.items():
            codes[outcome].append(code + len(labels))
        labels += units.labels
    every = Units("session", tuple(labels), {o: np.concatenate(own) for o, own in codes.items()}, None)
    target = f"all outcomes of the next session, from session {steps[0][0]:g} on, given the patient's effects so far"
    return _scores(fit, every, tuple(codes), np.concatenate(density, axis=1), target, "lfo", "".join(digests))


def _fit_all(
    fit: Fit,
    designs: Sequence[Design],
    names: Sequence[str],
    seed: int,
    folder: str | Path | None,
    executor: Executor | Any | None,
    progress: Progress,
) -> list[Fit]:
    """Fit designs as a fit was fitted, on disk; return them with their designs."""
    jobs = [refit_job(fit, name, design) for name, design in zip(names, designs, strict=True)]
    return fit_jobs(jobs, seed, folder, executor, progress)


def _scores(
    fit: Fit, units: Units, wanted: tuple[str, ...], density: np.ndarray, target: str, method: Method, digest: str
) -> Scores:
    """Return scores of units that were all held out."""
    posterior, nothing = fit.data["posterior"], np.full(len(units), np.nan)
    return Scores(
        title=fit.spec.title,
        unit=units.name,
        labels=units.labels,
        outcomes=wanted,
        target=target,
        method=method,
        elpd_i=density[0],
        fitted_i=nothing,
        pareto_k=nothing,
        mcse_i=density[1],
        rows=units.count_rows(wanted),
        refitted=np.ones(len(units), dtype=bool),
        draws=posterior.sizes["chain"] * posterior.sizes["draw"],
        fingerprint=digest,
        messages=units.messages,
    )


def _split(fit: Fit, design: Design, sessions: SessionTable, t: float, after: float) -> tuple[Design, Design]:
    """Return the designs of sessions up to t and of the next one, whose values no mean is over."""
    session = sessions.roles["session"]
    frame = sessions.frame[sessions.frame[session] <= after]
    stated = {e.outcome: e for e in design.equations}
    declared = [outcome for outcome in stated if outcome not in frame.columns]
    if declared:
        raise FitError(
            f"Outcome {declared[0]!r} is worked out of other columns, and sessions to come cannot be taken from it; "
            f"leave_future_out knows outcomes that are columns of the table."
        )
    table = replace(sessions, _frame=frame.reset_index(drop=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AllianceWarning)
        made = make_design_until(fit.spec, Study(table, design.columns, design.reference), t)
    if any(
        (e.coef_labels, e.threshold_labels) != (stated[e.outcome].coef_labels, stated[e.outcome].threshold_labels)
        for e in made.equations
    ):
        raise FitError(f"Up to session {t:g} the model has other coefficients; state a later start.")
    _check_windows(made, t)
    made = replace(made, priors=design.priors)
    train = keep_rows(made, {e.outcome: e.session <= t for e in made.equations})
    ahead = {}
    for e in made.equations:
        seen = set(train.find(e.outcome).patient)
        ahead[e.outcome] = (e.session == after) & np.array([p in seen for p in e.patient])
    return train, keep_rows(made, ahead)


def _check_windows(made: Design, t: float) -> None:
    """Refuse variables that are worked out of outcomes of the session that is to be predicted."""
    outcomes = set(made.spec.outcomes)
    late = {
        variable.label: variable.sessions[1]
        for e in made.equations
        for name, variable in e.variables.items()
        if variable.sessions is not None and variable.sessions[1] > t
        if {read for argument in made.spec.declared[name].arguments for read in values_in(argument)} & outcomes
    }
    if late:
        shown = ", ".join(f"{name!r} (up to session {last:g})" for name, last in late.items())
        raise FitError(
            f"{shown} would be worked out of outcomes after session {t:g}, which are to be predicted. State a later "
            f"start, or a variable of earlier sessions."
        )


def _test_units(test: Design) -> Units:
    labels = sorted({f"{p}, session {s:g}" for e in test.equations for p, s in zip(e.patient, e.session, strict=True)})
    index = {label: i for i, label in enumerate(labels)}
    codes = {
        e.outcome: np.array([index[f"{p}, session {s:g}"] for p, s in zip(e.patient, e.session, strict=True)])
        for e in test.equations
    }
    return Units("session", tuple(labels), codes, None)

"""One question, every defensible analysis: all combinations of decisions fitted, and which decision matters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayes_alliance._messages import count_of, escaped, first_few, unknown
from bayes_alliance.comparison.decision_effects import find_moves
from bayes_alliance.comparison.decisions import RESULTS, Forks, Universe, expand_forks, say_where
from bayes_alliance.comparison.estimand_meaning import describe_meaning
from bayes_alliance.comparison.loo import loo
from bayes_alliance.comparison.models import check_read, make_own_design, share_rows
from bayes_alliance.comparison.refits import kept_fits
from bayes_alliance.comparison.scores import Scores
from bayes_alliance.comparison.table import compare
from bayes_alliance.comparison.units import UNITS, UnitName, find_units, fingerprint
from bayes_alliance.design.design import Design
from bayes_alliance.errors import AllianceError, DesignError, FitError
from bayes_alliance.findings import Problem
from bayes_alliance.fit.cache import question_key
from bayes_alliance.fit.many_fits import FitJob
from bayes_alliance.fit.progress import counter
from bayes_alliance.fit.result import Fit
from bayes_alliance.fit.seeds import check_seed
from bayes_alliance.fit.settings import Engine, Progress, SamplerSettings
from bayes_alliance.posterior.estimands import summarize_estimands
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.null_values import null_value
from bayes_alliance.study import Study, as_study
from bayes_alliance.table.sessions import SessionTable

DRAWS = 1_000
"""Draws that scores are averaged over: weights need no more, and every combination is scored."""


@dataclass(frozen=True, eq=False)
class Multiverse:
    """One estimand in every combination of decisions.

    ``table`` has a line per combination: the option of each fork, then ``median, sd, eti95_lb, eti95_ub, p_positive,
    unit, rows, passed, block, elpd, weight, meaning`` (or ``error``). ``block`` numbers the sets of combinations with
    identical rows, outcomes and meaning of the estimand; ``weight`` stacks within one (NaN where it stands alone).
    ``moves`` has a line per fork, the one that moves the estimand most first; see ``find_moves``. ``blocks`` has the
    estimand averaged by the weights. ``draws`` holds the estimand's draws by combination. ``null`` is the value that
    means no difference: 0, 1 of factors such as odds ratios, None of SDs and where combinations differ in it.
    """

    title: str
    estimand: str
    forks: Mapping[str, tuple[str, ...]]
    table: pd.DataFrame
    moves: pd.DataFrame
    blocks: pd.DataFrame
    draws: Mapping[str, np.ndarray]
    messages: tuple[str, ...]
    null: float | None = 0.0

    def clear(self, table: pd.DataFrame) -> pd.Series:
        """Return which lines of a table have a 95 % interval that leaves ``null`` out; none where there is none."""
        if self.null is None:
            return pd.Series(False, index=table.index)
        return (table["eti95_lb"] > self.null) | (table["eti95_ub"] < self.null)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def _head(self) -> str:
        done = self.table[self.table["error"] == ""]
        clear, null = int(self.clear(done).sum()), self.null
        excluded = "" if null is None else f"; {clear} of {len(done)} 95% intervals exclude {null:g}"
        return (
            f"{self.estimand} of {self.title!r}: {count_of(len(self), 'combination')} of "
            f"{count_of(len(self.forks), 'fork')}; medians from {done['median'].min():.3g} to "
            f"{done['median'].max():.3g} {done['unit'].iloc[0]}{excluded}."
            f"{f' Sampling passed in all {len(done)}.' if done['passed'].all() else ''}"
        )

    @escaped
    def __repr__(self) -> str:
        shown = self.moves.to_string(index=False, float_format=lambda value: f"{value:.3g}")
        return "\n".join([self._head, "What each decision moves:", shown, *self.messages])

    def _repr_html_(self) -> str:
        parts = "".join(f"<p>{escape(message)}</p>" for message in self.messages)
        table = self.moves.to_html(index=False, float_format=lambda value: f"{value:.3g}")
        return f"<p><b>{escape(self._head)}</b></p><p>What each decision moves:</p>{table}{parts}"


def fit_multiverse(
    spec: ModelSpec,
    study: Study[SessionTable] | SessionTable,
    *,
    forks: Forks,
    estimand: str,
    exclude: Sequence[Mapping[str, str]] = (),
    same_rows: bool = False,
    weigh: bool = True,
    unit: UnitName = "patient",
    seed: int,
    engine: Engine = "auto",
    settings: SamplerSettings | None = None,
    folder: str | Path | None = None,
    executor: Executor | Any | None = None,
    progress: Progress = "auto",
) -> Multiverse:
    """Fit every combination of decisions and follow one estimand through them (Steegen et al. 2016).

    Parameters
    ----------
    spec : ModelSpec
        The model that options change.
    study : Study or SessionTable
        As in ``fit_model``; options change its rows, columns, references and priors. Columns and references that a
        combination does not read are left aside for it.
    forks : mapping of str to mapping of str to Option
        Decisions and their options, ``{"rater": {"patient": Option(), "therapist": Option(columns={...})}}``.
    estimand : str
        As ``summarize_estimands`` lists it; every combination must have it.
    exclude : sequence of mapping of str to str, optional
        Combinations that make no sense: whatever has all options of an entry is left out, and counted.
    same_rows : bool
        Whether all use the rows that all of them can use; otherwise each uses all it can.
    weigh : bool
        Whether combinations that differ in the model alone are scored by ``loo`` and stacked.
    unit : {"session", "patient", "therapist", "group", "site"}
        What predictions are for.
    seed : int
        Spread over the fits.
    engine, settings
        As in ``fit_model``.
    folder : str or Path, optional
        Where fits are kept, so that a run that was killed goes on; a temporary one unless stated.
    executor : concurrent.futures.Executor or dask.distributed.Client, optional
        Where to fit; one after the other in this process unless stated.
    progress : {"auto", "off"}
        Whether a bar is shown.

    Returns
    -------
    Multiverse
        Combinations that could not be fitted are in it, with the reason.

    Raises
    ------
    SpecError, DesignError
        If a combination is no valid model or does not fit its table; all of them are told at once.
    FitError
        If forks are badly stated, there are too many combinations, a combination lacks the estimand, or none was
        fitted.

    References
    ----------
    steegen2016, simonsohn2020, yao2018
    """
    check_seed(seed)
    if unit not in UNITS:
        raise FitError(unknown("unit", str(unit), UNITS))
    base = Universe({}, spec, as_study(study))
    universes, messages = expand_forks(base, forks, exclude)
    designs = _designs(universes, estimand)
    if same_rows:
        designs, told = share_rows(designs)
        messages += (f"Rows that every combination can use: {count_of(len(told), 'combination')} lost some.",)
    settings = settings or SamplerSettings()
    same = _same_analyses(designs, engine, settings)
    if len(same) > len(set(same.values())):
        twins = len(same) - len(set(same.values()))
        messages += (f"{count_of(twins, 'combination')} came to the same analysis as another; fitted once.",)
    blocks = _blocks(designs, estimand)
    jobs = [FitJob(name, designs[name], engine, settings) for name in dict.fromkeys(same.values())]
    sizes = Counter(blocks.values())
    weighed = {name for name, block in blocks.items() if weigh and sizes[block] > 1}
    found: dict[str, _Found] = {}
    with kept_fits(jobs, folder=folder, seed=seed, executor=executor, progress=progress) as fits:
        errors = {answer.name: answer.error for answer in fits.failed}
        with counter("Estimands and scores", len(jobs), progress) as advance:
            for number, job in enumerate(jobs):
                if job.name not in errors:
                    fit = replace(fits[job.name], design=job.design)
                    found[job.name] = _read(fit, estimand, unit if job.name in weighed else None)
                advance(number + 1)
    if not found:
        raise FitError([f"{name}: {error}" for name, error in errors.items()])
    return _gather(spec, estimand, forks, universes, designs, same, blocks, found, errors, messages)


@dataclass(frozen=True, eq=False)
class _Found:
    """What is kept of a fit."""

    row: dict[str, Any]
    draws: np.ndarray
    scores: Scores | None
    refused: str


def _designs(universes: Sequence[Universe], estimand: str) -> dict[str, Design]:
    """Make every design, and ask each for the estimand; all problems are told at once."""
    named = [name for one in universes for name in (*one.study.columns, *one.study.reference)]
    problems = check_read([one.spec for one in universes], named)
    if problems:
        raise DesignError(problems)
    designs: dict[str, Design] = {}
    told: dict[Problem, list[str]] = {}
    lacking: dict[Problem, list[str]] = {}
    for one in universes:
        try:
            design = make_own_design(one.spec, one.study)
        except AllianceError as error:
            for problem in error.problems:
                told.setdefault(problem, []).append(one.name)
            continue
        names = [made.name for made in design.estimands]
        if estimand not in names:
            lacking.setdefault(unknown("estimand", estimand, names), []).append(one.name)
        designs[one.name] = design
    if told:
        raise DesignError([problem.under(say_where(where)) for problem, where in told.items()])
    if lacking:
        advice = "State it under [estimands], with its unit, and let labels follow what options change."
        raise FitError(
            [replace(one, fix=f"{one.fix} {advice}".lstrip()).under(say_where(where)) for one, where in lacking.items()]
        )
    return designs


def _same_analyses(designs: Mapping[str, Design], engine: Engine, settings: SamplerSettings) -> dict[str, str]:
    """Return, per combination, the first one that asks the very same question of the same rows."""
    first: dict[str, str] = {}
    return {
        name: first.setdefault(question_key(design, seed=0, settings=settings, engine=engine), name)
        for name, design in designs.items()
    }


def _blocks(designs: Mapping[str, Design], estimand: str) -> dict[str, tuple[str, ...]]:
    """Return what combinations must share to be weighed together: rows, outcomes and, last, the estimand's meaning."""
    found = {}
    for name, design in designs.items():
        wanted = tuple(sorted(e.outcome for e in design.equations))
        units = find_units(design, "patient")
        found[name] = (fingerprint(design, units, wanted), *wanted, describe_meaning(design, estimand))
    return found


def _read(fit: Fit, estimand: str, unit: UnitName | None) -> _Found:
    table = summarize_estimands(fit).set_index("name").loc[estimand]
    keep = ("median", "sd", "eti95_lb", "eti95_ub", "p_positive", "unit")
    draws = fit.data["estimands"].to_dataset()["value"].sel(estimand=estimand).values.ravel()
    row = {key: table[key] for key in keep} | {"passed": bool(fit.passed and table["mixed"])}
    scores, refused = None, ""
    if unit is not None:
        try:
            scores = loo(fit, unit=unit, draws=DRAWS, progress="off")
        except AllianceError as error:
            refused = str(error.problems[0])
    return _Found(row, draws, scores, refused)


def _gather(
    spec: ModelSpec,
    estimand: str,
    forks: Forks,
    universes: Sequence[Universe],
    designs: Mapping[str, Design],
    same: Mapping[str, str],
    blocks: Mapping[str, tuple[str, ...]],
    found: Mapping[str, _Found],
    errors: Mapping[str, str],
    messages: tuple[str, ...],
) -> Multiverse:
    numbers: dict[tuple[str, ...], int] = {}
    rows = []
    for one in universes:
        design, at = designs[one.name], same[one.name]
        number = numbers.setdefault(blocks[one.name], len(numbers) + 1)
        row: dict[str, Any] = dict(one.choices) | (found[at].row if at in found else {})
        scores = found[at].scores if at in found else None
        row |= {"rows": sum(len(e.y) for e in design.equations), "block": number}
        row |= {"elpd": np.nan if scores is None else scores.elpd, "meaning": blocks[one.name][-1]}
        rows.append(row | {"error": errors.get(at, "")})
    table = pd.DataFrame(rows, index=pd.Index([one.name for one in universes], name="combination"))
    table["passed"] = table["passed"].eq(True)
    table["weight"], notes = _weights(table, same, found)
    table = table[[*forks, *RESULTS]]
    draws = {name: found[at].draws for name, at in same.items() if at in found}
    options = {fork: tuple(named) for fork, named in forks.items()}
    nulls = {null_value(one.spec, estimand) for one in universes}
    null = nulls.pop() if len(nulls) == 1 else None
    if nulls:
        notes.append(f"{estimand} has different values of no difference; intervals are held against none of them.")
    moves = find_moves(table, options, null=null)
    notes += list(_remarks(table, moves, errors))
    averaged = pd.DataFrame(list(_averages(table, draws, null)), columns=list(AVERAGE))
    return Multiverse(spec.title, estimand, options, table, moves, averaged, draws, (*messages, *notes), null)


def _weights(table: pd.DataFrame, same: Mapping[str, str], found: Mapping[str, _Found]) -> tuple[pd.Series, list[str]]:
    """Return stacking weights within blocks, and why some have none; the same analysis counts once."""
    weights, notes = pd.Series(np.nan, index=table.index), []
    for number, block in table.groupby("block"):
        names = list(dict.fromkeys(same[name] for name in block.index if same[name] in found))
        refused = {found[name].refused for name in names if found[name].refused}
        notes += [f"Block {number} has no weights: {why}" for why in sorted(refused)]
        scores = {name: found[name].scores for name in names}
        if refused or len(names) < 2 or None in scores.values():
            continue
        failed = int((~block["passed"]).sum())
        if failed:
            notes.append(f"Block {number} weighs {count_of(failed, 'combination')} whose sampling checks FAILED.")
        try:
            compared = compare({name: one for name, one in scores.items() if one is not None})
        except AllianceError as error:
            notes.append(f"Block {number} has no weights: {error.problems[0]}")
            continue
        notes += [f"Block {number}: {message}" for message in compared.messages]
        own = compared.table["weight"]
        shared = block.index.map(lambda name: same[name]).value_counts()
        for name in block.index:
            if same[name] in own.index:
                weights[name] = float(own[same[name]]) / int(shared[same[name]])
    return weights, notes


AVERAGE = ("block", "combinations", "rows", "median", "eti95_lb", "eti95_ub", "p_positive", "meaning")
"""Columns of ``Multiverse.blocks``."""


def _averages(table: pd.DataFrame, draws: Mapping[str, np.ndarray], null: float | None) -> Iterator[dict[str, Any]]:
    """Yield, per block with weights, the mixture of its posteriors: median in place of a mean that may not exist."""
    for number, block in table[table["weight"].notna()].groupby("block"):
        values = np.concatenate([draws[name] for name in block.index])
        weight = np.concatenate(
            [np.full(len(draws[n]), w / len(draws[n])) for n, w in zip(block.index, block["weight"], strict=True)]
        )
        order = np.argsort(values)
        low, middle, high = np.interp([0.025, 0.5, 0.975], np.cumsum(weight[order]), values[order])
        yield {
            "block": number,
            "combinations": len(block),
            "rows": int(block["rows"].iloc[0]),
            "median": float(middle),
            "eti95_lb": float(low),
            "eti95_ub": float(high),
            "p_positive": np.nan if null is None else float(weight[values > null].sum()),
            "meaning": block["meaning"].iloc[0],
        }


def _remarks(table: pd.DataFrame, moves: pd.DataFrame, errors: Mapping[str, str]) -> Iterator[str]:
    if errors:
        told = [f"{name}: {error}" for name, error in errors.items()]
        yield f"{count_of(len(errors), 'combination')} could not be fitted: {first_few(told)}"
    bad = [str(name) for name in table.index[~table["passed"] & (table["error"] == "")]]
    if bad:
        yield f"Sampling checks FAILED in {count_of(len(bad), 'combination')}: {first_few(bad)}."
    changing = [str(fork) for fork in moves.loc[moves["changes"] != "", "fork"]]
    if changing:
        yield (
            f"{first_few(changing)} changes what the estimand is of (column meaning): such moves lie between answers "
            f"to different questions."
        )
    units = table["unit"].dropna().unique()
    if len(units) > 1:
        yield f"The estimand has {len(units)} units ({first_few(list(units))}); sizes compare within a unit only."

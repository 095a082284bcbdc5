"""Simulation-based calibration: truths from the prior must look like draws of the posteriors of their data."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance._messages import count_of, escaped, first_few
from bayes_alliance.design.design import Design
from bayes_alliance.design.posterior_variables import Kind, PosteriorVariable, list_variables
from bayes_alliance.diagnosis.ranks import KEPT, Ranked, rank_study
from bayes_alliance.diagnosis.stored_ranks import (
    Outcome,
    calibration_key,
    check_place,
    read_outcome,
    write_outcome,
)
from bayes_alliance.diagnosis.uniformity import uniformity
from bayes_alliance.errors import AllianceError, FitError
from bayes_alliance.fit.checks import diagnose_draws, flatten
from bayes_alliance.fit.constants import Constants, find_constants
from bayes_alliance.fit.exact import sample_exact
from bayes_alliance.fit.exact_units import draw_own_effects
from bayes_alliance.fit.integrated import draw_quadrature_effects, sample_quadrature
from bayes_alliance.fit.progress import counter
from bayes_alliance.fit.provenance import Plain, versions
from bayes_alliance.fit.seeds import check_seed
from bayes_alliance.fit.settings import Progress, SamplerSettings
from bayes_alliance.fit.workers import Lost, run_tasks
from bayes_alliance.quadrature.choice import choose_engine
from bayes_alliance.simulate.layout import Layout
from bayes_alliance.simulate.simulation import VariableSpecs
from bayes_alliance.simulate.studies import Studies, plan_studies
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.study import PriorStatements

CHUNK = 10
"""Studies that a process takes at a time."""

INTERVALS = (0.5, 0.8, 0.95)
"""Equal-tailed intervals whose coverage is counted."""

WORST = 0.01
"""Smallest p-value over all quantities, multiplied by their number, that passes."""

AGREE = 1.05
"""R-hat of a parameter above which a study is sampled longer, and set apart if that does not help."""

LONGER = ((1, 1, 0.0), (2, 3, 0.9), (6, 4, 0.95))
"""How a study is sampled until it is dependable: factors of draws and of tuning, and the least ``target_accept``."""

DEFAULTS = SamplerSettings(draws=250, tune=500, chains=4, progress="off")


@dataclass(frozen=True, eq=False)
class Calibration:
    """Ranks of truths among draws of their posteriors.

    ``ranks`` has shape (study, quantity), 0 to ``kept``; ``levels`` of the same shape the share of all draws below the
    truth. ``at_prior`` is false where all studies came from one stated truth: then intervals have a coverage, and ranks
    need not be uniform. ``lost`` counts studies that could not be fitted, by reason. ``seconds`` is what all studies
    took, one after the other, those included that an earlier call had left in its cache (``from_cache`` of them).
    """

    title: str
    quantities: tuple[str, ...]
    ranks: np.ndarray
    levels: np.ndarray
    kept: int
    engine: str
    seed: int
    at_prior: bool
    priors: Mapping[str, str]
    settings: SamplerSettings
    seconds: float
    lost: Mapping[str, int] = field(default_factory=dict)
    from_cache: int = 0

    def __len__(self) -> int:
        return len(self.ranks)

    @escaped
    def __repr__(self) -> str:
        studies = count_of(len(self), "study", "studies")
        return f"{self.verdict}\nCalibration of {self.title!r} by {studies}, {self.engine} engine."

    def uniform(self, quantity: str) -> np.ndarray:
        """Return a quantity's ranks spread over 0 to 1, ties broken at random (by a fixed seed)."""
        place = self.quantities.index(quantity)
        noise = np.random.default_rng(place).random(len(self))
        return np.asarray((self.ranks[:, place] + noise) / (self.kept + 1))

    def table(self) -> pd.DataFrame:
        """Return one line per quantity.

        Returns
        -------
        DataFrame
            ``quantity``; ``p_uniform``, the p-value of uniform ranks (NaN at a stated truth); ``mean_rank``, 0 to 1;
            ``cover50``, ``cover80`` and ``cover95``, shares of equal-tailed intervals that hold the truth, with
            ``mcse95``, the Monte Carlo error of the last.
        """
        rows = []
        for place, quantity in enumerate(self.quantities):
            ranks = self.uniform(quantity)
            row: dict[str, str | float] = {"quantity": quantity, "p_uniform": np.nan}
            if self.at_prior:
                row["p_uniform"] = uniformity(ranks)
            row["mean_rank"] = float(ranks.mean())
            for prob in INTERVALS:
                inside = np.abs(self.levels[:, place] - 0.5) <= prob / 2
                row[f"cover{100 * prob:.0f}"] = float(inside.mean())
            row["mcse95"] = float(np.sqrt(0.95 * 0.05 / len(self)))
            rows.append(row)
        return pd.DataFrame(rows)

    @property
    def smallest(self) -> float:
        """Return the smallest p-value of uniform ranks times the number of quantities, at most 1 (Bonferroni)."""
        return float(min(1.0, self.table()["p_uniform"].min() * len(self.quantities)))

    @property
    def passed(self) -> bool:
        """Return whether ranks are as good as uniform; studies of a stated truth are reported, not judged."""
        return not self.at_prior or self.smallest >= WORST

    @property
    def verdict(self) -> str:
        """Return one line that says whether the model and its engine are calibrated."""
        if not self.at_prior:
            return "Coverage at a stated truth: reported, not judged."
        table = self.table()
        bad = table[table["p_uniform"] * len(table) < WORST]
        if self.passed:
            return f"Calibrated: ranks of {len(table)} quantities are uniform (p = {self.smallest:.2f})."
        return (
            f"NOT CALIBRATED: ranks are not uniform for {first_few(list(bad['quantity']))} (p = {self.smallest:.2g})."
        )


@dataclass(frozen=True, eq=False)
class _Chunk:
    """Studies of one process: their numbers and seeds, how they are fitted, where and under what code they are kept."""

    studies: Studies
    numbers: tuple[int, ...]
    seeds: tuple[np.random.SeedSequence, ...]
    truth: Mapping[str, float] | None
    settings: SamplerSettings
    place: Path | None
    versions: Mapping[str, Plain]


class _NotDependable(FitError):
    """Chains that did not agree, however long: the study is set apart whenever it is fitted."""


def calibrate(
    spec: ModelSpec,
    layout: Layout | Mapping[str, object],
    *,
    n: int = 200,
    seed: int,
    variables: VariableSpecs | None = None,
    columns: Mapping[str, str] | None = None,
    reference: Mapping[str, str] | None = None,
    priors: PriorStatements = (),
    truth: Mapping[str, float] | None = None,
    settings: SamplerSettings | None = None,
    cache: str | Path | None = None,
    executor: Executor | Any | None = None,
    workers: int | None = None,
    progress: Progress = "auto",
) -> Calibration:
    """Check that a model, its priors and its engine recover what studies were drawn from.

    Truths are drawn from the priors that the fits have (numbers fixed once, from stand-ins of the outcomes), studies
    from the truths, and every truth is ranked among draws of its posterior: the ranks are uniform if, and for a rich
    set of quantities only if, simulation and fit are of one model (Talts et al. 2018; Modrák et al. 2023).

    Parameters
    ----------
    spec, layout, variables, columns, reference
        As in ``simulate_sessions``.
    n : int
        Studies.
    seed : int
        The same seed gives the same ranks on any number of processes.
    priors : mapping or sequence of PriorSpec
        In place of the defaults, in simulation and fit.
    truth : mapping of str to float, optional
        Draw all studies from one truth instead: coverage of intervals there.
    settings : SamplerSettings, optional
        Of each fit; 4 chains of 250 draws after 500 of tuning unless stated.
    cache : str or Path, optional
        Folder that each study's ranks are written to the moment it is done; a cluster's workers must see it too. The
        same call, by the same versions of packages and code, goes on where one that was stopped had got to, and one
        with a larger ``n`` adds the studies behind.
    executor, workers
        As in ``fit_many``.
    progress : {"auto", "off"}
        Whether a bar is shown.

    Returns
    -------
    Calibration
        Ranks of all parameters and of the log-likelihood given parameters and effects.

    Raises
    ------
    SpecError, DesignError
        If studies cannot be drawn from the layout, the model or its priors.
    FitError
        If n or the seed is none, more than a tenth of the studies could not be fitted, or the cache cannot be written
        or holds other studies.
    KeyboardInterrupt
        If it is stopped meanwhile. Studies that were done are in the cache, and the same call goes on from there.
    """
    check_seed(seed)
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise FitError(f"n must be a whole number of 1 or more; it is {n!r}.")
    root, *each = np.random.SeedSequence(seed).spawn(n + 1)
    given = {"variables": variables, "columns": columns, "reference": reference, "priors": priors, "truth": truth}
    studies = plan_studies(spec, layout, seed=root, **given)  # type: ignore[arg-type]
    settings = (settings or DEFAULTS).for_worker()
    place = None
    if cache is not None:
        key = calibration_key(studies, layout, variables, seed=seed, truth=truth, settings=settings)
        place = Path(cache).expanduser().absolute() / key
    known = _kept(place, range(n))
    rest = [number for number in range(n) if number not in known]
    if place is not None and rest:
        check_place(str(cache), place)
    parts = [tuple(rest[start : start + CHUNK]) for start in range(0, len(rest), CHUNK)]
    chunks = [
        _Chunk(studies, part, tuple(each[number] for number in part), truth, settings, place, versions())
        for part in parts
    ]
    with counter("Studies", n, progress) as advance:
        advance(len(known))
        found = run_tasks(
            rank_chunk,
            chunks,
            executor=executor,
            workers=workers,
            advance=lambda done: advance(min(len(known) + done * CHUNK, n)),
        )
    return _join(studies, known | _spread(parts, found, place), seed, truth is None, settings, len(known))


def _kept(place: Path | None, numbers: Iterable[int]) -> dict[int, Outcome]:
    """Return the studies that are on disk, by number."""
    read = {} if place is None else {number: read_outcome(place, number) for number in numbers}
    return {number: outcome for number, outcome in read.items() if outcome is not None}


def _spread(
    parts: Sequence[Sequence[int]], found: Sequence[list[Outcome] | Lost], place: Path | None
) -> dict[int, Outcome]:
    """Return what became of studies by number; of a process that died, what it had written before."""
    outcomes: dict[int, Outcome] = {}
    for part, chunk in zip(parts, found, strict=True):
        if isinstance(chunk, Lost):
            outcomes |= {number: Outcome(chunk, 0.0) for number in part} | _kept(place, part)
        else:
            outcomes |= dict(zip(part, chunk, strict=True))
    return outcomes


def rank_chunk(chunk: _Chunk) -> list[Outcome]:
    """Draw, fit and rank studies one after the other; what a process runs."""
    keep = chunk.place if dict(chunk.versions) == versions() else None
    return [_outcome(chunk, keep, *one) for one in zip(chunk.numbers, chunk.seeds, strict=True)]


def _outcome(chunk: _Chunk, keep: Path | None, number: int, seed: np.random.SeedSequence) -> Outcome:
    """Rank a study, and keep it unless it was lost for a reason that another day may not have."""
    begun, lasting = time.perf_counter(), True
    draw_seed, fit_seed = seed.spawn(2)
    ranked: Ranked | Lost
    try:
        # an outcome may come out constant, which no design can be made of
        study = chunk.studies.draw(np.random.default_rng(draw_seed), chunk.truth)
        ranked = rank_study(study, _sample(study.design, chunk.settings, int(fit_seed.generate_state(1)[0])))
    except AllianceError as error:
        ranked = Lost(str(error.problems[0]))
        lasting = not isinstance(error, FitError) or isinstance(error, _NotDependable)
    outcome = Outcome(ranked, time.perf_counter() - begun)
    if keep is not None and lasting:
        write_outcome(keep, number, outcome)
    return outcome


def _sample(design: Design, settings: SamplerSettings, seed: int) -> xr.Dataset:
    settings, variables = settings.for_design(design), list_variables(design)
    engine, _ = choose_engine(design)
    if engine == "quadrature":
        sampled = sample_quadrature(design, settings, seed)
        if not isinstance(sampled, str) and _dependable(
            sampled.posterior, variables, find_constants(design, sampled.posterior)
        ):
            own = draw_quadrature_effects(design, sampled.posterior, seed)
            return sampled.posterior.merge(own, join="exact")
    if engine == "collapsed":
        posterior = sample_exact(design, settings, seed).posterior
        independent = posterior.attrs["sampler"] != "nuts"
        if independent and not _dependable(posterior, variables, find_constants(design, posterior)):
            posterior = sample_exact(design, settings, seed, independent=False).posterior
        return posterior.merge(draw_own_effects(design, posterior, seed), join="exact")
    # PyMC takes seconds to import, and the collapsed engine does without
    from bayes_alliance.build.model import build_model
    from bayes_alliance.fit.nuts import sample_nuts

    model = build_model(design.spec, design)
    for draws, tune, accept in LONGER:
        steps = max(accept, settings.target_accept or 0.0)
        attempt = replace(settings, draws=draws * settings.draws, tune=tune * settings.tune, target_accept=steps)
        posterior = sample_nuts(model, variables, attempt, seed).posterior
        if _dependable(posterior, variables, find_constants(design, posterior)):
            return posterior
    raise _NotDependable(
        f"Chains did not agree (R-hat above {AGREE}, or fewer than {KEPT} effective draws), longer ones too."
    )


NOT_JUDGED: Final[frozenset[Kind]] = frozenset(
    {"group effect", "modelled value", "coefficient at the mean", "local scale"}
)
"""Kinds that are many, or the same as others: a study is not set apart for them."""


def _dependable(posterior: xr.Dataset, variables: Sequence[PosteriorVariable], constants: Constants) -> bool:
    """Return whether chains agree on every parameter and tell enough of it to rank a truth.

    What cannot be worked out counts against it, unless the model fixes the entry.

    Whether a study is set apart depends on its data and the sampler, not on its truth: ranks of the others stay uniform
    where all is right (Modrák et al. 2023).
    """
    judged = [own.name for own in variables if own.kind not in NOT_JUDGED and own.name in posterior]
    found = diagnose_draws(posterior[judged])
    hats, sizes = (flatten(found[name], constants).values() for name in ("r_hat", "ess_bulk"))
    return all(hat <= AGREE for hat in hats) and all(size >= KEPT for size in sizes)


def _join(
    studies: Studies,
    outcomes: Mapping[int, Outcome],
    seed: int,
    at_prior: bool,
    settings: SamplerSettings,
    from_cache: int = 0,
) -> Calibration:
    each, n = [outcomes[number] for number in sorted(outcomes)], len(outcomes)
    ranked = [outcome.ranked for outcome in each if not isinstance(outcome.ranked, Lost)]
    lost: dict[str, int] = {}
    for outcome in each:
        if isinstance(outcome.ranked, Lost):
            lost[outcome.ranked.why] = lost.get(outcome.ranked.why, 0) + 1
    if len(ranked) < 0.9 * n:
        raise FitError(f"{n - len(ranked)} of {n} studies could not be fitted: {first_few(list(lost))}")
    other = sorted({quantities for quantities, _, _ in ranked} - {ranked[0][0]})
    if other:
        raise FitError(
            f"Studies were ranked on different quantities: {first_few(list(ranked[0][0]))}; and "
            f"{first_few(list(other[0]))}. Give another folder as cache: this one holds studies of something else."
        )
    design = studies.design
    return Calibration(
        title=design.spec.title,
        quantities=ranked[0][0],
        ranks=np.array([ranks for _, ranks, _ in ranked]),
        levels=np.array([levels for _, _, levels in ranked]),
        kept=KEPT,
        engine=choose_engine(design)[0],
        seed=seed,
        at_prior=at_prior,
        priors={p.parameter: str(p.distribution) for p in design.priors.table()},
        settings=settings,
        seconds=sum(outcome.seconds for outcome in each),
        lost=lost,
        from_cache=from_cache,
    )

"""Simulation-based calibration: truths from the prior must look like draws of the posteriors of their data."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance._messages import count_of, first_few
from bayes_alliance.collapse.eligible import find_design_obstacles
from bayes_alliance.design.design import Design, PriorStatements
from bayes_alliance.diagnosis.kept import (
    Outcome,
    Ranked,
    calibration_key,
    make_place,
    read_outcome,
    write_outcome,
)
from bayes_alliance.diagnosis.uniform import uniformity
from bayes_alliance.errors import AllianceError, FitError
from bayes_alliance.fit.checks import diagnose_draws, entry_name
from bayes_alliance.fit.exact import sample_exact
from bayes_alliance.fit.progress import counter
from bayes_alliance.fit.seeds import check_seed
from bayes_alliance.fit.settings import Progress, SamplerSettings
from bayes_alliance.fit.workers import Lost, run_tasks
from bayes_alliance.names import COEF, SIGMA_COEF, THRESHOLD_COEF, shape_dim
from bayes_alliance.posterior.linear import row_densities, stack_draws
from bayes_alliance.simulate.layout import Layout
from bayes_alliance.simulate.simulate import VariableSpecs
from bayes_alliance.simulate.studies import Studies, Study, plan_studies
from bayes_alliance.spec.model import ModelSpec

KEPT = 99
"""Draws of each posterior that a truth is ranked among, evenly spaced over its chains: 100 possible ranks."""

CHUNK = 10
"""Studies that a process takes at a time."""

INTERVALS = (0.5, 0.8, 0.95)
"""Equal-tailed intervals whose coverage is counted."""

LOG_LIKELIHOOD = "log-likelihood"
"""Name of the extra quantity: it reads the data, and so sees faults that leave every parameter's ranks alone."""

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
    need not be uniform. ``lost`` counts studies that could not be fitted, by reason. ``seconds`` is how long it took;
    for the ``from_cache`` studies that an earlier call had left in its cache, how long these took there.
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
    """Studies of one process: their seeds, the first one's number, how they are fitted and where they are kept."""

    studies: Studies
    first: int
    seeds: tuple[np.random.SeedSequence, ...]
    truth: Mapping[str, float] | None
    settings: SamplerSettings
    place: Path | None


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
        same call goes on where one that was stopped had got to, and one with a larger ``n`` adds the studies behind.
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
        If n or the seed is none, more than a tenth of the studies could not be fitted, or the cache cannot be written.
    """
    check_seed(seed)
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise FitError(f"n must be a whole number of 1 or more; it is {n!r}.")
    begun = time.perf_counter()
    root, *each = np.random.SeedSequence(seed).spawn(n + 1)
    given = {"variables": variables, "columns": columns, "reference": reference, "priors": priors, "truth": truth}
    studies = plan_studies(spec, layout, seed=root, **given)  # type: ignore[arg-type]
    settings = (settings or DEFAULTS).for_worker()
    place = None
    if cache is not None:
        key = calibration_key(studies, layout, variables, seed=seed, truth=truth, settings=settings)
        place = make_place(cache, key)
    chunks = [
        _Chunk(studies, start, tuple(each[start : start + CHUNK]), truth, settings, place)
        for start in range(0, n, CHUNK)
    ]
    with counter("Studies", n, progress) as advance:
        found = run_tasks(
            rank_chunk, chunks, executor=executor, workers=workers, advance=lambda done: advance(min(done * CHUNK, n))
        )
    return _join(studies, found, n, seed, truth is None, settings, time.perf_counter() - begun)


def rank_chunk(chunk: _Chunk) -> list[Outcome]:
    """Draw, fit and rank studies one after the other, but those that are kept; what a process runs."""
    return [_outcome(chunk, chunk.first + i, seed) for i, seed in enumerate(chunk.seeds)]


def _outcome(chunk: _Chunk, number: int, seed: np.random.SeedSequence) -> Outcome:
    known = None if chunk.place is None else read_outcome(chunk.place, number)
    if known is not None:
        return known
    begun = time.perf_counter()
    ranked = _rank(chunk, seed)
    outcome = Outcome(ranked, time.perf_counter() - begun)
    if chunk.place is not None:
        write_outcome(chunk.place, number, outcome)
    return outcome


def _rank(chunk: _Chunk, seed: np.random.SeedSequence) -> Ranked | Lost:
    draw_seed, fit_seed = seed.spawn(2)
    try:
        # an outcome may come out constant, which no design can be made of
        study = chunk.studies.draw(np.random.default_rng(draw_seed), chunk.truth)
        posterior = _sample(study.design, chunk.settings, int(fit_seed.generate_state(1)[0]))
    except AllianceError as error:
        return Lost(error.problems[0])
    return rank_study(study, posterior)


def _sample(design: Design, settings: SamplerSettings, seed: int) -> xr.Dataset:
    settings = settings.for_design(design)
    if not find_design_obstacles(design):
        return sample_exact(design, settings, seed).posterior
    # PyMC takes seconds to import, and the collapsed engine does without
    from bayes_alliance.build.model import build_model
    from bayes_alliance.fit.nuts import sample_nuts

    model = build_model(design.spec, design)
    for draws, tune, accept in LONGER:
        steps = max(accept, settings.target_accept or 0.0)
        attempt = replace(settings, draws=draws * settings.draws, tune=tune * settings.tune, target_accept=steps)
        posterior = sample_nuts(model, attempt, seed).posterior
        if _dependable(posterior):
            return posterior
    raise FitError(
        f"Chains did not agree (R-hat above {AGREE}, or fewer than {KEPT} effective draws), longer ones too."
    )


def _dependable(posterior: xr.Dataset) -> bool:
    """Return whether chains agree on every parameter and tell enough of it to rank a truth.

    Whether a study is set apart depends on its data and the sampler, not on its truth: ranks of the others stay uniform
    where all is right (Modrák et al. 2023).
    """
    names = [str(name) for name in posterior.data_vars]
    draws = posterior[[name for name in names if not name.startswith(("u_", "value_", "b_centred", "local_"))]]
    found = diagnose_draws(draws)
    worst = max((float(a.max()) for a in found["r_hat"].data_vars.values() if np.isfinite(a).any()), default=1.0)
    least = min((float(a.min()) for a in found["ess_bulk"].data_vars.values() if np.isfinite(a).any()), default=KEPT)
    return worst <= AGREE and least >= KEPT


def rank_study(study: Study, posterior: xr.Dataset) -> Ranked:
    """Return quantities, the ranks of their truths among kept draws, and the share of all draws below them."""
    flat = stack_draws(posterior)
    size = flat.sizes["sample"]
    kept = np.linspace(0, size - 1, KEPT).astype(int)
    names, ranks, levels = [], [], []
    for variable in flat.data_vars:
        array = flat[variable]
        for index in np.ndindex(array.shape[1:]):
            name = entry_name(str(variable), array.isel(sample=0), index)
            if name in study.truth:
                values = array.values[(slice(None), *index)]
                names.append(name)
                ranks.append(int((values[kept] < study.truth[name]).sum()))
                levels.append(float((values < study.truth[name]).mean()))
    lacking = sorted(set(study.truth) - set(names))
    if lacking:
        raise FitError(f"The posterior has no {first_few(lacking)}.")
    true = log_likelihood(study.design, _as_draw(study))[0]
    values = log_likelihood(study.design, flat.isel(sample=kept))
    names.append(LOG_LIKELIHOOD)
    ranks.append(int((values < true).sum()))
    levels.append(float((values < true).mean()))
    return tuple(names), np.array(ranks), np.array(levels)


def log_likelihood(design: Design, draws: xr.Dataset) -> np.ndarray:
    """Return the log-likelihood of all rows given coefficients, effects and residual SDs, shape (sample,).

    Residuals that correlate are taken one by one, and observed means in place of latent ones: the quantity serves for
    ranks whatever it leaves out.
    """
    return np.asarray(sum(rows.sum(axis=1) for rows in row_densities(design, draws, latent=False).values()))


def _as_draw(study: Study) -> xr.Dataset:
    """Return a truth as the one draw of a posterior."""
    labels = [label for e in study.design.parts for label in e.coef_labels]
    sigma = [label for e in study.design.equations if e.kind.spread for label in e.sigma_coef]
    data = {"b": ((COEF,), np.array([study.truth[f"b[{label}]"] for label in labels]))}
    if sigma:
        data["sigma"] = ((SIGMA_COEF,), np.array([study.truth[f"sigma[{label}]"] for label in sigma]))
    coords = {COEF: labels} | ({SIGMA_COEF: sigma} if sigma else {})
    thresholds = [label for e in study.design.equations for label in e.threshold_labels]
    if thresholds:
        coords[THRESHOLD_COEF] = thresholds
        data["threshold"] = ((THRESHOLD_COEF,), np.array([study.truth[f"threshold[{label}]"] for label in thresholds]))
    for shape in study.design.priors.shapes:
        dim = shape_dim(shape)
        coords[dim] = [e.outcome for e in study.design.equations if shape in e.shapes]
        data[shape] = ((dim,), np.array([study.truth[f"{shape}[{outcome}]"] for outcome in coords[dim]]))
    whole = xr.Dataset(data, coords=coords)
    return whole.merge(study.effects).expand_dims("sample")


def _join(
    studies: Studies, found: list[Any], n: int, seed: int, at_prior: bool, settings: SamplerSettings, seconds: float
) -> Calibration:
    whole = [chunk if isinstance(chunk, list) else [Outcome(chunk, 0.0)] * CHUNK for chunk in found]
    each = [outcome for chunk in whole for outcome in chunk][:n]
    ranked = [outcome.ranked for outcome in each if not isinstance(outcome.ranked, Lost)]
    lost: dict[str, int] = {}
    for outcome in each:
        if isinstance(outcome.ranked, Lost):
            lost[outcome.ranked.why] = lost.get(outcome.ranked.why, 0) + 1
    if len(ranked) < 0.9 * n:
        raise FitError(f"{n - len(ranked)} of {n} studies could not be fitted: {first_few(list(lost))}")
    design = studies.design
    return Calibration(
        title=design.spec.title,
        quantities=ranked[0][0],
        ranks=np.array([ranks for _, ranks, _ in ranked]),
        levels=np.array([levels for _, _, levels in ranked]),
        kept=KEPT,
        engine="nuts" if find_design_obstacles(design) else "collapsed",
        seed=seed,
        at_prior=at_prior,
        priors={p.parameter: str(p.distribution) for p in design.priors.table()},
        settings=settings,
        seconds=seconds + sum(outcome.seconds for outcome in each if outcome.kept),
        lost=lost,
        from_cache=sum(outcome.kept for outcome in each),
    )

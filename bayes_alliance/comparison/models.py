"""All models that answer one question, fitted to the same rows and weighed against each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayes_alliance._messages import count_of, escaped, quote, unknown
from bayes_alliance.comparison.refits import fit_jobs
from bayes_alliance.comparison.table import Comparison, compare
from bayes_alliance.comparison.units import UnitName
from bayes_alliance.design.design import Design, make_design
from bayes_alliance.design.subset import keep_rows
from bayes_alliance.errors import AllianceError, DesignError, FitError
from bayes_alliance.findings import Problem
from bayes_alliance.fit.many_fits import FitJob
from bayes_alliance.fit.result import Fit
from bayes_alliance.fit.seeds import check_seed
from bayes_alliance.fit.settings import Engine, Progress, SamplerSettings
from bayes_alliance.posterior.estimands import summarize_estimands
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.registry import list_models, load_model
from bayes_alliance.spec.variables_read import values_in
from bayes_alliance.study import Study, as_study
from bayes_alliance.table.sessions import SessionTable


@dataclass(frozen=True, eq=False)
class ModelComparison:
    """Models of one question: ``comparison`` by prediction, ``estimands`` side by side, and the ``fits``.

    ``estimands`` has a line per model and estimand, as ``summarize_estimands`` has them.
    """

    comparison: Comparison
    estimands: pd.DataFrame
    fits: Mapping[str, Fit]

    @escaped
    def __repr__(self) -> str:
        if self.estimands.empty:
            return f"{self.comparison!r}\nThe models state no estimands."
        shown = self.estimands[[c for c in self.estimands.columns if c not in ("ess_tail", "mcse", "p_rope")]]
        return f"{self.comparison!r}\n\n{shown.to_string(index=False, float_format=lambda v: f'{v:.2f}')}"

    def _repr_html_(self) -> str:
        table = self.estimands.to_html(index=False, float_format=lambda v: f"{v:.2f}")
        return f"{self.comparison._repr_html_()}<p><b>{escape('Estimands side by side')}</b></p>{table}"


def compare_models(
    models: str | Sequence[str] | Mapping[str, ModelSpec],
    study: Study[SessionTable] | SessionTable,
    *,
    unit: UnitName = "patient",
    outcomes: Sequence[str] | str | None = None,
    seed: int,
    engine: Engine = "auto",
    settings: SamplerSettings | None = None,
    folder: str | Path | None = None,
    executor: Executor | Any | None = None,
    progress: Progress = "auto",
) -> ModelComparison:
    """Fit every model of a question to the same rows and compare them.

    Parameters
    ----------
    models : str, sequence of str, or mapping of str to ModelSpec
        A tag or a folder of the registry (``"growth"``), names of registered models, or models of your own by name.
    study : Study or SessionTable
        As in ``fit_model``. Rows that every model can use are used by all, and the others are counted. Columns and
        references that a model does not read are left aside for it.
    unit, outcomes
        As in ``compare``.
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
    ModelComparison

    Raises
    ------
    SpecError, DesignError
        If a model is unknown or does not fit the table; all of them are told at once.
    FitError
        If fewer than two models are named, or no row suits all of them.
    """
    check_seed(seed)
    specs = find_models(models)
    if len(specs) < 2:
        raise FitError(f"A comparison needs two models or more; {quote(list(specs)) or 'none'} was named.")
    designs = _designs(specs, as_study(study))
    designs, messages = share_rows(designs)
    jobs = [FitJob(name, design, engine, settings or SamplerSettings()) for name, design in designs.items()]
    fits = dict(zip(designs, fit_jobs(jobs, seed, folder, executor, progress), strict=True))
    found = compare(fits, unit=unit, outcomes=outcomes)
    tables = [summarize_estimands(fit).assign(model=name) for name, fit in fits.items()]
    estimands = pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)
    order = ["model", *(column for column in estimands.columns if column != "model")]
    comparison = replace(found, messages=(*messages, *found.messages))
    return ModelComparison(comparison, estimands[order], fits)


def find_models(models: str | Sequence[str] | Mapping[str, ModelSpec]) -> dict[str, ModelSpec]:
    """Return models by name: those of a tag or folder of the registry, those named, or those given."""
    if isinstance(models, Mapping):
        return dict(models)
    if not isinstance(models, str):
        return {name: load_model(name) for name in models}
    entries = list_models()
    found = [e.name for e in entries if models in e.tags or e.name.startswith(f"{models}/")]
    if not found:
        tags = sorted({tag for e in entries for tag in (*e.tags, e.name.split("/")[0])})
        raise FitError(unknown("tag or folder of models", models, tags))
    return {name: load_model(name) for name in found}


def share_rows(designs: Mapping[str, Design]) -> tuple[dict[str, Design], list[str]]:
    """Return designs that use the same rows of every outcome, and what was left out of which.

    Raises
    ------
    FitError
        If an outcome has no row that all models which have it can use.
    """
    usable: dict[str, set[tuple[str, float]]] = {}
    for design in designs.values():
        for e in design.equations:
            rows = set(_keys(e.patient, e.session))
            usable[e.outcome] = usable[e.outcome] & rows if e.outcome in usable else rows
    none = [outcome for outcome, rows in usable.items() if not rows]
    if none:
        raise FitError(f"No row of {quote(none)} can be used by every model.")
    shared, messages = {}, []
    for name, design in designs.items():
        keep = {
            e.outcome: np.array([k in usable[e.outcome] for k in _keys(e.patient, e.session)]) for e in design.equations
        }
        gone = sum(int((~mask).sum()) for mask in keep.values())
        shared[name] = keep_rows(design, keep) if gone else design
        if gone:
            messages.append(f"{name}: {count_of(gone, 'row')} left out, which another model cannot use.")
    return shared, messages


def _keys(patient: np.ndarray, session: np.ndarray) -> list[tuple[str, float]]:
    return [(str(p), float(s)) for p, s in zip(patient, np.nan_to_num(session, nan=-np.inf), strict=True)]


def _designs(
    specs: Mapping[str, ModelSpec],
    study: Study[SessionTable],
) -> dict[str, Design]:
    """Make every design, each with the columns and references it reads, so that all problems are told at once."""
    designs, problems = {}, check_read(specs.values(), [*study.columns, *study.reference])
    for name, spec in specs.items():
        try:
            designs[name] = make_own_design(spec, study)
        except AllianceError as error:
            problems += [problem.under(name) for problem in error.problems]
    if problems:
        raise DesignError(problems)
    return designs


def read_by(spec: ModelSpec) -> set[str]:
    """Return the variables and factors that a model reads, those that it declares among them."""
    read = {v for e in spec.equation for v in (*spec.variables_of(e), *e.factors, *e.centring_factors)}
    return read | set(spec.variables) | {v for call in spec.declared.values() for v in values_in(call)}


def check_read(specs: Iterable[ModelSpec], names: Iterable[str]) -> list[Problem]:
    """Report names of columns and references that no model reads: they would be left aside everywhere."""
    read = {name for spec in specs for name in read_by(spec)}
    return [unknown("variable", name, sorted(read)) for name in dict.fromkeys(names) if name not in read]


def make_own_design(
    spec: ModelSpec,
    study: Study[SessionTable],
) -> Design:
    """Make a design with those of the columns and references that its model reads."""
    return make_design(spec, study.reading(read_by(spec)))

"""The models and studies that readers are tried on: the registry's, and small ones of the kinds that went wrong."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import pandas as pd

import bayes_alliance as ba
from bayes_alliance.design.design import Design
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.fit.result import Fit
from tests.conftest import make_trial
from tests.contracts.test_registry import NAMES, table_for
from tests.truth.fits import make_fit
from tests.truth.worlds import Study, Truth, View, World, open_study


@dataclass(frozen=True, eq=False)
class Case:
    """A model with a study, as a table and as raw rows."""

    name: str
    spec: ba.ModelSpec
    table: ba.SessionTable
    columns: Mapping[str, str]
    reference: Mapping[str, str]

    @cached_property
    def design(self) -> Design:
        """Return the design, made once."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ba.make_design(
                self.spec, ba.Study(self.table, columns=dict(self.columns), reference=dict(self.reference))
            )

    @cached_property
    def fit(self) -> Fit:
        """Return a fit with stated parameters, made once."""
        return make_fit(self.design, seed=11)

    @cached_property
    def study(self) -> Study:
        """Return the raw rows."""
        frame = self.table.frame.copy()
        keys = [self.table.roles["patient"], *([self.table.roles["session"]] if "session" in self.table.roles else [])]
        frame = frame.sort_values(keys, kind="stable").reset_index(drop=True)
        bounds = {k: (float(a), float(b)) for k, (a, b) in self.table.bounds.items()}
        columns = dict(self.columns)
        if "visit" in self.design.columns:  # the session as a category, unless a column is named
            columns["visit"] = self.design.columns["visit"]
        reference = {columns.get(name, name): level for name, level in self.reference.items()}
        made = Study(frame, dict(self.table.roles), columns, self.design.spec, bounds, reference)
        return open_study(made)

    def draws(self) -> list[tuple[int, int]]:
        """Return every chain and draw."""
        posterior = with_effects(self.fit)
        return [(c, d) for c in range(posterior.sizes["chain"]) for d in range(posterior.sizes["draw"])]

    def world(self, chain: int, draw: int) -> World:
        """Return the study under one draw's parameters."""
        return self._worlds[chain, draw]

    @cached_property
    def _worlds(self) -> dict[tuple[int, int], World]:
        posterior = with_effects(self.fit)
        return {(c, d): World(self.study, Truth(posterior.isel(chain=c, draw=d))) for c, d in self.draws()}

    def view(self, world: World, outcome: str) -> View:
        """Return the rows of an outcome's equation."""
        return world.view(self.study.equation(outcome).unit)


def trial(seed: int = 3, patients: int = 30) -> pd.DataFrame:
    """Return a small trial with values missing here and there, not in the same rows for all columns."""
    frame = make_trial(seed=seed, patients=patients)
    rng = np.random.default_rng(5)
    for name, share in (("alliance", 0.08), ("score", 0.12), ("stress", 0.05)):
        frame.loc[rng.random(len(frame)) < share, name] = np.nan
    return frame


@cache
def registry_case(name: str) -> Case:
    """Return a registered model on a small study."""
    model, _, course = name.partition(", course ")
    model, months, _ = model.partition(" in months")
    table, columns, reference = table_for(model, make_trial(seed=3, patients=30))
    spec = ba.load_model(model, course=course or "linear")
    if not months:
        return Case(name, spec, table, columns, reference)
    rng = np.random.default_rng(6)
    frame = table.frame.assign(months=lambda f: (f["week"] - 3 + rng.uniform(-0.4, 0.4, len(f))).round(2) / 4.3)
    timed = ba.read_sessions(frame, dict(table.roles), bounds=dict(table.bounds))
    return Case(name, spec, timed, {**columns, "time": "months"}, reference)


COURSES = (
    "growth/treatment, course log",
    "growth/treatment, course piecewise(3)",
    "growth/treatment in months",
    "dropout/joint-value in months",
)
"""Registered models with another form of time, or with a column of times in place of the session's number."""

__all__ = ["COURSES", "NAMES", "Case", "registry_case"]

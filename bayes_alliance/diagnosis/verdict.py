"""Can one fit be trusted: its chains, its data, its priors, in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from bayes_alliance._messages import count_of, escaped, first_few
from bayes_alliance.diagnosis.predictive import EXTREME, loo_pit, predictive_checks
from bayes_alliance.diagnosis.sensitivity import SENSITIVE, prior_overlap, prior_sensitivity
from bayes_alliance.errors import AllianceError
from bayes_alliance.fit.checks import CheckResult
from bayes_alliance.fit.result import Fit

FEW_THERAPISTS = 20
"""Therapists below which the prior of their SD is always spoken of."""

RESOLVED = 2.5 / 401
"""Two-sided tail probability of a figure outside all 400 replicates, and a little more."""

SILENT = 0.85
"""Overlap of prior and posterior from which the data are said to say nothing."""


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What was looked at in a fit: ``checks``, and the tables behind them.

    ``predictive``, ``sensitivity`` and ``overlap`` are empty where they could not be worked out; a check says why.
    """

    checks: tuple[CheckResult, ...]
    predictive: pd.DataFrame
    sensitivity: pd.DataFrame
    overlap: pd.DataFrame

    def __iter__(self) -> Iterator[CheckResult]:
        return iter(self.checks)

    def __len__(self) -> int:
        return len(self.checks)

    @property
    def passed(self) -> bool:
        """Return whether nothing was found."""
        return all(check.passed for check in self.checks)

    def table(self) -> pd.DataFrame:
        """Return one line per check: name, passed, sentence, remedy."""
        columns = ["name", "passed", "sentence", "remedy"]
        return pd.DataFrame([[getattr(check, c) for c in columns] for check in self.checks], columns=columns)

    @escaped
    def __repr__(self) -> str:
        return "\n".join([self._head, *(_line(check) for check in self.checks)])

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{escape(_line(check))}</li>" for check in self.checks)
        return f"<b>{escape(self._head)}</b><ul>{lines}</ul>"

    @property
    def _head(self) -> str:
        failed = sum(not check.passed for check in self.checks)
        return f"{count_of(len(self.checks), 'check')}, {failed} to look at." if failed else "Nothing was found."


def diagnose(fit: Fit, *, seed: int = 1) -> Diagnosis:
    """Look at a fit from all sides: sampling, predictions of its own data, priors.

    Parameters
    ----------
    fit : Fit
        With its design (``with_rows`` after loading); without, only its sampling is looked at.
    seed : int
        For replicated data and draws from priors.

    Returns
    -------
    Diagnosis
        A sentence and a remedy per check. A bad fit is described, never refused.
    """
    checks = list(fit.checks)
    empty = pd.DataFrame()
    if fit.design is None:
        note = "Predictions and priors were not looked at: the fit has no rows."
        told = CheckResult("rows", False, note, "Bring them back with fit.with_rows(sessions).")
        return Diagnosis((*checks, told), empty, empty, empty)
    predictive = predictive_checks(fit, seed=seed)
    checks += _of_figures(predictive)
    checks += [_of_pit(outcome, p) for outcome, (_, p) in loo_pit(fit, seed=seed).items()]
    sensitivity = prior_sensitivity(fit)
    checks += _of_priors(fit, sensitivity)
    try:
        overlap = prior_overlap(fit, seed=seed)
        checks.append(_of_overlap(overlap))
    except AllianceError as error:
        overlap = empty
        checks.append(CheckResult("overlap", False, str(error), "State a proper prior."))
    return Diagnosis(tuple(checks), predictive, sensitivity, overlap)


def _line(check: CheckResult) -> str:
    return f"{'ok  ' if check.passed else 'LOOK'} {check.name}: {check.sentence} {check.remedy}".rstrip()


def _of_figures(table: pd.DataFrame) -> list[CheckResult]:
    """Return a check per outcome and kind of figure; means per arm and session are one kind."""
    kinds: dict[str, list[dict[Any, Any]]] = {}
    for row in table.to_dict("records"):
        kinds.setdefault(f"predictive {row['outcome']}: {row['kind']}", []).append(row)
    checks = []
    for name, rows in kinds.items():
        # several figures are looked at together, so each has a share of the error, as far as replicates resolve it
        limit = max(EXTREME / len(rows), RESOLVED)
        bad = [row for row in rows if row["p"] < limit]
        if bad:
            shown = [
                f"{row['figure']} {row['observed']:.3g} (predicted {row['eti95_lb']:.3g} to {row['eti95_ub']:.3g})"
                for row in bad
            ]
            sentence = f"The model does not make data like these: {first_few(shown)}."
            checks.append(CheckResult(name, False, sentence, str(bad[0]["remedy"])))
            continue
        worst = min(rows, key=lambda row: row["p"])
        text = f"{worst['figure'] + ': observed' if len(rows) > 1 else 'Observed'} {worst['observed']:.3g}"
        text += f", predicted {worst['predicted']:.3g} (95 % from {worst['eti95_lb']:.3g} to {worst['eti95_ub']:.3g})"
        checks.append(CheckResult(name, True, f"{'Furthest out is ' * (len(rows) > 1)}{text}."))
    return checks


def _of_pit(outcome: str, p: float) -> CheckResult:
    name = f"LOO-PIT {outcome}"
    if p >= EXTREME:
        return CheckResult(name, True, f"Rows lie in their predicted distributions as they should (p = {p:.2f}).")
    return CheckResult(
        name,
        False,
        f"Rows lie too often at the edges, or in the middle, of their predicted distributions (p = {p:.2g}).",
        "The residuals' spread or shape is off: let sigma differ, or take another family.",
    )


def _of_priors(fit: Fit, table: pd.DataFrame) -> list[CheckResult]:
    """Return a check per block that moves something, and one on therapists' SD wherever they are few."""
    assert fit.design is not None
    few = {f"sd {f.factor}" for f in fit.design.factors if f.factor == "therapist" and len(f.levels) < FEW_THERAPISTS}
    checks, quiet = [], []
    blocks: dict[str, list[dict[Any, Any]]] = {}
    for row in table.sort_values("prior", ascending=False, kind="stable").to_dict("records"):
        blocks.setdefault(str(row["block"]), []).append(row)
    for block in dict.fromkeys(table["block"]):
        part = blocks[block]
        bad = [row for row in part if row["prior"] >= SENSITIVE]
        if bad:
            shown = [f"{row['quantity']} ({row['prior']:.2f}, {row['reading']})" for row in bad]
            sentence = f"The prior of {block} moves {first_few(shown)}."
            remedy = "Say why the prior is as it is, and report results under others."
            checks.append(CheckResult(f"prior {block}", False, sentence, remedy))
        elif block in few:
            worst = part[0]
            sentence = f"The prior of {block} moves nothing by {SENSITIVE} or more"
            sentence += f" (most {worst['quantity']}, {worst['prior']:.2f}), although therapists are few."
            checks.append(CheckResult(f"prior {block}", True, sentence))
        else:
            quiet.append(str(block))
    if quiet:
        checks.append(CheckResult("prior", True, f"Priors of {', '.join(quiet)} move nothing by {SENSITIVE} or more."))
    return checks


def _of_overlap(table: pd.DataFrame) -> CheckResult:
    bad = table[table["overlap"] >= SILENT].sort_values("overlap", ascending=False)
    if bad.empty:
        return CheckResult("overlap", True, "The data have moved every parameter away from its prior.")
    shown = [f"{row['quantity']} ({row['overlap']:.2f})" for row in bad.to_dict("records")]
    return CheckResult(
        "overlap",
        False,
        f"Posterior and prior are nearly the same for {first_few(shown)}: the data say next to nothing about it.",
        "Report it as what the prior says, or leave it out of the model.",
    )

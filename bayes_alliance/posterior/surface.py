"""Response surfaces: slopes and curvatures, axes, ridge and top of the polynomial, and how probable congruence is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance._messages import escaped, quote
from bayes_alliance.design.columns.surfaces import CUBIC, MONOMIALS, PARAMETERS
from bayes_alliance.errors import FitError
from bayes_alliance.posterior.estimands import tabulate
from bayes_alliance.posterior.geometry import lines_of, reach
from bayes_alliance.posterior.summary import IntervalKind

type Setting = float | str
type Matrix = np.ndarray

FAR = 0.975
"""Share of the rows whose distance from the centre the ends of a line stand for."""

NOT_CONGRUENCE = (
    "a1 above 0 says that agreement at high ratings is better than agreement at low ones, not that agreement is better "
    "than disagreement: that is a4 below 0 with a3 and a5 near 0."
)


ROPE_ROLE = (
    "Probabilities are of differences within 0.1 SD of the outcome (rope=): with few data they are small even where "
    "congruence is true. The checklist of papers asks each interval by itself, and few data speak against nothing:"
)
"""What two ways to ask for congruence differ in."""


@dataclass(frozen=True, eq=False)
class Surface:
    """The posterior of a response surface, at stated values of what moderates it.

    ``draws`` holds ``value[chain, draw, estimand]`` with the coords of a fit's estimands. ``coefficients`` is
    ``[chain, draw, monomial]`` of x, y, x^2, x*y and y^2; ``prior`` the same drawn from the priors, shape (draw,
    monomial). ``points`` are the rows' ratings less their centre, shape (row, 2), None where a form does not hold them.
    ``spread`` is the outcome's SD. ``cubic`` holds coefficients of third degree by column, ``[chain, draw]``, and
    ``scale`` what is predicted: the outcome, or its link.
    """

    outcome: str
    ratings: tuple[str, str]
    form: tuple[str, ...]
    draws: xr.Dataset
    coefficients: xr.DataArray
    prior: Matrix
    points: Matrix | None
    spread: float
    at: Mapping[str, Setting]
    cubic: Mapping[str, Matrix]
    scale: str

    def heights(self, x: Matrix, y: Matrix, *, draws: int | None = None) -> Matrix:
        """Return the predicted difference from the centre at ratings less the centre.

        Parameters
        ----------
        x, y : ndarray
            Of one shape.
        draws : int, optional
            As many posterior draws at most; else the posterior mean.

        Returns
        -------
        ndarray
            In the shape of ``x``, with a dimension of draws before it where draws are asked for.
        """
        b = self.coefficients.stack(sample=("chain", "draw")).transpose("sample", "monomial").values
        extra = {piece: values.reshape(-1) for piece, values in self.cubic.items()}
        if draws is None:
            b, extra = b.mean(axis=0, keepdims=True), {k: v.mean(keepdims=True) for k, v in extra.items()}
        else:
            chosen = np.linspace(0, len(b) - 1, min(draws, len(b))).astype(int)
            b, extra = b[chosen], {piece: values[chosen] for piece, values in extra.items()}
        found = np.einsum("sm,m...->s...", b, np.stack([x, y, x**2, x * y, y**2]))
        for piece, values in extra.items():
            found = found + np.multiply.outer(values, CUBIC[piece](x, y))
        return np.asarray(found[0] if draws is None else found)

    def table(self, *, ci_prob: float = 0.95, ci_kind: IntervalKind = "eti") -> pd.DataFrame:
        """Return one line per parameter, with the columns of ``summarize_estimands``."""
        return tabulate(self.draws, ci_prob=ci_prob, ci_kind=ci_kind)

    @property
    def ends(self) -> tuple[float, float]:
        """Return how far from the centre the lines of congruence and incongruence are looked at, in rating points.

        Raises
        ------
        FitError
            If the form of the surface does not hold the ratings themselves.
        """
        along, across = lines_of(self._points())
        return float(np.quantile(np.abs(along), FAR)), float(np.quantile(np.abs(across), FAR))

    def congruence(self, *, rope: float = 0.1) -> pd.DataFrame:
        """Return how probable it is that agreement is best, as the checklists of congruence state it.

        A condition is stated as a difference of predicted outcomes between the centre and the end of a line, in the
        outcome's SDs, so that slopes and curvatures are on one scale. The broad checklist wants the line of
        incongruence to fall from its middle (a4), without slope there (a3), and a ridge without tilt (a5); the strict
        one also a ridge that is level (a1, a2). Since p11 is 1 just where a5 is 0, and p10 then 0 just where a3 is, the
        axis needs no conditions of its own (Humberg, Nestler and Back 2019).

        Parameters
        ----------
        rope : float
            Outcome SDs that count as none.

        Returns
        -------
        DataFrame
            ``condition``, its ``posterior`` probability, and its ``prior`` probability: that of a claim of several
            conditions at once is small before any data are seen.

        Raises
        ------
        FitError
            If the form of the surface does not hold the ratings themselves or is cubic, the outcome's link is bent, or
            ``rope`` is not above 0.
        """
        problem = self._no_checklist()
        if problem:
            raise FitError(problem)
        if not rope > 0:
            raise FitError(f"rope = {rope!r}: outcome SDs that count as none, above 0.")
        along, across = self.ends
        sizes = {"a1": along, "a2": along**2, "a3": across, "a4": across**2, "a5": 2 * along * across}
        flat = self.coefficients.stack(sample=("chain", "draw")).transpose("sample", "monomial").values
        found = []
        for b in (flat, self.prior):
            moved = {name: b @ weights_of(name) * size / self.spread for name, size in sizes.items()}
            low = {name: np.abs(values) < rope for name, values in moved.items()}
            falls = moved["a4"] < -rope
            broad = falls & low["a3"] & low["a5"]
            found.append(
                [falls, low["a3"], low["a5"], broad, low["a1"], low["a2"], broad & low["a1"] & low["a2"], b @ LINE > 0]
            )
        shown = f"{rope:g} SD"
        names = [
            f"a4: disagreement costs more than {shown}",
            f"a3: no side of disagreement is better, within {shown}",
            f"a5: the ridge is not tilted, within {shown}",
            "broad congruence (these three)",
            f"a1: high agreement is not better, within {shown}",
            f"a2: the ridge is not bent, within {shown}",
            "strict congruence (all five)",
            "a1 above 0 (no congruence by itself)",
        ]
        means = [[float(np.mean(one)) for one in side] for side in found]
        if np.isnan(self.prior).any():
            means[1] = [float("nan")] * len(names)  # priors of all coefficients together are not drawn one by one
        return pd.DataFrame({"condition": names, "posterior": means[0], "prior": means[1]})

    def checklist(self, *, ci_prob: float = 0.95) -> pd.DataFrame:
        """Return the checklist of congruence as papers state it: each condition by its own interval.

        Broad congruence: the first principal axis is the line of congruence (p10 is 0, p11 is 1), the surface falls
        along the line of incongruence (a4 below 0), without slope there (a3 is 0). Strict congruence: the line of
        congruence is level, too (a1 and a2 are 0). Source: Humberg, Nestler and Back (2019).

        A value "is" 0 or 1 here where its interval includes it: the data do not speak against it, which few data do not
        either. ``congruence`` asks the other question: how probable it is that all conditions hold at once, within what
        counts as none.

        Parameters
        ----------
        ci_prob : float
            Of the equal-tailed intervals.

        Returns
        -------
        DataFrame
            ``condition``, the ``median`` of its quantity and its interval, and whether it ``holds``.

        Raises
        ------
        FitError
            If the form of the surface is cubic or the outcome's link is bent.
        """
        problem = self._no_checklist()
        if problem:
            raise FitError(problem)
        known = self.table(ci_prob=ci_prob).set_index("name")
        low, high = (next(c for c in known.columns if c.endswith(end)) for end in ("_lb", "_ub"))
        asked: list[tuple[str, str, float | None]] = [
            ("p10", "p10 is 0", 0.0),
            ("p11", "p11 is 1", 1.0),
            ("a4", "a4 is below 0", None),
            ("a3", "a3 is 0", 0.0),
            ("a1", "a1 is 0", 0.0),
            ("a2", "a2 is 0", 0.0),
        ]
        lines = []
        for name, condition, value in asked:
            one = known.loc[name]
            holds = one[high] < 0 if value is None else one[low] <= value <= one[high]
            lines.append(
                {"condition": condition, "median": one["median"], low: one[low], high: one[high], "holds": holds}
            )
        held = [bool(line["holds"]) for line in lines]
        nothing = {"median": np.nan, low: np.nan, high: np.nan}
        lines.insert(4, {"condition": "broad congruence (these four)", **nothing, "holds": all(held[:4])})
        lines.append({"condition": "strict congruence (all six)", **nothing, "holds": all(held)})
        return pd.DataFrame(lines)

    def _no_checklist(self) -> str:
        """Return why the checklist does not apply, empty where it does."""
        if self.scale != self.outcome:
            return (
                f"The surface predicts the {self.scale}, and differences on it are none in SDs of the outcome: the "
                f"checklist of congruence is not worked out for it. Read a1 to a5 on that scale."
            )
        if self.cubic:
            return (
                f"The form has columns of third degree ({quote(self.cubic)}), whose lines are no parabolas: a1 to a5 "
                f"are slopes and curvatures at the centre only. Look at plot_surface, or ask the full polynomial."
            )
        return ""

    def coverage(self) -> pd.DataFrame:
        """Return the share of rows in which the ratings agree within half an SD, and those on either side.

        Returns
        -------
        DataFrame
            ``rows`` (agree, first higher, second higher) and their ``share``. Standardised by the ratings' common SD.
        """
        points = self._points()
        apart = (points[:, 0] - points[:, 1]) / points.std()
        shares = {"agree": np.abs(apart) <= 0.5, "first higher": apart > 0.5, "second higher": apart < -0.5}
        return pd.DataFrame({"rows": list(shares), "share": [float(one.mean()) for one in shares.values()]})

    def notes(self) -> tuple[str, ...]:
        """Return what the data do not show of the lines that are interpreted."""
        if self.points is None:
            return ()
        shares = self.coverage().set_index("rows")["share"]
        few = [f"{name} ({share:.0%})" for name, share in shares.items() if share < 0.1]
        notes = [f"Few rows where ratings are so: {', '.join(few)}."] if few else []
        inside = reach(self.points)
        for (name, (low, high)), end in zip(inside.items(), self.ends, strict=True):
            short = [side for side, got in (("below", -low), ("above", high)) if got < 0.5 * end]
            if short:
                notes.append(
                    f"The rows surround the line of {name} from {low:.2f} to {high:.2f} only; {' and '.join(short)} "
                    f"the centre it is extrapolated, and its slope and curvature rest on the form of the polynomial."
                )
        return tuple(notes)

    def _points(self) -> Matrix:
        if self.points is None:
            raise FitError(
                f"The form {quote(self.form)} does not hold the two ratings themselves. Ask this of a form that has x "
                f'and y, such as "full" or "SRR".'
            )
        return self.points

    @escaped
    def __repr__(self) -> str:
        held = f" at {', '.join(f'{name} = {value}' for name, value in self.at.items())}" if self.at else ""
        shown = self.table()[["name", "mean", "sd", "median", "eti95_lb", "eti95_ub", "p_positive", "r_hat"]]
        lines = [
            f"Surface of {self.outcome} over x = {self.ratings[0]} and y = {self.ratings[1]}{held}:",
            shown.round(3).to_string(index=False),
        ]
        problem = self._no_checklist()
        if problem:
            lines.append(problem)
        elif self.points is not None:
            lines.append(self.congruence().round(3).to_string(index=False))
            lines.append(ROPE_ROLE)
            lines.append(self.checklist().round(3).to_string(index=False, na_rep=""))
        return "\n".join([*lines, NOT_CONGRUENCE, *self.notes()])


LINE = np.array([1.0, 1.0, 0.0, 0.0, 0.0])
"""Weights of a1."""


def weights_of(parameter: str) -> Matrix:
    """Return a surface parameter as weights of the monomials."""
    return np.array([float(PARAMETERS[parameter].get(monomial, 0.0)) for monomial in MONOMIALS])

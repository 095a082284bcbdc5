"""Response surfaces: slopes and curvatures, axes, ridge and top of the polynomial, and how probable congruence is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance._messages import quote, unknown
from bayes_alliance.design.design import Design
from bayes_alliance.design.equation import EquationDesign
from bayes_alliance.design.spread import FIRST
from bayes_alliance.design.surfaces import MONOMIALS, PARAMETERS, PIECES
from bayes_alliance.errors import FitError
from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.fit.seeds import check_seed
from bayes_alliance.names import COEF, coef_label, cor_name, effect_dim, sd_name, second_dim
from bayes_alliance.posterior.estimands import tabulate
from bayes_alliance.posterior.geometry import lines_of, principal_axes, reach
from bayes_alliance.posterior.paths import moderator_value
from bayes_alliance.posterior.summarize import IntervalKind
from bayes_alliance.spec.expressions import Call, render
from bayes_alliance.spec.formula import parse_formula
from bayes_alliance.spec.priors import Distribution

type Setting = float | str
type Matrix = np.ndarray

FAR = 0.975
"""Share of the rows whose distance from the centre the ends of a line stand for."""

PRIOR_DRAWS = 20_000

NOT_CONGRUENCE = (
    "a1 above 0 says that agreement at high ratings is better than agreement at low ones, not that agreement is better "
    "than disagreement: that is a4 below 0 with a3 and a5 near 0."
)


@dataclass(frozen=True, eq=False)
class Surface:
    """The posterior of a response surface, at stated values of what moderates it.

    ``draws`` holds ``value[chain, draw, estimand]`` with the coords of a fit's estimands. ``coefficients`` is
    ``[chain, draw, monomial]`` of x, y, x^2, x*y and y^2; ``prior`` the same drawn from the priors, shape (draw,
    monomial). ``points`` are the rows' ratings less their centre, shape (row, 2), None where a form does not hold them.
    ``spread`` is the outcome's SD.
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
            If the form of the surface does not hold the ratings themselves, or ``rope`` is not above 0.
        """
        if not rope > 0:
            raise FitError(f"rope = {rope!r}: outcome SDs that count as none, above 0.")
        along, across = self.ends
        sizes = {"a1": along, "a2": along**2, "a3": across, "a4": across**2, "a5": 2 * along * across}
        flat = self.coefficients.stack(sample=("chain", "draw")).transpose("sample", "monomial").values
        found = []
        for b in (flat, self.prior):
            moved = {name: b @ _weights(name) * size / self.spread for name, size in sizes.items()}
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
        return pd.DataFrame({"condition": names, "posterior": means[0], "prior": means[1]})

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

    def __repr__(self) -> str:
        held = f" at {', '.join(f'{name} = {value}' for name, value in self.at.items())}" if self.at else ""
        shown = self.table()[["name", "mean", "sd", "median", "eti95_lb", "eti95_ub", "p_positive", "r_hat"]]
        lines = [
            f"Surface of {self.outcome} over x = {self.ratings[0]} and y = {self.ratings[1]}{held}:",
            shown.round(3).to_string(index=False),
        ]
        if self.points is not None:
            lines.append(self.congruence().round(3).to_string(index=False))
        return "\n".join([*lines, NOT_CONGRUENCE, *self.notes()])


LINE = np.array([1.0, 1.0, 0.0, 0.0, 0.0])
"""Weights of a1."""


def response_surface(
    fit: Fit,
    *,
    outcome: str | None = None,
    which: str | None = None,
    at: Mapping[str, Setting] | None = None,
    seed: int = 1,
) -> Surface:
    """Work out the response surface of a model with a ``surface(x, y)``: Edwards (2002), as draws.

    Parameters
    ----------
    fit : Fit
        With its design.
    outcome : str, optional
        In the model's names, where several equations have a surface.
    which : str, optional
        The surface as it is written in the formula, where there are several.
    at : mapping, optional
        Values of what moderates the surface; else the means over the rows.
    seed : int
        For draws from the priors.

    Returns
    -------
    Surface
        ``a1`` to ``a5``; the stationary point ``x0``, ``y0``; intercepts and slopes of the principal axes, ``p10`` and
        ``p11`` of the first, ``p20`` and ``p21`` of the second; ``angle``, by how many degrees the first axis is turned
        from the line of congruence (-90 to 90); ``ridge``, how far the first axis passes from the centre. Where slopes
        vary over patients or therapists, the SD of each a over them. Point, axes and ridge are ratios, which have
        medians and quantiles and no means: where the surface is a plane they are anything.

    Raises
    ------
    FitError
        If there is no surface, or several.

    Notes
    -----
    The first axis goes with the larger eigenvalue of [[b3, b4/2], [b4/2, b5]]: in its direction the outcome falls least
    from the stationary point.
    """
    check_seed(seed)
    design = design_of(fit)
    equation, part, columns = _find(design, outcome, which)
    settings = dict(at or {})
    posterior = fit.data["posterior"].to_dataset()
    weights = [(label, piece, _moderation(equation, rest, settings)) for label, piece, rest in columns]
    b = _coefficients(weights, posterior)
    axes = {name: (value, True) for name, value in principal_axes(b).items()}
    entries = _parameters(b) | axes | _spreads(design, equation, weights, posterior)
    call = parse_formula(part).terms[0].parts[0]
    assert isinstance(call, Call)
    first, second = (render(argument) for argument in call.arguments)
    pieces = tuple(dict.fromkeys(piece for _, piece, _ in columns))
    points = None
    if {"x", "y"} <= set(pieces):
        own = [next(label for label, piece, rest in columns if piece == one and not rest) for one in ("x", "y")]
        points = equation.coef.values[_with_past(equation)][:, [equation.coef_labels.index(label) for label in own]]
    return Surface(
        outcome=equation.outcome,
        ratings=(first, second),
        form=pieces,
        draws=_dataset(entries, equation.outcome),
        coefficients=b,
        prior=_prior(design, weights, seed),
        points=points,
        spread=float(equation.y[equation.seen].std(ddof=1)),
        at=settings,
    )


def _with_past(e: EquationDesign) -> Matrix:
    """Return which rows have the ratings their surface reads: a series' first sessions stand in its model without."""
    first = coef_label(e.outcome, FIRST)
    if first not in e.sigma_coef:
        return np.ones(len(e.y), dtype=bool)
    return np.asarray(e.sigma_code != e.sigma_coef.index(first))


type Column = tuple[str, str, frozenset[tuple[str, str]]]
type Weighted = Sequence[tuple[str, str, float]]


def _find(design: Design, outcome: str | None, which: str | None) -> tuple[EquationDesign, str, list[Column]]:
    """Return the equation, the surface as it is called, and its columns: label, piece, what they are multiplied by."""
    found: dict[tuple[str, str], list[Column]] = {}
    for e in design.equations:
        for i, parts in enumerate(e.coef.parts):
            for part, piece in parts:
                if part.startswith("surface("):
                    rest = frozenset(parts) - {(part, piece)}
                    found.setdefault((e.spec.outcome, part), []).append((e.coef_labels[i], piece, rest))
    chosen = {key: columns for key, columns in found.items() if outcome in (None, key[0])}
    written = "" if which is None else render(parse_formula(which).terms[0].parts[0])
    if which is not None and written not in {part for _, part in chosen}:
        raise FitError(unknown("surface", written, dict.fromkeys(part for _, part in chosen)))
    chosen = {key: columns for key, columns in chosen.items() if which is None or key[1] == written}
    if not found:
        raise FitError("No equation of the model has a surface(x, y).")
    if not chosen:
        raise FitError(unknown("outcome with a surface", str(outcome), dict.fromkeys(name for name, _ in found)))
    if len(chosen) > 1:
        raise FitError(f"The model has several surfaces: {quote(f'{o}: {p}' for o, p in chosen)}. State which=.")
    ((name, part), columns) = next(iter(chosen.items()))
    return design.find(name), part, columns


def _moderation(e: EquationDesign, rest: frozenset[tuple[str, str]], at: Mapping[str, Setting]) -> float:
    return float(np.prod([moderator_value(e, part, piece, at) for part, piece in rest]))


def _coefficients(weights: Weighted, posterior: xr.Dataset) -> xr.DataArray:
    """Return the draws of x, y, x^2, x*y and y^2, whatever the form."""
    nothing = xr.zeros_like(posterior["b"].isel({COEF: 0}, drop=True)).reset_coords(drop=True)
    whole = dict.fromkeys(MONOMIALS, nothing)
    for label, piece, weight in weights:
        own = posterior["b"].sel({COEF: label}, drop=True)
        for monomial, share in PIECES[piece].items():
            whole[monomial] = whole[monomial] + weight * share * own
    together: xr.DataArray = xr.concat(list(whole.values()), dim=pd.Index(MONOMIALS, name="monomial"))
    return together.transpose("chain", "draw", "monomial")


def _weights(parameter: str) -> Matrix:
    return np.array([float(PARAMETERS[parameter].get(monomial, 0.0)) for monomial in MONOMIALS])


def _parameters(b: xr.DataArray) -> dict[str, tuple[Matrix, bool]]:
    return {name: (b.values @ _weights(name), False) for name in PARAMETERS}


def _spreads(
    design: Design, equation: EquationDesign, weights: Weighted, posterior: xr.Dataset
) -> dict[str, tuple[Matrix, bool]]:
    """Return the SD over levels of every a, C Psi C', for each factor by which the surface varies."""
    found = {}
    pieces = {label: piece for label, piece, weight in weights if weight == 1.0}
    for factor in design.factors:
        own = [label for label in factor.effects if label in pieces]
        if not own or factor.by is not None:
            continue
        dim = effect_dim(factor.factor)
        sd = posterior[sd_name(factor.factor)].sel({dim: own}).transpose("chain", "draw", dim).values
        cor = np.broadcast_to(np.eye(len(own)), (*sd.shape[:2], len(own), len(own)))
        if cor_name(factor.factor) in posterior:
            matrix = posterior[cor_name(factor.factor)].sel({dim: own, second_dim(dim): own})
            cor = matrix.transpose("chain", "draw", dim, second_dim(dim)).values
        covariance = sd[..., :, None] * sd[..., None, :] * cor
        basis = np.array([[PIECES[pieces[label]].get(monomial, 0.0) for monomial in MONOMIALS] for label in own])
        for name in PARAMETERS:
            c = basis @ _weights(name)
            variance = np.einsum("i,...ij,j->...", c, covariance, c)
            if variance.any():
                found[f"SD of {name} over {factor.factor}s"] = (np.sqrt(np.maximum(variance, 0.0)), False)
    return found


def _prior(design: Design, weights: Weighted, seed: int) -> Matrix:
    """Draw the five coefficients from their priors, NaN where those are not of one coefficient each."""
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    labels = [label for e in design.parts for label in e.coef_labels]
    whole = np.zeros((PRIOR_DRAWS, len(MONOMIALS)))
    for label, piece, weight in weights:
        own = _draw(design.priors.coef[labels.index(label)].distribution, rng)
        for monomial, share in PIECES[piece].items():
            whole[:, MONOMIALS.index(monomial)] += weight * share * own
    return whole


def _draw(prior: Distribution, rng: np.random.Generator) -> Matrix:
    if prior.family not in ("normal", "student_t"):
        return np.full(PRIOR_DRAWS, np.nan)
    z = rng.normal(size=PRIOR_DRAWS) if prior.family == "normal" else rng.standard_t(prior.value("nu"), PRIOR_DRAWS)
    return np.asarray(prior.value("mu") + prior.value("sigma") * z)


def _dataset(entries: Mapping[str, tuple[Matrix, bool]], outcome: str) -> xr.Dataset:
    units = {"a1": "", "a3": "", "a2": " squared", "a4": " squared", "a5": " squared"}
    own = {
        name: f"{outcome} per unit{units[name.split(' ')[2] if name.startswith('SD') else name]} of the ratings"
        for name in entries
        if name.startswith(("a1", "a2", "a3", "a4", "a5", "SD of"))
    }
    other = {"angle": "degrees from the line of congruence", "p11": "slope", "p21": "slope"}
    values = np.stack([value for value, _ in entries.values()], axis=-1)
    nan = np.full(len(entries), np.nan)
    return xr.Dataset(
        {"value": (("chain", "draw", "estimand"), values)},
        coords={
            "chain": np.arange(values.shape[0]),
            "draw": np.arange(values.shape[1]),
            "estimand": list(entries),
            "unit": ("estimand", [own.get(name, other.get(name, "points of the ratings")) for name in entries]),
            "level": ("estimand", ["population"] * len(entries)),
            "rope_lb": ("estimand", nan),
            "rope_ub": ("estimand", nan),
            "ratio": ("estimand", [int(ratio) for _, ratio in entries.values()]),
        },
    )

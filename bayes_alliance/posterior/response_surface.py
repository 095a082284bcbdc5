"""The response surface of a fit: a1 to a5, stationary point, axes, SDs over dyads, at stated moderators, as draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from bayes_alliance._messages import quote, unknown
from bayes_alliance.design.columns.surfaces import CUBIC, MONOMIALS, PARAMETERS, PIECES, surface_calls
from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.residual_sd import FIRST
from bayes_alliance.errors import FitError
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.expectation.set_variables import with_others
from bayes_alliance.fit.result import Fit, design_of
from bayes_alliance.fit.seeds import check_seed
from bayes_alliance.names import COEF, coef_label, cor_name, effect_dim, sd_name, second_dim
from bayes_alliance.posterior.geometry import principal_axes
from bayes_alliance.posterior.moderators import Moderators, Weight, check_held
from bayes_alliance.posterior.surface import Matrix, Setting, Surface, weights_of
from bayes_alliance.spec.expressions import Call, render
from bayes_alliance.spec.formula import parse_formula
from bayes_alliance.spec.priors import Distribution

PRIOR_DRAWS = 20_000
"""Draws of the priors that probabilities beside those of the posterior are taken from."""


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
    check_held([(equation, rest) for _, _, rest in columns], settings, f"The surface of {equation.outcome!r}")
    posterior = fit.data["posterior"].to_dataset()
    draws = with_effects(fit) if equation.follows else posterior
    moderators = Moderators(design, with_others(design, settings), [equation], draws)
    weights = [(label, piece, moderators.weight(equation, rest)) for label, piece, rest in columns]
    b = _coefficients(weights, posterior)
    cubic = _cubic(weights, posterior)
    axes = {} if cubic else {name: (value, True) for name, value in principal_axes(b).items()}
    entries = _parameters(b) | {name: (value, False) for name, value in cubic.items()}
    spreads = _spreads(design, equation, weights, posterior)
    named = {f"SD of {parameter} over {factor}s": parameter for parameter, factor in spreads}
    entries |= axes | {name: (value, False) for name, value in zip(named, spreads.values(), strict=True)}
    call = parse_formula(part).terms[0].parts[0]
    assert isinstance(call, Call)
    first, second = (render(argument) for argument in call.arguments)
    pieces = tuple(dict.fromkeys(piece for _, piece, _ in columns))
    points = None
    if {"x", "y"} <= set(pieces):
        points = np.column_stack([_rating(equation, columns, one) for one in ("x", "y")])[_with_past(equation)]
    return Surface(
        outcome=equation.outcome,
        ratings=(first, second),
        form=pieces,
        draws=_dataset(entries, dict(zip(PARAMETERS, PARAMETERS, strict=True)) | named, _scale_of(equation)),
        coefficients=b,
        prior=_prior(design, weights, seed),
        points=points,
        spread=float(equation.y[equation.seen].std(ddof=1)),
        at=settings,
        cubic=cubic,
        scale=_scale_of(equation),
    )


def _scale_of(e: EquationDesign) -> str:
    """Return what the surface predicts: the outcome, or what a bent link makes of it."""
    return e.outcome if e.kind.linear else f"{e.kind.link} of {e.outcome}"


def _cubic(weights: Weighted, posterior: xr.Dataset) -> dict[str, Matrix]:
    """Return the coefficients of a form's columns of third degree, shape (chain, draw)."""
    found: dict[str, Matrix] = {}
    for label, piece, weight in weights:
        if piece in CUBIC:
            own = (weight * posterior["b"].sel({COEF: label}, drop=True)).transpose("chain", "draw").values
            found[piece] = found[piece] + own if piece in found else own
    return found


def _rating(e: EquationDesign, columns: Sequence[Column], piece: str) -> Matrix:
    """Return a rating in every row: its column, or, where there is one per level of a factor, all of these together.

    Raises
    ------
    FitError
        If the rating is there as a product with a number only.
    """
    own = [(label, rest) for label, one, rest in columns if one == piece]
    alone = [label for label, rest in own if not rest]
    if not alone:
        by_level = [label for label, rest in own if all(level for _, level in rest)]
        codes = [e.variables.get(part) for _, rest in own for part, _ in rest]
        levels = {len(variable.levels or ()) for variable in codes if variable is not None}
        if len(by_level) < len(own) or levels != {len(own)}:
            raise FitError("The surface stands in products only; add it by itself: condition * surface(x, y).")
        alone = by_level
    return np.asarray(e.coef.values[:, [e.coef_labels.index(label) for label in alone]].sum(axis=1))


def _with_past(e: EquationDesign) -> Matrix:
    """Return which rows have the ratings their surface reads: a series' first sessions stand in its model without."""
    first = coef_label(e.outcome, FIRST)
    if first not in e.sigma_coef:
        return np.ones(len(e.y), dtype=bool)
    return np.asarray(e.sigma_code != e.sigma_coef.index(first))


type Column = tuple[str, str, frozenset[tuple[str, str]]]
type Weighted = Sequence[tuple[str, str, Weight]]


def _find(design: Design, outcome: str | None, which: str | None) -> tuple[EquationDesign, str, list[Column]]:
    """Return the equation, the surface as it is called, and its columns: label, piece, what they are multiplied by."""
    found: dict[tuple[str, str], list[Column]] = {}
    for e in design.equations:
        calls = surface_calls(e.mean.spec.parsed)
        for i, parts in enumerate(e.coef.parts):
            for part, piece in parts:
                if part in calls:
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


def _parameters(b: xr.DataArray) -> dict[str, tuple[Matrix, bool]]:
    return {name: (b.values @ weights_of(name), False) for name in PARAMETERS}


def _spreads(
    design: Design, equation: EquationDesign, weights: Weighted, posterior: xr.Dataset
) -> dict[tuple[str, str], Matrix]:
    """Return the SD over levels of every a, C Psi C' at the moderators' values, by parameter and factor."""
    found = {}
    pieces = {
        label: (piece, _per_draw(weight, posterior))
        for label, piece, weight in weights
        if piece not in CUBIC and (isinstance(weight, xr.DataArray) or weight != 0)
    }
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
        basis = np.stack(
            [
                np.stack([weight * PIECES[piece].get(m, 0.0) for m in MONOMIALS], axis=-1)
                for piece, weight in map(pieces.__getitem__, own)
            ],
            axis=-2,
        )
        for name in PARAMETERS:
            c = basis @ weights_of(name)
            variance = np.einsum("cdi,cdij,cdj->cd", c, covariance, c)
            if variance.any():
                found[name, factor.factor] = np.sqrt(np.maximum(variance, 0.0))
    return found


def _per_draw(weight: Weight, posterior: xr.Dataset) -> Matrix:
    """Return a weight in every draw, shape (chain, draw)."""
    if isinstance(weight, xr.DataArray):
        return np.asarray(weight.transpose("chain", "draw").values)
    return np.full((posterior.sizes["chain"], posterior.sizes["draw"]), weight)


def _prior(design: Design, weights: Weighted, seed: int) -> Matrix:
    """Draw the five coefficients from their priors, NaN where those are not of one coefficient each."""
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    labels = [label for own in design.linear_predictors for label in own.coef_labels]
    whole = np.zeros((PRIOR_DRAWS, len(MONOMIALS)))
    for label, piece, weight in weights:
        if isinstance(weight, xr.DataArray):
            return np.full_like(whole, np.nan)  # the prior of what moderates is not that of the coefficients alone
        own = _draw(design.priors.coef[labels.index(label)].distribution, rng)
        for monomial, share in PIECES[piece].items():
            whole[:, MONOMIALS.index(monomial)] += weight * share * own
    return whole


def _draw(prior: Distribution, rng: np.random.Generator) -> Matrix:
    if prior.family not in ("normal", "student_t"):
        return np.full(PRIOR_DRAWS, np.nan)
    z = rng.normal(size=PRIOR_DRAWS) if prior.family == "normal" else rng.standard_t(prior.value("nu"), PRIOR_DRAWS)
    return np.asarray(prior.value("mu") + prior.value("sigma") * z)


def _dataset(entries: Mapping[str, tuple[Matrix, bool]], parameters: Mapping[str, str], outcome: str) -> xr.Dataset:
    """Return entries with their units; ``parameters`` says which a an entry is, or is the SD of."""
    powers = {"a1": "", "a3": "", "a2": " squared", "a4": " squared", "a5": " squared"}
    own = {
        name: f"{outcome} per unit{powers[parameter]} of the ratings"
        for name, parameter in parameters.items()
        if name in entries and parameter in powers
    }
    own |= dict.fromkeys(CUBIC, f"{outcome} per unit cubed of the ratings")
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

"""What variance shares need of the rows: mean cross-products of group-level covariates, per stratum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.factors import find_factor
from bayes_alliance.design.groups.groups import nests_in
from bayes_alliance.errors import DesignError
from bayes_alliance.names import SIGMA_COEF, by_dim, effect_dim, factor_key, second_dim


def variance_moments(design: Design, equation: EquationDesign, session: float | None = None) -> xr.Dataset:
    """Return, per stratum of rows of an equation, the mean of z z' of each factor and the share of each residual SD.

    The variance of a factor in a stratum is then the sum over effects of the mean of z z' times their covariance.

    Parameters
    ----------
    design, equation : Design, EquationDesign
        The rows, and the strata whose group effects have covariances of their own.
    session : float, optional
        Session number at which variances are stated beside their average over rows; None takes the earliest one.

    Returns
    -------
    Dataset
        ``zz_<factor>[stratum, <factor>_effect, <factor>_effect_2]`` (with ``<factor>_by`` before the effects where
        covariances differ), ``sigma_share[stratum, sigma_coef]`` and
        ``above_<factor>[factor]`` (1 where a factor nests this one); strata are ``rows`` or ``session = 0``, by arm
        where a factor or a residual SD belongs to some arms only.
    """
    strata = _strata(equation, session)
    products = []
    groups = [group for group in equation.groups if group.slot == 0]
    for group in groups:
        by = find_factor(design.factors, group.factor).by
        if by is None:
            own_values = [g.values for g in equation.groups if g.factor == group.factor]
            products.append(np.array([sum(_product(v, rows, rows) for v in own_values) for rows in strata.values()]))
        else:
            own = [group.inside & (by.code[group.code] == i) for i in range(len(by.labels))]
            each = [[_product(group.values, rows & o, rows) for o in own] for rows in strata.values()]
            products.append(np.array(each))
    above = [[other is not group and nests_in(group, other) for other in groups] for group in groups]
    codes = range(len(equation.sigma_coef))
    shares = [[(equation.sigma_code[rows] == code).mean() for code in codes] for rows in strata.values()]
    made = name_moments(design, equation, list(strata), products, above, np.array(shares, dtype=float))
    return made.merge(_formula_rows(equation, list(strata.values()))) if equation.parameters else made


def _formula_rows(equation: EquationDesign, strata: Sequence[np.ndarray]) -> xr.Dataset:
    """Return the different rows of the formulas of parameters, and their shares of every stratum's rows.

    ``formula_<parameter>[formula_row, formula_<parameter>_coef]`` are population columns,
    ``formula_<parameter>_<factor>[formula_row, formula_<parameter>_<factor>_effect]`` covariates of group effects, 0
    where a row is outside the factor, ``formula_share[stratum, formula_row]`` the shares.
    """
    pieces: list[tuple[str, str, list[str], np.ndarray]] = []
    for parameter, own in equation.parameters.items():
        name = f"formula_{parameter}"
        pieces.append((name, f"{name}_coef", list(own.coef_labels), own.coef.values))
        for group in own.groups:
            dim = f"{name}_{factor_key(group.factor)}"
            pieces.append((dim, f"{dim}_effect", list(own.effect_labels(group)), group.values))
    rows, code = np.unique(np.column_stack([values for *_, values in pieces]), axis=0, return_inverse=True)
    shares = np.array([np.bincount(code.ravel()[chosen], minlength=len(rows)) / chosen.sum() for chosen in strata])
    data: dict[str, tuple[tuple[str, ...], np.ndarray]] = {"formula_share": (("stratum", "formula_row"), shares)}
    start = 0
    for name, dim, labels, _ in pieces:
        data[name] = (("formula_row", dim), rows[:, start : start + len(labels)])
        start += len(labels)
    return xr.Dataset(data, coords={dim: labels for _, dim, labels, _ in pieces})


def name_moments(
    design: Design,
    equation: EquationDesign,
    strata: Sequence[str],
    products: Sequence[np.ndarray],
    above: Sequence[Sequence[bool]],
    shares: np.ndarray,
) -> xr.Dataset:
    """Return moments under their names.

    Parameters
    ----------
    design, equation : Design, EquationDesign
        Give the labels.
    strata : sequence of str
        Names of the strata.
    products : sequence of ndarray, shape (stratum, effect, effect) or (stratum, by, effect, effect)
        Per factor of the equation, mean z z'.
    above : sequence of sequence of bool, shape (factor, factor)
        Whether the first nests in the second.
    shares : ndarray, shape (stratum, sigma)
        Shares of the residual SDs.
    """
    groups = [group for group in equation.groups if group.slot == 0]
    coords: dict[str, list[str]] = {"stratum": list(strata), "factor": [group.factor for group in groups]}
    data: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    for group, product, outer in zip(groups, products, above, strict=True):
        dim = effect_dim(group.factor)
        labels = list(equation.effect_labels(group))
        coords |= {dim: labels, second_dim(dim): labels}
        by = find_factor(design.factors, group.factor).by
        square: tuple[str, ...] = (dim, second_dim(dim))
        if by is not None:
            coords[by_dim(group.factor)] = list(by.labels)
            square = (by_dim(group.factor), *square)
        data[f"zz_{factor_key(group.factor)}"] = (("stratum", *square), product)
        data[f"above_{factor_key(group.factor)}"] = (("factor",), np.array(outer, dtype=float))
    if equation.kind.spread and "sigma" not in equation.parameters:
        coords[SIGMA_COEF] = list(equation.sigma_coef)
        data["sigma_share"] = (("stratum", SIGMA_COEF), shares)
    data["level"] = ((), np.array(equation.kind.level(equation.y, equation.scale)))
    attrs = {"family": equation.family, "outcome": equation.outcome, "scale": equation.kind.latent_scale}
    if equation.spec.link is not None:
        attrs["link"] = equation.spec.link
    if equation.parameters:
        factors = [group.factor for own in equation.parameters.values() for group in own.groups]
        coords |= {"formula": list(equation.parameters), "formula_factor": list(dict.fromkeys(factors))}
    return xr.Dataset(data, coords=coords, attrs=attrs)


def _product(values: np.ndarray, chosen: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the sum of z z' over chosen rows, over the number of all rows."""
    return np.asarray(values[chosen].T @ values[chosen] / max(rows.sum(), 1))


def _strata(equation: EquationDesign, session: float | None) -> dict[str, np.ndarray]:
    every = np.ones(len(equation.y), dtype=bool)
    wholes = {"rows": every}
    slopes = any(np.ptp(g.values[g.inside, i]) > 0 for g in equation.groups for i in range(len(g.effects)))
    if slopes and not np.isnan(equation.session).all():
        at = float(np.nanmin(equation.session)) if session is None else session
        if not (equation.session == at).any():
            seen = ", ".join(f"{value:g}" for value in np.unique(equation.session))
            raise DesignError(f"No row used is of session {at:g}. Sessions with rows: {seen}.")
        wholes[f"session = {at:g}"] = equation.session == at
    partial = any(not group.inside.all() for group in equation.groups)
    spreads = len(equation.sigma_coef) > 1 or bool(equation.parameters)
    if equation.arms is None or not (partial or spreads):
        return wholes
    arms = equation.arms
    by_arm = {}
    for name, rows in wholes.items():
        for i, level in enumerate(arms.levels):
            if (rows & (arms.code == i)).any():
                by_arm[f"{name}, {level}"] = rows & (arms.code == i)
    return by_arm

"""Resolved priors to PyMC variables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from pytensor.tensor.variable import TensorVariable

from bayes_alliance.names import BLOCK
from bayes_alliance.spec.priors import FAMILIES, Distribution


def build_vector(
    name: str,
    priors: Sequence[Distribution],
    dim: str,
    *,
    strata: tuple[str, int] | None = None,
    given: tuple[np.ndarray, TensorVariable] | None = None,
    as_data: bool = False,
) -> TensorVariable:
    """Build one vector over ``dim`` from the priors of its entries.

    Where all entries are of one family the vector is one free variable of that name; otherwise there is a free
    variable per family, ``<name>_<family>``, and the vector is put together from them.

    Parameters
    ----------
    name : str
        Name of the vector in the posterior.
    priors : sequence of Distribution
        In the order of the coord of ``dim``.
    dim : str
        Dim of the vector.
    strata : tuple of str and int, optional
        Dim and number of strata that have a vector each, under the same priors; it comes first.
    given : tuple of ndarray and TensorVariable, optional
        Places of entries that are there already, and a vector of them.
    as_data : bool
        Whether the numbers of normal priors are data, so that models that differ in these are one compiled model.
    """
    dims = (dim,) if strata is None else (strata[0], dim)
    known = set() if given is None else set(given[0].tolist())
    families = tuple(dict.fromkeys(prior.family for i, prior in enumerate(priors) if i not in known))
    if len(families) == 1 and not known:
        return _build_family(name, priors, as_data, dims=dims)
    parts, places = [], []
    if given is not None:
        parts, places = [given[1]], [given[0].tolist()]
    for family in families:
        places.append([i for i, prior in enumerate(priors) if prior.family == family and i not in known])
        chosen = [priors[i] for i in places[-1]]
        own = f"{name}{BLOCK}{family}"
        pm.modelcontext(None).add_coord(own, length=len(chosen))
        parts.append(_build_family(f"{name}_{family}", chosen, as_data, dims=(*dims[:-1], own)))
    order = np.argsort(np.concatenate(places))
    return pm.Deterministic(name, pt.concatenate(parts, axis=-1)[..., order], dims=dims)


def _build_family(name: str, priors: Sequence[Distribution], as_data: bool, **shape: object) -> TensorVariable:
    family = FAMILIES[priors[0].family]
    value = {p: np.array([prior.value(p) for prior in priors]) for p in family.parameters}
    match family.name:
        case "normal":
            if as_data:
                value = {part: pm.Data(f"{name}{BLOCK}{part}", numbers) for part, numbers in value.items()}
            return pm.Normal(name, value["mu"], value["sigma"], **shape)
        case "student_t":
            return pm.StudentT(name, nu=value["nu"], mu=value["mu"], sigma=value["sigma"], **shape)
        case "half_normal":
            return pm.HalfNormal(name, value["sigma"], **shape)
        case "half_student_t":
            return pm.HalfStudentT(name, nu=value["nu"], sigma=value["sigma"], **shape)
        case "exponential":
            return pm.Exponential(name, scale=value["mean"], **shape)
        case "lognormal":
            return pm.LogNormal(name, np.log(value["median"]), value["spread"], **shape)
        case "beta":
            return pm.Beta(name, value["alpha"], value["beta"], **shape)
        case "flat_positive":
            return pm.HalfFlat(name, **shape)
    raise ValueError(f"{family.name} describes no vector")


def build_partial(name: str, priors: Sequence[Distribution], dim: str) -> TensorVariable:
    """Build a vector of single correlations, each with the LKJ prior of a 2 x 2 matrix: a beta stretched to -1 to 1."""
    eta = np.array([prior.value("eta") for prior in priors])
    pm.modelcontext(None).add_coord(f"{name}{BLOCK}unit", length=len(eta))
    unit = pm.Beta(f"{name}_unit", eta, eta, dims=f"{name}{BLOCK}unit")
    return pm.Deterministic(name, 2 * unit - 1, dims=dim)


def build_correlation(name: str, prior: Distribution, size: int) -> tuple[TensorVariable, TensorVariable]:
    """Build a correlation matrix and its Cholesky factor under an LKJ prior, or with all correlations as stated.

    The free variable ``<name>_unit`` holds the canonical partial correlations, mapped to 0 to 1: that of effects i
    and j < i given those before j is Beta(eta + (size - 2 - j) / 2) on both sides (Lewandowski, Kurowicka and Joe
    2009, section 2.4). Plain arithmetic compiles in half the time of a matrix distribution.

    Returns
    -------
    matrix, cholesky : TensorVariable, shape (size, size)
        Neither is registered under a name of its own.
    """
    if prior.family == "equal":
        stated = np.where(np.eye(size) == 1, 1.0, prior.value("correlation"))
        return pt.as_tensor(stated), pt.as_tensor(np.linalg.cholesky(stated))
    pairs = [(i, j) for i in range(size) for j in range(i)]
    shape = np.array([prior.value("eta") + (size - 2 - j) / 2 for _, j in pairs])
    unit = pm.Beta(f"{name}_unit", shape, shape)
    one, zero = pt.ones(()), pt.zeros(())
    rows = [[one] + [zero] * (size - 1)]
    for i in range(1, size):
        left, row = one, []
        for j in range(i):
            partial = 2 * unit[pairs.index((i, j))] - 1
            row.append(partial * pt.sqrt(left))
            left = left * (1 - partial**2)
        rows.append([*row, pt.sqrt(left)] + [zero] * (size - 1 - i))
    cholesky = pt.stack([pt.stack(row) for row in rows])
    products = [[sum((a * b for a, b in zip(r, c, strict=True)), start=zero) for c in rows] for r in rows]
    return pt.stack([pt.stack(row) for row in products]), cholesky


def build_gaussian_rows(name: str, mean: TensorVariable, cholesky: TensorVariable, **shape: object) -> TensorVariable:
    """Build rows of a multivariate normal, shape (level, effect), by forward substitution.

    The density is that of ``pm.MvNormal``. Written out over the few effects it is one loop over the levels, where the
    library call for triangular systems takes a fifth of a step of the sampler. ``cholesky`` is one factor for all
    rows, shape (effect, effect), or one per row, shape (level, effect, effect).
    """
    size = mean.type.shape[1] or 1
    of_rows = cholesky.ndim == 3

    def logp(value: TensorVariable, mean: TensorVariable, cholesky: TensorVariable) -> TensorVariable:
        total = pt.zeros(()) - 0.5 * size * np.log(2 * np.pi)
        standard: list[TensorVariable] = []
        for i in range(size):
            rest = value[:, i] - mean[:, i]
            for j in range(i):
                rest = rest - cholesky[..., i, j] * standard[j]
            standard.append(rest / cholesky[..., i, i])
            total = total - 0.5 * standard[i] ** 2 - pt.log(cholesky[..., i, i])
        return total.sum()

    def random(
        mean: np.ndarray, cholesky: np.ndarray, rng: np.random.Generator, size: tuple[int, ...] | None = None
    ) -> np.ndarray:
        whole = mean.shape if size is None else (*size, *mean.shape[-2:])
        factor = cholesky if of_rows else cholesky[..., None, :, :]
        return np.asarray(mean + np.einsum("...j,...ij->...i", rng.normal(size=whole), factor))

    def start(_: TensorVariable, size: object, mean: TensorVariable, cholesky: TensorVariable) -> TensorVariable:
        return mean

    return pm.CustomDist(
        name,
        mean,
        cholesky,
        logp=logp,
        random=random,
        support_point=start,
        signature="(n,k),(n,k,k)->(n,k)" if of_rows else "(n,k),(k,k)->(n,k)",
        **shape,
    )

"""What the exact engine stacks: columns, grouping factors, classes of residuals and their parameters, without rows.

A *loading* is a coefficient that multiplies something estimated: a latent mean, a modelled value, what another equation
says. It is sampled; given the loadings all else is linear in normal effects. A row is then a sum of *pieces*, each
times a product of loadings, and its cross-products are weighted sums of those of its pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bayes_alliance.spec.priors import Distribution


@dataclass(frozen=True, eq=False)
class Factor:
    """A grouping factor: what its effects belong to and how they vary.

    ``equation`` has shape (effect,); ``blocks`` list the effects that correlate; ``stratum`` of shape (level,) says
    which covariance a level has, of ``strata``. ``basis``, shape (effect, effect), turns effects into those of
    centred covariates, so that large offsets of a covariate lose no digits; ``places`` are the effects of each
    equation. ``shared`` is the residual SD that its effects have, None where they have SDs of their own: one per
    stratum, or where it is ``common`` one for all. A ``private`` factor is none of the design's.
    """

    name: str
    levels: int
    equation: np.ndarray
    blocks: tuple[tuple[int, ...], ...]
    basis: np.ndarray
    places: tuple[tuple[int, ...], ...]
    strata: int
    stratum: np.ndarray
    sd: tuple[Distribution, ...]
    cor: tuple[Distribution, ...]
    shared: int | None = None
    private: bool = False
    common: bool = False

    @property
    def effects(self) -> int:
        """Return the number of effects."""
        return len(self.equation)

    @property
    def sds(self) -> int:
        """Return how many SDs of its own it has among the sampled parameters."""
        return 0 if self.shared is not None else self.strata * self.effects


@dataclass(frozen=True)
class Piece:
    """A part of the rows at a place of a class: which rows hold it, and which loadings multiply it."""

    place: int
    rows: int
    loadings: tuple[int, ...] = ()


KNOWN = -1
"""Stands for a residual SD that is known."""


@dataclass(frozen=True)
class Residuals:
    """A class of rows that count together: outcomes of a row, visits of a patient, or a session and the one before.

    Each place of the class has an equation and a residual SD. Where residuals correlate, ``at`` are their places in the
    matrix of correlations of the ``stratum``. With a ``gap`` above 0 the class is the density of a session given the
    session so many numbers before, whose residual correlates by that power of the stratum's correlation. A residual SD
    of ``KNOWN`` is 1, of rows that were divided by the SD of their error. Without ``pieces`` the rows of a place are
    those of its equation.
    """

    equations: tuple[int, ...]
    sigma: tuple[int, ...]
    stratum: int = -1
    at: tuple[int, ...] = ()
    gap: int = 0
    pieces: tuple[Piece, ...] = ()

    @property
    def parts(self) -> tuple[Piece, ...]:
        """Return the pieces, one per place where rows are not split."""
        return self.pieces or tuple(Piece(place, rows) for place, rows in enumerate(self.equations))

    @property
    def scored(self) -> int:
        """Return how many outcomes the class is the density of."""
        return 1 if self.gap else len(self.equations)


HORSESHOE, PARTS = 0, 1
"""Kinds of shrinkage priors: a scale for all times one of each; a share of the variance, divided into parts."""


@dataclass(frozen=True, eq=False)
class Shrinkage:
    """Coefficients that are normal given scales which are sampled.

    ``slots``, shape (standardised coef,), are places among the coefficients. A horseshoe's ``values`` are the scales of
    its global scale, its slab's degrees of freedom and its slab; it has a logarithm of the global scale, of the slab
    squared and of each local scale among the sampled parameters, all relative to these. Of ``PARTS`` they are the two
    shapes of the beta of the share, and the Dirichlet's concentration; the share and each part of what those before
    it leave are sampled as log-odds.
    """

    name: str
    slots: np.ndarray
    kind: int
    values: tuple[float, float, float]

    @property
    def parameters(self) -> int:
        """Return how many parameters are sampled."""
        return len(self.slots) + (2 if self.kind == HORSESHOE else 0)


@dataclass(frozen=True)
class Product:
    """Cross-products of the rows of a class that share one table: of all its places, or of two of them.

    Where every place has an equation of its own, columns tell which place they are of, and one table holds all. Where
    places share an equation, or columns, each two of them have a table; so do the pieces of rows.
    """

    part: int
    equations: tuple[int, ...]
    places: tuple[int, int] | None = None


def list_products(classes: Sequence[Residuals]) -> tuple[Product, ...]:
    """Return the tables of cross-products that classes of residuals need."""
    found: list[Product] = []
    for number, part in enumerate(classes):
        if not part.pieces and len(set(part.equations)) == len(part.equations):
            found.append(Product(number, part.equations))
        else:
            size, column = range(len(part.parts)), (0,) if part.pieces else part.equations[:1]
            found += [Product(number, column, (a, b)) for a in size for b in size if a <= b]
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Shape:
    """Everything of a model but the rows.

    ``chain`` are the places of nested factors, finest first: effects are eliminated in this order; ``crossed`` those
    of the others, kept in the last dense block beside the coefficients. Columns of that block are coefficients,
    outcomes (one per equation), then effects of crossed factors. ``equation`` of shape (coef,) is each coefficient's
    equation, ``centre`` what is taken from its column, ``mean`` and ``scale`` its normal prior.
    ``joint`` is the size of the matrix of residual correlations, 0 where there is none; ``fixed`` these where stated.
    ``coef`` and ``loading`` say which coefficients of the design these are, of shape (coef,) and (loading,);
    ``loading_mean`` and ``loading_scale`` are the loadings' normal priors. ``shifts`` say which coefficient's prior
    mean falls with which loading, and by what per point of it: priors of intercepts hold at the centring constants.
    ``shrunk`` are priors that coefficients share; coefficients in units of ``scale`` are ``mix``, shape (coef, coef),
    times standardised ones, the identity for the others. ``together`` are outcomes whose modelled values are effects of
    patients: as of ``loadings.make_index``. Where rows have pieces, ``split``, every column may stand in every row, and
    one column holds all outcomes.
    """

    outcomes: tuple[str, ...]
    equation: np.ndarray
    centre: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    factors: tuple[Factor, ...]
    chain: tuple[int, ...]
    crossed: tuple[int, ...]
    sigma: tuple[Distribution, ...]
    joint: int
    joint_strata: int
    joint_cor: Distribution | None
    fixed: np.ndarray | None
    coef: np.ndarray
    loading: np.ndarray
    loading_mean: np.ndarray
    loading_scale: np.ndarray
    mix: np.ndarray
    shifts: tuple[tuple[int, int, float], ...] = ()
    shrunk: tuple[Shrinkage, ...] = ()
    split: bool = False
    together: tuple[str, ...] = ()

    @property
    def above_zero(self) -> np.ndarray:
        """Return which SDs of effects have a prior without density at 0, shape (sd,): they stay logarithms."""
        own = [f.sd[i % f.effects].family == "lognormal" for f in self.factors for i in range(f.sds)]
        return np.array(own, dtype=bool)

    @property
    def unmix(self) -> np.ndarray:
        """Return the inverse of ``mix``, entries of other coefficients exactly 0."""
        inverse = np.linalg.inv(self.mix)
        return np.where(np.abs(inverse) > 1e-12 * np.abs(inverse).max(initial=0.0), inverse, 0.0)

    @property
    def responses(self) -> int:
        """Return the number of columns that hold outcomes."""
        return 1 if self.split else len(self.outcomes)

    @property
    def outer(self) -> int:
        """Return the columns of the last block that are not effects: coefficients and outcomes."""
        return len(self.equation) + self.responses

    @property
    def crossed_columns(self) -> int:
        """Return the number of effects of crossed factors, over their levels."""
        return sum(self.factors[i].levels * self.factors[i].effects for i in self.crossed)

    @property
    def effect_starts(self) -> list[int]:
        """Return the first place of each factor's effects, then one past the last, where coefficients come first."""
        sizes = [factor.levels * factor.effects for factor in self.factors]
        return [len(self.equation) + sum(sizes[:i]) for i in range(len(sizes) + 1)]

    def crossed_start(self, factor: int) -> int:
        """Return the first column of a crossed factor in the last block."""
        before = self.crossed[: self.crossed.index(factor)]
        return self.outer + sum(self.factors[i].levels * self.factors[i].effects for i in before)

    def path(self, level: int) -> list[int]:
        """Return the number of effects of the factors from a level of the chain outward."""
        return [self.factors[i].effects for i in self.chain[level:]]

    @property
    def column_equations(self) -> np.ndarray:
        """Return the equation of every column: effects of the chain, then the last block."""
        parts = [self.factors[i].equation for i in self.chain]
        parts += [self.equation, np.arange(self.responses)]
        parts += [np.tile(self.factors[i].equation, self.factors[i].levels) for i in self.crossed]
        whole = np.concatenate(parts).astype(np.int64)
        return np.zeros_like(whole) if self.split else whole


@dataclass(frozen=True)
class Places:
    """Where parameters stand in the sampled vector: the first place of each part.

    ``sd`` per factor (strata by effects), ``cor`` per factor and block (strata by pairs), ``sigma``, then the
    correlations of residuals (strata by pairs), then loadings, in SDs of their priors, then scales of coefficients per
    shrinkage prior.
    """

    sd: tuple[int, ...]
    cor: tuple[tuple[int, ...], ...]
    sigma: int
    residual: int
    loading: int
    shrunk: tuple[int, ...]
    size: int


def find_places(shape: Shape) -> Places:
    """Lay the sampled parameters out: SDs, partial correlations, residual SDs and correlations, loadings, scales."""
    at, sd, cor = 0, [], []
    for factor in shape.factors:
        sd.append(at)
        at += factor.sds
    for factor in shape.factors:
        own = []
        for block in factor.blocks:
            own.append(at)
            at += factor.strata * pairs_of(len(block))
        cor.append(tuple(own))
    sigma = at
    residual = sigma + len(shape.sigma)
    free = shape.joint_strata * pairs_of(shape.joint) if shape.joint and shape.fixed is None else 0
    loading = residual + free
    at, shrunk = loading + len(shape.loading), []
    for one in shape.shrunk:
        shrunk.append(at)
        at += one.parameters
    return Places(tuple(sd), tuple(cor), sigma, residual, loading, tuple(shrunk), at)


def pairs_of(size: int) -> int:
    """Return the number of correlations among so many."""
    return size * (size - 1) // 2


def choose_chain(levels: Sequence[int], nested: Sequence[Sequence[bool]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return nested factors, finest first, and the others.

    Parameters
    ----------
    levels : sequence of int
        Number of levels per factor; the factor with most is always eliminated first.
    nested : sequence of sequence of bool, shape (factor, factor)
        Whether each level of the first lies in one level of the second.
    """
    order = sorted(range(len(levels)), key=lambda i: -levels[i])
    chain: list[int] = []
    for factor in order:
        if all(nested[inner][factor] for inner in chain):
            chain.append(factor)
    return tuple(chain), tuple(i for i in range(len(levels)) if i not in chain)

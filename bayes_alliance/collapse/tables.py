"""Statistics laid out for the compiled kernel, as one array of integers and one of floats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bayes_alliance.collapse.kernel import parts as at
from bayes_alliance.collapse.patterns import NOT_POOLED, Pooled, pool_units
from bayes_alliance.collapse.shape import Shape, find_places, pairs_of
from bayes_alliance.collapse.statistics import Level, Statistics
from bayes_alliance.spec.priors import Distribution

PRIOR_CODES = {"half_normal": 0, "half_student_t": 1, "exponential": 2, "flat_positive": 3, "lognormal": 4}
"""Priors of SDs as the kernel knows them."""

type Parts = dict[int, np.ndarray]


@dataclass(frozen=True, eq=False)
class Packed:
    """The two arrays, the number of sampled parameters, and which units of the innermost factor are in a pattern.

    ``working`` are the numbers of memory that an evaluation takes.
    """

    integers: np.ndarray
    floats: np.ndarray
    size: int
    working: int
    pattern: np.ndarray


def pack_statistics(statistics: Statistics, *, pool: bool = True) -> Packed:
    """Lay statistics out for the kernel.

    Parameters
    ----------
    statistics : Statistics
        From ``sum_rows`` or an ``Accumulator``.
    pool : bool
        Whether units of the innermost factor with equal cross-products of covariates are eliminated together, which
        changes the time an evaluation takes and not its value.
    """
    shape = statistics.shape
    kinds = _Kinds(statistics)
    pooled = pool_units(statistics, kinds.single) if pool else None
    units = shape.factors[shape.chain[0]].levels if shape.chain else 0
    pattern = np.full(units, NOT_POOLED) if pooled is None else pooled.pattern
    parts = _parameter_parts(shape) | _class_parts(statistics) | _node_parts(statistics, kinds, pattern == NOT_POOLED)
    parts |= _shrinkage_parts(shape) | _pattern_parts(shape, pooled, kinds, parts[at.LEVEL_FIRST])
    parts[at.KIND_WEIGHT] = np.concatenate([np.empty(0), *kinds.tables])
    counts = {
        at.LEVELS: len(shape.chain),
        at.OUTCOMES: shape.responses,
        at.COEFS: len(shape.equation),
        at.CROSSED_COLUMNS: shape.crossed_columns,
        at.FACTORS: len(shape.factors),
        at.SIGMAS: len(shape.sigma),
        at.CLASSES: len(statistics.classes),
        at.PATTERNS: len(parts[at.PATTERN_COUNT]),
        at.ROWS: statistics.rows,
        at.TARGETS: len(parts[at.TARGET_NODE]),
        at.ROOT_LAYERS: len(parts[at.ROOT_KIND]),
        at.CROSSED_FACTORS: len(shape.crossed),
        at.LAMBDA_SIZE: int(parts[at.FACTOR_LAMBDA][-1]),
        at.WEIGHTS_SIZE: int(parts[at.PIECE_WEIGHT][-1]),
        at.WORK_SIZE: int(parts[at.NODE_AT][-1]),
    }
    size = find_places(shape).size
    parts[at.STATE] = _state_places(shape, counts, size)
    integers, floats = _flatten(parts, counts)
    return Packed(integers, floats, size, int(parts[at.STATE][-1]), pattern)


def _state_places(shape: Shape, counts: dict[int, int], size: int) -> np.ndarray:
    """Return where the parts of the working memory begin, and where the last one ends: see ``parts.STATE``."""
    coefs, last = len(shape.equation), shape.outer + shape.crossed_columns
    most = max([1, *(factor.effects for factor in shape.factors)])
    sds = sum(factor.sds for factor in shape.factors) + len(shape.sigma)
    effects = coefs + shape.crossed_columns
    sizes = [size, sds, counts[at.LAMBDA_SIZE], counts[at.WEIGHTS_SIZE], counts[at.WORK_SIZE], last * last]
    sizes += [counts[at.PATTERNS] * 2 * most * most, coefs, coefs, effects, effects * effects]
    return np.concatenate([[0], np.cumsum(sizes)])


def _flatten(parts: Parts, counts: dict[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Put all parts behind a head that says where each starts."""
    head = np.zeros(at.HEAD, dtype=np.int64)
    head[list(counts)] = list(counts.values())
    integers: list[np.ndarray] = [head]
    floats: list[np.ndarray] = []
    places = [at.HEAD, 0]
    for name in sorted(parts):
        is_float = name >= at.LAYER_TABLES
        piece = np.asarray(parts[name], dtype=np.float64 if is_float else np.int64).reshape(-1)
        head[name] = places[is_float]
        places[is_float] += len(piece)
        (floats if is_float else integers).append(piece)
    return np.concatenate(integers), np.concatenate(floats)


def _pattern_parts(shape: Shape, pooled: Pooled | None, kinds: _Kinds, level_first: np.ndarray) -> Parts:
    if pooled is None:
        nothing = np.empty(0)
        names = (at.PATTERN_STRATUM, at.PATTERN_WEIGHT, at.PATTERN_COUNT, at.PATTERN_OWN)
        cells = (at.TARGET_NODE, at.CELL_PATTERN, at.CELL_AT, at.CELL_SUMS)
        return dict.fromkeys((*names, *cells), nothing) | {at.TARGET_CELLS: np.zeros(1)}
    equations = shape.factors[shape.chain[0]].equation
    weights = [kinds.weights_of(kind, equations) for kind in pooled.kind]
    return pooled.parts([int(place) for place in level_first[1:-1]], weights)


class _Kinds:
    """Which weight multiplies the products of which two equations, for sets of products that never share one."""

    def __init__(self, statistics: Statistics) -> None:
        self._products, self._outcomes = statistics.products, statistics.shape.responses
        self._sizes = [len(part.parts) for part in statistics.classes]
        self._first = _weight_starts(statistics)[1 if statistics.shape.split else 0]
        self._numbers: dict[tuple[int, ...], int] = {}
        self.tables: list[np.ndarray] = []
        self.single = all(size == 1 for size in self._sizes) and not statistics.shape.split

    def number(self, products: tuple[int, ...]) -> int:
        """Return the number of the kind that joins these products, new or known."""
        if products not in self._numbers:
            table = np.full((self._outcomes, self._outcomes), -1, dtype=np.int64)
            for one in (self._products[number] for number in products):
                size, places = self._sizes[one.part], list(one.equations)
                weights = self._first[one.part] + np.arange(size * size).reshape(size, size)
                table[np.ix_(places, places)] = weights if one.places is None else weights[one.places]
            self._numbers[products] = len(self.tables)
            self.tables.append(table.reshape(-1))
        return self._numbers[products]

    def weights_of(self, classes: tuple[int, ...], equations: np.ndarray) -> np.ndarray:
        """Return the weight of each effect of the given equations under classes without correlations; -1 for none."""
        table = np.full(self._outcomes, -1, dtype=np.int64)
        for one in classes:
            table[self._products[one].equations[0]] = self._first[one]
        return np.asarray(table[equations])

    def layers(self, present: np.ndarray) -> list[tuple[int, ...]]:
        """Split the products a unit has into sets in which no equation comes twice."""
        sets: list[list[int]] = []
        taken: list[set[int]] = []
        for one in np.flatnonzero(present):
            equations = set(self._products[one].equations)
            place = next((i for i, others in enumerate(taken) if not equations & others), len(sets))
            if place == len(sets):
                sets.append([])
                taken.append(set())
            sets[place].append(int(one))
            taken[place] |= equations
        return [tuple(chosen) for chosen in sets]


def _node_parts(statistics: Statistics, kinds: _Kinds, alone: np.ndarray) -> Parts:
    """Return the parts about units eliminated by themselves, and about the last block."""
    shape = statistics.shape
    last = shape.outer + shape.crossed_columns
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("above", "stratum", "columns_at", "columns", "level")}
    layers, kind_of, layer_at, per_node, first, used = [], [], [], [], [0], 0
    columns: list[np.ndarray] = []
    whole = np.arange(last)
    numbers = [
        np.cumsum(alone) - 1 if level == 0 else np.arange(len(part.start))
        for level, part in enumerate(statistics.levels)
    ]
    sizes = [int(alone.sum()) if level == 0 else len(part.start) for level, part in enumerate(statistics.levels)]
    firsts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    for level, part in enumerate(statistics.levels):
        chosen = np.flatnonzero(alone) if level == 0 else np.arange(len(part.start))
        above = part.above[chosen].copy()
        for outer in range(level + 1, len(shape.chain)):
            above[:, outer] = np.where(above[:, outer] >= 0, firsts[outer] + numbers[outer][above[:, outer]], -1)
        found["above"].append(above)
        found["stratum"].append(shape.factors[shape.chain[level]].stratum[chosen])
        found["level"].append(np.full(len(chosen), level))
        first.append(first[-1] + len(chosen))
        if level > 0 or not shape.crossed:
            pieces = [whole]
            lengths, ends = np.full(len(chosen), last), np.full(len(chosen), sum(map(len, columns)))
        else:
            pieces, lengths = _touched_columns(part, chosen, shape.outer)
            ends = sum(map(len, columns)) + np.concatenate([[0], np.cumsum(lengths)[:-1]])
        columns += pieces
        found["columns_at"].append(np.column_stack([ends, lengths]))
        tables, kinds_here, counts = _layers(part, chosen, kinds, shape.path(level)[0])
        layers.append(tables)
        sizes_here = shape.path(level)[0] * np.repeat(part.columns[chosen], counts)
        layer_at.append(used + np.concatenate([[0], np.cumsum(sizes_here)])[:-1])
        used += int(sizes_here.sum())
        kind_of.append(kinds_here)
        per_node.append(counts)
    root_sets = kinds.layers(np.array([statistics.clusters[one.part] > 0 for one in statistics.products], dtype=bool))
    root = [statistics.root[list(chosen)].sum(axis=0).reshape(-1) for chosen in root_sets]
    where = np.concatenate([np.empty((0, 2), dtype=np.int64), *found["columns_at"]])
    widths = [sum(shape.path(level)) for level in range(len(shape.chain))]
    return {
        at.LEVEL_FACTOR: np.array(shape.chain),
        at.LEVEL_FIRST: np.array(first),
        at.LEVEL_WIDTH: np.array(widths),
        at.NODE_LEVEL: np.concatenate([np.empty(0), *found["level"]]),
        at.NODE_ABOVE: np.concatenate([np.empty(0), *(part.reshape(-1) for part in found["above"])]),
        at.NODE_STRATUM: np.concatenate([np.empty(0), *found["stratum"]]),
        at.NODE_LAST: where[:, 1],
        at.NODE_COLUMNS: where[:, 0],
        at.NODE_AT: _work_places(shape, np.concatenate([np.empty(0), *found["level"]]).astype(int), where[:, 1]),
        at.NODE_LAYERS: np.concatenate([[0], np.cumsum(np.concatenate([np.empty(0, dtype=int), *per_node]))]),
        at.LAYER_KIND: np.concatenate([np.empty(0), *kind_of]),
        at.LAYER_AT: np.concatenate([np.empty(0), *layer_at]),
        at.COLUMN_LIST: np.concatenate([np.empty(0), *columns]),
        at.COLUMN_EQUATION: shape.column_equations,
        at.ROOT_KIND: np.array([kinds.number(chosen) for chosen in root_sets]),
        at.LAYER_TABLES: np.concatenate([np.empty(0), *layers]),
        at.ROOT_TABLES: np.concatenate([np.empty(0), *root]),
    }


def _touched_columns(part: Level, chosen: np.ndarray, outer: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the columns of the last block that each chosen unit meets, and how many they are."""
    listed, starts = part.touched
    pieces = [np.concatenate([np.arange(outer), outer + listed[starts[u] : starts[u + 1]]]) for u in chosen]
    return pieces, np.array([len(piece) for piece in pieces])


def _work_places(shape: Shape, level: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return where each node's numbers stand in the working memory of an evaluation."""
    own = np.array([shape.path(i)[0] for i in range(len(shape.chain))], dtype=np.int64)
    width = np.array([sum(shape.path(i)) for i in range(len(shape.chain))], dtype=np.int64)
    sizes = own[level] * (width[level] + last) + 2 * own[level] ** 2 if len(level) else np.empty(0)
    return np.concatenate([[0], np.cumsum(sizes)])


def _layers(part: Level, chosen: np.ndarray, kinds: _Kinds, own: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the tables of units, with products that share no equation added up; their kinds; how many each has."""
    present = part.count[chosen] > 0
    sets, which = np.unique(present, axis=0, return_inverse=True)
    split = [kinds.layers(row) for row in sets]
    numbers = [[kinds.number(one) for one in row] for row in split]
    which = which.reshape(-1)
    counts = (
        np.array([len(row) for row in split], dtype=np.int64)[which] if len(chosen) else np.empty(0, dtype=np.int64)
    )
    kind_of = np.concatenate([np.empty(0, dtype=np.int64), *(np.array(numbers[w], dtype=np.int64) for w in which)])
    if present.shape[1] == 1 and len(chosen) == len(part.start):
        return part.flat, kind_of, counts
    tables = []
    for unit, w in zip(chosen, which, strict=True):
        size = own * part.columns[unit]
        for one in split[w]:
            pieces = [part.flat[part.start[unit] + c * size : part.start[unit] + (c + 1) * size] for c in one]
            tables.append(np.sum(pieces, axis=0) if len(pieces) > 1 else pieces[0])
    return np.concatenate([np.empty(0), *tables]), kind_of, counts


def _weight_starts(statistics: Statistics) -> tuple[np.ndarray, np.ndarray]:
    """Return the first weight of each class by its places, and by pairs of its pieces, each with one past the last."""
    sizes = np.array([len(part.equations) for part in statistics.classes], dtype=np.int64)
    pieces = np.array([len(part.pieces) for part in statistics.classes], dtype=np.int64)
    places = np.concatenate([[0], np.cumsum(sizes**2)])
    return places, np.concatenate([[0], np.cumsum(pieces**2)]) + places[-1]


def _piece_parts(statistics: Statistics) -> Parts:
    """Return the pieces of rows by class: their places, and the loadings that multiply them."""
    shape = statistics.shape
    counts = [len(part.pieces) for part in statistics.classes]
    pieces = [piece for part in statistics.classes for piece in part.pieces]
    places = find_places(shape)
    return {
        at.CLASS_PIECES: np.concatenate([[0], np.cumsum(counts)]),
        at.PIECE_WEIGHT: _weight_starts(statistics)[1],
        at.PIECE_PLACE: np.array([piece.place for piece in pieces]),
        at.PIECE_LOADINGS: np.concatenate([[0], np.cumsum([len(piece.loadings) for piece in pieces])]),
        at.LOADING_LIST: np.concatenate([np.empty(0), *(piece.loadings for piece in pieces)]),
        at.LOADING_PLACE: np.array([places.loading, len(shape.loading), len(shape.shifts)]),
        at.SHIFT_COEF: np.array([[coef, loading] for coef, loading, _ in shape.shifts]),
        at.LOADING_PRIOR: np.column_stack([shape.loading_mean, shape.loading_scale]),
        at.SHIFT_BY: np.array([by / shape.scale[coef] for coef, _, by in shape.shifts]),
        at.CONSTANT: np.array([statistics.constant]),
    }


def _shrinkage_parts(shape: Shape) -> Parts:
    """Return the priors that coefficients share, and how coefficients are made of standardised ones and back."""
    slots = [one.slots for one in shape.shrunk]
    first = np.concatenate([[0], np.cumsum([len(own) for own in slots])]).astype(np.int64)
    held = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *slots]))
    parts: Parts = {}
    for name, weight, table in ((at.MIX, at.MIX_WEIGHT, shape.mix), (at.UNMIX, at.UNMIX_WEIGHT, shape.unmix)):
        own = np.argwhere(table[np.ix_(held, held)] != 0) if len(held) else np.zeros((0, 2), dtype=np.int64)
        pairs = held[own if name == at.MIX else own[:, ::-1]]
        parts[name], parts[weight] = pairs, table[held[own[:, 0]], held[own[:, 1]]]
    places = find_places(shape).shrunk
    priors = [[one.kind, places[i], first[i], len(slots[i])] for i, one in enumerate(shape.shrunk)]
    return parts | {
        at.SHRUNK: np.array(priors),
        at.SHRUNK_SLOT: np.concatenate([np.empty(0), *slots]),
        at.SHRUNK_COUNT: np.array([len(slots), len(parts[at.MIX]), len(parts[at.UNMIX])]),
        at.SHRUNK_VALUE: np.array([one.values for one in shape.shrunk]),
    }


def _class_parts(statistics: Statistics) -> Parts:
    classes = statistics.classes
    sizes = np.array([len(part.equations) for part in classes], dtype=np.int64)
    outcomes = [part.at or [0] * len(part.equations) for part in classes]
    return {
        at.CLASS_SIZE: sizes,
        at.CLASS_OUTCOME: np.concatenate([np.empty(0), *outcomes]),
        at.CLASS_SIGMA: np.concatenate([np.empty(0), *(part.sigma for part in classes)]),
        at.CLASS_STRATUM: np.array([part.stratum for part in classes]),
        at.CLASS_GAP: np.array([part.gap for part in classes]),
        at.CLASS_COUNT: statistics.clusters,
        at.CLASS_WEIGHT: _weight_starts(statistics)[0],
    } | _piece_parts(statistics)


def _parameter_parts(shape: Shape) -> Parts:
    """Return where parameters stand, their priors, and the factors they shape."""
    places = find_places(shape)
    strata = [factor.strata for factor in shape.factors]
    sizes = [factor.effects for factor in shape.factors]
    blocks = [(f, b) for f in range(len(shape.factors)) for b in range(len(shape.factors[f].blocks))]
    members = [shape.factors[f].blocks[b] for f, b in blocks]
    owned = [factor for factor in shape.factors if factor.shared is None]
    sds = [prior for factor in owned for _ in range(factor.strata) for prior in factor.sd]
    priors = [prior_numbers(prior) for prior in [*sds, *shape.sigma]]
    cors = [_cor_shapes(f.cor[b], len(block)) for f in shape.factors for b, block in enumerate(f.blocks)]
    joint = _cor_shapes(shape.joint_cor, shape.joint) if shape.joint_cor is not None else np.empty(0)
    own = list(zip(shape.factors, places.sd, strict=True))
    return {
        at.FACTOR_SIZE: np.array(sizes),
        at.FACTOR_STRATA: np.array(strata),
        at.FACTOR_LAMBDA: np.concatenate([[0], np.cumsum([k * q * q for k, q in zip(strata, sizes, strict=True)])]),
        at.FACTOR_BASIS: np.concatenate([[0], np.cumsum([q * q for q in sizes])]),
        at.FACTOR_SD: np.array([at_sd if f.shared is None else len(sds) + f.shared for f, at_sd in own]),
        at.FACTOR_STEP: np.array([int(not factor.common) for factor in shape.factors]),
        at.FACTOR_BLOCKS: np.concatenate([[0], np.cumsum([len(f.blocks) for f in shape.factors])]),
        at.BLOCK_SIZE: np.array([len(block) for block in members]),
        at.BLOCK_MEMBERS: np.concatenate([np.empty(0), *members]),
        at.BLOCK_COR: np.array([places.cor[f][b] for f, b in blocks]),
        at.CROSSED_FACTOR: np.array(shape.crossed),
        at.CROSSED_START: np.array([shape.crossed_start(i) - shape.outer for i in shape.crossed]),
        at.CROSSED_LEVELS: np.array([shape.factors[i].levels for i in shape.crossed]),
        at.CROSSED_STRATUM: np.concatenate([np.empty(0), *(shape.factors[i].stratum for i in shape.crossed)]),
        at.PRIOR_CODE: np.array([code for code, _, _ in priors]),
        at.SIGMA_PLACE: np.array([places.sigma, places.residual]),
        at.JOINT: np.array([shape.joint, shape.joint_strata, int(shape.fixed is not None)]),
        at.BASES: np.concatenate([np.empty(0), *(factor.basis.reshape(-1) for factor in shape.factors)]),
        at.PRIOR_VALUE: np.array([[one, two] for _, one, two in priors]),
        at.COR_SHAPE: np.concatenate([np.empty(0), *cors, joint]),
        at.FIXED_COR: np.zeros(1) if shape.fixed is None else np.linalg.cholesky(shape.fixed).reshape(-1),
    }


def prior_numbers(prior: Distribution) -> tuple[int, float, float]:
    """Return a prior's code, its scale, and its degrees of freedom or spread."""
    match prior.family:
        case "half_normal":
            return PRIOR_CODES["half_normal"], prior.value("sigma"), 0.0
        case "half_student_t":
            return PRIOR_CODES["half_student_t"], prior.value("sigma"), prior.value("nu")
        case "exponential":
            return PRIOR_CODES["exponential"], prior.value("mean"), 0.0
        case "lognormal":
            return PRIOR_CODES["lognormal"], prior.value("median"), prior.value("spread")
        case "flat_positive":
            return PRIOR_CODES["flat_positive"], 1.0, 0.0
    raise ValueError(f"{prior.family} describes no SD")


def _cor_shapes(prior: Distribution, size: int) -> np.ndarray:
    """Return the shape of each partial correlation's beta under LKJ (Lewandowski et al. 2009, section 2.4)."""
    pairs = [(i, j) for i in range(size) for j in range(i)]
    assert len(pairs) == pairs_of(size)
    return np.array([prior.value("eta") + (size - 2 - j) / 2 for _, j in pairs])

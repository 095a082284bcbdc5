"""``fit_stream``: a table larger than memory in, Fit out. It is read once, and its coded columns once more."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from bayes_alliance.collapse.eligibility import MOST_CROSSED, find_stream_obstacles, say_obstacles
from bayes_alliance.collapse.statistics import Statistics
from bayes_alliance.collapse.streamed_statistics import Pieces
from bayes_alliance.design.moments import name_moments
from bayes_alliance.design.stream.stream import BlockRows, StreamDesign, StreamReader
from bayes_alliance.errors import FitError
from bayes_alliance.fit.assembly import RowGroups, assemble_fit
from bayes_alliance.fit.exact import sample_statistics
from bayes_alliance.fit.progress import counter
from bayes_alliance.fit.result import Fit
from bayes_alliance.fit.seeds import check_seed, spread_seed
from bayes_alliance.fit.settings import SamplerSettings
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.study import Study, as_study
from bayes_alliance.table.stream import SessionStream


def fit_stream(
    spec: ModelSpec,
    study: Study[SessionStream] | SessionStream,
    *,
    seed: int,
    settings: SamplerSettings | None = None,
) -> Fit:
    """Fit a model to a table that need not fit into memory, with the collapsed engine.

    The posterior is that of ``fit_model`` on the same rows. Memory grows with patients and with the rows of a block,
    not with sessions; coded columns are kept in a temporary folder meanwhile, 8 bytes a number.

    Parameters
    ----------
    spec : ModelSpec
        A Gaussian model whose every column needs one patient's rows at most.
    study : Study or SessionStream
        The stream that ``stream_sessions`` returns, alone or in a study.
    seed, settings
        As in ``fit_model``.

    Returns
    -------
    Fit
        Without rows and design: summaries, estimands and variance shares are there; what needs rows says so. Variance
        shares are averages over all rows, not by arm.

    Raises
    ------
    TableError
        With everything wrong with a block, and which rows of the source it holds.
    DesignError
        With everything that does not fit together, or takes more than a patient's rows at a time.
    FitError
        If the collapsed engine cannot fit the model.
    """
    check_seed(seed)
    settings = settings or SamplerSettings()
    obstacles = find_stream_obstacles(spec)
    if obstacles:
        raise FitError(say_obstacles(obstacles))
    begun = time.perf_counter()
    study = as_study(study)
    reader = StreamReader(spec, study)
    with tempfile.TemporaryDirectory(prefix="bayes-alliance-") as folder:
        with counter("Reading sessions", len(study.sessions), settings.progress) as advance:
            for number, rows in enumerate(reader.blocks()):
                _keep(Path(folder), number, rows)
                advance(reader.rows_read)
        streamed = reader.finish()
        statistics, moments = _sum(streamed, Path(folder))
    read = time.perf_counter() - begun
    (sampler_seed,) = spread_seed(seed, 1)
    design = streamed.design
    settings = settings.for_design(design)
    sampled = sample_statistics(design, statistics, settings, sampler_seed)
    sampled.seconds["read"] = read
    groups = RowGroups(xr.Dataset(), xr.Dataset(), moments, complete=False)
    fit = assemble_fit(design, sampled, groups, "collapsed", settings, seed, [])
    outcomes = [equation.outcome for equation in design.equations]
    provenance = dict(fit.provenance) | {"rows_used": dict(zip(outcomes, streamed.rows, strict=True))}
    return Fit(fit.spec, fit.data, provenance, fit.checks)


def _keep(folder: Path, number: int, rows: Sequence[BlockRows]) -> None:
    """Write the coded rows of a block."""
    for equation, own in enumerate(rows):
        arrays = {"coef": own.coef, "y": own.y, "session": own.session}
        arrays |= {f"code{i}": code for i, code in enumerate(own.codes)}
        arrays |= {f"values{i}": values for i, values in enumerate(own.values)}
        np.savez(folder / f"{number:08d}-{equation}.npz", allow_pickle=False, **arrays)


def _kept(folder: Path, equation: int, factors: int) -> Iterator[BlockRows]:
    """Read the coded rows of an equation, block by block."""
    for path in sorted(folder.glob(f"*-{equation}.npz")):
        with np.load(path) as arrays:
            codes = tuple(arrays[f"code{i}"] for i in range(factors))
            values = tuple(arrays[f"values{i}"] for i in range(factors))
            yield BlockRows(arrays["coef"], arrays["y"], arrays["session"], codes, values)


def _sum(streamed: StreamDesign, folder: Path) -> tuple[Statistics, dict[str, xr.Dataset]]:
    """Return the sufficient statistics, and moments for variance shares per outcome."""
    design = streamed.design
    links = streamed.links.copy()
    for factor, place in enumerate(streamed.place):
        links[:, factor] = _moved(links[:, factor], place)
    pieces = Pieces(design, links)
    if pieces.shape.crossed_columns > MOST_CROSSED:
        raise FitError(
            f"Crossed factors have {pieces.shape.crossed_columns:,} effects, more than the {MOST_CROSSED:,} the "
            f"collapsed engine takes; a stream has no other."
        )
    moments = {}
    for number, equation in enumerate(design.equations):
        places = [[f.factor for f in design.factors].index(group.factor) for group in equation.groups]
        at = streamed.first[number]
        products = [np.zeros((1 if np.isnan(at) else 2, len(g.effects), len(g.effects))) for g in equation.groups]
        first = 0
        for rows in _kept(folder, number, len(design.factors)):
            codes = [_moved(code, sorted_place) for code, sorted_place in zip(rows.codes, streamed.place, strict=True)]
            pieces.add(number, rows.coef, rows.y, codes, rows.values)
            early = rows.session == at
            first += int(early.sum())
            for product, at_factor in zip(products, places, strict=True):
                values = rows.values[at_factor]
                product[0] += values.T @ values
                product[1:] += values[early].T @ values[early]
        strata = ["rows"] if np.isnan(at) else ["rows", f"session = {at:g}"]
        counts = np.array([streamed.rows[number], first][: len(strata)])[:, None, None]
        above = [[streamed.nested[one][two] for two in places] for one in places]
        named = [product / counts for product in products]
        moments[equation.outcome] = name_moments(design, equation, strata, named, above, np.ones((len(strata), 1)))
    return pieces.finish(), moments


def _moved(code: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Return codes that count by the design's levels; -1 stays outside."""
    return np.where(code >= 0, place[code], -1) if len(place) else code

"""What a stored fit must hold: everything read from its files is checked before it is used."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Literal

import h5py
import numpy as np
import xarray as xr
from pydantic import BaseModel, ConfigDict, ValidationError

from bayes_alliance._messages import first_few, quote
from bayes_alliance.collapse.chains import find_gaps
from bayes_alliance.design.columns.terms import Columns
from bayes_alliance.design.columns.variables import Variable
from bayes_alliance.design.design import Design
from bayes_alliance.design.outline import ROWS, design_of_outline
from bayes_alliance.design.outline_records import DesignOutline
from bayes_alliance.design.posterior_variables import UNITS, Kind
from bayes_alliance.errors import AllianceError, FitError
from bayes_alliance.findings import Problem
from bayes_alliance.fit.settings import SamplerSettings
from bayes_alliance.fit.store import parse_json
from bayes_alliance.names import COEF, factor_key, sd_name
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.spec.toml import parse_model

GROUPS: Final = ("posterior", "sample_stats", "effects", "observed_data", "constant_data", "variance", "estimands")
"""Groups a fit's tree may have; the first two are always there."""

CHECKED: Final = ("r_hat", "ess_bulk", "ess_tail")
"""Checks that every fit has."""

ROOM: Final = 8
"""Bytes that an array may take per byte of its file; dims without labels are written as arrays without content."""

DEEPEST: Final = 4
"""Groups inside one another, from the file's own on."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")


class _Variable(_Part):
    name: str
    kind: Kind
    owner: str


class _Provenance(_Part):
    spec: str
    columns: dict[str, str]
    reference: dict[str, str]
    priors: list[dict[str, Any]]
    rows_read: dict[str, int]
    rows_used: dict[str, int]
    rows_left_out: dict[str, dict[str, int]]
    messages: list[str]
    variables: list[_Variable]
    constants: dict[str, list[int]]
    fingerprint: str
    engine: Literal["nuts", "collapsed", "quadrature"]
    settings: dict[str, Any]
    seed: int
    seconds: dict[str, float]
    packages: dict[str, str]
    code: str


class _Check(_Part):
    name: str
    passed: bool
    sentence: str
    remedy: str


class _Record(_Part):
    provenance: _Provenance
    checks: list[_Check]
    outline: DesignOutline | None = None


def read_record(content: bytes) -> tuple[dict[str, Any], ModelSpec, SamplerSettings]:
    """Return the record of a fit, its model and its settings.

    Parameters
    ----------
    content : bytes
        Of ``fit.json``.

    Raises
    ------
    FitError
        With everything that is not what a fit's record holds.
    """
    try:
        record = parse_json(content)
    except ValueError as error:
        raise FitError(f"It is no JSON: {str(error).rstrip('.')}.") from None
    try:
        _Record.model_validate(record)
    except ValidationError as error:
        raise FitError([detail_problem(detail) for detail in error.errors()]) from None
    provenance = record["provenance"]
    lacking = [name for name in CHECKED if name not in {check["name"] for check in record["checks"]}]
    if lacking:
        raise FitError(f"It lacks the checks {quote(lacking)}.")
    try:
        return record, parse_model(provenance["spec"]), SamplerSettings(**provenance["settings"])
    except TypeError:
        raise FitError("'provenance.settings' are not those of a sampler.") from None
    except AllianceError as error:
        raise FitError(error.problems) from None


def detail_problem(detail: Mapping[str, Any]) -> Problem:
    """Return what pydantic found in one place as a problem."""
    where = ".".join(map(str, detail["loc"])) or "the whole"
    return Problem(f"{str(detail['msg']).rstrip('.')}.", where=repr(where[:100]))


def read_tree(content: bytes, record: Mapping[str, Any], spec: ModelSpec, settings: SamplerSettings) -> xr.DataTree:
    """Return the tree of a fit, once it is known to hold whole draws of the model.

    Parameters
    ----------
    content : bytes
        Of ``posterior.nc``.
    record, spec, settings
        From ``read_record``.

    Raises
    ------
    FitError
        If it is no netCDF file, reads from other files, names arrays larger than itself, lacks groups or variables, or
        its draws are fewer than the settings say or not finite.
    """
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            odd = list(_odd_parts(file, ROOM * len(content) + ROOM**7))
    except Exception as error:  # h5py raises what the library's code says
        raise FitError(f"It is no netCDF file: {error}.") from None
    if odd:
        raise FitError(f"It is no fit's: {first_few(odd)}.")
    try:
        with plain_locks():
            tree = xr.load_datatree(io.BytesIO(content), engine="h5netcdf")
    except Exception as error:
        raise FitError(f"It is no netCDF file of a fit: {error}.") from None
    provenance = record["provenance"]
    units = {own["name"] for own in provenance["variables"] if own["kind"] in UNITS}
    problems = find_problems(tree, spec, settings) or _odd_constants(tree, provenance["constants"], units)
    if problems:
        raise FitError(problems)
    return tree


def find_problems(tree: xr.DataTree, spec: ModelSpec, settings: SamplerSettings) -> list[Problem]:
    """Report what keeps a tree from being that of a fit of a model with these settings."""
    lacking = [name for name in GROUPS[:2] if name not in tree.children]
    odd = [name for name in tree.children if name not in GROUPS]
    if lacking or odd:
        problems = [Problem(f"It lacks the groups {quote(lacking)}.")] if lacking else []
        return [*problems, *([Problem(f"It has groups {quote(odd)}, which no fit has.")] if odd else [])]
    posterior = tree["posterior"].to_dataset()
    wanted = [sd_name(factor) for factor in spec.factors]
    if any(equation.parsed.terms for equation in spec.equation):
        wanted.insert(0, "b")
    missing = [name for name in wanted if name not in posterior]
    if missing:
        return [Problem(f"Its draws lack {quote(missing)}.")]
    problems = [Problem(gap) for gap in find_gaps(posterior, chains=settings.chains, draws=settings.draws)]
    size = {"chain": settings.chains, "draw": settings.draws}
    if not problems and "effects" in tree.children:
        gaps = find_gaps(tree["effects"].to_dataset(), chains=settings.chains, draws=settings.draws)
        problems = [Problem(gap, where="group 'effects'") for gap in gaps]
    for name in ("sample_stats", "estimands"):
        own = tree[name].sizes if name in tree.children else size
        if not problems and {dim: own.get(dim) for dim in size} != size:
            problems.append(Problem(f"Group {name!r} is not of the same chains and draws as the posterior."))
    return problems


def outlined_design(outline: DesignOutline, spec: ModelSpec, posterior: xr.Dataset) -> Design:
    """Return the design of made rows that an outline stored with a fit gives.

    Raises
    ------
    FitError
        If it is not that of the fit's model and draws.
    """
    levels = {
        own.factor: list(map(str, posterior[factor_key(own.factor)].values))
        for own in outline.factors
        if factor_key(own.factor) in posterior.coords
    }
    try:
        design = design_of_outline(outline, spec, levels)
    except (KeyError, ValueError, IndexError, StopIteration):
        raise FitError("Its outline is not that of its model.") from None
    labels = {label for own in design.linear_predictors for label in own.coef_labels}
    known = set(map(str, posterior["b"].coords[COEF].values)) if "b" in posterior else set()
    factors = {own.factor for own in design.factors}
    fitting = [
        *(_is_whole(c) for own in design.linear_predictors for c in (own.coef, *(g.columns for g in own.groups))),
        *(_has_values(v) for e in design.equations for v in e.variables.values()),
        all(group.factor in factors for own in design.linear_predictors for group in own.groups),
        [e.outcome for e in spec.equation] == [e.spec.outcome for e in design.equations],
        factors == set(spec.factors),
    ]
    if labels - known or not all(fitting):
        raise FitError("Its outline is not that of its model.")
    return design


def _is_whole(columns: Columns) -> bool:
    sizes = {len(columns.labels), len(columns.terms), len(columns.parts), len(columns.latent), len(columns.dynamic)}
    return len(sizes) == 1


def _has_values(variable: Variable) -> bool:
    if len(variable.values) != ROWS or not np.isfinite(variable.values).all():
        return False
    return variable.levels is None or bool(np.isin(variable.values, np.arange(len(variable.levels))).all())


def _odd_parts(file: Any, most: int, depth: int = 0) -> Iterator[str]:
    """Yield what an HDF5 file has that no fit has: links, contents of other files, arrays larger than the file."""
    for name in file:
        link = file.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            yield f"{name!r} is a link"
        elif isinstance(own := file[name], h5py.Group):
            if depth >= DEEPEST:
                yield f"{name!r} is nested too deeply"
            else:
                yield from _odd_parts(own, most, depth + 1)
        elif isinstance(own, h5py.Dataset):
            if own.is_virtual or own.external:
                yield f"{name!r} is read from another file"
            elif own.size is not None and own.size * own.dtype.itemsize > most:
                yield f"{name!r} is larger than the file"


def _odd_constants(tree: xr.DataTree, constants: Mapping[str, list[int]], units: set[str]) -> list[Problem]:
    """Report entries that a record calls fixed and that are not there; ``units`` may be left out with the effects."""
    groups = [tree[group] for group in ("posterior", "effects") if group in tree.children]
    draws = {name: values for group in groups for name, values in group.items()}
    odd = [
        name
        for name, places in constants.items()
        if (name not in draws and (name not in units or "effects" in tree))
        or any(not 0 <= place < int(np.prod(draws[name].shape[2:], dtype=int)) for place in places if name in draws)
    ]
    return (
        [Problem("fixed by the model, as fit.json says, and not among the draws.", where=f"{quote(odd)}")]
        if odd
        else []
    )


@contextmanager
def plain_locks() -> Iterator[None]:
    """Keep xarray from asking a cluster's scheduler for a lock on bytes in memory, which it does on a Dask worker."""
    if "distributed" not in sys.modules:
        yield
        return
    import dask

    with dask.config.set(scheduler="synchronous"):
        yield

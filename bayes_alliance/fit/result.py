"""The Fit: a frozen record of what was asked, on which rows, and the posterior that came out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, Final

import numpy as np
import xarray as xr

from bayes_alliance._messages import escaped, quote
from bayes_alliance.design.design import Design, make_design
from bayes_alliance.design.outline import outline_of
from bayes_alliance.design.outline_records import DesignOutline
from bayes_alliance.design.posterior_variables import UNITS, PosteriorVariable
from bayes_alliance.errors import FitError
from bayes_alliance.fit.checks import CheckResult, verdict
from bayes_alliance.fit.constants import read_constants
from bayes_alliance.fit.exact_units import draw_own_effects
from bayes_alliance.fit.integrated import draw_quadrature_effects
from bayes_alliance.fit.provenance import Plain
from bayes_alliance.fit.seeds import spread_seed
from bayes_alliance.fit.settings import INTEGRATING, SamplerSettings
from bayes_alliance.fit.store import MANIFEST, read_artefact, write_artefact
from bayes_alliance.fit.stored_fit import find_problems, outlined_design, plain_locks, read_record, read_tree
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.study import Study
from bayes_alliance.table.sessions import SessionTable

TREE: Final = "posterior.nc"
RECORD: Final = "fit.json"
CHECK_PARTS: Final = ("name", "passed", "sentence", "remedy")
RESULTS: Final = re.compile(
    r"fit\.json|posterior\.nc|(summary|estimands|surface|congruence-checklist)\.csv|\w[\w.-]*\.png"
)
"""Names of the files of a fit and of what is written of it."""

ROW_GROUPS: Final = ("observed_data", "constant_data")


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted model as a value.

    ``data`` is a DataTree with ArviZ's groups ``posterior``, ``sample_stats``, ``observed_data`` and
    ``constant_data``, and with ``variance`` (what variance shares need of the rows, per outcome) and, where the model
    has any, ``estimands``. What every unit has its own of is in ``effects``. ``spec`` is the model as resolved for the
    study. ``design`` is None after loading, until ``with_rows``; ``outline`` is then what is left of it without rows,
    by which new rows are predicted. ``checks`` say whether the chains mixed.
    """

    spec: ModelSpec
    data: xr.DataTree
    provenance: Mapping[str, Plain]
    checks: tuple[CheckResult, ...]
    design: Design | None = None
    outline: DesignOutline | None = None

    @property
    def passed(self) -> bool:
        """Return whether every check of the sampling passed."""
        return all(check.passed for check in self.checks)

    @property
    def verdict(self) -> str:
        """Return one line that says whether the chains can be trusted."""
        return verdict(self.checks)

    @property
    def messages(self) -> tuple[str, ...]:
        """Return what was left out, joined, renamed or worth knowing about the rows."""
        stored = self.provenance["messages"]
        return tuple(str(message) for message in stored) if isinstance(stored, list) else ()

    @cached_property
    def effects(self) -> xr.Dataset:
        """Return the draws of what every unit has its own of: group effects, latent means, modelled values.

        Fits of the nuts engine hold them. Those of the other engines are drawn when first asked for, given the draws of
        everything else; the same ones come out every time.

        Returns
        -------
        Dataset
            ``u_<factor>[chain, draw, <factor>, <factor>_effect]`` for every factor, in units of the outcome (of its
            link) per unit of the covariate; ``mean_<variable>_<factor>`` and ``value_<outcome>`` where the model
            estimates them, in units of the variable.

        Raises
        ------
        FitError
            If the fit was stored without them and its rows are not there to draw them from.

        Examples
        --------
        >>> fit.effects["u_therapist"].mean(("chain", "draw"))  # doctest: +SKIP
        """
        if "effects" in self.data:
            return self.data["effects"].to_dataset()
        if not any(own.kind in UNITS for own in variables_of(self)):
            return xr.Dataset(coords={dim: self.data["posterior"][dim] for dim in ("chain", "draw")})
        if self.provenance["engine"] not in INTEGRATING:
            raise FitError("This fit was stored without its effects. Fit again and save with effects=True.")
        if self.design is None:
            raise FitError(
                "This fit was stored without its effects, and they are drawn from its rows. Bring these back with "
                "fit.with_rows(sessions), or save with effects=True."
            )
        seed = self.provenance["seed"]
        assert isinstance(seed, int)
        draw = draw_own_effects if self.provenance["engine"] == "collapsed" else draw_quadrature_effects
        return draw(self.design, self.data["posterior"].to_dataset(), spread_seed(seed, 1)[0])

    @property
    def has_effects(self) -> bool:
        """Return whether ``effects`` are held or can be drawn."""
        return "effects" in self.data or (self.provenance["engine"] in INTEGRATING and self.design is not None)

    @escaped
    def __repr__(self) -> str:
        posterior = self.data["posterior"]
        size = f"{posterior.sizes['chain']} chains of {posterior.sizes['draw']:,} draws"
        used = self.provenance["rows_used"]
        assert isinstance(used, dict)
        parts = [f"{count:,} rows" + (f" of {outcome}" if len(used) > 1 else "") for outcome, count in used.items()]
        return f"{self.verdict}\nFit of {self.spec.title!r}: {', '.join(parts)}, {size}."

    def _repr_html_(self) -> str:
        colour = "#1b7837" if self.passed else "#b2182b"
        first, _, rest = repr(self).partition("\n")
        return f'<div><b style="color:{colour}">{escape(first)}</b><br>{escape(rest)}</div>'

    def save(self, path: str | Path, *, include_rows: bool = False, effects: bool | None = None) -> Path:
        """Write the fit to a folder that ``load_fit`` reads.

        Parameters
        ----------
        path : str or Path
            Folder; made if it is not there.
        include_rows : bool
            Whether the rows of the study go along. Without them the file still names levels (patients, therapists)
            by the ids of the table.
        effects : bool, optional
            Whether effects of units go along, most of a fit's numbers. None keeps those of the nuts engine and leaves
            those of the other engines, which are drawn again once ``with_rows`` has brought the rows back.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        FitError
            If the folder cannot be written, its manifest names files outside it, or the fit's draws are fewer than
            its settings say or not finite.
        """
        folder = Path(path)
        write_artefact(folder, fit_files(self, include_rows=include_rows, effects=effects), known=RESULTS)
        return folder

    def with_rows(self, sessions: SessionTable) -> Fit:
        """Return the fit with its design made again from the rows it was fitted to.

        Raises
        ------
        FitError
            If these are other rows.
        """
        columns, reference = self.provenance["columns"], self.provenance["reference"]
        assert isinstance(columns, dict)
        assert isinstance(reference, dict)
        study = Study(
            sessions,
            {name: str(column) for name, column in columns.items()},
            {name: str(level) for name, level in reference.items()},
        )
        design = make_design(self.spec, study)
        if design.fingerprint != self.provenance["fingerprint"]:
            raise FitError("These are not the rows the model was fitted to: their fingerprints differ.")
        return replace(self, design=design, outline=None)


def design_of(fit: Fit) -> Design:
    """Return a fit's design.

    Raises
    ------
    FitError
        If it has none, as after loading.
    """
    if fit.design is None:
        raise FitError("This fit has no rows; bring them back with fit.with_rows(sessions).")
    return fit.design


def design_for_rows(fit: Fit) -> Design:
    """Return a design by which new rows are coded: the fit's, or that of made rows where its own are not there.

    Raises
    ------
    FitError
        If the fit has neither.
    """
    if fit.design is not None:
        return fit.design
    if fit.outline is None:
        raise FitError("This fit has no rows, and no outline of them; bring them back with fit.with_rows(sessions).")
    return outlined_design(fit.outline, fit.spec, fit.data["posterior"].to_dataset())


def variables_of(fit: Fit) -> tuple[PosteriorVariable, ...]:
    """Return the variables that the fit's posterior may have, in the order of tables; see ``list_variables``."""
    record: Any = fit.provenance["variables"]
    return tuple(PosteriorVariable(**own) for own in record)


def constants_of(fit: Fit) -> dict[str, np.ndarray]:
    """Return which entries of a fit's draws its model fixes, by variable; see ``find_constants``."""
    record: Any = fit.provenance["constants"]
    return read_constants(record, fit.data["posterior"].to_dataset())


def load_fit(path: str | Path) -> Fit:
    """Read a fit from the folder ``Fit.save`` wrote.

    Parameters
    ----------
    path : str or Path
        The folder.

    Returns
    -------
    Fit
        Without its design; ``with_rows`` brings it back. New rows and grids can be predicted without it.

    Raises
    ------
    FitError
        If a file is missing, damaged or changed, does not hold what a fit holds, or the draws are fewer than the
        settings say or not finite.
    """
    folder = Path(path)
    files = read_artefact(folder)
    lacking = [name for name in (RECORD, TREE) if name not in files]
    if lacking:
        raise FitError(f"{str(folder)!r} is no fit: {MANIFEST!r} does not name {quote(lacking)}.")
    reading = RECORD
    try:
        record, spec, settings = read_record(files[RECORD])
        reading = TREE
        tree = read_tree(files[TREE], record, spec, settings)
        reading = RECORD
        outline = None if record.get("outline") is None else DesignOutline.model_validate(record["outline"])
        if outline is not None:
            outlined_design(outline, spec, tree["posterior"].to_dataset())
    except FitError as error:
        whole = f"{reading!r} of {str(folder)!r} is not that of a whole fit."
        raise FitError([problem.after(whole) for problem in error.problems]) from None
    checks = tuple(CheckResult(*(check[part] for part in CHECK_PARTS)) for check in record["checks"])
    return Fit(spec, tree, record["provenance"], checks, None, outline)


def fit_files(fit: Fit, *, include_rows: bool = False, effects: bool | None = None) -> dict[str, bytes]:
    """Return the files of a fit by name; ``include_rows`` and ``effects`` as in ``Fit.save``.

    Raises
    ------
    FitError
        If its draws are fewer than its settings say, or not finite: that is no fit to store.
    """
    settings: Any = fit.provenance["settings"]
    problems = find_problems(fit.data, fit.spec, SamplerSettings(**settings))
    if problems:
        raise FitError([problem.after("This fit is not stored: it is not whole.") for problem in problems])
    if effects is None:
        effects = fit.provenance["engine"] == "nuts" and "effects" in fit.data
    left = (*(() if include_rows else ROW_GROUPS), "effects")
    tree = fit.data.filter(lambda node: node.path[1:] not in left)
    if effects:
        tree["effects"] = xr.DataTree(fit.effects)
    record: dict[str, Any] = {
        "provenance": dict(fit.provenance),
        "checks": [{part: getattr(check, part) for part in CHECK_PARTS} for check in fit.checks],
    }
    outline = fit.outline if fit.design is None else outline_of(fit.design)
    if outline is not None:
        record["outline"] = outline.model_dump(mode="json")
    with plain_locks():  # in memory: a full disk then never meets a half-open file
        content = tree.to_netcdf(engine="h5netcdf")
    return {TREE: bytes(content) if content is not None else b"", RECORD: json.dumps(record, indent=1).encode()}

"""``fit_model``: table, spec and settings in, Fit out."""

from __future__ import annotations

from pathlib import Path

from bayes_alliance._messages import unknown
from bayes_alliance.design.design import make_design
from bayes_alliance.errors import FitError
from bayes_alliance.fit.cache import fit_cached
from bayes_alliance.fit.engines import fit_design
from bayes_alliance.fit.result import Fit
from bayes_alliance.fit.seeds import check_seed
from bayes_alliance.fit.settings import ENGINES, Engine, SamplerSettings
from bayes_alliance.spec.model import ModelSpec
from bayes_alliance.study import Study
from bayes_alliance.table.sessions import SessionTable


def fit_model(
    spec: ModelSpec,
    study: Study[SessionTable] | SessionTable,
    *,
    seed: int,
    engine: Engine = "auto",
    settings: SamplerSettings | None = None,
    cache: str | Path | None = None,
) -> Fit:
    """Fit a model to a study.

    Parameters
    ----------
    spec : ModelSpec
        From ``load_model`` or ``parse_model``.
    study : Study or SessionTable
        The table that ``read_sessions`` returns, and which columns, reference levels and priors go with it:
        ``Study(sessions, columns={"outcome": "phq9"}, reference={"condition": "usual care"})``. A table alone has
        columns that are called like the model's variables.
    seed : int
        The same seed on the same machine and packages gives the same draws, with cold or warm caches.
    engine : {"auto", "collapsed", "quadrature", "nuts"}
        ``"collapsed"`` integrates population and group effects out and draws them exactly, for Gaussian models that
        are linear in them; ``"quadrature"`` integrates effects of patients and therapists out, for outcomes that are
        0 or 1, ordered, counted, events in time, or scores with bounds; ``"nuts"`` samples any model. ``"auto"`` takes
        the first that can fit the model and whose checks pass; the fit's messages say why.
    settings : SamplerSettings, optional
        Draws, chains, cores.
    cache : str or Path, optional
        Folder in which fits are kept, without rows. The same question (model, rows, priors, settings, seed, versions)
        asked again is answered from there, and a message says so.

    Returns
    -------
    Fit
        Its checks have been run; ``fit.verdict`` says how they came out.

    Raises
    ------
    DesignError
        With everything that does not fit together, before anything is compiled.
    FitError
        If the settings, the engine's name or the starting point cannot be used, an engine is asked for that
        cannot fit the model, or the sampler hands back fewer draws than asked for, or draws that are not finite.
    KeyboardInterrupt
        If it is stopped meanwhile. Nothing is stored then.
    """
    if engine not in ENGINES:
        raise FitError(unknown("engine", str(engine), ENGINES))
    check_seed(seed)
    settings = settings or SamplerSettings()
    design = make_design(spec, study)
    if cache is None:
        return fit_design(design, seed=seed, settings=settings, engine=engine)
    return fit_cached(design, seed=seed, settings=settings, engine=engine, folder=Path(cache))

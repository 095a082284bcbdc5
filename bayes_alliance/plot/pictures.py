"""Every picture a fit has, as PNG files by name."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

from matplotlib.figure import Figure

from bayes_alliance.fit.result import Fit
from bayes_alliance.names import factor_key
from bayes_alliance.plot.caterpillar import plot_caterpillar
from bayes_alliance.plot.effects import has_effects, plot_effects
from bayes_alliance.plot.surface import plot_surface
from bayes_alliance.plot.trajectories import plot_trajectories
from bayes_alliance.plot.variance import has_shares, plot_variance_shares
from bayes_alliance.posterior.surfaces import all_surfaces
from bayes_alliance.posterior.trajectories import has_trajectories
from bayes_alliance.posterior.units import first_effects
from bayes_alliance.posterior.variance import fitted_factors


def draw_pictures(fit: Fit) -> dict[str, bytes]:
    """Return the pictures that make sense for a fit.

    Parameters
    ----------
    fit : Fit
        Trajectories and effects need its rows.

    Returns
    -------
    dict of str to bytes
        ``trajectories.png`` and ``effects.png`` (per outcome, with its name, where there are several),
        ``variance-shares.png``, ``surface.png`` of every response surface, and a caterpillar per factor but the
        patient, of its first effect on every outcome, where the fit has effects.
    """
    figures: dict[str, Figure] = {}
    outcomes = [equation.outcome for equation in fit.design.equations] if fit.design is not None else []
    named = file_names(outcomes)
    for outcome in outcomes:
        of = f"-{named[outcome]}" if len(outcomes) > 1 else ""
        if has_trajectories(fit, outcome):
            figures[f"trajectories{of}.png"] = plot_trajectories(fit, outcome=outcome)
        if has_effects(fit, outcome):
            figures[f"effects{of}.png"] = plot_effects(fit, outcome=outcome)
    if has_shares(fit):
        figures["variance-shares.png"] = plot_variance_shares(fit)
        for factor in fitted_factors(fit):
            if factor != "patient" and fit.has_effects:
                firsts = first_effects(fit, factor)
                of_owner = file_names(list(firsts))
                for owner, effect in firsts.items():
                    of = f"-{of_owner[owner]}" if len(firsts) > 1 else ""
                    figures[f"{factor_key(factor)}-effects{of}.png"] = plot_caterpillar(fit, factor, effect=effect)
    surfaces = all_surfaces(fit)
    of_surface = file_names(list(surfaces))
    for label, surface in surfaces.items():
        figures[f"surface{f'-{of_surface[label]}' if label else ''}.png"] = plot_surface(surface)
    return {name: picture_bytes(figure) for name, figure in figures.items()}


LONGEST = 30
"""Letters of a column that a file's name takes; a folder takes names of 255 bytes, four a letter at most."""


def file_names(texts: Sequence[str]) -> dict[str, str]:
    """Return columns' names as parts of files' names on any system, different where the columns are.

    What is no letter, digit, ``-`` or ``.`` becomes ``_``; where names differ in such signs or case alone, later ones
    carry a number. Long ones are cut.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for text in texts:
        plain = re.sub(r"[^\w.-]", "_", text)[:LONGEST]
        number = 1
        while (name := plain if number == 1 else f"{plain}-{number}").lower() in taken:
            number += 1
        taken.add(name.lower())
        found[text] = name
    return found


def picture_bytes(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()

"""How to sample: one frozen record in place of a dozen keyword arguments."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

from bayes_alliance._messages import quote, shorten
from bayes_alliance.design.design import Design
from bayes_alliance.errors import FitError
from bayes_alliance.findings import Problem

type Engine = Literal["auto", "collapsed", "quadrature", "nuts"]
ENGINES: tuple[Engine, ...] = ("auto", "collapsed", "quadrature", "nuts")

INTEGRATING: frozenset[str] = frozenset({"collapsed", "quadrature"})
"""Engines that integrate effects of units out, and draw them when a fit is asked for them."""

type Progress = Literal["auto", "off"]

TARGET_ACCEPT = 0.8
"""Share of its steps that NUTS is tuned to accept, unless stated."""

HORSESHOE_ACCEPT = 0.99
"""The same where coefficients have a horseshoe: longer steps miss the narrow parts of its posterior and diverge."""


MOST = {"draws": 1_000_000, "tune": 1_000_000, "chains": 1_000, "cores": 1_000, "max_treedepth": 20}
"""Largest values: a slip of the keys is refused before it asks for all memory."""


@dataclass(frozen=True)
class SamplerSettings:
    """Settings of the sampler.

    ``draws`` and ``tune`` count per chain (``tune`` holds where NUTS samples); ``cores`` is how
    many chains run at once (None: as many as the machine has) and does not change the draws; ``target_accept`` is the
    share of its steps that NUTS is tuned to accept (None: 0.8, and 0.99 where coefficients have a horseshoe; a fit's
    record holds which; the collapsed engine takes no less than 0.95 where it samples 25 parameters or fewer);
    ``progress`` shows the compile step and a bar in terminals and notebooks.
    """

    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    cores: int | None = None
    target_accept: float | None = None
    max_treedepth: int = 10
    progress: Progress = "auto"

    def __post_init__(self) -> None:
        """Refuse values no sampler can use."""
        problems = []
        for name in ("draws", "tune", "chains", "cores", "max_treedepth"):
            value = getattr(self, name)
            least = 2 if name == "draws" else 1
            if value is None and name == "cores":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                problems.append(Problem(f"{name} must be a whole number of {least} or more; it is {shorten(value)}."))
            elif value > MOST[name]:
                problems.append(Problem(f"{name} may be at most {MOST[name]:,}; it is {shorten(value)}."))
        if self.target_accept is not None and not 0 < self.target_accept < 1:
            problems.append(Problem(f"target_accept must lie between 0 and 1; it is {self.target_accept!r}."))
        if self.progress not in ("auto", "off"):
            problems.append(Problem(f"progress must be one of {quote(('auto', 'off'))}; it is {self.progress!r}."))
        if problems:
            raise FitError(problems)

    def for_worker(self) -> SamplerSettings:
        """Return settings for one of several processes: one core, no bar. Draws are the same."""
        return replace(self, cores=1, progress="off")

    def for_design(self, design: Design) -> SamplerSettings:
        """Return settings with nothing left open that the design decides."""
        if self.target_accept is not None:
            return self
        horseshoe = any(group.distribution.family == "horseshoe" for group in design.priors.shrunk)
        return replace(self, target_accept=HORSESHOE_ACCEPT if horseshoe else TARGET_ACCEPT)

    def as_dict(self) -> dict[str, int | float | str | None]:
        """Return the settings as plain data."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

"""Effects of a treatment split two ways: what each is called, and what they add up to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.expectation.set_variables import Setting
from bayes_alliance.names import entry_label


def name_effects(
    found: Mapping[tuple[str, bool], np.ndarray], treatment: str, values: tuple[Setting, Setting]
) -> dict[str, np.ndarray]:
    """Return effects by name: the mean of the two ways to split the total, and where they differ each of the two.

    An effect is called after the value of the treatment of all that is not on its way: split from the first value on,
    the direct one has mediators as there, and the others have the rest of the equations at the second value.
    """
    named: dict[str, np.ndarray] = {}
    for name, base in found:
        if base:
            continue
        one, two = found[name, False], found[name, True]
        named[name] = (one + two) / 2
        if name != "total" and not np.allclose(one, two, rtol=1e-7, atol=1e-9 * float(np.abs(one).max(initial=1.0))):
            here = values[0] if name == "direct" else values[1]
            there = values[1] if name == "direct" else values[0]
            own = {entry_label(name, f"{treatment} = {here}"): one, entry_label(name, f"{treatment} = {there}"): two}
            named |= dict(sorted(own.items(), key=lambda item: not item[0].endswith(f"= {values[0]}]")))
    return named


def _brackets(names: Sequence[str]) -> list[str]:
    return [f"[{name.partition('[')[2]}" for name in names]


def tabulate_effects(found: Mapping[str, np.ndarray], e: EquationDesign) -> xr.Dataset:
    """Return effects, shape (chain, draw), with what they add up to: the indirect effect and its share."""
    total = found["total"]
    indirect = {"": total - found["direct"]}
    direct = [name for name in found if name.startswith("direct[")]
    if direct:  # what one way to split leaves for the mediators holds at the other value
        indirect |= {where: total - found[name] for name, where in zip(direct, _brackets(direct)[::-1], strict=True)}
    with np.errstate(divide="ignore", invalid="ignore"):
        share = indirect[""] / total
    of_all = {f"indirect{where}": value for where, value in indirect.items()}
    columns = {**found, **of_all, "total": total, "share mediated": share}
    order = [*(name for name in found if name != "total"), *of_all, "total", "share mediated"]
    unit = e.kind.difference_unit(e.outcome)
    nan = np.full(len(order), np.nan)
    return xr.Dataset(
        {"value": (("chain", "draw", "estimand"), np.stack([columns[name] for name in order], axis=-1))},
        coords={
            "chain": np.arange(total.shape[0]),
            "draw": np.arange(total.shape[1]),
            "estimand": order,
            "unit": ("estimand", [*[unit] * (len(order) - 1), "share of the total effect"]),
            "level": ("estimand", ["population"] * len(order)),
            "rope_lb": ("estimand", nan),
            "rope_ub": ("estimand", nan),
            "ratio": ("estimand", [int(name == "share mediated") for name in order]),
        },
    )

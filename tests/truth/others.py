"""Shares of variance, response surfaces, estimands, units one by one, and scores of units and of sessions to come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from unittest import mock

import numpy as np
from scipy import stats
from scipy.special import expit, gammaln, polygamma

import bayes_alliance as ba
from bayes_alliance.expectation.effects import with_effects
from bayes_alliance.quadrature.choice import choose_engine
from bayes_alliance.spec.expressions import Call, Expression, Name, Number, Operation, render
from tests.truth.cases import Case
from tests.truth.fits import make_fit, put_together
from tests.truth.readers import over_draws
from tests.truth.simulator import (
    bounds_of,
    factor_name,
    factors_of,
    linear_predictor,
    membership,
    offset_of,
    parameter_of,
    residual_sd,
    share,
    state_effects,
    stratum_of,
    thresholds,
    usable,
    variance_of_effects,
)
from tests.truth.table import NotCompared, Pair, Setting
from tests.truth.worlds import View, World, parse_part

# shares of variance


def shares(case: Case) -> Iterator[Setting]:
    """variance_shares: each factor's share and the intraclass correlations, averaged over rows and at a session."""
    sessions = [None]
    for e in case.design.equations:
        if e.spec.unit == "session":
            sessions.append(float(np.unique(e.session)[2]))
            break
    for session in sessions:
        yield f"session {session}", lambda s=session: _shares(case, s)


def _shares(case: Case, session: float | None) -> Pair:
    got = ba.variance_shares(case.fit, session=session)
    several = len(got.data_vars) and any(", rows" in str(v) or ", session" in str(v) for v in got["stratum"].values)
    says, right = [], []
    for name in map(str, got.data_vars):
        says.append(got[name].transpose("stratum", "chain", "draw").values)
        right.append(
            np.array(
                [
                    over_draws(case, lambda w, n=name, t=str(s): _share(case, w, n, t, several))
                    for s in got["stratum"].values
                ]
            )
        )
    return Pair(np.array(says), np.array(right))


def _share(case: Case, world: World, name: str, stratum: str, several: bool) -> float:
    pieces = stratum.split(", ")
    grouped = [e for e in case.design.equations if e.groups] or list(case.design.equations)
    equation = next((e for e in grouped if e.outcome == pieces[0]), None) if several else grouped[0]
    if equation is not None and equation.outcome == pieces[0]:
        pieces = pieces[1:]
    outcome = (equation or grouped[0]).outcome
    view = case.view(world, outcome)
    keep = usable(view, outcome)
    if pieces[0].startswith("session = "):
        keep = keep & (view.session[0] == float(pieces[0].removeprefix("session = ")))
    if len(pieces) > 1:
        keep = keep & (view.column(case.study.label("condition"))[0] == pieces[1])
    variance = {}
    for key in factors_of(world.truth):
        own = only_factor(world, key)
        part = View(own, view.unit)
        variance[key] = float(np.broadcast_to(variance_of_effects(part, outcome), (1, len(view)))[0][keep].mean())
    rest = residual_variance(case, view, outcome, keep)
    total = rest + sum(variance.values())
    kind, _, factor = name.partition("_")
    if kind == "share":
        return rest / total if factor == "residual" else variance.get(factor, 0.0) / total
    wider = [k for k in variance if k != factor and variance[factor] and nests(view, factor, k, keep)]
    has = world.truth.effects(factor, outcome)
    return (variance[factor] + sum(variance[k] for k in wider)) / total if has else 0.0


def only_factor(world: World, key: str) -> World:
    """Return a world in which other factors' SDs are 0."""
    import copy

    truth = copy.copy(world.truth)
    truth.arrays = {
        n: np.zeros_like(v) if n.startswith("sd_") and n != f"sd_{key}" else v for n, v in world.truth.arrays.items()
    }
    return World(world.study, truth)


def nests(view: View, inner: str, outer: str, keep: np.ndarray) -> bool:
    """Return whether every unit of one factor lies in one unit of the other."""
    inside, outside = (membership(view, factor_name(view.world, f)).codes[0] for f in (inner, outer))
    used = (inside >= 0) & keep
    pairs = {(a, b) for a, b in zip(inside[used], outside[used], strict=True)}
    return (
        all(b >= 0 for _, b in pairs)
        and len(pairs) == len({a for a, _ in pairs})
        and len({a for a, _ in pairs}) > len({b for _, b in pairs})
    )


def residual_variance(case: Case, view: View, outcome: str, keep: np.ndarray) -> float:
    """Return what rows of one unit vary by, on the scale of the linear predictor."""
    equation, truth = case.study.equation(outcome), view.world.truth
    every = usable(view, outcome)
    match equation.family:
        case "bernoulli" | "binomial" | "cumulative":
            return 1.0 if equation.link == "probit" else np.pi**2 / 3
        case "hazard":
            return np.pi**2 / 6
        case "negative_binomial":
            mean = view.column(outcome)[0][every].mean()
            return float(np.log(1 + 1 / mean + 1 / truth.one("shape", shape_coef=outcome)))
        case "poisson":
            return float(np.log(1 + 1 / view.column(outcome)[0][every].mean()))
        case "zero_inflated_poisson" | "zero_inflated_negative_binomial":
            # variance over squared mean of a mixture of zeros and counts, row by row
            mean = view.column(outcome)[0][every].mean()
            uneven = 0.0
            if equation.family == "zero_inflated_negative_binomial":
                uneven = 1 / truth.one("shape", shape_coef=outcome)

            def ratio(zi: np.ndarray) -> np.ndarray:
                counts = mean / (1 - zi)
                variance = (1 - zi) * (counts + uneven * counts**2 + zi * counts**2)
                return np.log(1 + variance / mean**2)

            if not truth.labels(f"zi({outcome})"):
                return float(ratio(np.asarray(truth.one("zi", zi_coef=outcome))))
            # units differ in their chance of a zero: a fine sum over their normal effects
            part, x = f"zi({outcome})", np.linspace(-7, 7, 401)
            logit = linear_predictor(view, part, state_effects(view.world, "zero"))
            sd = np.broadcast_to(np.sqrt(variance_of_effects(view, part)), (1, len(view)))[0][keep]
            weight = stats.norm.pdf(x) / stats.norm.pdf(x).sum()
            own = np.broadcast_to(logit, (1, len(view)))[0][keep]
            return float(np.mean(ratio(expit(own[:, None] + sd[:, None] * x)) @ weight))
        case "ordered_beta":
            low, high = bounds_of(view, equation)
            mean, phi = (
                ((view.column(outcome)[0][every] - low) / (high - low)).mean(),
                truth.one("phi", phi_coef=outcome),
            )
            return float(polygamma(1, mean * phi) + polygamma(1, (1 - mean) * phi))
    part = f"sigma({outcome})"
    if truth.labels(part):
        log_sigma = linear_predictor(view, part, state_effects(view.world, "zero"))
        square = np.exp(2 * log_sigma + 2 * variance_of_effects(view, part))
    else:
        square = residual_sd(view, outcome) ** 2
    found = float(np.broadcast_to(square, (1, len(view)))[0][keep].mean())
    if equation.family == "student_t":
        nu = truth.one("nu", nu_coef=outcome)
        found *= nu / (nu - 2) if nu > 2 else np.inf
    return found


# response surfaces


def surfaces(case: Case) -> Iterator[Setting]:
    """response_surface: slopes and curvatures along two lines, from predictors moved along them."""
    for e in case.design.equations:
        found = dict.fromkeys(
            render(part)
            for term in e.spec.parsed.terms
            for part in term.parts
            if isinstance(part, Call) and part.function == "surface"
        )
        for which in found:
            settings: list[dict[str, str]] = [{}]
            if "condition" in case.reference and any(":" in label and "surface" in label for label in e.coef.labels):
                levels = sorted({str(v) for v in case.world(0, 0).column(case.study.label("condition"))[0]})
                settings += [{"condition": v} for v in levels]
            for at in settings:
                yield f"{e.outcome}: {which} {at or ''}", lambda e=e, w=which, at=at: _surface(case, e.outcome, w, at)


def _surface(case: Case, outcome: str, which: str, at: Mapping[str, str]) -> Pair:
    got = ba.response_surface(case.fit, outcome=case.study.equation(outcome).outcome, which=which, at=at or None)
    names = [str(v) for v in got.draws["estimand"].values]
    wanted = [i for i, n in enumerate(names) if n in ("a1", "a2", "a3", "a4", "a5") or n.startswith("SD of")]

    def right(world: World) -> np.ndarray:
        base = world
        for name, value in at.items():
            base = base.set(name, value)
        keep = every = usable(case.view(world, outcome), outcome)
        column = case.study.label("condition")
        by_condition = not at and any(f"{column}[" in label and ":" in label for label in world.truth.labels(outcome))
        starts = case.view(world, outcome).starts(world.truth.labels(outcome), outcome)
        if starts is not None:
            # rows that start a series have no ratings before them
            keep = keep & ~np.broadcast_to(starts, (1, len(keep)))[0]
        lines = {"a1": (1, 1), "a3": (1, -1), "x": (1, 0), "y": (0, 1)}

        def shape(effects) -> dict[str, float]:
            nonlocal base
            found = {}
            for name, (dx, dy) in lines.items():
                ends = [
                    _at_ratings(case, base, outcome, which, t * dx, t * dy, effects, keep) for t in (-1.0, 0.0, 1.0)
                ]
                found[name] = ((ends[2] - ends[0]) / 2, (ends[2] + ends[0]) / 2 - ends[1])
            (a1, a2), (a3, a4) = found["a1"], found["a3"]
            return {"a1": a1, "a2": a2, "a3": a3, "a4": a4, "a5": found["x"][1] - found["y"][1]}

        zero = state_effects(base, "zero")
        levels = [str(v) for v in case.view(world, outcome).column(column)[0][every]] if by_condition else []
        if levels:
            # what moderates is averaged over all rows of the equation
            each = []
            for level in sorted(set(levels)):
                base = world.set("condition", level)
                each.append((levels.count(level) / len(levels), shape(zero)))
            mean = {name: sum(w * own[name] for w, own in each) for name in each[0][1]}
        else:
            mean = shape(zero)
        line = []
        for i in wanted:
            if names[i] in mean:
                line.append(mean[names[i]])
                continue
            _, _, parameter, _, units = names[i].split(" ")
            factor = units.removesuffix("s")
            covariance = world.truth.covariance(factor)[0]
            slopes = []
            for k in range(len(covariance)):
                moved = {f: np.zeros_like(v) for f, v in zero.items()}
                moved[factor][..., k] = 1.0
                slopes.append(shape(moved)[parameter] - mean[parameter])
            line.append(float(np.sqrt(np.array(slopes) @ covariance @ np.array(slopes))))
        return np.array(line)

    return Pair(got.draws["value"].values[..., wanted], over_draws(case, right), exact=1e-6)


def _at_ratings(
    case: Case, world: World, outcome: str, which: str, x: float, y: float, effects, keep: np.ndarray
) -> float:
    """Return the mean linear predictor with the two ratings of a surface at a distance from its centre."""
    moved = World(world.study, world.truth, world.replaced)
    view = case.view(moved, outcome)
    call = next(
        part
        for label in world.truth.labels(outcome)
        if label != "Intercept"
        for part, _ in parse_part(label)
        if isinstance(part, Call) and part.function == "surface" and same_call(case, part, which)
    )
    moved.memory["ratings", view.unit, render(call)] = (np.full((1, len(view)), x), np.full((1, len(view)), y))
    eta = np.broadcast_to(linear_predictor(view, outcome, effects), (1, len(view)))[0]
    return float(eta[keep].mean())


def written_name(case: Case):
    """Return how labels write a variable: grouping factors keep the model's name."""
    return lambda name: name if name in case.study.roles and name != "session" else case.study.label(name)


def same_call(case: Case, call: Call, which: str) -> bool:
    """Return whether a call in the study's names is the one written in the model's."""
    ((written, _),) = parse_part(which)
    return render(call) == render(written, written_name(case))


# estimands


def estimands(case: Case) -> Iterator[Setting]:
    """summarize_estimands (and fit.data): what a model's file states, by plain arithmetic."""
    if case.spec.estimands:
        for name in list(case.spec.estimands)[:6]:
            yield name, lambda n=name: _estimand(case, n)


def _estimand(case: Case, name: str) -> Pair:
    stated = case.design.spec.estimands[name]
    data = case.fit.data["estimands"]["value"]
    entries = [str(v) for v in data["estimand"].values]
    settings = [{}] if not stated.at else [{k: v} for k, values in stated.at.items() for v in values]
    says, right = [], []
    if name not in entries and not stated.at:  # its labels leave levels open: an entry for each, and for pairs
        for entry in (one for one in entries if one.startswith(f"{name}[")):
            sides = _sides(entry.removeprefix(f"{name}[")[:-1])
            says.append(data.values[..., entries.index(entry)])
            own = [over_draws(case, lambda w, at=at: evaluate(case, w, stated.parsed, at)) for at in sides]
            right.append(own[0] - own[1] if len(own) == 2 else own[0])
        return Pair(np.array(says), np.array(right))
    for at in settings:
        ((key, value),) = at.items() or ((("", 0.0)),)
        entry = name if not at else f"{name}[{key} = {value:g}]"
        says.append(data.values[..., entries.index(entry)])
        right.append(over_draws(case, lambda w, at=at: evaluate(case, w, stated.parsed, at)))
    return Pair(np.array(says), np.array(right))


def _sides(where: str) -> list[dict[str, str]]:
    """Return the levels that an entry is at, ``arm = CBT, week = 7``, and those it is less of, ``week = 7 less 5``."""
    stated = [part.split(" = ") for part in where.split(", ")]
    later = {factor: level.split(" less ")[0] for factor, level in stated}
    return [later, {f: level.split(" less ")[-1] for f, level in stated}] if " less " in where else [later]


def evaluate(case: Case, world: World, value: Expression, at: Mapping[str, float | str]) -> float:
    """Return a value of a model's file under one draw."""
    match value:
        case Number(number):
            return number
        case Operation(operator, left, right):
            a, b = evaluate(case, world, left, at), evaluate(case, world, right, at)
            return {"+": a + b, "-": a - b, "*": a * b, "/": a / b if operator == "/" else 0.0}[operator]
        case Name(name) if name in at:
            return at[name]
        case Name(name) if name in case.design.spec.estimands:
            return evaluate(case, world, case.design.spec.estimands[name].parsed, at)
        case Name(name):
            return world.truth.one("b", coef=coefficient(case, world, name, at))
        case Call("exp" | "log" | "sqrt" as function, (inner,), _):
            return float(getattr(np, function)(evaluate(case, world, inner, at)))
        case Call("indirect", arguments, _):
            one, two = (coefficient(case, world, a.name) for a in arguments)
            product = world.truth.one("b", coef=one) * world.truth.one("b", coef=two)
            return product + sum(together(world, k, one, two) for k in factors_of(world.truth))
        case Call("sigma", (outcome,), _):
            return world.truth.one("sigma", sigma_coef=case.study.label(outcome.name))
        case Call("sd", (factor, one), _):
            label = coefficient(case, world, one.name)
            return float(np.sqrt(together(world, factor.name, label, label)))
        case Call("cov" | "cor" as function, (factor, one, two), _):
            a, b = coefficient(case, world, one.name), coefficient(case, world, two.name)
            covariance = together(world, factor.name, a, b)
            if function == "cov":
                return covariance
            return covariance / np.sqrt(together(world, factor.name, a, a) * together(world, factor.name, b, b))
    raise NotImplementedError(str(value))


def together(world: World, factor: str, one: str, two: str) -> float:
    """Return the covariance of two effects of a factor, 0 where one does not vary."""
    labels = world.truth.dims.get(f"{factor}_effect", [])
    if one not in labels or two not in labels:
        return 0.0
    return float(world.truth.covariance(factor)[0][labels.index(one), labels.index(two)])


def coefficient(case: Case, world: World, name: str, at: Mapping[str, float | str] = MappingProxyType({})) -> str:
    """Return the label of the coefficient that a label of the model names, at the levels stated where it is open."""
    target = case.design.spec.label_targets[name]
    inside = target.outcome.removeprefix("sigma(").removesuffix(")")
    outcome = target.outcome.replace(inside, case.study.label(inside))
    for label in world.truth.labels(outcome):
        parts = () if label == "Intercept" else parse_part(label)
        own = {(render(part), piece) for part, piece in parts}
        if any(piece and at.get(column, piece) != piece for column, piece in own):
            continue
        wanted = set()
        for part, piece in target.parts:
            ((call, _),) = parse_part(part)
            wanted.add((render(call, written_name(case)), piece))
        bare = {(p, "") for p, _ in own}
        if own == wanted or (bare == wanted and all(not piece for _, piece in target.parts)):
            return f"{outcome}, {label}"
        # a 0/1 variable that stands for a level is written with its level
        if {p if not q else f"{p}[{q}]" for p, q in own} == {p for p, _ in wanted}:
            return f"{outcome}, {label}"
    raise KeyError(name)


# units one by one


def units(case: Case) -> Iterator[Setting]:
    """unit_estimates: means and SDs over draws of every level's effect."""
    for factor in case.design.factors:
        if len(factor.levels) > 2:
            for effect in (factor.effects[0], factor.effects[-1]):
                yield f"{factor.factor}: {effect}", lambda f=factor, e=effect: _units(case, f.factor, e)


def _units(case: Case, factor: str, effect: str) -> Pair:
    got = ba.unit_estimates(case.fit, factor=factor, better="higher", effect=effect).set_index(factor)
    place = case.world(0, 0).truth.dims[f"{factor.replace(':', '_')}_effect"].index(effect)
    drawn = np.array([case.world(c, d).truth.own_effects(factor)[:, place] for c, d in case.draws()])
    levels = case.world(0, 0).truth.levels(factor)
    says = np.array([[got.loc[k, "mean"], got.loc[k, "sd"]] for k in levels]).T
    return Pair(says, np.array([drawn.mean(axis=0), drawn.std(axis=0, ddof=1)]))


# scores


def densities(case: Case, view: View, outcome: str, eta: np.ndarray) -> np.ndarray:
    """Return log-densities of observed outcomes at linear predictors, shape (point, row)."""
    equation, truth = case.study.equation(outcome), view.world.truth
    y = view.column(outcome)[0]
    with np.errstate(all="ignore"):
        match equation.family:
            case "gaussian":
                return stats.norm.logpdf(y, eta + offset_of(view, equation), residual_sd(view, outcome))
            case "student_t":
                return stats.t.logpdf(y, truth.one("nu", nu_coef=outcome), eta, residual_sd(view, outcome))
            case "bernoulli":
                return np.log(np.where(y > 0, share(equation, eta), share(equation, -eta)))
            case "hazard":
                return np.where(y > 0, np.log1p(-np.exp(-np.exp(eta))), -np.exp(eta))
            case "binomial":
                trials = equation.trials
                n = trials if isinstance(trials, int) else view.column(case.study.label(trials))[0]
                return stats.binom.logpmf(y, n, share(equation, eta))
            case "poisson":
                return stats.poisson.logpmf(y, np.exp(eta))
            case "zero_inflated_poisson" | "zero_inflated_negative_binomial":
                zi = parameter_of(view, "zi", outcome)
                if equation.family == "zero_inflated_poisson":
                    counts = stats.poisson.pmf(y, np.exp(eta))
                else:
                    size = truth.one("shape", shape_coef=outcome)
                    counts = stats.nbinom.pmf(y, size, size / (size + np.exp(eta)))
                return np.log((1 - zi) * counts + zi * (y == 0))
            case "negative_binomial":
                size = truth.one("shape", shape_coef=outcome)
                p = size / (size + np.exp(eta))
                return gammaln(y + size) - gammaln(size) - gammaln(y + 1) + size * np.log(p) + y * np.log1p(-p)
            case "censored":
                low, high = bounds_of(view, equation)
                sigma = residual_sd(view, outcome)
                inside = stats.norm.logpdf(y, eta, sigma)
                below, above = stats.norm.logcdf((low - eta) / sigma), stats.norm.logsf((high - eta) / sigma)
                return np.where(y <= low, below, np.where(y >= high, above, inside))
            case "cumulative" | "ordered_beta":
                low, high = bounds_of(view, equation)
                cuts = thresholds(truth, outcome)
                above = np.array([np.ones_like(eta), *(share(equation, eta - c) for c in cuts), np.zeros_like(eta)])
                if equation.family == "cumulative":
                    code = np.nan_to_num(y - low).astype(int)
                    chance = np.take_along_axis(above[:-1] - above[1:], np.broadcast_to(code, (1, *eta.shape)), 0)[0]
                    return np.log(chance)
                phi, level = truth.one("phi", phi_coef=outcome), expit(eta)
                inside = stats.beta.pdf((y - low) / (high - low), level * phi, (1 - level) * phi) / (high - low)
                middle = (above[1] - above[2]) * inside
                return np.log(np.where(y <= low, 1 - above[1], np.where(y >= high, above[2], middle)))
    raise NotImplementedError(equation.family)


def left_out(case: Case) -> Iterator[Setting]:
    """Loo of patients whose outcomes are not Gaussian: densities with the patient's effects integrated out."""
    families = {e.family for e in case.design.equations}
    if families <= {"gaussian"}:
        return
    for chain, draw in ((0, 1), (1, 0)):
        yield f"draw {chain}, {draw}", lambda c=chain, d=draw: _left_out(case, c, d)


def _left_out(case: Case, chain: int, draw: int) -> Pair:
    of_patients = any(f.factor == "patient" for f in case.design.factors)
    if of_patients and choose_engine(case.design)[0] == "quadrature":
        return _left_out_given_others(case, chain, draw)
    posterior = with_effects(case.fit)
    same = posterior.isel(chain=[chain, chain], draw=[draw] * 60).assign_coords(chain=[0, 1], draw=np.arange(60))
    fit = put_together(case.design, same, str(case.fit.provenance["engine"]))
    got = ba.loo(fit, unit="patient", refit=False, progress="off")
    return Pair(got.elpd_i, patient_densities(case, case.world(chain, draw), list(got.labels)), exact=2e-4)


def _left_out_given_others(case: Case, chain: int, draw: int) -> Pair:
    """Compare where effects that patients share are integrated out, too, given the rows of all others.

    Densities given the shared effect are averaged over a grid of it: of all patients of a level, and of all but one.
    """
    posterior = with_effects(case.fit)
    same = posterior.isel(chain=[chain, chain], draw=[draw] * 60).assign_coords(chain=[0, 1], draw=np.arange(60))
    got = ba.loo(
        put_together(case.design, same, str(case.fit.provenance["engine"])), unit="patient", refit=False, progress="off"
    )
    world, labels = case.world(chain, draw), list(got.labels)
    shared = [f.factor for f in case.design.factors if f.factor != "patient"]
    if not shared:
        return Pair(got.elpd_i, patient_densities(case, world, labels), exact=2e-4)
    (factor,) = shared
    view = case.view(world, case.design.equation.outcome)
    code = membership(view, factor).codes[0]
    home = np.array([code[view.ids("patient") == label].max() for label in labels])
    sd = float(np.sqrt(world.truth.covariance(factor)[0, 0, 0]))
    x = np.linspace(-6.5, 6.5, 53)
    logs = np.array([patient_densities(case, world, labels, {factor: sd * at}) for at in x])
    weight = -x * x / 2
    whole = np.stack([logs[:, home == level].sum(axis=1) + weight for level in range(home.max() + 1)], axis=1)
    with_all, without = whole[:, home], whole[:, home] - logs
    right = [np.logaddexp.reduce(part, axis=0) for part in (with_all, without)]
    return Pair(got.elpd_i, right[0] - right[1], exact=2e-3)


def patient_densities(
    case: Case, world: World, labels: list[str], stated: Mapping[str, float] | None = None
) -> np.ndarray:
    """Return each patient's joint log-density, the patient's own effects integrated out over a fine grid.

    ``stated`` are effects of other factors, the same for all levels; else these are the world's own.
    """
    own = [f for f in ("patient",) if any(k == f for k in factors_of(world.truth))]
    own += [f.factor for f in case.design.factors if f.factor not in own and inside_patient(case, world, f.factor)]
    total = np.zeros(len(labels))
    grids = []
    for factor in own:
        covariance = world.truth.covariance(factor)
        grids.append((factor, covariance))
    size = sum(c.shape[-1] for _, c in grids)
    if size > 2:
        raise NotCompared(f"{size} effects of a patient are not integrated out here")
    x = np.linspace(-6.5, 6.5, 81)
    w = np.exp(-x * x / 2) / np.exp(-x * x / 2).sum()
    mesh = np.stack([m.ravel() for m in np.meshgrid(*[x] * size, indexing="ij")], axis=1) if size else np.zeros((1, 0))
    weight = np.prod(list(np.meshgrid(*[w] * size, indexing="ij")), axis=0).ravel() if size else np.ones(1)
    logs = np.zeros((len(mesh), len(labels)))
    effects, start = state_effects(world, "own"), 0
    for factor, value in (stated or {}).items():
        effects[factor] = np.full_like(effects[factor], value)
    for factor, covariance in grids:
        stop = start + covariance.shape[-1]
        stratum = np.zeros(effects[factor].shape[1], dtype=int)
        for e in case.design.equations:
            view = case.view(world, e.outcome)
            code = membership(view, factor).codes[0]
            stratum[code[code >= 0]] = np.broadcast_to(stratum_of(view, factor), (len(view),))[code >= 0]
        roots = np.linalg.cholesky(covariance + 1e-15 * np.eye(covariance.shape[-1]))
        effects[factor] = np.einsum("lij,pj->pli", roots[stratum], mesh[:, start:stop])
        start = stop
    alike = World(world.study, world.truth, effects=effects)
    for e in case.design.equations:
        view = case.view(alike, e.outcome)
        keep = usable(case.view(world, e.outcome), e.outcome)
        eta = np.broadcast_to(linear_predictor(view, e.outcome, effects), (len(mesh), len(view)))
        rows = densities(case, view, e.outcome, eta)
        for i, label in enumerate(labels):
            chosen = keep & (view.ids("patient") == label)
            logs[:, i] += rows[:, chosen].sum(axis=1)
    top = logs.max(axis=0)
    return total + top + np.log(weight @ np.exp(logs - top))


def inside_patient(case: Case, world: World, factor: str) -> bool:
    """Return whether every level of a factor belongs to one patient."""
    homes: dict[int, set[str]] = {}
    for e in case.design.equations:
        if world.truth.effects(factor, e.outcome):
            view = case.view(world, e.outcome)
            keep = usable(view, e.outcome)
            for code in membership(view, factor).codes:
                for level, patient in zip(code[keep], view.ids("patient")[keep], strict=True):
                    if level >= 0:
                        homes.setdefault(int(level), set()).add(str(patient))
    return all(len(own) == 1 for own in homes.values())


def next_sessions(case: Case) -> Iterator[Setting]:
    """leave_future_out, fits of the sessions so far put in its place: densities of the next session's outcomes."""
    if any(e.spec.unit != "session" for e in case.design.equations):
        return
    numbers = np.unique(np.concatenate([e.session for e in case.design.equations]))
    for start in (numbers[len(numbers) // 2], numbers[-2]):
        yield f"from session {start:g}", lambda s=float(start): _next_sessions(case, s)


def _next_sessions(case: Case, start: float) -> Pair:
    made = {}

    def stated(jobs, *_: object, **__: object):
        for job in jobs:
            made[job.name] = make_fit(job.design, seed=17)
        return [made[job.name] for job in jobs]

    with mock.patch("bayes_alliance.comparison.kfold.fit_jobs", stated):
        got = ba.leave_future_out(case.fit, case.table, start=start, seed=1, progress="off")
    says = dict(zip(got.labels, got.elpd_i, strict=True))
    right = {}
    session_column = case.study.roles["session"]
    numbers = np.unique(np.concatenate([e.session for e in case.design.equations]))
    for name, fit in made.items():
        t = float(name.removeprefix("sessions up to "))
        after = float(numbers[numbers > t][0])
        frame = case.study.frame
        frame = frame[frame[session_column] <= after].reset_index(drop=True)
        study = replace(case.study, frame=frame, until=t, memory={}, plain={})
        part = replace(case, name=case.name)
        object.__setattr__(part, "study", study)
        object.__setattr__(part, "fit", fit)
        per_draw = {}
        for chain, draw in part.draws():
            world, found = part.world(chain, draw), {}
            for e in part.design.equations:
                view = part.view(world, e.outcome)
                known = set(fit.design.find(e.outcome).patient)
                keep = usable(view, e.outcome) & (view.session[0] == after) & np.isin(view.key, list(known))
                eta = np.broadcast_to(linear_predictor(view, e.outcome, state_effects(world, "own")), (1, len(view)))
                for i in np.flatnonzero(keep):
                    found.setdefault(f"{view.key[i]}, session {after:g}", {})[e.outcome] = (view, i, eta)
            for label, outcomes in found.items():
                per_draw.setdefault(label, {})[chain, draw] = together_density(part, world, outcomes)
        for label, values in per_draw.items():
            own = np.array(list(values.values()))
            right[label] = float(np.log(np.mean(np.exp(own - own.max()))) + own.max())
    labels = list(says)
    return Pair(np.array([says[k] for k in labels]), np.array([right.get(k, np.nan) for k in labels]), exact=1e-6)


def together_density(case: Case, world: World, outcomes: Mapping[str, tuple[View, int, np.ndarray]]) -> float:
    """Return the joint log-density of one row's outcomes: normal together where their residuals correlate."""
    total, apart, sds, names = 0.0, [], [], []
    joint = world.truth.dims.get("residual", [])
    for outcome, (view, i, eta) in outcomes.items():
        if outcome in joint:
            offset = offset_of(view, case.study.equation(outcome))
            apart.append(float(view.column(outcome)[0][i] - eta[0, i] - offset))
            sds.append(float(np.broadcast_to(residual_sd(view, outcome), (1, len(view)))[0, i]))
            names.append(joint.index(outcome))
        else:
            total += float(np.broadcast_to(densities(case, view, outcome, eta), (1, len(view)))[0, i])
    if names:
        cor = world.truth.arrays["cor_residual"][np.ix_(names, names)]
        total += float(stats.multivariate_normal.logpdf(apart, np.zeros(len(apart)), np.outer(sds, sds) * cor))
    return total


READERS = {
    "variance_shares": shares,
    "response_surface": surfaces,
    "summarize_estimands": estimands,
    "unit_estimates": units,
    "loo": left_out,
    "leave_future_out": next_sessions,
}

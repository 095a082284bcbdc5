"""A study's raw rows with some variables set, and the columns that labels name, worked out in plain NumPy.

Nothing here reads a design's columns or the readers of a fit. A world holds every column as an array of shape
(replicate, session row); what is set or simulated replaces a column, and all that follows from it is worked out anew.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.interpolate import CubicSpline

from bayes_alliance.spec.expressions import Call, Expression, Name, Number, Operation, Term, Text, calls_in, render
from bayes_alliance.spec.formula import parse_formula
from bayes_alliance.spec.model import EquationSpec, ModelSpec

PIECE = re.compile(r"^(?P<part>.*)\[(?P<piece>[^\[\]]*)\]$", re.DOTALL)
DYNAMIC = ("lag", "within")


def natural_heights(knots: np.ndarray) -> np.ndarray:
    """Return the columns of R's ns() at its knots, shape (knot, column): cubic B-splines by de Boor's recursion."""
    whole = np.r_[[knots[0]] * 3, knots, [knots[-1]] * 3]
    count = len(whole) - 4

    def member(i: int, degree: int, x: float) -> float:
        if degree == 0:
            last = x == whole[-1] and whole[i + 1] == x and whole[i] < x
            return float(whole[i] <= x < whole[i + 1] or last)
        left, right = whole[i + degree] - whole[i], whole[i + degree + 1] - whole[i + 1]
        found = (x - whole[i]) / left * member(i, degree - 1, x) if left else 0.0
        return found + ((whole[i + degree + 1] - x) / right * member(i + 1, degree - 1, x) if right else 0.0)

    def bend(i: int, x: float) -> float:
        """Return the second derivative of a cubic: differences of differences of straight members."""

        def slope(i: int, degree: int, lower: Callable[[int], float]) -> float:
            left, right = whole[i + degree] - whole[i], whole[i + degree + 1] - whole[i + 1]
            return degree * ((lower(i) / left if left else 0.0) - (lower(i + 1) / right if right else 0.0))

        return slope(i, 3, lambda k: slope(k, 2, lambda m: member(m, 1, x)))

    values = np.array([[member(i, 3, x) for i in range(1, count)] for x in knots])
    bent = np.array([[bend(i, x) for i in range(1, count)] for x in (knots[0], knots[-1])])
    return values @ np.linalg.qr(bent.T, mode="complete")[0][:, 2:]


@dataclass(frozen=True, eq=False)
class Study:
    """Raw rows, sorted by patient and session, and how a model's variables are called in them.

    ``reference`` is the reference level of factors, by column. Means are over sessions up to ``until``.
    """

    frame: pd.DataFrame
    roles: dict[str, str]
    columns: dict[str, str]
    spec: ModelSpec
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    reference: dict[str, str] = field(default_factory=dict)
    until: float = np.inf
    memory: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=dict)
    plain: dict[str, np.ndarray] = field(default_factory=dict)

    def label(self, variable: str) -> str:
        """Return the study's name of a model's variable."""
        return self.roles.get(variable, self.columns.get(variable, variable))

    def equation(self, label: str) -> EquationSpec | None:
        """Return the equation whose outcome the study calls so."""
        return next((e for e in self.spec.equation if self.label(e.outcome) == label), None)

    def rows_of(self, unit: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return a unit's first session rows and ids, and which of them every session row belongs to (-1: none)."""
        if unit not in self.memory:
            ids = self.frame[self.roles["patient" if unit == "session" else unit]].astype(str).to_numpy(object)
            if unit == "session":
                self.memory[unit] = (np.arange(len(ids)), ids, np.arange(len(ids)))
            else:
                levels, first = np.unique(ids, return_index=True)
                first = np.sort(first[levels != ""])
                place = {k: i for i, k in enumerate(ids[first])}
                self.memory[unit] = (first, ids[first], np.array([place.get(k, -1) for k in ids]))
        return self.memory[unit]

    def raw(self, name: str) -> np.ndarray:
        """Return a column as it was observed: numbers, or words."""
        if name not in self.plain:
            values = self.frame[name]
            numeric = pd.api.types.is_numeric_dtype(values)
            self.plain[name] = (values.to_numpy(float) if numeric else values.astype(str).to_numpy(object))[None]
        return self.plain[name]

    def factor_column(self, factor: str) -> str:
        """Return the column of a grouping factor's ids."""
        return self.roles.get(factor, self.columns.get(factor, factor))


def open_study(study: Study) -> Study:
    """Return a study with a row per session at risk, where one of its variables is survive(last, event)."""
    for name, call in study.spec.declared.items():
        if call.function != "survive" or name in study.columns:
            continue
        last = study.label(call.arguments[0].name)
        start = int(dict(call.keywords).get("start", Number(1.0)).value)
        patient, session = study.roles["patient"], study.roles["session"]
        frame, rows = study.frame, []
        ends = frame.groupby(patient)[last].max()
        constant = [c for c in frame if c != session and (frame.groupby(patient)[c].nunique() <= 1).all()]
        for person, own in frame.groupby(patient):
            here = set(own[session])
            for s in range(start, int(ends[person]) + 1):
                if s not in here:
                    rows.append(
                        {**{c: own[c].dropna().iloc[0] for c in constant if own[c].notna().any()}, session: float(s)}
                    )
        frame = pd.concat([frame, pd.DataFrame(rows)], ignore_index=True)
        for column in set(study.roles.values()) - {session}:
            frame[column] = frame[column].fillna("")
        study = replace(
            study,
            memory={},
            plain={},
            frame=frame.sort_values([patient, session], kind="stable").reset_index(drop=True),
        )
    return study


class Truth:
    """The parameters of one draw, by name and label, as plain arrays."""

    def __init__(self, draw: xr.Dataset) -> None:
        self.names = [str(name) for name in draw.data_vars]
        self.dims = {
            str(dim): [str(v) for v in values.values] for dim, values in draw.coords.items() if values.ndim == 1
        }
        self.over = {str(name): tuple(map(str, array.dims)) for name, array in draw.data_vars.items()}
        self.arrays = {str(name): np.asarray(array.values) for name, array in draw.data_vars.items()}
        self._known: dict[tuple[str, str], int] = {}

    def one(self, variable: str, **labels: str) -> float:
        """Return one entry of a variable over one dim."""
        ((dim, label),) = labels.items()
        if (dim, label) not in self._known:
            self._known[dim, label] = self.dims[dim].index(label)
        return float(self.arrays[variable][self._known[dim, label]])

    def mapping(self, variable: str) -> dict[str, float]:
        """Return a variable over one dim by its labels."""
        (dim,) = self.over[variable]
        return dict(zip(self.dims[dim], self.arrays[variable].tolist(), strict=True))

    def labels(self, outcome: str) -> list[str]:
        """Return the labels of an outcome's coefficients, the outcome taken off."""
        start = f"{outcome}, "
        return [c[len(start) :] for c in self.dims.get("coef", ()) if c.startswith(start)]

    def effects(self, factor: str, outcome: str) -> list[tuple[int, str]]:
        """Return the places and labels of an outcome's effects of a factor."""
        dim, start = f"{factor.replace(':', '_')}_effect", f"{outcome}, "
        return [(i, c[len(start) :]) for i, c in enumerate(self.dims.get(dim, ())) if c.startswith(start)]

    def levels(self, factor: str) -> list[str]:
        """Return a factor's levels."""
        return self.dims[factor.replace(":", "_")]

    def strata(self, factor: str) -> list[str]:
        """Return the strata that have covariances of their own."""
        return self.dims.get(f"{factor.replace(':', '_')}_by", [])

    def covariance(self, factor: str) -> np.ndarray:
        """Return covariances of a factor's effects, shape (stratum, effect, effect)."""
        key = factor.replace(":", "_")
        sd = np.atleast_2d(self.arrays[f"sd_{key}"])
        cor = np.broadcast_to(self.arrays.get(f"cor_{key}", np.eye(sd.shape[1])), (len(sd), sd.shape[1], sd.shape[1]))
        return np.asarray(sd[:, :, None] * sd[:, None, :] * cor)

    def own_effects(self, factor: str) -> np.ndarray:
        """Return effects as drawn, shape (level, effect)."""
        return self.arrays[f"u_{factor.replace(':', '_')}"]


@dataclass(frozen=True, eq=False)
class World:
    """A study with some columns replaced, under one draw's parameters.

    ``replaced`` maps a column (or declared variable) to values of shape (replicate, row). With ``follows`` what an
    equation reads of another outcome's equation (latent means, current values) moves with what is set; else it stays as
    it was observed. With ``held`` so do the means of units: what is set is one session of each. ``effects`` stand in
    place of those drawn wherever group effects are read. ``statics`` holds, of outcomes that were drawn anew, the
    static part of their own equations in the worlds they were drawn in: a latent mean belongs to the outcome's values.
    """

    study: Study
    truth: Truth
    replaced: dict[str, np.ndarray] = field(default_factory=dict)
    follows: bool = False
    held: bool = False
    effects: dict[str, np.ndarray] | None = None
    statics: dict[str, np.ndarray] = field(default_factory=dict)
    memory: dict[object, object] = field(default_factory=dict)

    def remember(self, key: object, work: Callable[[], Any]) -> Any:
        """Return what was worked out in this world before, or work it out."""
        if key not in self.memory:
            self.memory[key] = work()
        return self.memory[key]

    @property
    def observed(self) -> World:
        """Return the world with nothing set."""
        if not self.replaced:
            return self
        return self.remember("observed", lambda: World(self.study, self.truth, effects=self.effects))

    def put(self, column: str, values: np.ndarray) -> World:
        """Return the world with a column replaced."""
        replaced = {**self.replaced, column: values}
        return World(self.study, self.truth, replaced, self.follows, self.held, self.effects, self.statics)

    def put_drawn(self, label: str, values: np.ndarray, static: np.ndarray) -> World:
        """Return the world with an outcome as it was drawn, and the static part of its equation there."""
        made = self.put(label, values)
        return replace(made, statics={**self.statics, label: static}, memory={})

    def following(self) -> World:
        """Return the world in which what equations read of each other moves with what is set."""
        return World(self.study, self.truth, self.replaced, follows=True)

    def holding(self) -> World:
        """Return the world in which means of units stay as they were observed."""
        return World(self.study, self.truth, self.replaced, held=True)

    @property
    def read(self) -> World:
        """Return the world in which other outcomes' equations are read."""
        return self if self.follows else self.observed

    def set(self, variable: str, value: float | str, rows: np.ndarray | None = None) -> World:
        """Return the world with a model's variable set in all rows, or in some."""
        column = self.study.label(variable)
        match = PIECE.match(column)
        if match and column not in self.study.frame:
            # a 0/1 variable that stands for a level is set by setting its factor
            here = self.column(match["part"])
            levels = [v for v in sorted(set(here.ravel())) if v not in ("", match["piece"])]
            level = match["piece"] if value == 1 else self.study.reference.get(match["part"], levels[0])
            new = np.array(here)
            new[:, slice(None) if rows is None else rows] = level
            return self.put(match["part"], new)
        old = self.column(column)
        if isinstance(value, str) and old.dtype != object:  # a level of a factor that is written as a number
            value = float(value)
        new = np.array(np.broadcast_to(old, old.shape), dtype=object if isinstance(value, str) else float)
        new[:, slice(None) if rows is None else rows] = value
        return self.put(column, new)

    @property
    def size(self) -> int:
        """Return the number of session rows."""
        return len(self.study.frame)

    def column(self, name: str) -> np.ndarray:
        """Return a column over session rows, shape (replicate or 1, row)."""
        if name in self.replaced:
            return self.replaced[name]
        return self.remember(("column", name), lambda: self._column(name))

    def _column(self, name: str) -> np.ndarray:
        spec = self.study.spec
        if name in spec.declared and name not in self.study.columns:
            return self._declared(name, spec.declared[name])
        match = PIECE.match(name)
        if match and name not in self.study.frame:
            return level_of(self.column(match["part"]), match["piece"])
        raters = next((e.raters for e in spec.equation if e.raters and e.outcome == name), ())
        if raters and name not in self.study.frame:
            with np.errstate(all="ignore"):
                return np.nanmean([self.column(self.study.label(r)) for r in raters], axis=0)
        return self.study.raw(name)

    def _declared(self, name: str, call: Call) -> np.ndarray:
        patient = np.asarray(pd.factorize(self.study.frame[self.study.roles["patient"]], sort=True)[0])
        if call.function == "survive":
            last, event = (self.column(self.study.label(a.name)) for a in call.arguments)
            start = dict(call.keywords).get("start", Number(1.0)).value
            session = self.study.frame[self.study.roles["session"]].to_numpy(float)
            inside = (session >= start) & (session <= last)
            return np.where(inside, np.where(session == last, event, 0.0), np.nan)
        x = self.column(self.study.label(call.arguments[0].name))
        session = np.broadcast_to(self.study.frame[self.study.roles["session"]].to_numpy(float), x.shape)
        there = ~np.isnan(x)

        def end(which: Expression) -> np.ndarray:
            out = np.full((x.shape[0], patient.max() + 1), np.nan)
            for p in range(patient.max() + 1):
                own = np.flatnonzero(patient == p)
                for r in range(x.shape[0]):
                    seen = own[there[r, own]]
                    if isinstance(which, Number):
                        seen = seen[session[r, seen] == which.value]
                    if len(seen):
                        out[r, p] = x[r, seen[0] if isinstance(which, Number) or which.name == "first" else seen[-1]]
            return out

        match call.function:
            case "first" | "last":
                found = end(Name(call.function))
            case "at":
                found = end(dict(call.keywords)["session"])
            case "change":
                # the same row at both ends is no change: patients with one row have none
                ends = [self._row(a, patient, session[0], there[0]) for a in call.arguments[1:]]
                found = np.where((ends[0] == ends[1])[None], np.nan, end(call.arguments[2]) - end(call.arguments[1]))
            case "window":
                low, high = (a.value for a in call.arguments[1:])
                chosen = np.where((session >= low) & (session <= high), x, np.nan)
                found = unit_means(chosen, patient)
            case _:
                raise NotImplementedError(call.function)
        return found[:, patient]

    @staticmethod
    def _row(which: Expression, patient: np.ndarray, session: np.ndarray, there: np.ndarray) -> np.ndarray:
        """Return which session row is a patient's first or last observed one, or the one of a number; -1 for none."""
        found = np.full(patient.max() + 1, -1)
        for p in range(len(found)):
            seen = np.flatnonzero((patient == p) & there)
            if isinstance(which, Number):
                seen = seen[session[seen] == which.value]
            if len(seen):
                found[p] = seen[-1] if isinstance(which, Name) and which.name == "last" else seen[0]
        return found

    def view(self, unit: str) -> View:
        """Return the rows of one unit."""
        return View(self, unit)


def level_of(values: np.ndarray, level: str) -> np.ndarray:
    """Return 1 where a factor has a level, however the level is spelled in numbers."""
    if values.dtype == object:
        return (values == level).astype(float)
    return np.where(np.isnan(values), np.nan, (values == float(level)).astype(float))


def unit_means(values: np.ndarray, code: np.ndarray) -> np.ndarray:
    """Return means over units (codes below 0 are in none), shape (replicate, unit)."""
    count = int(code.max()) + 1
    member = np.zeros((len(code), count))
    member[code >= 0, code[code >= 0]] = 1.0
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (np.where(there, values, 0.0) @ member) / (there @ member)


@cache
def parse_part(text: str) -> tuple[tuple[Name | Call, str], ...]:
    """Return the parts of a label, each with what stands in its bracket."""
    depth, chunks = 0, [""]
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character == ":" and depth == 0:
            chunks.append("")
        else:
            chunks[-1] += character
    found = []
    for chunk in chunks:
        match = PIECE.match(chunk)
        part, piece = (match["part"], match["piece"]) if match else (chunk, "")
        (term,) = parse_formula(part).terms
        found.append((term.parts[0], piece))
    return tuple(found)


def is_dynamic(label: str) -> bool:
    return label != "Intercept" and any(c.function in DYNAMIC for part, _ in parse_part(label) for c in calls_in(part))


@dataclass(frozen=True, eq=False)
class View:
    """The rows of one unit of a world: sessions as they are, or one row per patient, therapist and so on."""

    world: World
    unit: str

    def __len__(self) -> int:
        return len(self.first)

    @property
    def first(self) -> np.ndarray:
        """Return the first session row of every row."""
        return self.world.study.rows_of(self.unit)[0]

    @property
    def key(self) -> np.ndarray:
        """Return the id of every row's patient, therapist and so on."""
        return self.world.study.rows_of(self.unit)[1]

    @property
    def session(self) -> np.ndarray:
        """Return each row's session number as it was observed: a session that is set moves no row."""
        column = self.world.study.roles.get("session")
        if self.unit != "session" or column is None:
            return np.full((1, len(self)), np.nan)
        return self.world.study.frame[column].to_numpy(float)[None]

    def column(self, name: str) -> np.ndarray:
        """Return a column over these rows, shape (replicate or 1, row)."""
        return self.world.remember((self.unit, name), lambda: self._column(name))

    def _column(self, name: str) -> np.ndarray:
        values = self.world.column(name)
        if self.unit == "session":
            return values
        if name in self.world.replaced:
            return values[:, self.first]
        missing = (values[0] == "") if values.dtype == object else np.isnan(values[0])
        code, found = self.world.study.rows_of(self.unit)[2], self.first.copy()
        for i in np.flatnonzero(~missing & (code >= 0))[::-1]:
            found[code[i]] = i
        return values[:, found]

    def ids(self, factor: str) -> np.ndarray:
        """Return the level of a factor in every row, empty where it has none."""
        return self.world.remember(("ids", self.unit, factor), lambda: self._ids(factor))

    def _ids(self, factor: str) -> np.ndarray:
        parts = [self.column(self.world.study.factor_column(p))[0].astype(str) for p in factor.split(":")]
        if len(parts) == 1:
            return np.asarray(parts[0].astype(object))
        whole = np.array([":".join(p) for p in zip(*parts, strict=True)], dtype=object)
        return np.where(np.any([p == "" for p in parts], axis=0), "", whole)

    def varies(self, name: str) -> bool:
        """Return whether a column differs within one of these rows' units."""
        study = self.world.study
        if name not in study.frame or self.unit == "session":
            return False
        frame = pd.DataFrame({"u": study.frame[study.roles[self.unit]], "x": study.frame[name]})
        return bool((frame.groupby("u")["x"].nunique() > 1).any())

    # columns of labels

    def columns(self, labels: list[str], outcome: str) -> list[np.ndarray]:
        """Return the column of every label; what is dynamic is 0 in rows that start the outcome's own series."""
        found = [self.labelled(label) for label in labels]
        starts = self.starts(labels, outcome)
        if starts is not None:
            found = [
                np.where(starts, 0.0, x) if is_dynamic(label) else x for label, x in zip(labels, found, strict=True)
            ]
        return found

    def starts(self, labels: list[str], outcome: str) -> np.ndarray | None:
        """Return the rows that start the outcome's own series, None where it follows none."""
        own = None
        for label in labels:
            for part, _ in parse_part(label) if label != "Intercept" else ():
                for call in calls_in(part):
                    latent = dict(call.keywords).get("means", Text("observed")) != Text("observed")
                    lagged = any(c.function == "lag" for c in calls_in(part))
                    if latent and lagged and Name(outcome) in call.arguments:
                        missing = np.isnan(self.value(Call("lag", (Name(outcome),))))
                        own = missing if own is None else own & missing
        return own

    def labelled(self, label: str) -> np.ndarray:
        """Return the column a label names, shape (replicate or 1, row)."""
        return self.world.remember(("label", self.unit, label), lambda: self._labelled(label))

    def _labelled(self, label: str) -> np.ndarray:
        if label == "Intercept":
            return np.ones((1, len(self)))
        total = np.ones((1, len(self)))
        for part, piece in parse_part(label):
            total = total * self.piece(part, piece)
        return total

    def piece(self, part: Name | Call, piece: str) -> np.ndarray:
        """Return one part of a label, of a factor or of several columns the one in its bracket."""
        if isinstance(part, Name):
            values = self.column(part.name)
            return level_of(values, piece) if piece else values
        match part.function:
            case "quadratic":
                x = self.value(part.arguments[0])
                return x if piece == "linear" else x * x
            case "piecewise":
                return self._stretch(part, piece)
            case "spline":
                return self._smooth(part, int(piece))
            case "surface":
                return self._surface(part, piece)
        return self.value(part)

    def _stretch(self, call: Call, piece: str) -> np.ndarray:
        x = self.value(call.arguments[0])
        knots = [k.value for k in call.arguments[1:]]
        if dict(call.keywords).get("form") == Text("constant"):
            low, _, high = piece.removeprefix("from ").partition(" to ")
            return ((x > float(low)) & (x <= float(high or "inf"))).astype(float)
        if piece == f"to {knots[0]:g}":
            return np.minimum(x, knots[0])
        if piece == f"from {knots[-1]:g}":
            return np.maximum(x - knots[-1], 0.0)
        low, high = next((a, b) for a, b in itertools.pairwise(knots) if piece == f"{a:g} to {b:g}")
        return np.clip(x, low, high) - low

    def _smooth(self, call: Call, number: int) -> np.ndarray:
        """Return a column of a natural spline: the cubic through its values at the knots, straight beyond them.

        Its values at the knots are B-splines by the recursion of de Boor; knots are those of the observed rows.
        """
        observed = View(self.world.observed, self.unit)
        rows = observed._so_far(observed.value(call.arguments[0]))[0]
        rows = rows[~np.isnan(rows)]
        knots = np.quantile(rows, np.linspace(0, 1, int(call.arguments[1].value) + 1))
        if (np.diff(knots) <= 0).any():
            knots = np.quantile(np.unique(rows), np.linspace(0, 1, len(knots)))
        heights = natural_heights(knots)[:, number - 1]
        course = CubicSpline(knots, heights, bc_type="natural")
        x = self.value(call.arguments[0])
        low, high = knots[0], knots[-1]
        line = np.where(x < low, (x - low) * course(low, 1), np.where(x > high, (x - high) * course(high, 1), 0.0))
        return course(np.clip(x, low, high)) + line

    def _surface(self, call: Call, piece: str) -> np.ndarray:
        centre = dict(call.keywords).get("centre", Text("pooled"))
        x, y = (self.value(a) for a in call.arguments)
        plain = [a.arguments[0] if isinstance(a, Call) and a.function == "lag" else a for a in call.arguments]
        match centre:
            case Number(value):
                taken: np.ndarray | float = value
            case Name(factor):
                taken = (self._unit_mean(plain[0], factor) + self._unit_mean(plain[1], factor)) / 2
            case _:
                taken = (self._constant(plain[0]) + self._constant(plain[1])) / 2
        # ratings that are set stand at a distance from the centre
        x, y = self.world.memory.get(("ratings", self.unit, render(call)), (x - taken, y - taken))
        d, s = x - y, x + y
        return {
            "x": x,
            "y": y,
            "x^2": x * x,
            "x*y": x * y,
            "y^2": y * y,
            "x - y": d,
            "x + y": s,
            "(x - y)^2": d**2,
            "(x - y)^3": d**3,
            "(x + y)*(x - y)^2": s * d**2,
        }[piece]

    # expressions

    def value(self, expression: Expression) -> np.ndarray:
        """Return an expression over these rows, shape (replicate or 1, row)."""
        match expression:
            case Number(value):
                return np.full((1, len(self)), value)
            case Name(name):
                return self.column(name)
            case Operation(operator, left, right):
                a, b = self.value(left), self.value(right)
                return {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}[operator](a, b)
            case Call(function):
                return getattr(self, f"_{function}")(expression)
        raise NotImplementedError(str(expression))

    def _log(self, call: Call) -> np.ndarray:
        return np.log(self.value(call.arguments[0]))

    def _sqrt(self, call: Call) -> np.ndarray:
        return np.sqrt(self.value(call.arguments[0]))

    def _centred(self, call: Call) -> np.ndarray:
        return self.value(call.arguments[0]) - self._constant(dict(call.keywords).get("on", call.arguments[0]))

    def _constant(self, expression: Expression) -> float:
        """Return the mean over the rows as they were observed, whatever is set here."""
        observed = View(self.world.observed, self.unit)
        inner = expression.arguments[0] if isinstance(expression, Call) and expression.function == "lag" else expression
        return float(np.nanmean(observed._so_far(observed.value(inner))[0]))

    def _so_far(self, values: np.ndarray) -> np.ndarray:
        """Return values with those of later sessions missing."""
        until = self.world.study.until
        return values if np.isinf(until) else np.where(self.session <= until, values, np.nan)

    def lagged_rows(self, steps: int, longest: int, usable: np.ndarray) -> np.ndarray:
        """Return each row's latest usable earlier row, -1 without one."""
        session = self.session[0]
        where = {(k, s): i for i, (k, s) in enumerate(zip(self.key, session, strict=True))}
        found = np.full(len(self), -1)
        for i, (k, s) in enumerate(zip(self.key, session, strict=True)):
            for gap in range(steps, longest + 1):
                j = where.get((k, s - gap), -1)
                if j >= 0 and usable[j]:
                    found[i] = j
                    break
        return found

    def _lag(self, call: Call) -> np.ndarray:
        steps = int(call.arguments[1].value) if len(call.arguments) > 1 else 1
        longest = int(dict(call.keywords).get("max_gap", Number(float(steps))).value)
        inner = self.value(call.arguments[0])
        rows = self.lagged_rows(steps, longest, ~np.isnan(inner[0]))
        return np.where(rows >= 0, inner[:, rows], np.nan)

    def _within(self, call: Call) -> np.ndarray:
        inner, factor = call.arguments
        if isinstance(inner, Call) and inner.function == "lag":
            moved = Call("within", (inner.arguments[0], factor), call.keywords)
            return self._lag(Call("lag", (moved, *inner.arguments[1:]), inner.keywords))
        if "detrend" in dict(call.keywords):
            return self._detrended(inner, factor.name, dict(call.keywords)["detrend"])
        return self.value(inner) - self._mean(call, inner, factor.name)

    def _between(self, call: Call) -> np.ndarray:
        inner, factor = call.arguments
        if isinstance(inner, Call) and inner.function == "lag":
            inner = inner.arguments[0]
        mean = self._mean(call, inner, factor.name)
        wider = dict(call.keywords).get("within")
        return mean if wider is None else mean - self._mean(call, inner, wider.name)

    def _mean(self, call: Call, inner: Expression, factor: str) -> np.ndarray:
        if dict(call.keywords).get("means", Text("observed")) == Text("observed"):
            return self._unit_mean(inner, factor)
        bare = inner.arguments[0] if isinstance(inner, Call) else inner
        if self.world.study.equation(bare.name) is not None:
            from tests.truth.simulator import static_part

            if bare.name in self.world.statics:
                return self.world.statics[bare.name]
            # earlier values of the equation's own outcome are not followed, so neither is their mean
            return static_part(View(self.world.observed, self.unit), bare.name)
        key = f"mean_{bare.name}_{factor}"
        values = self.world.truth.mapping(key)
        return np.array([values.get(k, np.nan) for k in self.ids(factor)])[None]

    def _unit_mean(self, inner: Expression, factor: str) -> np.ndarray:
        """Return each row's mean over the observed rows of its unit: sessions, where patients' rows average them."""
        source = View(self.world.observed, self.unit) if self.world.held else self
        if self.unit != "session" and any(self.varies(n.name) for n in walk(inner) if isinstance(n, Name)):
            source = View(source.world, "session")
        ids, here = source.ids(factor), self.ids(factor)
        levels = {k: i for i, k in enumerate(sorted(set(ids) - {""}))}
        means = unit_means(source._so_far(source.value(inner)), np.array([levels.get(k, -1) for k in ids]))
        code = np.array([levels.get(k, -1) for k in here])
        return np.where(code >= 0, means[:, code], np.nan)

    def _detrended(self, inner: Expression, factor: str, time: Expression) -> np.ndarray:
        y, t, ids = self.value(inner), self.value(time), self.ids(factor)
        y, t = np.broadcast_arrays(y, t)
        out = np.full(y.shape, np.nan)
        for level in set(ids) - {""}:
            for r in range(len(y)):
                own = np.flatnonzero((ids == level) & ~np.isnan(y[r]) & ~np.isnan(t[r]))
                if len(own):
                    dt, dy = t[r, own] - t[r, own].mean(), y[r, own] - y[r, own].mean()
                    out[r, own] = dy - (dt @ dy / (dt @ dt) if dt @ dt > 0 else 0.0) * dt
        return out

    def _others(self, call: Call) -> np.ndarray:
        ids, x = self.ids(call.arguments[1].name), self.value(call.arguments[0])
        when = np.nan_to_num(self.session[0]) if self.unit == "session" else np.zeros(len(self))
        out = np.full(x.shape, np.nan)
        for i in range(len(self)):
            rest = np.flatnonzero((ids == ids[i]) & (when == when[i]) & ~np.isnan(x[0]))
            rest = rest[rest != i]
            if ids[i] != "" and len(rest):
                out[:, i] = x[:, rest].mean(axis=1)
        return out

    def _mi(self, call: Call) -> np.ndarray:
        label = call.arguments[0].name
        observed = self.column(label)
        if label in self.world.replaced:
            return observed
        name = f"value_{label}"
        if name not in self.world.truth.arrays:
            return observed
        values = self.world.truth.mapping(name)
        unit = self.world.study.equation(label).unit
        if unit == "session":
            here = [f"{k}, {s:g}" for k, s in zip(self.key, self.session[0], strict=True)]
        else:
            here = list(self.key if unit == self.unit else self.ids(unit))
        own = np.array([values.get(k, np.nan) for k in here])
        return np.where(np.isnan(own), observed, own[None])

    def _mo(self, call: Call) -> np.ndarray:
        name = call.arguments[0].name
        values = self.column(name)
        step = next(n for n in self.world.truth.names if n.startswith("step_") and n.endswith(f"_{name}"))
        way = np.concatenate([[0.0], np.cumsum(self.world.truth.arrays[step])])
        categories = self.world.study.frame[name]
        if isinstance(categories.dtype, pd.CategoricalDtype):
            order = [str(c) for c in categories.cat.categories if str(c) in set(categories.astype(str))]
            code = np.vectorize(lambda v: order.index(v))(values)
        else:
            low = self.world.study.bounds.get(name, (float(np.nanmin(categories)),))[0]
            code = np.where(np.isnan(values), 0, values - low).astype(int)
            if (code < 0).any() or (code >= len(way)).any():
                raise ValueError(f"{name} has no such category")
        return way[code]

    def _value(self, call: Call) -> np.ndarray:
        from tests.truth.simulator import linear_predictor

        return linear_predictor(self._at_session(call), call.arguments[0].name, still=True)

    def _slope(self, call: Call) -> np.ndarray:
        from tests.truth.simulator import linear_predictor

        here, step = self._at_session(call), 1e-3
        sides = []
        for sign in (-1, 1):
            column = self.world.study.roles["session"]
            moved = here.world.put(column, here.world.column(column) + sign * step)
            sides.append(linear_predictor(replace(here, world=moved), call.arguments[0].name, still=True))
        return (sides[1] - sides[0]) / (2 * step)

    def _at_session(self, call: Call) -> View:
        """Return the rows in which another equation is read: its session as set here, or as stated."""
        stated, world = dict(call.keywords).get("session"), self.world.read
        column = self.world.study.roles["session"]
        if stated is not None:
            world = world.put(column, np.full((1, world.size), stated.value))
        elif column in self.world.replaced:
            world = world.put(column, self.world.replaced[column])
        return replace(self, world=world)

    def _effect(self, call: Call) -> np.ndarray:
        outcome, factor, which = call.arguments
        place = {label: i for i, label in self.world.truth.effects(factor.name, outcome.name)}
        label = "Intercept" if which.value == "Intercept" else self.world.study.label(which.value)
        code = [list(self.world.truth.levels(factor.name)).index(k) for k in self.ids(factor.name)]
        known = self.world.effects or {}
        effects = known.get(factor.name, self.world.truth.own_effects(factor.name)[None])
        return effects[:, code, place[label]]


def walk(expression: Expression) -> list[Expression]:
    match expression:
        case Operation(_, left, right):
            return [expression, *walk(left), *walk(right)]
        case Call(_, arguments, _):
            return [expression, *(w for a in arguments for w in walk(a))]
    return [expression]


__all__ = ["Study", "Term", "Truth", "View", "World", "open_study"]

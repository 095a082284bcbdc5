"""Where a spec and a table larger than memory meet: rows block by block, and a design that stands for all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from bayes_alliance._messages import are, count_of
from bayes_alliance.design.columns.column_checks import check_doubts, check_levels
from bayes_alliance.design.columns.declared_columns import declare_columns
from bayes_alliance.design.columns.terms import Columns, study_names
from bayes_alliance.design.columns.variables import column_of, order_levels, read_words
from bayes_alliance.design.design import Design, match_names, state_priors
from bayes_alliance.design.equations import checks
from bayes_alliance.design.equations.complete_rows import Source, Usable, find_usable
from bayes_alliance.design.equations.equation import EquationDesign
from bayes_alliance.design.equations.factors import place_effects
from bayes_alliance.design.equations.missing import count_gone, say_left_out
from bayes_alliance.design.equations.outcome_values import check_outcome, observed_outcome
from bayes_alliance.design.equations.predictor import Predictor
from bayes_alliance.design.equations.residual_sd import ResidualSD
from bayes_alliance.design.estimands import resolve_estimands
from bayes_alliance.design.groups.groups import Block, GroupDesign, find_nesting
from bayes_alliance.design.priors.priors import resolve_priors
from bayes_alliance.design.stream.streamable import check_streamable
from bayes_alliance.design.stream.streamed_columns import StreamColumns
from bayes_alliance.design.stream.streamed_sums import RunningColumns, RunningLevels, join_links, with_values
from bayes_alliance.errors import DesignError
from bayes_alliance.findings import Findings
from bayes_alliance.names import INTERCEPT
from bayes_alliance.spec.model import EquationSpec, ModelSpec
from bayes_alliance.spec.needed_variables import needed_variables
from bayes_alliance.study import Study
from bayes_alliance.table.cells import type_column
from bayes_alliance.table.files.missing_codes import MISSING_CODES
from bayes_alliance.table.sessions import SessionTable
from bayes_alliance.table.stream import SessionStream


@dataclass(frozen=True, eq=False)
class BlockRows:
    """The rows of one equation in a block.

    ``coef`` has shape (obs, coef), ``y`` and ``session`` (obs,); ``codes`` and ``values`` per factor of the model, of
    shape (obs,), -1 outside, and (obs, own effect).
    """

    coef: np.ndarray
    y: np.ndarray
    session: np.ndarray
    codes: tuple[np.ndarray, ...]
    values: tuple[np.ndarray, ...]


@dataclass(frozen=True, eq=False)
class StreamDesign:
    """What all blocks add up to.

    ``design`` stands for all rows by three with their means and SDs: it names everything and resolves priors, and holds
    no data. ``links`` are the levels that meet in some row, shape (link, factor), -1 outside; ``place`` gives per
    factor the place in ``design`` of the levels that ``links`` and blocks count by. ``rows`` are the rows used and
    ``first`` the earliest session per equation, NaN without sessions or slopes.
    """

    design: Design
    links: np.ndarray
    place: tuple[np.ndarray, ...]
    rows: tuple[int, ...]
    first: tuple[float, ...]
    nested: tuple[tuple[bool, ...], ...]


@dataclass(eq=False)
class _Seen:
    """What one equation has been through."""

    spec: EquationSpec
    usable: Usable | None = None
    y: RunningColumns = field(default_factory=lambda: RunningColumns(1))
    coef: RunningColumns = field(default_factory=lambda: RunningColumns(0))
    values: dict[str, RunningColumns] = field(default_factory=dict)
    ledger: dict[str, int] = field(default_factory=dict)
    total: int = 0
    gone: int = 0
    lacking: dict[str, int] = field(default_factory=dict)
    first: float = np.inf


class StreamReader:
    """Codes a stream block by block; ``blocks`` once through, then ``finish``.

    Raises
    ------
    DesignError
        If the model takes more than a patient's rows at a time, or names no columns of the stream.
    """

    def __init__(
        self,
        spec: ModelSpec,
        study: Study[SessionStream],
    ) -> None:
        self._stream = study.sessions
        first = next(self._stream.blocks())
        self._findings = Findings()
        spec, columns = declare_columns(spec, study.columns, first.frame.columns)
        study = replace(study, columns=columns)
        self.spec, matched, self._dropped = match_names(spec, study.of(first), self._findings)
        self._study = replace(study, columns=matched.columns, priors=matched.priors)
        self._findings.add(check_streamable(self.spec))
        self._findings.stop(DesignError, repr(self._stream))
        self._read = self._needed(first)
        doubts = check_doubts(self.spec, matched)
        if doubts:
            raise DesignError(doubts, repr(self._stream))
        self._levels = self._find_levels(first)
        self._reads = StreamColumns(self.spec, self._study)
        self._seen = [_Seen(equation) for equation in self.spec.equation]
        self._factors: dict[str, RunningLevels] = {}
        self._links: list[np.ndarray] = []
        self._digests: dict[tuple[str, int], hashlib._Hash] = {}
        self._where: dict[str, list[int]] = {}
        self.rows_read, self._blocks = 0, 0

    def _needed(self, first: SessionTable) -> list[str]:
        """Return the columns that are read: those of roles, variables and grouping factors."""
        names = [*needed_variables(self.spec), *(part for f in self.spec.factors for part in f.split(":"))]
        texts = [self._study.columns.get(name, name) for name in names if name not in self._stream.roles]
        plain = [text if text in first.frame.columns else column_of(text)[0] for text in texts]
        return list(dict.fromkeys([*self._stream.roles.values(), *plain]))

    def _find_levels(self, first: SessionTable) -> dict[str, tuple[str, ...]]:
        """Return the levels of every factor, from all rows of its column."""
        found = {}
        for name in needed_variables(self.spec):
            if name in self._stream.roles:
                continue
            text = self._study.columns.get(name, name)
            column, level = (text, None) if text in first.frame.columns else column_of(text)
            carrier = first.frame[column]
            if level is None and carrier.dtype == np.float64 and name not in self._study.reference:
                continue
            cells = pd.concat(list(self._stream.words(column)), ignore_index=True).drop_duplicates()
            codes = (*MISSING_CODES, *self._stream.options["missing"].get(column, ()))
            typed = read_words(type_column(column, cells, codes, self._findings.silent)).dropna().drop_duplicates()
            self._findings.add(check_levels(column, typed, counted=False))
            words = set(typed)
            if level is not None:
                found[name] = tuple(sorted(words))
            else:
                found[name] = order_levels(
                    name, column, carrier, words, self._study.reference.get(name), self._findings
                )
        self._findings.stop(DesignError, repr(self._stream))
        return found

    def blocks(self) -> Iterator[list[BlockRows]]:
        """Yield the rows of every block, by equation."""
        for number, table in enumerate(self._stream.blocks(self._read), start=1):
            found = Findings(messages=list(table.messages))
            self._reads.add(table)
            source = Source(self.spec, self._study.of(table), levels=self._levels)
            rows = [self._code(seen, source, found) for seen in self._seen]
            self._links += [np.unique(np.column_stack(own.codes), axis=0) for own in rows if own.codes]
            for note in found.messages:
                self._where.setdefault(note, []).append(number)
            self.rows_read, self._blocks = self.rows_read + len(table), number
            yield rows

    def _code(self, seen: _Seen, source: Source, findings: Findings) -> BlockRows:
        usable = find_usable(seen.spec, source, findings)
        keep, rows = usable.keep, usable.rows
        coef, y = usable.coef.rows(keep).values, usable.variables[seen.spec.outcome].values[keep]
        if seen.usable is None:
            seen.usable, seen.coef = usable, RunningColumns(coef.shape[1])
            seen.values = {factor: RunningColumns(len(columns.labels)) for factor, (columns, _) in usable.coded.items()}
        if seen.usable.coef.labels != usable.coef.labels:
            raise DesignError(f"Columns of {seen.spec.outcome} differ between blocks: a column changes its type.")
        seen.total, seen.gone = seen.total + len(rows), seen.gone + count_gone(rows.key, keep)
        for reason, count in usable.ledger.items():
            seen.ledger[reason] = seen.ledger.get(reason, 0) + count
        seen.y.add(y[:, None])
        seen.coef.add(coef)
        seen.first = min(seen.first, float(np.nanmin(rows.session[keep], initial=np.inf)))
        codes, covariates = [], []
        for factor in self.spec.factors:
            if factor not in usable.coded:
                codes.append(np.full(len(y), -1, dtype=np.int64))
                covariates.append(np.zeros((len(y), 0)))
                continue
            values, ids = usable.coded[factor][0].values[keep], usable.ids[factor][keep]
            lacking = (ids == "") & (values != 0).any(axis=1)
            seen.lacking[factor] = seen.lacking.get(factor, 0) + int(lacking.sum())
            inside = (values != 0).any(axis=1) & (ids != "")
            values = np.where(lacking[:, None], 0.0, values)
            levels = self._factors.setdefault(factor, RunningLevels())
            codes.append(levels.add(ids, inside))
            covariates.append(values)
            seen.values[factor].add(values[inside])
            levels.look(seen.spec.outcome, codes[-1], values)
        session = rows.session[keep]
        for place, array in enumerate((y, coef, session, *codes, *covariates)):
            # one digest per array: where blocks end makes no difference
            digest = self._digests.setdefault((seen.spec.outcome, place), hashlib.sha256())
            digest.update(np.ascontiguousarray(array).tobytes())
        return BlockRows(coef, y, session, tuple(codes), tuple(covariates))

    def finish(self) -> StreamDesign:
        """Return what stands for all blocks.

        Raises
        ------
        DesignError
            With every problem of spread, rank, ids and priors, as ``make_design``.
        """
        findings = self._findings
        self._reads.check(findings)
        for seen in self._seen:
            self._check(seen, findings)
        findings.stop(DesignError, repr(self._stream))
        resolved, stated = state_priors(self.spec, self._study.priors, self._dropped, findings)
        order = {factor: levels.sorted() for factor, levels in self._factors.items()}
        equations = tuple(
            _three_rows(seen, {factor: names for factor, (names, _) in order.items()}) for seen in self._seen
        )
        factors = tuple(
            place_effects(
                resolved,
                factor,
                [e.mean for e in equations if any(g.factor == factor for g in e.groups)],
                order[factor][0],
            )
            for factor in resolved.factors
        )
        findings.note(*self._notes())
        estimands = resolve_estimands(resolved, equations, factors, findings)
        priors = resolve_priors(resolved, equations, factors, None, (), stated, self._dropped, findings)
        findings.stop(DesignError, repr(self._stream))
        links = join_links(self._links) if self._links else np.empty((0, 0), dtype=np.int64)
        design = Design(
            resolved,
            equations,
            factors,
            None,
            (),
            priors,
            estimands,
            self._study.columns,
            {name: level for name, level in self._study.reference.items() if name in self._levels},
            tuple(findings.messages),
            self._fingerprint(),
        )
        return StreamDesign(
            design,
            links,
            tuple(order[factor][1] for factor in resolved.factors),
            tuple(seen.y.count for seen in self._seen),
            tuple(seen.first if _has_slopes(seen) else np.nan for seen in self._seen),
            _nesting(links, [len(factor.levels) for factor in factors]),
        )

    def _check(self, seen: _Seen, findings: Findings) -> None:
        """Report what cannot be fitted, in the words that a table in memory is told."""
        usable = seen.usable
        assert usable is not None
        outcome = usable.variables[seen.spec.outcome].label
        sample = np.unique(seen.y.three_steps()) if seen.y.count else np.empty(0)
        findings.add(check_outcome(observed_outcome(outcome, sample, seen.spec, None), seen.spec, seen.ledger))
        findings.add(checks.check_columns_named(outcome, usable.coef))
        if not seen.y.count:
            return
        checks.check_columns(with_values(usable.coef, seen.coef.dependence), seen.coef.low, seen.coef.high, findings)
        for number, (factor, (columns, _)) in enumerate(usable.coded.items()):
            levels, values = self._factors[factor], seen.values[factor]
            if len(levels.levels) < 2:
                findings.problem(f"Grouping factor {factor!r} has fewer than two levels in the rows used.")
                continue
            lacking = seen.lacking[factor]
            if lacking and self.spec.group(factor).missing != "none":
                findings.problem(
                    f"{count_of(lacking, 'row')} {are(lacking, 'has', 'have')} no {factor} where the model needs one.",
                    fix=(
                        f'Complete the ids, or state [groups.{factor}] missing = "none" if these rows have no {factor}.'
                    ),
                )
            if (levels.count[seen.spec.outcome] <= 1).all():
                findings.add([checks.say_one_row_each(factor, seen.spec.kind)])
            findings.add(checks.check_effects(factor, columns.labels, values.dependence))
            findings.add(
                [
                    checks.say_never_varies(label, factor)
                    for label, varies, constant in zip(
                        columns.labels, levels.varies(seen.spec.outcome), values.constant, strict=True
                    )
                    if not varies and label != INTERCEPT and not (constant and len(columns.labels) == 1)
                ]
            )
            for other in list(usable.coded)[:number]:
                if self._alike(factor, other):
                    findings.add([checks.say_alike(factor, other)])

    def _alike(self, one: str, two: str) -> bool:
        places = [self.spec.factors.index(name) for name in (one, two)]
        nested = find_nesting(join_links(self._links)[:, places])
        return nested[0][1] and nested[1][0]

    def _fingerprint(self) -> str:
        """Hash who is in each row and every number the likelihood reads."""
        digest = hashlib.sha256()
        for (outcome, _), part in self._digests.items():
            digest.update(outcome.encode() + part.digest())
        for seen in self._seen:
            assert seen.usable is not None
            digest.update("\x1f".join(seen.usable.coef.labels).encode())
        for levels in self._factors.values():
            digest.update("\x1f".join(levels.levels).encode())
        return digest.hexdigest()

    def _notes(self) -> list[str]:
        """Return rows left out, over all blocks, and what else was said of blocks."""
        notes = []
        for seen in self._seen:
            assert seen.usable is not None
            label = seen.usable.variables[seen.spec.outcome].label
            notes += say_left_out(label, len(self._seen) > 1, seen.ledger, seen.total, seen.gone)
            for factor, lacking in seen.lacking.items():
                if lacking:
                    carry = are(lacking, "carries", "carry")
                    notes.append(f"{count_of(lacking, 'row')} without {factor} {carry} no {factor} effect.")
        for note, numbers in self._where.items():
            everywhere = len(numbers) == self._blocks
            notes.append(note if everywhere else f"Block {', '.join(map(str, numbers[:5]))}: {note}")
        return notes


def _has_slopes(seen: _Seen) -> bool:
    return np.isfinite(seen.first) and any(not values.constant.all() for values in seen.values.values())


def _three_rows(seen: _Seen, levels: Mapping[str, tuple[str, ...]]) -> EquationDesign:
    """Return an equation of three rows with the means and SDs of all."""
    usable = seen.usable
    assert usable is not None
    outcome = usable.variables[seen.spec.outcome].label
    coef = with_values(usable.coef, seen.coef.three_rows())
    groups = [
        _three_of_group(factor, columns, blocks, seen.values[factor], levels[factor])
        for factor, (columns, blocks) in usable.coded.items()
    ]
    centred = np.where([label == INTERCEPT for label in coef.labels], 0.0, seen.coef.mean)
    centre = centred if INTERCEPT in coef.labels else np.zeros(len(coef.labels))
    three = np.arange(3)
    return EquationDesign(
        spec=seen.spec,
        outcome=outcome,
        y=seen.y.three_rows()[:, 0],
        mean=Predictor(outcome, seen.spec.mean, coef, centre, tuple(groups)),
        residual_sds=(ResidualSD(outcome),),
        sigma_code=np.zeros(3, dtype=np.int64),
        arms=None,
        row=three,
        patient=three.astype(object),
        session=np.full(3, np.nan),
        variables={},
        names=study_names(usable.evaluate(usable.variables, Findings())),
        rows_read=seen.total,
        ledger=seen.ledger,
    )


def _three_of_group(
    factor: str, columns: Columns, blocks: tuple[Block, ...], values: RunningColumns, levels: tuple[str, ...]
) -> GroupDesign:
    three = with_values(columns, values.three_steps())
    return GroupDesign(factor, levels, np.zeros(3, dtype=np.int64), three, np.ones(3, dtype=bool), blocks)


def _nesting(links: np.ndarray, sizes: Sequence[int]) -> tuple[tuple[bool, ...], ...]:
    """Return which factors nest in which wider ones they meet."""
    meet = [[bool(((inner >= 0) & (outer >= 0)).any()) for outer in links.T] for inner in links.T]
    return tuple(
        tuple(inside and meet[one][two] and sizes[two] < sizes[one] for two, inside in enumerate(row))
        for one, row in enumerate(find_nesting(links))
    )

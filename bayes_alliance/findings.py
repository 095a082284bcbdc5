"""What checks find: problems that stop an analysis, and messages that a reader should know."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an input.

    Attributes
    ----------
    what : str
        What is wrong, in whole sentences, with the columns, ids or rows that show it.
    where : str
        The part of a table, model or call that it is in, such as ``"[groups.therapist] by"``; empty if ``what`` says
        it.
    allowed : str
        What would be valid, in whole sentences; empty if that goes without saying.
    fix : str
        What to do, in whole sentences; empty if nothing can be advised.

    Examples
    --------
    >>> print(Problem("No column plays 'patient'.", fix="Name it in roles."))
    No column plays 'patient'. Name it in roles.
    """

    what: str
    where: str = ""
    allowed: str = ""
    fix: str = ""

    def __str__(self) -> str:
        stated = " ".join(part for part in (self.what, self.allowed, self.fix) if part)
        return f"{self.where}: {stated}" if self.where else stated

    def under(self, place: str) -> Problem:
        """Return the problem as one of a wider place: the model or study, say, that its equation is in."""
        return replace(self, where=f"{place}: {self.where}" if self.where else place)

    def after(self, sentence: str) -> Problem:
        """Return the problem told after a sentence that says what it means for what was asked."""
        return replace(
            self, what=f"{sentence} {self.where}: {self.what}" if self.where else f"{sentence} {self.what}", where=""
        )

    def mapped(self, change: Callable[[str], str]) -> Problem:
        """Return the problem with each of its texts changed."""
        return Problem(change(self.what), change(self.where), change(self.allowed), change(self.fix))


type StepKind = Literal["read", "numbering", "questionnaire", "wide", "dates", "cells", "sides", "scores", "selection"]
"""What can be done to a table before any model reads it, in this order."""


@dataclass(frozen=True)
class Step:
    """One thing that was done to a table before any model read it.

    Attributes
    ----------
    kind : str
        A ``StepKind``.
    rows : int
        Rows of the table afterwards.
    messages : tuple of str
        What was said of it, with its counts of rows and cells.
    """

    kind: StepKind
    rows: int
    messages: tuple[str, ...] = ()


def as_problem(stated: Problem | str) -> Problem:
    """Return a problem; a sentence alone is what is wrong."""
    return stated if isinstance(stated, Problem) else Problem(str(stated))


@dataclass(eq=False)
class Findings:
    """Problems and messages that the steps of one task collect, each once and in the order they were found.

    ``steps`` are those of the preparation of a table, which hold its messages a second time.

    It is the one object that functions fill for their caller. Whoever makes it decides when to ``stop``.
    """

    problems: list[Problem] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def problem(self, what: str, *, where: str = "", allowed: str = "", fix: str = "") -> None:
        """Collect a problem."""
        self.add([Problem(what, where, allowed, fix)])

    def add(self, problems: Iterable[Problem]) -> None:
        """Collect problems that were returned, or that an error carries."""
        for problem in problems:
            if problem not in self.problems:
                self.problems.append(problem)

    def note(self, *messages: str) -> None:
        """Collect what a reader should know."""
        for message in messages:
            if message not in self.messages:
                self.messages.append(message)

    def step(self, kind: StepKind, rows: int) -> None:
        """Close a step: what was said since the one before is of it; one that says and changes nothing is none."""
        told = {message for step in self.steps for message in step.messages}
        messages = tuple(message for message in self.messages if message not in told)
        if messages or not self.steps or self.steps[-1].rows != rows:
            self.steps.append(Step(kind, rows, messages))

    @property
    def silent(self) -> Findings:
        """Return findings with the same problems whose messages nobody reads: those of columns made again."""
        return Findings(self.problems)

    @contextmanager
    def of(self, place: str) -> Iterator[Findings]:
        """Collect problems as ones of a place: those found inside the block say so."""
        own = Findings(messages=self.messages)
        try:
            yield own
        finally:
            self.add(problem.under(place) for problem in own.problems)

    def stop(self, error: Callable[[list[Problem], str], Exception], where: str = "") -> None:
        """Raise an error with every problem, if there are any; ``where`` says what was read, such as ``"412 rows"``."""
        if self.problems:
            raise error(self.problems, where)

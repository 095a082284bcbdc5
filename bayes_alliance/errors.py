"""Exceptions and warnings of the package.

Our exception hierarchy::

    AllianceError
      TableError    (also ValueError)    the rows are not what they claim to be
      SpecError     (also ValueError)    the model file, formula or prior is not valid
      DesignError   (also ValueError)    table and model do not fit together
      FitError      (also RuntimeError)  sampling could not start or finish, or a stored fit is damaged
      RunError      (also RuntimeError)  a run's folder is unfinished, damaged, or of other rows
    AllianceWarning (UserWarning)        something the user can act on, after which work goes on

Every error carries ``problems``, one record each, so that all that is wrong with an input is reported at once. Errors
and warnings hold no control characters: a name out of a file cannot command a terminal.
"""

from __future__ import annotations

from collections.abc import Sequence

from bayes_alliance._messages import visible
from bayes_alliance.findings import Problem, as_problem


class AllianceError(Exception):
    """Base of every error this package raises on purpose.

    Parameters
    ----------
    problems : Problem, str, or sequence of them
        What is wrong, where, what is allowed and what to do; one entry per problem.
    where : str
        What was being read, such as ``"412 rows"`` or a file name; empty if there is nothing to add.
    """

    def __init__(self, problems: Problem | str | Sequence[Problem | str], where: str = "") -> None:
        stated = (problems,) if isinstance(problems, Problem | str) else tuple(problems)
        self.problems: tuple[Problem, ...] = tuple(as_problem(problem).mapped(visible) for problem in stated)
        self.where = visible(where)
        super().__init__(self._text())

    def _text(self) -> str:
        suffix = f" in {self.where}" if self.where else ""
        if len(self.problems) == 1:
            return f"{self.problems[0]}{f' (found{suffix})' if suffix else ''}"
        lines = [f"{len(self.problems)} problems{suffix}."]
        lines += [f"{number}. {text}" for number, text in enumerate(self.problems, start=1)]
        return "\n".join(lines)


class TableError(AllianceError, ValueError):
    """The rows are not what they claim to be."""


class SpecError(AllianceError, ValueError):
    """A model file, formula, prior or name is not valid."""


class DesignError(AllianceError, ValueError):
    """A table and a model do not fit together."""


class FitError(AllianceError, RuntimeError):
    """Sampling could not start or finish, or a stored fit is damaged."""


class RunError(AllianceError, RuntimeError):
    """A run's folder is unfinished, damaged, from a newer version, or its rows are not those at hand."""


class AllianceWarning(UserWarning):
    """Something the user can act on, after which work goes on."""

    def __init__(self, text: str = "") -> None:
        super().__init__(visible(text))

"""The Study record: a table, and how it holds the variables of models."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bayes_alliance.errors import TableError
from bayes_alliance.findings import Problem
from bayes_alliance.spec.model import PriorSpec
from bayes_alliance.table.sessions import SessionTable
from bayes_alliance.table.stream import SessionStream

type PriorStatements = Mapping[str, str] | Sequence[PriorSpec]


@dataclass(frozen=True, eq=False)
class Study[Table: (SessionTable, SessionStream)]:
    """A table of sessions, and how it holds what models read; several models may be fitted to one study.

    Attributes
    ----------
    sessions : SessionTable or SessionStream
        From ``read_sessions`` or ``stream_sessions``.
    columns : mapping of str to str
        Model variable to column of the table, such as ``{"outcome": "phq9", "condition": "arm"}``;
        ``"grp[RO-DBT]"`` is 1 for that level and 0 for the others, and ``"first(phq9)"`` is worked out of sessions, as
        a model's declared variables are. A variable of the same name as a column needs no entry. A declared variable
        that has one is read from its column instead of worked out.
    reference : mapping of str to str
        Factor to the level the others are compared with; makes a numeric variable a factor.
    priors : mapping of str to str, or sequence of PriorSpec
        Priors that replace the defaults and the model's, such as ``{"sd therapist": "half_normal(1)"}``.

    Examples
    --------
    >>> study = Study(sessions, columns={"outcome": "phq9"}, reference={"arm": "usual care"})  # doctest: +SKIP
    """

    sessions: Table
    columns: Mapping[str, str] = field(default_factory=dict)
    reference: Mapping[str, str] = field(default_factory=dict)
    priors: PriorStatements = ()

    def __post_init__(self) -> None:
        if not isinstance(self.sessions, SessionTable | SessionStream):
            kind = type(self.sessions).__name__
            raise TableError(
                Problem(f"The rows are a {kind}, not a table of sessions.", fix="Read it with read_sessions.")
            )
        # copies, so that a study stays as it was made
        object.__setattr__(self, "columns", dict(self.columns or {}))
        object.__setattr__(self, "reference", dict(self.reference or {}))
        stated = self.priors
        object.__setattr__(self, "priors", dict(stated) if isinstance(stated, Mapping) else tuple(stated))

    def column(self, name: str) -> str:
        """Return the column of a variable or grouping factor, or the level of one, as the study states it."""
        return self.sessions.roles.get(name, self.columns.get(name, name))

    def of(self, table: SessionTable) -> Study[SessionTable]:
        """Return the study with other rows: a block of a stream, say."""
        return Study(table, self.columns, self.reference, self.priors)

    def reading(self, names: Collection[str]) -> Study[Table]:
        """Return the study without the columns and references of variables that are not among ``names``."""
        columns = {name: column for name, column in self.columns.items() if name in names}
        reference = {name: level for name, level in self.reference.items() if name in names}
        return replace(self, columns=columns, reference=reference)


def as_study[Table: (SessionTable, SessionStream)](given: Study[Table] | Table) -> Study[Table]:
    """Return a study; a table alone is one whose columns are called like the variables of the model.

    Raises
    ------
    TableError
        If it is neither, such as a data frame.
    """
    return given if isinstance(given, Study) else Study(given)


def prior_records(priors: PriorStatements) -> tuple[PriorSpec, ...]:
    """Return a call's statements of priors as records, not yet parsed."""
    if isinstance(priors, Mapping):
        return tuple(PriorSpec(on=str(on), dist=str(dist), reason="Stated in the call.") for on, dist in priors.items())
    return tuple(priors)

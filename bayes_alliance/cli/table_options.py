"""What is stated of a table on the command line: one record of options, and the table that is read by it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast, get_type_hints

import typer

from bayes_alliance.cli.options import numbers, pairs, ranges
from bayes_alliance.errors import SpecError
from bayes_alliance.names import ROLES

if TYPE_CHECKING:
    from bayes_alliance.table.files.options import FileOptions
    from bayes_alliance.table.nesting import Transfers
    from bayes_alliance.table.sessions import SessionTable
    from bayes_alliance.table.shape.shape import EachRow

FILE: Final = "How the file is read"
SHAPE: Final = "Tables of another shape"
CELLS: Final = "What cells mean"
ROWS: Final = "Which rows"

type Texts = list[str] | None


@dataclass(frozen=True)
class FileGiven:
    """What was given of a file; everything is found unless given."""

    separator: Annotated[
        str | None,
        typer.Option(
            metavar="CHARACTER",
            help="What stands between cells of text, such as ';' or tab; found unless given.",
            rich_help_panel=FILE,
        ),
    ] = None
    decimal: Annotated[
        str | None,
        typer.Option(
            metavar="SIGN",
            help="What stands before decimals: '.' or ','; found unless given.",
            rich_help_panel=FILE,
        ),
    ] = None
    encoding: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="How text is stored, such as cp1252; found unless given.", rich_help_panel=FILE
        ),
    ] = None
    sheet: Annotated[
        str | None, typer.Option(metavar="NAME", help="Which sheet of a workbook.", rich_help_panel=FILE)
    ] = None
    header: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            metavar="LINE",
            help="The line that names the columns (1); given several times, their words are joined.",
            rich_help_panel=FILE,
        ),
    ] = None
    labels: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="A column of SPSS or Stata whose value labels are its values. Repeatable; found unless given.",
            rich_help_panel=FILE,
        ),
    ] = None

    def file_arguments(self) -> dict[str, Any]:
        """Return what was given of the file as ``read_sessions`` takes it."""
        lines = self.header or None
        return {
            "separator": {"tab": "\t", "\\t": "\t"}.get(self.separator or "", self.separator),
            "decimal": self.decimal,
            "encoding": self.encoding,
            "sheet": self.sheet,
            "header": lines[0] if lines is not None and len(lines) == 1 else lines,
            "labels": self.labels,
        }

    def file_options(self) -> FileOptions:
        """Return what was given of the file as a record."""
        from bayes_alliance.table.files.options import FileOptions

        given = self.file_arguments()
        lines = given.pop("header")
        return FileOptions(**given, header=tuple(lines) if isinstance(lines, list) else lines)


@dataclass(frozen=True)
class TableGiven(FileGiven):
    """What was given of a table of sessions: its file, shape, columns, cells, ids and rows."""

    wide: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PATTERN",
            help="A variable of a table with a row per patient, and the names of its columns: "
            "'alliance=wai_{session}', or 'wai_{session}_{item}' for several in one session. Repeatable.",
            rich_help_panel=SHAPE,
        ),
    ] = None
    wide_sessions: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORD=NUMBER,…",
            help="Session numbers of words that stand in their place in these names: pre=0,post=12. Repeatable.",
            rich_help_panel=SHAPE,
        ),
    ] = None
    questionnaire: Annotated[
        str | None,
        typer.Option(
            metavar="item=COLUMN,answer=COLUMN",
            help="A table with a row per answer: which columns hold the item and the answer.",
            rich_help_panel=SHAPE,
        ),
    ] = None
    session: Annotated[
        str | None,
        typer.Option(
            metavar="column=DATES,…",
            help="Dates that become session numbers, in place of --columns session=…: column=date, with every=visit "
            "(unless given), day, week or month; start=first or a column of dates; format=%d.%m.%Y; several=refuse, "
            "first, last or number, for rows of one step.",
            rich_help_panel=SHAPE,
        ),
    ] = None
    each_row: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT",
            help="patient: every row is a person of its own, without an id. session: a patient's rows have no numbers "
            "and are taken in the order of the table.",
            rich_help_panel=SHAPE,
        ),
    ] = None
    score: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=INSTRUMENT:ITEMS",
            help="A score of items, such as 'alliance=wai-sr:wai_*': by an instrument of the package or a .toml file "
            "of your own, of columns that end in the numbers of the items. Repeatable.",
            rich_help_panel=SHAPE,
        ),
    ] = None
    columns: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=COLUMN,…",
            help="Which column plays a role (patient, therapist, group, site, session) or a variable of the model; "
            "'in_group=arm[MBCT]' is 1 for that level, 'pre=first(phq9)' is worked out of sessions. Repeatable.",
        ),
    ] = None
    missing: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=CODE", help="A further code that means missing, such as phq9=-9.", rich_help_panel=CELLS
        ),
    ] = None
    accept: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="A number, level or id that is genuine although it looks like a code for missing, or like another. "
            "Repeatable.",
            rich_help_panel=CELLS,
        ),
    ] = None
    bounds: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=LOW:HIGH",
            help="Ends of a column's scale, such as wai=12:84. Repeatable.",
            rich_help_panel=CELLS,
        ),
    ] = None
    units: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=UNIT",
            help="A column known to be of patients, therapists, groups or sites, such as training=therapist: where it "
            "differs within one, the table is refused. Repeatable.",
            rich_help_panel=CELLS,
        ),
    ] = None
    transfers: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MEANING",
            help="What a patient id under two therapists means: ask, transferred, or reused; of therapists or groups "
            "under two sites as therapist=reused, of one patient as patient:17=transferred. Repeatable.",
            rich_help_panel=CELLS,
        ),
    ] = None
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="A column to leave unread. Repeatable.", rich_help_panel=CELLS),
    ] = None
    minimum: Annotated[
        list[str] | None,
        typer.Option(
            "--min", metavar="ROLE=VALUE", help="Smallest value kept, such as session=1.", rich_help_panel=ROWS
        ),
    ] = None
    maximum: Annotated[
        list[str] | None,
        typer.Option(
            "--max", metavar="ROLE=VALUE", help="Largest value kept, such as session=12.", rich_help_panel=ROWS
        ),
    ] = None
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=LEVEL", help="The one level kept, such as arm=MBCT.", rich_help_panel=ROWS),
    ] = None
    patients: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="Table of what is measured once per patient, joined by the id.",
            rich_help_panel=ROWS,
        ),
    ] = None
    therapists: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA",
            help="Table of what is measured once per therapist, joined by the id.",
            rich_help_panel=ROWS,
        ),
    ] = None
    groups: Annotated[
        Path | None,
        typer.Option(
            metavar="DATA", help="Table of what is measured once per group, joined by the id.", rich_help_panel=ROWS
        ),
    ] = None

    def without_roles(self) -> list[str]:
        """Return the options that were given and say nothing unless the column of patients is known."""
        of_file = {field.name for field in fields(FileGiven)} | {"columns"}
        names = {"minimum": "min", "maximum": "max"}
        return [
            f"--{names.get(field.name, field.name).replace('_', '-')}"
            for field in fields(self)
            if field.name not in of_file and getattr(self, field.name)
        ]

    def roles(self) -> dict[str, str]:
        """Return which column plays which role."""
        return {name: column for name, column in pairs(self.columns, "--columns").items() if name in ROLES}

    def variables(self) -> dict[str, str]:
        """Return which column plays which variable of a model."""
        return {name: column for name, column in pairs(self.columns, "--columns").items() if name not in ROLES}

    def read(self, data: Path) -> SessionTable:
        """Return the table, with the rows that are asked for."""
        from bayes_alliance.table.row_selection import select_rows
        from bayes_alliance.table.sessions import read_sessions

        sessions = read_sessions(
            data,
            self.roles(),
            patients=self.patients,
            therapists=self.therapists,
            groups=self.groups,
            missing=_texts_by_column(self.missing, "--missing"),
            accept=_texts_by_column(self.accept, "--accept"),
            bounds=ranges(pairs(self.bounds, "--bounds"), "--bounds"),
            units=pairs(self.units, "--units"),
            transfers=_transfers(self.transfers),
            ignore=self.ignore or (),
            wide=pairs(self.wide, "--wide", split=False) or None,
            wide_sessions=numbers(pairs(self.wide_sessions, "--wide-sessions"), "--wide-sessions") or None,
            questionnaire=_record(self.questionnaire, "--questionnaire"),
            session=_record(self.session, "--session"),
            each_row=cast("EachRow | None", self.each_row),
            scores=_scores(self.score) or None,
            **self.file_arguments(),
        )
        low = numbers(pairs(self.minimum, "--min"), "--min")
        high = numbers(pairs(self.maximum, "--max"), "--max")
        return select_rows(sessions, minimum=low, maximum=high, only=pairs(self.only, "--only"))


def takes(record: type[Any], parameter: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a command a record's options in place of the parameter that holds the record."""
    hints = get_type_hints(record, include_extras=True)
    names = [field.name for field in fields(record)]
    options = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(record)
    ]

    def expand(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def call(**given: Any) -> None:
            own = {name: given.pop(name) for name in names}
            command(**given, **{parameter: record(**own)})

        signature = inspect.signature(command, eval_str=True)
        parts = []
        for one in signature.parameters.values():
            parts += options if one.name == parameter else [one.replace(kind=inspect.Parameter.KEYWORD_ONLY)]
        call.__signature__ = signature.replace(parameters=parts)  # type: ignore[attr-defined]
        call.__annotations__ = {one.name: one.annotation for one in parts}
        del call.__wrapped__
        return call

    return expand


def _transfers(texts: Iterable[str] | None) -> Transfers:
    """Read ``--transfers``: a word for all patients, ``unit=word``, or ``patient:id=word``."""
    named = [text for text in texts or () if text.startswith("patient:")]
    rest = [text if "=" in text else f"patient={text}" for text in texts or () if text not in named]
    found = pairs(rest, "--transfers")
    if named and "patient" in found:
        raise SpecError("--transfers says of all patients what ids mean, and of some by name. State one of the two.")
    own: dict[str, str] = {}
    for text in named:
        one, sign, word = text.removeprefix("patient:").rpartition("=")
        if not sign or not one:
            raise SpecError(f"--transfers {text!r} is not written as patient:ID=MEANING.")
        if own.get(one, word) != word:
            raise SpecError(f"--transfers names the patient {one!r} twice: {own[one]!r} and {word!r}.")
        own[one] = word
    return cast("Transfers", {**found, "patient": own} if named else found or "ask")


def _record(text: str | None, option: str) -> dict[str, str] | None:
    """Read ``key=value,key=value``."""
    return None if text is None else pairs([text], option)


def _scores(texts: Iterable[str] | None) -> dict[str, dict[str, object]]:
    """Read ``--score name=instrument:items`` texts."""
    found: dict[str, dict[str, object]] = {}
    for name, value in pairs(texts, "--score", split=False).items():
        instrument, colon, items = value.rpartition(":")
        if not colon or not instrument or not items:
            raise SpecError(f"--score {name}={value!r} is not written as {name}=INSTRUMENT:ITEMS.")
        found[name] = {"instrument": instrument, "items": items}
    return found


def _texts_by_column(texts: Iterable[str] | None, option: str) -> dict[str, list[str | float]]:
    """Read ``column=value`` texts, several values of a column where it is named several times."""
    found: dict[str, list[str | float]] = {}
    for text in texts or ():
        for name, value in pairs([text], option, split=False).items():
            found.setdefault(name, []).append(value)
    return found

"""Tables larger than memory: read from parquet or Arrow in blocks of whole patients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pads

from bayes_alliance._messages import count_of, escaped, first_few, quote, unknown
from bayes_alliance.errors import TableError
from bayes_alliance.findings import Findings
from bayes_alliance.table import nesting, rules
from bayes_alliance.table.cells import id_text
from bayes_alliance.table.sessions import SessionTable, read_sessions
from bayes_alliance.table.side_tables import missing_codes

BLOCK = 100_000
"""Rows of a block."""

BATCH = 65_536
"""Rows of a batch of the file."""

type StreamSource = str | Path | Sequence[str] | pa.Table | pads.Dataset

KINDS = {".parquet": "parquet", ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow"}
"""Kinds of file by their ending; a folder holds parquet files."""


@dataclass(frozen=True, eq=False)
class SessionStream:
    """A table of sessions in blocks of whole patients, each a ``SessionTable``; reading starts anew at every pass.

    The rows of a patient stand together in the source, in any order; patients are in any order. ``options`` are those
    of ``read_sessions``.
    """

    source: pads.Dataset
    name: str
    roles: Mapping[str, str]
    rows: int = BLOCK
    options: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return int(self.source.count_rows())

    @escaped
    def __repr__(self) -> str:
        return f"{type(self).__name__} of {count_of(len(self), 'row')} in blocks of {self.rows:,}: {self.name}"

    def words(self, column: str) -> Iterator[pd.Series]:
        """Yield the different values of one column, batch by batch."""
        for batch in self.source.to_batches(columns=[column], batch_size=BATCH):
            cells = batch.column(column)
            yield pd.Series(cells.to_pandas() if pa.types.is_nested(cells.type) else cells.unique().to_pandas())

    def blocks(self, columns: Sequence[str] | None = None) -> Iterator[SessionTable]:
        """Yield the blocks, with all columns or some.

        Raises
        ------
        TableError
            With the rows of the source that a block holds; or where a patient's rows stand apart.
        """
        patient, seen, first = self.roles["patient"], np.empty(0, dtype=np.uint64), 0
        called, named = np.empty(0, dtype=np.uint64), _named_patients(self.options["transfers"])
        renamed = bool(named)
        options = dict(self.options)
        if columns is not None:
            options["ignore"] = [name for name in options["ignore"] if name in columns]
            for option in ("missing", "bounds"):
                options[option] = {name: stated for name, stated in options[option].items() if name in columns}
        for frame in self._frames(columns):
            here = np.unique(id_text(frame[patient]).to_numpy(dtype=object))
            hashed = pd.util.hash_array(here, categorize=False)  # an eighth of the memory of the names
            apart = here[np.isin(hashed, seen) & (here != "")]
            where = f"rows {first + 1:,} to {first + len(frame):,} of {self.name}"
            if len(apart):
                raise TableError(
                    f"Rows of {count_of(len(apart), 'patient')} stand apart: {first_few([repr(p) for p in apart])}, "
                    f"with rows of others in between. Sort the source by {patient!r}; blocks hold whole patients.",
                    where,
                )
            seen = np.concatenate([seen, hashed])
            first += len(frame)
            named -= set(here)
            try:
                block = read_sessions(frame, self.roles, **_of_block(options, here))
            except TableError as error:
                raise TableError(error.problems, where) from None
            if renamed:
                own = np.unique(block.ids("patient"))
                hashed = pd.util.hash_array(own, categorize=False)
                clash = own[np.isin(hashed, called)]
                if len(clash):
                    raise TableError(f"{first_few([repr(p) for p in clash])} names patients of several blocks.", where)
                called = np.concatenate([called, hashed])
            yield block
        if named:
            raise TableError(
                f"transfers names {count_of(len(named), 'patient')} who do not occur: {quote(sorted(named))}."
            )

    def _frames(self, columns: Sequence[str] | None) -> Iterator[pd.DataFrame]:
        """Yield frames of about so many rows that end with a patient."""
        patient, waiting, size = self.roles["patient"], list[pa.RecordBatch](), 0
        size_of_batch = min(BATCH, self.rows)
        for batch in self.source.to_batches(columns, batch_size=size_of_batch, fragment_readahead=1, batch_readahead=2):
            waiting.append(batch)
            size += batch.num_rows
            if size < self.rows:
                continue
            table = pa.Table.from_batches(waiting)
            ids = table.column(patient)
            last = ids[len(ids) - 1]
            cut = len(ids)
            while cut and ids[cut - 1] == last:
                cut -= 1
            if cut:
                yield table.slice(0, cut).to_pandas()
            waiting, size = table.slice(cut).to_batches(), len(ids) - cut
        if size:
            yield pa.Table.from_batches(waiting).to_pandas()


def _named_patients(transfers: object) -> set[str]:
    """Return the patients of whom it is said by name what their id means."""
    own = transfers.get("patient") if isinstance(transfers, Mapping) else None
    return set(id_text(pd.Series(list(own), dtype=object))) if isinstance(own, Mapping) else set()


def _of_block(options: Mapping[str, Any], here: np.ndarray) -> dict[str, Any]:
    """Return options of a block: what is said of patients by name, of those in it."""
    stated = options["transfers"]
    if not isinstance(stated, Mapping) or not isinstance(stated.get("patient"), Mapping):
        return dict(options)
    named = stated["patient"]
    known = set(here)
    inside = [id_text(pd.Series([one], dtype=object))[0] in known for one in named]
    own = {one: word for (one, word), there in zip(named.items(), inside, strict=True) if there}
    rest = {unit: word for unit, word in stated.items() if unit != "patient"}
    return {**options, "transfers": {**rest, "patient": own} if own else rest or "ask"}


def stream_sessions(
    source: StreamSource,
    roles: Mapping[str, str],
    *,
    missing: Mapping[str, Sequence[str | float]] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
    transfers: nesting.Transfers = "ask",
    ignore: Sequence[str] = (),
    rows: int = BLOCK,
) -> SessionStream:
    """Open a table of sessions that need not fit into memory; ``fit_stream`` fits models to it.

    Parameters
    ----------
    source : str, Path, list of str, pyarrow Table or Dataset
        A parquet or Arrow file, several of them, a folder of parquet files, or what pyarrow makes of other stores. The
        rows of a patient stand together.
    roles : mapping of str to str
        Which column plays ``patient`` (required), ``therapist``, ``group``, ``site`` and ``session``.
    missing, bounds, transfers, ignore
        As in ``read_sessions``.
    rows : int
        Rows of a block, at least; memory grows with it.

    Returns
    -------
    SessionStream
        Nothing but names has been read.

    Raises
    ------
    TableError
        If there is no such file, it is of another kind or empty, or roles name columns it does not have.
    """
    dataset, name = _open(source)
    ignored, names = list(rules.as_names(ignore)), list(dataset.schema.names)
    findings = Findings()
    findings.add(rules.check_roles(roles, names))
    findings.add(unknown("column", str(n), names, "bounds") for n in rules.as_names(bounds) if n not in names)
    missing_codes(missing or {}, list(missing or {}), findings)
    findings.add(unknown("column", n, names, "missing") for n in missing or {} if n not in names)
    findings.add(rules.check_ignored(ignored, roles, names))
    findings.add(rules.check_mappings({"bounds": bounds}))
    if isinstance(roles, Mapping):
        nesting.read_transfers(transfers, roles, findings)
    if rows < 1:
        findings.problem(f"rows must be 1 or more; it is {rows}.")
    if not findings.problems and not dataset.count_rows():
        findings.problem("There are no rows.")
    findings.stop(TableError, name)
    options = {"missing": dict(missing or {}), "bounds": dict(bounds or {}), "transfers": transfers, "ignore": ignored}
    return SessionStream(dataset, name, dict(roles), rows, options)


def _open(source: StreamSource) -> tuple[pads.Dataset, str]:
    if isinstance(source, pa.Table):
        return pads.dataset(source), "the Arrow table"
    if isinstance(source, pads.Dataset):
        return source, "the dataset"
    paths = [Path(source)] if isinstance(source, (str, Path)) else [Path(path) for path in source]
    lacking = [str(path) for path in paths if not path.exists()]
    if lacking or not paths:
        raise TableError(f"No file at {quote(lacking)}." if lacking else "No file was named.")
    kinds = {KINDS.get(path.suffix.lower(), "") if path.is_file() else "parquet" for path in paths}
    if len(kinds) != 1 or "" in kinds:
        shown = quote(path.name for path in paths[:5])
        raise TableError(f"{shown} cannot be streamed. Allowed: files of one kind, of {', '.join(KINDS)}, or a folder.")
    try:
        chosen: Any = str(paths[0]) if len(paths) == 1 else [str(path) for path in paths]
        return pads.dataset(chosen, format=kinds.pop()), paths[0].name
    except (OSError, pa.ArrowInvalid) as error:
        raise TableError(f"{paths[0].name!r} cannot be read: {error}.") from None

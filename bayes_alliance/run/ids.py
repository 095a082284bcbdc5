"""Codes in place of identifiers, before anything is checked, fitted or said."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from bayes_alliance.table.cells import id_text
from bayes_alliance.table.read import MISSING_CODES


@dataclass(frozen=True, eq=False)
class Coded:
    """Frames whose identifiers are codes, and the ``key`` to them: columns ``role``, ``code``, ``id``."""

    frames: Mapping[str, pd.DataFrame]
    key: pd.DataFrame

    def codes(self, role: str) -> dict[str, str]:
        """Return a role's codes by id."""
        own = self.key[self.key["role"] == role]
        return dict(zip(own["id"], own["code"], strict=True))

    def mask(self, text: str, role: str) -> str:
        """Return a text in which a role's identifiers in quotes are codes."""
        codes = self.codes(role).items()
        quoted = {write(one): repr(code) for one, code in codes for write in (repr, ascii)}
        if not quoted:
            return text
        longest = sorted(quoted, key=len, reverse=True)
        return re.sub("|".join(map(re.escape, longest)), lambda found: quoted[found.group()], text)


def code_ids(
    frames: Mapping[str, pd.DataFrame],
    columns: Mapping[str, Sequence[str]],
    missing: Mapping[str, Sequence[str | float]],
    *,
    secret: bytes,
) -> Coded:
    """Replace identifiers by codes such as ``patient-017``.

    Codes are dealt out in an order that the ids and the secret decide: the same ids get the same codes whatever the
    order of rows, neither alphabet nor date of admission can be read from a code, and who has a list of the ids cannot
    work the codes out.

    Parameters
    ----------
    frames : mapping of str to DataFrame
        Tables by name, with columns of ids under the same names; not changed.
    columns : mapping of str to sequence of str
        Role or factor to the columns that hold its ids: its own, then those of further memberships.
    missing : mapping of str to sequence
        Further codes that mean missing; they stay as they are.
    secret : bytes
        What nobody knows who has not the whole table, such as ``table_secret``.
    """
    coded = {name: frame.copy() for name, frame in frames.items()}
    parts = []
    for role, holding in columns.items():
        texts = {}
        for number, column in enumerate(holding):
            declared = id_text(pd.Series(list(missing.get(column, ())), dtype=object))
            stay = {"", *declared, *(MISSING_CODES if number else ())}
            for name, frame in coded.items():
                if column in frame.columns:
                    text = id_text(frame[column])
                    texts[name, column] = text, ~text.isin(stay)
        known = sorted({value for text, real in texts.values() for value in text[real]})
        codes = _deal(role, known, secret)
        parts.append(pd.DataFrame({"role": role, "code": [codes[one] for one in known], "id": known}))
        for (name, column), (text, real) in texts.items():
            coded[name][column] = text.where(~real, text.map(codes)).astype("str")
    names = ["role", "code", "id"]
    key = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=names)
    return Coded(coded, key.sort_values(["role", "code"], ignore_index=True)[names])


def table_secret(frames: Mapping[str, pd.DataFrame]) -> bytes:
    """Return a digest of everything in the tables, whatever the order of rows: only who has them all can make it."""
    digest = hashlib.sha256()
    for name in sorted(frames):
        frame = frames[name]
        columns = sorted(map(str, frame.columns))
        digest.update("\x1f".join([name, *columns]).encode())
        lines = frame[columns].map(cell_text).agg("\x1f".join, axis=1)
        digest.update("\x1e".join(sorted(lines)).encode())
    return digest.digest()


def cell_text(value: object) -> str:
    """Return a cell as text; one number has one text, whether it was read as text or as a number."""
    try:
        return repr(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return str(value)


def _deal(role: str, ids: Sequence[str], secret: bytes) -> dict[str, str]:
    order = sorted(ids, key=lambda one: hmac.digest(secret, f"{role}\x1f{one}".encode(), "sha256"))
    width = max(3, len(str(len(ids))))
    return {one: f"{role.replace(':', '-')}-{place:0{width}d}" for place, one in enumerate(order, start=1)}

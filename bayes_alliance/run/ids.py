"""Codes in place of identifiers, before anything is checked, fitted or said."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from bayes_alliance.table.read import MISSING_CODES, id_text


@dataclass(frozen=True, eq=False)
class Coded:
    """Frames whose identifiers are codes, and the ``key`` to them: columns ``role``, ``code``, ``id``."""

    frames: Mapping[str, pd.DataFrame]
    key: pd.DataFrame

    def mask(self, text: str) -> str:
        """Return a text in which identifiers in quotes are codes."""
        for one, code in sorted(zip(self.key["id"], self.key["code"], strict=True), key=lambda pair: -len(pair[0])):
            text = text.replace(repr(one), repr(code))
        return text


def code_ids(
    frames: Mapping[str, pd.DataFrame],
    columns: Mapping[str, Sequence[str]],
    missing: Mapping[str, Sequence[str | float]],
) -> Coded:
    """Replace identifiers by codes such as ``patient-017``.

    Codes are dealt out in an order that the ids alone decide and that says nothing of them: the same ids get the same
    codes whatever the order of rows, and neither alphabet nor date of admission can be read from a code.

    Parameters
    ----------
    frames : mapping of str to DataFrame
        Tables by name, with columns of ids under the same names; not changed.
    columns : mapping of str to sequence of str
        Role to the columns that hold its ids: its own, then those of further memberships.
    missing : mapping of str to sequence
        Further codes that mean missing; they stay as they are.
    """
    coded = {name: frame.copy() for name, frame in frames.items()}
    parts = []
    for role, holding in columns.items():
        texts = {}
        for number, column in enumerate(holding):
            stay = {"", *map(str, missing.get(column, ())), *(MISSING_CODES if number else ())}
            for name, frame in coded.items():
                if column in frame.columns:
                    text = id_text(frame[column])
                    texts[name, column] = text, ~text.isin(stay)
        known = sorted({value for text, real in texts.values() for value in text[real]})
        codes = _deal(role, known)
        parts.append(pd.DataFrame({"role": role, "code": [codes[one] for one in known], "id": known}))
        for (name, column), (text, real) in texts.items():
            coded[name][column] = text.where(~real, text.map(codes)).astype("str")
    names = ["role", "code", "id"]
    key = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=names)
    return Coded(coded, key.sort_values(["role", "code"], ignore_index=True)[names])


def _deal(role: str, ids: Sequence[str]) -> dict[str, str]:
    salt = hashlib.sha256("\x1f".join([role, *ids]).encode()).digest()
    order = sorted(ids, key=lambda one: hashlib.sha256(salt + one.encode()).digest())
    width = max(3, len(str(len(ids))))
    return {one: f"{role}-{place:0{width}d}" for place, one in enumerate(order, start=1)}

"""Digests of the tables of a run, by which two readings of them are compared."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import pandas as pd

from bayes_alliance._messages import quote
from bayes_alliance.fit.provenance import Plain
from bayes_alliance.names import ID_ROLES
from bayes_alliance.run.ids import cell_text
from bayes_alliance.table.cells import id_text


def digest_columns(frames: Mapping[str, pd.DataFrame], ids: set[str], roles: Mapping[str, str]) -> dict[str, Plain]:
    """Return what tells tables apart: rows, names, a sha256 of each column but ids, and one of everything.

    Columns of ids have none of their own: who guesses a list of patients shall not be able to confirm it.

    Invariant: the order of rows in a file changes nothing.
    """
    found: dict[str, Plain] = {}
    for what, frame in frames.items():
        keys = [roles[role] for role in (*ID_ROLES, "session") if role in roles and roles[role] in frame.columns]
        texts = {c: id_text(frame[c]) if c in ids else frame[c].map(cell_text) for c in frame.columns}
        order = np.lexsort([texts[c].to_numpy(dtype=str) for c in [*sorted(texts), *reversed(keys)]])
        prints = {
            name: hashlib.sha256("\x1f".join(text.to_numpy(dtype=object)[order]).encode()).hexdigest()
            for name, text in texts.items()
        }
        found[what] = {
            "rows": len(frame),
            "columns": {name: None if name in ids else prints[name] for name in prints},
            "whole": hashlib.sha256("".join(prints[name] for name in sorted(prints)).encode()).hexdigest(),
        }
    return found


def tell_changes(before: Mapping[str, Plain], now: Mapping[str, Plain]) -> list[str]:
    """Return in sentences what differs between the digests of two readings; nothing where no cell does."""
    told = []
    for what in dict.fromkeys([*before, *now]):
        if what == "files":
            continue
        if what == "keys":
            told += _keys_changed(before.get(what), now.get(what))
            continue
        one, two = before.get(what), now.get(what)
        if not isinstance(one, dict) or not isinstance(two, dict):
            told.append(f"{what}: the table is {'gone' if one else 'new'}.")
            continue
        old, new = one["columns"], two["columns"]
        assert isinstance(old, dict)
        assert isinstance(new, dict)
        if one["rows"] != two["rows"]:
            told.append(f"{what}: {one['rows']:,} rows then, {two['rows']:,} now.")
        gone, come = [c for c in old if c not in new], [c for c in new if c not in old]
        for name in list(gone):
            same = [c for c in come if new[c] is not None and new[c] == old[name]]
            if same:
                told.append(f"{what}: column {name!r} is now called {same[0]!r}.")
                gone.remove(name)
                come.remove(same[0])
        told += [f"{what}: column {name!r} is gone." for name in gone]
        told += [f"{what}: column {name!r} is new." for name in come]
        changed = [name for name in old if name in new and old[name] != new[name]]
        if changed and one["rows"] == two["rows"]:
            told.append(f"{what}: values of {quote(changed)} differ.")
        if not told and one["whole"] != two["whole"]:
            told.append(f"{what}: identifiers differ, or which rows belong to which of them.")
    return told


def _keys_changed(before: Plain, now: Plain) -> list[str]:
    """Return which scores are worked out by another key, or are gone or new."""
    old, new = (one if isinstance(one, dict) else {} for one in (before, now))
    return [f"the scoring key of {name!r} is another one." for name in {**old, **new} if old.get(name) != new.get(name)]

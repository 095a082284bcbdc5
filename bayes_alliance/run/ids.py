"""Codes in place of identifiers, before anything is checked, fitted or said."""

from __future__ import annotations

import hashlib
import hmac
import re
import traceback
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from bayes_alliance._messages import is_number, withhold_cells
from bayes_alliance.errors import AllianceError, RunError
from bayes_alliance.table.cells import id_text
from bayes_alliance.table.files.missing_codes import MISSING_CODES

PACKAGE: Final = "bayes_alliance"


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


@contextmanager
def without_cells(doing: str) -> Iterator[None]:
    """Keep cells of text out of every message inside the block (or function): those of other libraries, too.

    A run's messages give column, row and length. Levels of a factor whose reference is stated are labels of results,
    and are shown in these.

    Raises
    ------
    RunError
        In place of an exception that is none of the package's: what kind it is and where it arose, without its text.
    """
    with withhold_cells():
        try:
            yield
        except AllianceError:
            raise
        except Exception as error:
            frames = traceback.extract_tb(error.__traceback__)
            own = [f"{Path(one.filename).name}, line {one.lineno}" for one in frames if PACKAGE in one.filename]
            why = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
            raise RunError(
                f"{type(error).__name__}{why} while {doing}, in {own[-1] if own else 'another library'}. Its text is "
                f"not shown, since it may quote cells; 'bayes-alliance check' with the same table and model shows it."
            ) from None


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


def find_named(texts: Iterable[str], ids: Iterable[str]) -> set[str]:
    """Return the texts that hold an identifier, or nearly one, whatever stands around it.

    Compared are words without case, accents, blanks and punctuation, in any order: of the id ``Dora Beispiel`` are
    found ``dora beispiel``, ``Beispiel, Dora`` and ``see Dora Beispiel``; of ``MR-0012`` also ``mr0012``. Numbers are
    no names, unless one of five digits or more stands inside a text. An id of fewer than four characters (three with
    letters and digits) is found where a text is nothing else. A misspelt name is not found.

    Parameters
    ----------
    texts : iterable of str
        Different cells.
    ids : iterable of str
        Identifiers of all roles.
    """
    exact: set[str] = set()
    whole: set[str] = set()
    by_word: dict[str, list[frozenset[str]]] = {}
    for one in ids:
        words = _words(one)
        joined = "".join(words)
        if not is_number(one):
            exact.add(one)
            whole.add(joined)
        if not joined:
            continue
        if len(joined) >= 4 + joined.isdigit() or (len(joined) == 3 and not joined.isalpha() and not joined.isdigit()):
            by_word.setdefault(max(words, key=len), []).append(frozenset(words))
            by_word.setdefault(joined, []).append(frozenset([joined]))
    found = set()
    for text in texts:
        if is_number(text):
            continue
        here = _words(text)
        known = set(here)
        if (
            text in exact
            or (here and "".join(here) in whole)
            or any(one <= known for word in known for one in by_word.get(word, ()))
        ):
            found.add(text)
    return found


def _words(text: str) -> list[str]:
    """Return the words of a text without case and accents."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return _WORDS.findall(plain.casefold())


_WORDS = re.compile(r"[^\W_]+")


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

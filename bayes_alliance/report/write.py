"""Reports of runs as files: HTML, Markdown, and Word or PDF where pandoc is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from bayes_alliance._messages import quote, unknown
from bayes_alliance.errors import RunError
from bayes_alliance.fit.store import replace_file
from bayes_alliance.report.compose import compose
from bayes_alliance.report.html import render_html
from bayes_alliance.report.markdown import render_markdown
from bayes_alliance.run.record import load_run

type Format = Literal["html", "md", "docx", "pdf"]
FORMATS: Final[tuple[Format, ...]] = ("html", "md", "docx", "pdf")

STEM: Final = "report"

PLAIN_MARKDOWN: Final = "markdown-smart-citations-superscript-subscript"
"""Pandoc's Markdown without what it would read into words: quotes, citations, raised and lowered letters."""


def write_report(
    run: str | Path, *, folder: str | Path | None = None, formats: Sequence[Format] = ("html", "md")
) -> dict[str, Path]:
    """Write the report of a finished run.

    Parameters
    ----------
    run : str or Path
        Folder of the run; not changed.
    folder : str or Path, optional
        Where the report is written; ``<run>-report`` beside the run unless stated.
    formats : sequence of {"html", "md", "docx", "pdf"}
        The last two are made by pandoc from the Markdown; PDF needs a LaTeX engine, too.

    Returns
    -------
    dict of str to Path
        What was written, by format.

    Raises
    ------
    RunError
        If the run is unfinished, failed or damaged (with what is missing), a format is unknown, pandoc is asked for
        and not there, or the folder cannot be written.
    """
    odd = [unknown("format", one, FORMATS) for one in formats if one not in FORMATS]
    if odd:
        raise RunError(odd)
    wanted = [one for one in ("docx", "pdf") if one in formats]
    pandoc = shutil.which("pandoc")
    if wanted and pandoc is None:
        raise RunError(
            f"{quote(wanted)} need pandoc, which is not installed. Install it (pandoc.org), or ask for 'html' and "
            f"'md': browsers print the first as PDF, and word processors open it."
        )
    found = load_run(run)
    document = compose(found)
    place = (
        Path(folder)
        if folder is not None
        else found.folder.resolve().with_name(f"{found.folder.resolve().name}-report")
    )
    if place.resolve().is_relative_to(found.folder.resolve()):
        raise RunError("A report must not lie in the run's folder, whose files are counted. Give another --out.")
    text, pictures = ("", {}) if set(formats) == {"html"} else render_markdown(document, "pictures")
    written: dict[str, Path] = {}
    try:
        place.mkdir(parents=True, exist_ok=True)
        if "html" in formats:
            written["html"] = place / f"{STEM}.html"
            _write(written["html"], render_html(document).encode())
        if "md" in formats:
            (place / "pictures").mkdir(exist_ok=True)
            for name, content in pictures.items():
                _write(place / "pictures" / name, content)
            written["md"] = place / f"{STEM}.md"
            _write(written["md"], text.encode())
        for one in wanted:
            written[one] = place / f"{STEM}.{one}"
            _write(written[one], _convert(str(pandoc), text, pictures, one))
    except OSError as error:
        raise RunError(f"{str(place)!r} cannot be written: {error.strerror}.") from None
    return written


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, for everybody to read: a report is made to be passed on."""
    replace_file(path, content)
    path.chmod(0o644)


def _convert(pandoc: str, text: str, pictures: dict[str, bytes], one: str) -> bytes:
    """Return the Markdown as Word or PDF."""
    with tempfile.TemporaryDirectory(prefix="bayes-alliance-report-") as temporary:
        folder = Path(temporary)
        (folder / "pictures").mkdir()
        for name, content in pictures.items():
            (folder / "pictures" / name).write_bytes(content)
        (folder / "report.md").write_text(text, encoding="utf-8")
        done = subprocess.run(
            [
                pandoc,
                "report.md",
                "--from",
                "markdown-smart-citations-superscript-subscript",
                "--output",
                f"report.{one}",
            ],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise RunError(f"pandoc could not make {one!r}: {done.stderr.strip() or 'no reason was given'}")
        return (folder / f"report.{one}").read_bytes()

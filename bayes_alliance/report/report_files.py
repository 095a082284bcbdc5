"""Reports of runs as files: HTML, Markdown, and Word or PDF where pandoc is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from bayes_alliance._messages import quote, unknown
from bayes_alliance.errors import FitError, RunError
from bayes_alliance.fit.store import write_artefact
from bayes_alliance.report.composition import compose
from bayes_alliance.report.html import render_html
from bayes_alliance.report.markdown import render_markdown
from bayes_alliance.run.record import load_run

type Format = Literal["html", "md", "docx", "pdf"]
FORMATS: Final[tuple[Format, ...]] = ("html", "md", "docx", "pdf")

CONVERTED: Final[tuple[Format, ...]] = ("docx", "pdf")
"""Formats that pandoc makes of the Markdown."""

STEM: Final = "report"

PICTURES: Final = "pictures"

FILES: Final = re.compile(rf"{STEM}\.({'|'.join(FORMATS)})|{PICTURES}/\w[\w.-]*\.png")
"""Names of the files of a report."""

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
        What was written, by format: those asked for, and those that the folder has of an earlier report, made again.
        All of them or none, whenever the process dies.

    Raises
    ------
    RunError
        If the run is unfinished, failed or damaged (with what is missing), a format is unknown, pandoc is asked for
        and not there, or the folder cannot be written.
    """
    odd = [unknown("format", one, FORMATS) for one in formats if one not in FORMATS]
    if odd:
        raise RunError(odd)
    pandoc = shutil.which("pandoc")
    wanted = [one for one in CONVERTED if one in formats]
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
    # a report is one thing: what else of it is there is of the same run, too
    chosen = [one for one in FORMATS if one in formats or (_is_there(place, one) and (pandoc or one not in CONVERTED))]
    text, pictures = ("", {}) if chosen == ["html"] else render_markdown(document, PICTURES)
    files: dict[str, bytes] = {}
    for one in chosen:
        match one:
            case "html":
                files[f"{STEM}.html"] = render_html(document).encode()
            case "md":
                files |= {f"{PICTURES}/{name}": content for name, content in pictures.items()}
                files[f"{STEM}.md"] = text.encode()
            case "docx" | "pdf":
                files[f"{STEM}.{one}"] = _convert(str(pandoc), text, pictures, one)
    try:
        # for everybody to read: a report is made to be passed on
        write_artefact(place, files, known=FILES, mode=0o644)
    except FitError as error:
        raise RunError(error.problems) from None
    return {one: place / f"{STEM}.{one}" for one in chosen}


def _is_there(place: Path, one: Format) -> bool:
    return (place / f"{STEM}.{one}").is_file()


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

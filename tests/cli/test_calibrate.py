"""The command that calibrates: verdict, files, what is refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from bayes_alliance.cli.app import app
from bayes_alliance.errors import SpecError

LAYOUT = """
[layout]
patients = 20
sessions = [0, 1, 2, 3]
therapists = 5
"""


def run(*arguments: str) -> tuple[int, str]:
    """Run the command line in this process."""
    done = CliRunner().invoke(app, ["calibrate", *arguments], catch_exceptions=True)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


@pytest.mark.slow
def test_calibrate_writes_table_ranks_and_picture(tmp_path: Path) -> None:
    """Twenty studies of a layout of one's own, on one process."""
    layout = tmp_path / "layout.toml"
    layout.write_text(LAYOUT)
    out = tmp_path / "out"
    code, said = run("growth/three-level", "--layout", str(layout), "--n", "20", "--workers", "1", "--out", str(out))
    assert code == 0, said
    assert "Calibrated: ranks of 8 quantities are uniform" in said
    assert "20 SYNTHETIC studies, collapsed engine" in said
    assert pd.read_csv(out / "ranks.csv").shape == (20, 8)
    assert list(pd.read_csv(out / "table.csv").columns)[:2] == ["quantity", "p_uniform"]
    assert (out / "ranks.png").read_bytes()[:4] == b"\x89PNG"


def test_what_is_refused(tmp_path: Path) -> None:
    """Unknown tables, models that come without a study, cards of one's own models, cards under other priors."""
    odd = tmp_path / "odd.toml"
    odd.write_text(LAYOUT + "[nothing]\n")
    with pytest.raises(SpecError, match="tables are layout, variables"):
        run("growth/three-level", "--layout", str(odd))
    with pytest.raises(SpecError, match="--card is for studies from the model's own priors"):
        run("growth/three-level", "--card", "--prior", "sd patient=half_normal(1)")
    model = tmp_path / "own.toml"
    model.write_text(
        'title = "t"\nquestion = "q?"\n[[equation]]\noutcome = "y"\nunit = "session"\n'
        'formula = "session + (1 | patient)"\n'
    )
    with pytest.raises(SpecError, match="--card is for registered models"):
        run(str(model), "--card")
    with pytest.raises(SpecError, match="comes without a study to calibrate it on; state one with --layout"):
        run(str(model))


@pytest.mark.slow
def test_calibrate_goes_on_from_a_cache(tmp_path: Path) -> None:
    """Ten studies, then twelve: the second call says how many it found."""
    layout = tmp_path / "layout.toml"
    layout.write_text(LAYOUT)
    asked = ("growth/three-level", "--layout", str(layout), "--workers", "1", "--cache", str(tmp_path / "kept"))
    _, first = run(*asked, "--n", "10")
    _, second = run(*asked, "--n", "12")
    assert "in the cache" not in first
    assert "12 SYNTHETIC studies" in second
    assert "- 10 studies were in the cache." in second

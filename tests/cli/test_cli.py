"""The command line as a person uses it: help, lists, checks, results, and bad input without a traceback."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.cli import app as cli
from bayes_alliance.fit import fit as fit_module
from bayes_alliance.spec.course import name_time
from bayes_alliance.spec.needs import list_needs
from bayes_alliance.spec.references import find_references
from bayes_alliance.spec.registry import model_names

ROLE_OPTIONS = "patient=pid,session=week,therapist=tid,outcome=score,condition=arm"


@pytest.fixture
def data(trial: pd.DataFrame, tmp_path: Path) -> str:
    """Write the small trial as CSV."""
    path = tmp_path / "trial.csv"
    trial.to_csv(path, index=False)
    return str(path)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["bayes-alliance", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


def test_models_lists_every_model(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The list names each registered model."""
    assert run(monkeypatch, "models") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in model_names())


@pytest.mark.parametrize("name", model_names())
def test_show_prints_equation_and_priors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Question, equation as written, LaTeX, needs, meanings of estimands, priors and whole references are there."""
    assert run(monkeypatch, "show", name) == 0
    shown = capsys.readouterr().out
    spec = ba.load_model(name)
    assert " ".join(spec.equation[0].formula.split()) in " ".join(shown.split())
    assert r"\begin{aligned}" in shown
    assert "half_student_t" in shown or "half_normal" in shown  # where a model states a prior of every SD
    words = " ".join(shown.split())
    assert all(need.name in shown for need in list_needs(spec))
    assert all(name_time(spec, "unit of time", "time").estimands[key].meaning in words for key in spec.estimands)
    assert not re.search(r"(?<!mathrm)\{(time|step|clock)\}", shown)
    assert all(f"- {reference.text}" in shown for reference in find_references(spec.references))


def test_check_describes_table_and_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: str
) -> None:
    """Check prints sizes, missing, priors in numbers, and says that the model can be fitted."""
    code = run(
        monkeypatch, "check", "growth/treatment", data, "--columns", ROLE_OPTIONS, "--reference", "condition=TAU",
        "--max", "session=6",
    )  # fmt: skip
    shown = capsys.readouterr().out
    assert code == 0
    assert "rows per patient" in shown
    assert "rows with week above 6 left out on request" in shown
    assert "b[score, week:arm[MBCT]]" in shown
    assert "Ready to fit" in shown


def test_fit_writes_summary_posterior_and_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: str, tmp_path: Path, small_fit: ba.Fit
) -> None:
    """Fit writes summary.csv, a fit that loads, and a picture; the verdict is the first line."""
    asked: dict[str, object] = {}

    def stand_in(spec: ba.ModelSpec, study: ba.Study[ba.SessionTable], **arguments: object) -> ba.Fit:
        asked.update(arguments, study=study)
        return small_fit

    monkeypatch.setattr(fit_module, "fit_model", stand_in)
    code = run(
        monkeypatch, "fit", "growth/treatment", data, "--columns", "patient=pid,session=week",
        "--columns", "outcome=score,condition=arm", "--reference", "condition=TAU", "--seed", "3", "--draws", "50",
        "--prior", "sd patient=half_normal(2)", "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert code == 0
    study = asked["study"]
    assert isinstance(study, ba.Study)
    assert study.columns == {"outcome": "score", "condition": "arm"}
    assert study.reference == {"condition": "TAU"}
    assert study.priors == {"sd patient": "half_normal(2)"}
    assert asked["seed"] == 3
    assert asked["settings"] == ba.SamplerSettings(draws=50)
    summary = pd.read_csv(tmp_path / "out" / "summary.csv")
    pd.testing.assert_frame_equal(summary, ba.summarize(small_fit))
    assert ba.load_fit(tmp_path / "out").checks == small_fit.checks
    assert (tmp_path / "out" / "trajectories.png").read_bytes()[:4] == b"\x89PNG"
    assert capsys.readouterr().out.startswith("Sampling ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "growth/treatmnt"], "Did you mean 'growth/treatment'"),
        (
            ["check", "growth/treatment", "DATA", "--columns", "patient=pid,session=week,outcome=scor"],
            "Did you mean 'score'",
        ),
        (["check", "growth/treatment", "DATA", "--columns", "patient=PID"], "Did you mean 'pid'"),
        (["check", "growth/treatment", "DATA", "--columns", "patient"], "is not written as name=value"),
        (["check", "growth/treatment", "DATA", "--columns", "patient=pid,patient=tid"], "names 'patient' twice"),
        (["check", "growth/treatment", "no.csv", "--columns", "patient=pid"], "No file at"),
        (["check", "growth/treatment", "DATA", "--columns", ROLE_OPTIONS], "levels without a stated order"),
        (["check", "growth/treatment", "DATA", "--columns", ROLE_OPTIONS, "--max", "session=x"], "a number is needed"),
        (["check", "growth/treatment", "DATA", "--columns", "patient=pid,therapist=week"], "2 problems"),
        (
            ["fit", "growth/treatment", "DATA", "--columns", ROLE_OPTIONS, "--seed", "1", "--out", "x", "--draws", "0"],
            "draws must be a whole number",
        ),
    ],
)
def test_bad_input_ends_with_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: str, arguments: list[str], message: str
) -> None:
    """Bad input prints the collected problems and exits with 2."""
    assert run(monkeypatch, *[data if a == "DATA" else a for a in arguments]) == 2
    assert message in capsys.readouterr().err


def test_no_traceback_reaches_the_terminal(data: str) -> None:
    """The installed command ends with code 2 and no traceback."""
    command = [
        sys.executable,
        "-m",
        "bayes_alliance.cli",
        "check",
        "growth/treatment",
        data,
        "--columns",
        "patient=PID",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("TableError: ")


def test_usage_errors_end_with_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    """An option that is missing is a usage error of the same code."""
    assert run(monkeypatch, "fit", "growth/treatment", "x.csv") == 2


def test_help_speaks_to_a_statistician(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Help names what each option means."""
    monkeypatch.setenv("COLUMNS", "160")
    assert run(monkeypatch, "fit", "--help") == 0
    shown = capsys.readouterr().out
    for option in ("--columns", "--reference", "--min", "--max", "--only", "--out", "--seed", "--draws", "--engine"):
        assert option in shown


def test_a_model_without_predictors_still_writes_its_results(
    monkeypatch: pytest.MonkeyPatch, data: str, tmp_path: Path, small_fit: ba.Fit
) -> None:
    """Where rows are not at hand, summary and fit are written all the same, with the pictures of the draws alone."""
    monkeypatch.setattr(fit_module, "fit_model", lambda *_, **__: replace(small_fit, design=None))
    columns = ["--columns", ROLE_OPTIONS, "--seed", "1", "--out", str(tmp_path / "out")]
    assert run(monkeypatch, "fit", "growth/treatment", data, *columns) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    pictures = ["variance-shares.png"]
    assert names == [".lock", "fit.json", "manifest.json", "posterior.nc", "summary.csv", *pictures]
    assert ba.load_fit(tmp_path / "out").verdict == small_fit.verdict


def test_a_folder_that_cannot_be_written_is_found_before_sampling(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: str
) -> None:
    """--out naming a file ends with code 2 before anything is fitted."""
    monkeypatch.setattr(fit_module, "fit_model", lambda *_, **__: pytest.fail("sampling was started"))
    code = run(monkeypatch, "fit", "growth/treatment", data, "--columns", ROLE_OPTIONS, "--seed", "1", "--out", data)
    assert code == 2
    assert "cannot be written" in capsys.readouterr().err


def test_levels_with_commas_can_be_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], trial: pd.DataFrame, tmp_path: Path
) -> None:
    """A level that holds a comma is one level."""
    path = tmp_path / "c.csv"
    trial.assign(arm=trial["arm"].replace("MBCT", "MBCT, online")).to_csv(path, index=False)
    options = ["--columns", ROLE_OPTIONS, "--reference", "condition=MBCT, online"]
    assert run(monkeypatch, "check", "growth/treatment", str(path), *options) == 0
    assert "arm[TAU]" in capsys.readouterr().out


def test_a_course_is_chosen_on_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: str
) -> None:
    """In show and check; an unknown one is refused."""
    assert run(monkeypatch, "show", "growth/treatment", "--course", "log") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "log(time + 1):condition" in shown
    assert "The session number, unless a column is named." in shown
    columns = "patient=pid,session=week,outcome=score,condition=arm"
    arguments = ("growth/treatment", data, "--columns", columns, "--reference", "condition=TAU")
    assert run(monkeypatch, "check", *arguments, "--course", "piecewise") == 0
    assert "the line bends at" in capsys.readouterr().out
    assert run(monkeypatch, "check", *arguments, "--course", "cubic") == 2
    assert "'cubic' is no course" in " ".join(capsys.readouterr().err.split())


def test_surfaces_are_printed_and_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Parameters with the principal axis, the checklist of papers and a picture; one per arm where arms differ."""
    rng = np.random.default_rng(5)
    n = 160
    pair = rng.multivariate_normal([4, 4], [[1, 0.4], [0.4, 1]], n)
    frame = pd.DataFrame({"pid": [f"p{i}" for i in range(n)], "arm": np.where(np.arange(n) % 2, "B", "A")})
    frame[["x", "y"]] = pair.round(2)
    frame["z"] = (8 - 0.5 * (frame["x"] - frame["y"]) ** 2 + rng.normal(0, 1, n)).round(2)
    frame.to_csv(tmp_path / "pairs.csv", index=False)
    model = tmp_path / "model.toml"
    model.write_text(
        'title = "x"\nquestion = "y"\n[[equation]]\noutcome = "z"\nunit = "patient"\nformula = "arm * surface(x, y)"\n',
        encoding="utf-8",
    )
    out = tmp_path / "out"
    code = run(
        monkeypatch, "fit", str(model), str(tmp_path / "pairs.csv"), "--columns", "patient=pid", "--reference",
        "arm=A", "--seed", "1", "--out", str(out),
    )  # fmt: skip
    shown = capsys.readouterr().out
    assert code == 0
    assert "Response surface, arm = A" in shown
    assert "Response surface, arm = B" in shown
    assert "strict congruence (all six)" in shown
    surface = pd.read_csv(out / "surface.csv")
    assert set(surface["surface"]) == {"arm = A", "arm = B"}
    assert {"p10", "p11"} <= set(surface["name"])
    checklist = pd.read_csv(out / "congruence-checklist.csv")
    assert (checklist.groupby("surface").size() == 8).all()
    assert len(list(out.glob("surface-*.png"))) == 2

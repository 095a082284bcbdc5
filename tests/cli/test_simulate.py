"""simulate and demo as a person runs them."""

from __future__ import annotations

import shlex
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.cli import app as cli
from bayes_alliance.cli import demo as demo_module
from bayes_alliance.fit import fit as fit_module

LAYOUT = """
[layout]
patients = 30
sessions = [1, 2, 3, 4]
arms = { TAU = 15, CBT = 15 }

[truth]
"b[outcome, Intercept]" = 20.0
"b[outcome, session]" = -1.0
"b[outcome, condition[CBT]]" = 0.0
"b[outcome, session:condition[CBT]]" = -0.5
"sd_patient[outcome, Intercept]" = 3.0
"sd_patient[outcome, session]" = 0.4
"cor_patient[outcome, Intercept | outcome, session]" = 0.0
"sigma[outcome]" = 2.0
"""


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["bayes-alliance", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)


@pytest.fixture
def layout_file(tmp_path: Path) -> Path:
    """Write a layout with its truth."""
    path = tmp_path / "layout.toml"
    path.write_text(LAYOUT)
    return path


def test_a_file_gives_a_table_and_its_truth(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], layout_file: Path, tmp_path: Path
) -> None:
    """The table can be read back; the truth is TOML labelled synthetic."""
    out = tmp_path / "made" / "data.csv"
    assert run(monkeypatch, "simulate", "growth/treatment", "--layout", str(layout_file), "--out", str(out)) == 0
    assert len(pd.read_csv(out)) == 120
    text = out.with_suffix(".truth.toml").read_text()
    assert text.startswith("# SYNTHETIC")
    assert tomllib.loads(text)["truth"] == tomllib.loads(LAYOUT)["truth"]
    assert "SYNTHETIC" in capsys.readouterr().out


def test_the_command_it_prints_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What simulate says to run next is accepted, options and quotes included."""
    out = tmp_path / "data.csv"
    model = "outcome/two-outcomes"
    assert run(monkeypatch, "simulate", model, "--layout", "embct-mbct", "--out", str(out), "--seed", "4") == 0
    command = next(
        line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("bayes-alliance fit")
    )
    words = shlex.split(command)[1:]
    words = ["check", *words[1 : words.index("--seed")]]
    assert run(monkeypatch, *words) == 0
    assert "Ready to fit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["growth/treatment", "--layout", "embct"], "Did you mean 'embct-mbct'"),
        (["growth/treatment", "--layout", "mbct-groups"], "it has them for outcome/group-process"),
        (["growth/treatment", "--layout", "none.toml"], "cannot be read"),
        (["growth/treatmnt", "--layout", "embct-mbct"], "growth/treatment"),
        (["growth/three-level", "--layout", "FILE"], "groups rows by 'therapist'"),
        (["growth/treatment", "--layout", "EMPTY"], "layout required"),
    ],
)
def test_bad_input_ends_with_code_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    layout_file: Path,
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    """Nothing is written, and the message says what to do."""
    empty = tmp_path / "empty.toml"
    empty.write_text("[truth]\n")
    given = {"FILE": str(layout_file), "EMPTY": str(empty)}
    words = [given.get(word, word) for word in arguments]
    assert run(monkeypatch, "simulate", *words, "--out", str(tmp_path / "x.csv")) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x.csv").exists()


@pytest.fixture(scope="module")
def quick_demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """Run the demo with few draws; the full one is a slow test."""
    out = tmp_path_factory.mktemp("demo")
    fit_model = fit_module.fit_model

    def short(*arguments: object, **named: object) -> ba.Fit:
        named["settings"] = ba.SamplerSettings(draws=100, tune=200, chains=2, progress="off")
        return fit_model(*arguments, **named)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit_module, "fit_model", short)
        code = run(patch, "demo", "--out", str(out))
    return out, code


def test_demo_writes_table_truth_and_pictures(quick_demo: tuple[Path, int]) -> None:
    """Everything it promises is there."""
    out, _ = quick_demo
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert {
        "trial.csv",
        "trial.truth.toml",
        "growth-treatment/trajectories.png",
        "growth-treatment/summary.csv",
    } <= names
    assert {"outcome-two-outcomes/effects-hads_post.png", "outcome-two-outcomes/variance-shares.png"} <= names
    assert pd.read_csv(out / "trial.csv")["patient"].nunique() == 245


def test_demo_says_when_sampling_failed(quick_demo: tuple[Path, int]) -> None:
    """So few draws cannot pass; the exit code says so."""
    assert quick_demo[1] == 1


@pytest.mark.slow
def test_demo_finds_the_truth(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The demo as it is passes every check, and most intervals hold the truth."""
    assert run(monkeypatch, "demo", "--out", str(tmp_path / "d")) == 0
    shown = capsys.readouterr().out
    assert shown.count("Sampling passed all 4 checks.") == len(demo_module.MODELS)
    assert shown.count("missed") <= 5
    assert "SYNTHETIC" in shown


@pytest.mark.parametrize(
    ("model", "names", "dropped"),
    [("growth/treatment", '{ condition = "arm" }', ()), ("growth/three-level", "{}", (2, 3))],
)
def test_the_printed_command_names_the_condition_where_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    model: str,
    names: str,
    dropped: tuple[int, ...],
) -> None:
    """A renamed condition, another reference, and a model without a condition all give a command that works."""
    own = [line for i, line in enumerate(LAYOUT.split("[truth]")[1].strip().splitlines()) if i not in dropped]
    if dropped:
        own.append('"sd_therapist[outcome, Intercept]" = 1.0')
    else:
        own = [line.replace("condition[CBT]", "arm[TAU]") for line in own]
    head = LAYOUT.split("[truth]")[0] + f"therapists = {6 if dropped else 0}\nnames = {names}\n"
    reference = "" if dropped else '[reference]\ncondition = "CBT"\n'
    layout = tmp_path / "own layout.toml"
    layout.write_text(head + reference + "[truth]\n" + "\n".join(own))
    out = tmp_path / "my data.csv"
    assert run(monkeypatch, "simulate", model, "--layout", str(layout), "--out", str(out)) == 0
    shown = capsys.readouterr().out
    command = next(line for line in shown.splitlines() if "bayes-alliance fit" in line)
    words = shlex.split(command)[1:]
    assert ("condition=CBT" in words) is not bool(dropped)
    assert run(monkeypatch, "check", *words[1 : words.index("--seed")]) == 0


def test_a_file_that_cannot_be_written_is_an_error_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], layout_file: Path, tmp_path: Path
) -> None:
    """A folder that is a file ends with code 2, not with a traceback."""
    out = tmp_path / "layout.toml" / "data.csv"
    assert run(monkeypatch, "simulate", "growth/treatment", "--layout", str(layout_file), "--out", str(out)) == 2
    assert "cannot be written" in capsys.readouterr().err

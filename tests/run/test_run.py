"""Runs and reruns: what is in the folder, what is not, and how draws agree."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from bayes_alliance.errors import AllianceError, DesignError, FitError, RunError, TableError
from bayes_alliance.fit import store
from bayes_alliance.fit.fit import fit_model
from bayes_alliance.fit.settings import SamplerSettings
from bayes_alliance.plot.pictures import file_names
from bayes_alliance.run.agreement import tell_differences
from bayes_alliance.run.execution import run_analysis
from bayes_alliance.run.record import FITS, RECORD, Run, load_run
from bayes_alliance.run.rerun import rerun
from bayes_alliance.spec.registry import load_model
from bayes_alliance.study import Study
from bayes_alliance.table.sessions import read_sessions
from tests.run.conftest import ANALYSIS, PLANTED, planted_rows, write_study

ONE = ANALYSIS[: ANALYSIS.index('[[model]]\nname = "models/own.toml"')] + "[report]\npictures = false\nchecks = false\n"
"""The analysis with one model and without pictures: a second to run."""


def every_byte(folder: Path) -> bytes:
    """Return the content and names of all files in a folder, and the labels and records in those that are packed."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    content = b"\0".join(path.read_bytes() + str(path.relative_to(folder)).encode() for path in files)
    labels = []
    for label in load_run(folder).labels:
        for node in load_run(folder).fit(label).data.subtree:
            labels += [" ".join(map(str, array.values.ravel())) for array in node.coords.values()]
            labels.append(repr(node.attrs))
    return content + " ".join(labels).encode()


def spellings(planted: str) -> list[bytes]:
    """Return how an identifier could stand in a file."""
    return [planted.encode(), planted.encode("utf-16-le"), json.dumps(planted).strip('"').encode()]


def test_what_is_in_the_folder(finished: Run) -> None:
    """Spec text, fingerprints, priors, settings, seed, versions, environment, draws, tables, pictures, log."""
    record = finished.record
    names = {path.relative_to(finished.folder).as_posix() for path in finished.folder.rglob("*")}
    assert {"analysis.toml", "run.json", "log.txt", "requirements.txt", "environment.yml", "model-own.toml"} <= names
    assert {"fits/main/posterior.nc", "results/main/summary.csv", "results/own/estimands.csv"} <= names
    assert {"results/main/trajectories.png", "results/own/estimands.png", "comparison-1.csv"} <= names
    assert record["state"] == "complete"
    assert record["rows_read"] == 160
    assert record["counts"] == {"patient": 40, "therapist": 10, "session": 4}
    assert record["models"]["main"]["provenance"]["priors"]
    assert record["versions"]["packages"]["pymc"]
    assert (finished.folder / "analysis.toml").read_text() == ANALYSIS
    assert finished.passed


def test_the_numbers_are_those_of_the_same_fit_in_a_notebook(finished: Run, study: Path) -> None:
    """Codes in place of ids change the order of levels, and no estimate beyond Monte Carlo error."""
    sessions = read_sessions(study.parent / "sessions.csv", {"patient": "who", "therapist": "whom", "session": "week"})
    fit = fit_model(
        load_model("growth/treatment"),
        Study(sessions, columns={"outcome": "score", "condition": "arm"}, reference={"condition": "TAU"}),
        seed=11,
        settings=SamplerSettings(draws=500, progress="off"),
    )
    ours, theirs = finished.fit("main").data["posterior"]["b"], fit.data["posterior"]["b"]
    apart = np.abs(ours.mean(("chain", "draw")) - theirs.mean(("chain", "draw"))) / theirs.std(("chain", "draw"))
    assert float(apart.max()) < 4 * np.sqrt(2 / 1500)


def test_no_identifier_is_in_any_file(finished: Run) -> None:
    """Fifty planted ones, searched byte by byte, in three spellings, and in labels of packed arrays."""
    content = every_byte(finished.folder)
    assert b"patient-001" in content
    assert [planted for planted in PLANTED if any(form in content for form in spellings(planted))] == []
    assert b"note of" not in content


@pytest.mark.parametrize("fault", ["repeated", "changed", "outside"])
def test_no_identifier_is_in_an_error(tmp_path: Path, fault: str) -> None:
    """Rows that repeat, patients of two therapists, scores off the scale: told by code and row."""
    rows = planted_rows()
    analysis = ANALYSIS.replace("[columns]", "[data.bounds]\nscore = [-100, 100]\n\n[columns]")
    if fault == "repeated":
        rows = pd.concat([rows, rows.iloc[:12]])
    elif fault == "changed":
        rows.loc[rows["week"] == 4, "whom"] = "Dr. Secret AAA"
    else:
        rows.loc[3, "score"] = 999
    with pytest.raises(TableError) as found:
        run_analysis(write_study(tmp_path, rows, analysis))
    assert [planted for planted in PLANTED if planted in str(found.value)] == []
    assert ("patient-" in str(found.value)) == (fault != "outside")


def test_ids_that_look_alike_are_told_by_code(tmp_path: Path) -> None:
    """The note says there are two, not who."""
    rows = planted_rows().replace({"who": {"Planted-Name-08": "planted-name-07"}})
    told: list[str] = []
    run_analysis(write_study(tmp_path, rows, ONE), progress="off", tell=told.append)
    notes = [text for text in told if "differ only in blanks, case" in text]
    assert len(notes) == 1
    assert "lanted" not in notes[0]
    assert "'patient-" in notes[0]


def test_the_key_is_separate_and_private(tmp_path: Path) -> None:
    """It is written only on request, outside the folder, for its owner alone; codes say nothing of the alphabet."""
    analysis = write_study(tmp_path, analysis=ONE)
    with pytest.raises(RunError, match="must not lie in the run's folder"):
        run_analysis(analysis, key=tmp_path / "analysis-run" / "key.csv", progress="off")
    run_analysis(analysis, key=tmp_path / "key.csv", progress="off")
    key = pd.read_csv(tmp_path / "key.csv")
    assert set(key["id"]) == set(PLANTED)
    assert (tmp_path / "key.csv").stat().st_mode & 0o077 == 0
    patients = key[key["role"] == "patient"].sort_values("code")["id"].tolist()
    assert patients != sorted(patients)


def test_a_rerun_is_bit_identical(finished: Run, tmp_path: Path) -> None:
    """The same machine and versions; the order of rows in the file does not matter."""
    again = rerun(finished.folder, progress="off")
    assert again.level == "bit-identical"
    assert again.differences == ()
    shuffled = write_study(tmp_path, planted_rows().sample(frac=1, random_state=3))
    assert rerun(finished.folder, data=shuffled.parent, progress="off").level == "bit-identical"


def test_another_seed_is_statistically_identical(finished: Run) -> None:
    """And named as what differs."""
    again = rerun(finished.folder, seed=12, progress="off")
    assert again.level == "statistically identical"
    assert again.differences == ("seed: 11 then, 12 now",)
    assert 0 < max(one.worst for one in again.agreed.values()) < 4


def test_other_draws_are_different(finished: Run, tmp_path: Path) -> None:
    """A coefficient moved by half an SD is found and named, with how many errors it is off."""
    from dataclasses import replace

    from bayes_alliance.run.agreement import compare_fits

    fit = finished.fit("main")
    tree = fit.data.copy()
    posterior = tree["posterior"].to_dataset()
    moved = posterior["b"].copy(data=posterior["b"].values.copy())
    moved[..., 1] += 0.5 * float(moved[..., 1].std())
    tree["posterior"] = posterior.assign(b=moved)
    other = replace(fit, data=tree)
    assert compare_fits(fit, fit).level == "bit-identical"
    found = compare_fits(fit, other)
    assert found.level == "different"
    assert "Monte Carlo errors apart" in found.why[0]
    assert "b[" in found.why[0]


def test_an_estimand_that_never_varies_is_compared(finished: Run) -> None:
    """It has no Monte Carlo error, and no line of its own."""
    from dataclasses import replace

    from bayes_alliance.run.agreement import compare_fits

    fit = finished.fit("own")
    tree, other = fit.data.copy(), fit.data.copy()
    estimands = tree["estimands"].to_dataset()
    tree["estimands"] = estimands.assign(
        value=estimands["value"] * 0 + 1.0, constant=estimands["constant"].copy(data=[True])
    )
    posterior = other["posterior"].to_dataset()
    other["posterior"] = posterior.assign(b=posterior["b"] + 1e-9)
    other["estimands"] = tree["estimands"].to_dataset()
    found = compare_fits(replace(fit, data=tree), replace(fit, data=other))
    assert found.level == "statistically identical"
    assert "difference_in_growth" not in str(found.table)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda rows: rows.assign(score=rows["score"].where(rows.index != 5, 4.2)), "values of 'score' differ"),
        (lambda rows: rows.iloc[1:], "160 rows then, 159 now"),
        (lambda rows: rows.replace({"who": {"a b c d e": "somebody else"}}), "identifiers differ"),
    ],
)
def test_changed_rows_are_refused(finished: Run, tmp_path: Path, change: object, sentence: str) -> None:
    """With what differs."""
    analysis = write_study(tmp_path, change(planted_rows()))  # type: ignore[operator]
    with pytest.raises(RunError, match=sentence):
        rerun(finished.folder, data=analysis.parent, progress="off")


def test_a_renamed_column_is_refused(finished: Run, tmp_path: Path) -> None:
    """A role by its error, a column by its new name."""
    analysis = write_study(tmp_path / "one", planted_rows().rename(columns={"whom": "therapist"}))
    with pytest.raises(RunError, match=r"(?s)cannot be repeated.*No column 'whom' to play 'therapist'"):
        rerun(finished.folder, data=analysis.parent, progress="off")
    from bayes_alliance.run.row_digests import tell_changes

    digests = [{"data": {"rows": 3, "columns": {"who": "a", name: "b"}}} for name in ("score", "points")]
    assert tell_changes(*digests) == ["data: column 'score' is now called 'points'."]


def test_what_did_not_change_is_not_fitted_again(tmp_path: Path) -> None:
    """A model more is one fit more; another folder needs --replace; a model less is gone from the folder."""
    analysis = write_study(tmp_path, analysis=ONE)
    first = run_analysis(analysis, progress="off")
    when = (first.folder / FITS / "main" / "posterior.nc").stat().st_mtime_ns
    more = ANALYSIS.replace("[[comparison]]", "[report]\nchecks = false\npictures = false\n\n[[comparison]]")
    write_study(tmp_path, analysis=more)
    with pytest.raises(RunError, match=r"holds a run of another analysis file.*--replace"):
        run_analysis(analysis, progress="off")
    told: list[str] = []
    second = run_analysis(analysis, replace_old=True, progress="off", tell=told.append)
    assert second.labels == ("main", "own")
    assert "main: answered from the run's folder; the question is the same." in told
    assert (first.folder / FITS / "main" / "posterior.nc").stat().st_mtime_ns == when
    write_study(tmp_path, analysis=ONE)
    assert run_analysis(analysis, replace_old=True, progress="off").labels == ("main",)
    assert not (first.folder / FITS / "own").exists()


def test_an_unfinished_run_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run stopped between two models says which of them is there, and goes on from it."""
    analysis = write_study(tmp_path, analysis=ANALYSIS + "\n[report]\nchecks = false\npictures = false\n")
    from bayes_alliance.run import execution

    fit, calls = execution.fit_design, []

    def stopped(*args: object, **named: object) -> object:
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return fit(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(execution, "fit_design", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_analysis(analysis, progress="off")
    with pytest.raises(RunError, match=r"(?s)unfinished.*Fitted: 'main'; not fitted: 'own'.*goes on from there"):
        load_run(tmp_path / "analysis-run")
    monkeypatch.undo()
    told: list[str] = []
    assert run_analysis(analysis, progress="off", tell=told.append).passed
    assert "main: answered from the run's folder; the question is the same." in told


def test_a_full_disk_is_told_and_leaves_nothing_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each write in turn: a clean error, and no run that could be read; then it goes on."""
    analysis = write_study(tmp_path, analysis=ONE)
    write = store.replace_file
    for full in range(40):
        calls: list[int] = []

        def failing(path: Path, content: bytes, *, mode: int | None = None, full: int = full, calls=calls) -> None:  # type: ignore[no-untyped-def]
            calls.append(1)
            if len(calls) > full:
                raise OSError(28, "No space left on device")
            write(path, content, mode=mode)

        monkeypatch.setattr(store, "replace_file", failing)
        try:
            run_analysis(analysis, progress="off")
            break
        except FitError as error:
            told = str(error)
        assert "No space left on device" in told
        with pytest.raises(RunError):
            load_run(tmp_path / "analysis-run")
    else:
        pytest.fail("the run never had enough writes")
    assert full > 10
    assert load_run(tmp_path / "analysis-run").passed


def test_two_runs_on_one_folder(finished: Run, study: Path) -> None:
    """The second is told."""
    with (
        FileLock(finished.folder / ".run.lock"),
        pytest.raises(RunError, match="Another process runs an analysis in 'analysis-run'"),
    ):
        run_analysis(study, progress="off")


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    """Nothing of them is touched."""
    analysis = write_study(tmp_path, analysis=ONE)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match="holds other files"):
        run_analysis(analysis, folder=tmp_path / "mine", progress="off")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("name", ["fits/main/posterior.nc", "results/own/summary.csv", "analysis.toml", "run.json"])
def test_a_changed_file_is_found(finished: Run, tmp_path: Path, name: str) -> None:
    """One bit of any file."""
    copy = tmp_path / "copy"
    shutil.copytree(finished.folder, copy)
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(bytes(content))
    with pytest.raises(RunError, match="changed or damaged"):
        load_run(copy)


def test_what_is_no_run_is_refused(finished: Run, tmp_path: Path) -> None:
    """No folder, a fit instead of a run, and a run of a newer version."""
    with pytest.raises(RunError, match="holds no run"):
        load_run(tmp_path)
    with pytest.raises(RunError, match="holds something else than a run"):
        load_run(finished.folder / FITS / "main")
    files = store.read_artefact(finished.folder)
    record = {**json.loads(files[RECORD]), "format": 99}
    store.write_artefact(tmp_path / "newer", {**files, RECORD: json.dumps(record).encode()})
    with pytest.raises(RunError, match=r"written by a newer version \(format 99"):
        load_run(tmp_path / "newer")


def test_cells_that_a_spreadsheet_would_run_are_quoted() -> None:
    """A label that begins with an equals sign stays text."""
    from bayes_alliance.fit.spreadsheet import csv_bytes

    assert csv_bytes([{"name": "=cmd()", "mean": 1.5}]).decode() == "name,mean\n'=cmd(),1.5\n"


def test_a_failed_fit_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder says so, with the reason."""
    from bayes_alliance.run import execution

    def failing(*_: object, **__: object) -> object:
        raise FitError("The sampler could not run: none.")

    monkeypatch.setattr(execution, "fit_design", failing)
    with pytest.raises(AllianceError):
        run_analysis(write_study(tmp_path, analysis=ONE), progress="off")
    with pytest.raises(RunError, match=r"(?s)failed.*The sampler could not run"):
        load_run(tmp_path / "analysis-run")


def test_names_of_columns_that_are_no_names_of_files(tmp_path: Path) -> None:
    """Signs a file's name cannot have are left out, and two columns never share a picture."""
    rows = planted_rows().rename(columns={"score": "PHQ: sum"})
    text = ONE.replace('"score"', '"PHQ: sum"').replace("pictures = false", "pictures = true")
    run = run_analysis(write_study(tmp_path, rows, text), progress="off")
    assert "prior-PHQ__sum.png" in run.pictures("main")
    assert file_names(["a b", "a_b", "A_b", "c"]) == {"a b": "a_b", "a_b": "a_b-2", "A_b": "A_b-3", "c": "c"}


def test_a_finished_run_is_not_replaced_by_other_rows(tmp_path: Path) -> None:
    """Unless it is asked for; what changed is said."""
    analysis = write_study(tmp_path, analysis=ONE)
    first = run_analysis(analysis, progress="off").record["fingerprint"]
    write_study(tmp_path, planted_rows().assign(score=lambda d: d["score"].where(d.index != 5, 4.2)), ONE)
    with pytest.raises(RunError, match=r"values of 'score' differ.*--replace"):
        run_analysis(analysis, progress="off")
    assert load_run(tmp_path / "analysis-run").record["fingerprint"] == first
    assert run_analysis(analysis, replace_old=True, progress="off").record["fingerprint"] != first


def test_replace_does_not_touch_what_is_no_run(tmp_path: Path, finished: Run) -> None:
    """A stored fit has a manifest, too."""
    shutil.copytree(finished.folder / FITS / "main", tmp_path / "myfit")
    with pytest.raises(RunError, match="holds something else than a run"):
        run_analysis(write_study(tmp_path, analysis=ONE), folder=tmp_path / "myfit", replace_old=True, progress="off")
    assert (tmp_path / "myfit" / "posterior.nc").exists()


def test_a_key_never_takes_the_place_of_another_file(tmp_path: Path) -> None:
    """The table is there after it was named by mistake; a key may be written again."""
    analysis = write_study(tmp_path, analysis=ONE)
    before = (tmp_path / "sessions.csv").read_bytes()
    with pytest.raises(RunError, match="is there and is no key"):
        run_analysis(analysis, key=tmp_path / "sessions.csv", progress="off")
    assert (tmp_path / "sessions.csv").read_bytes() == before
    for _ in range(2):
        run_analysis(analysis, key=tmp_path / "key.csv", progress="off")


def test_a_rerun_that_is_kept_is_one_thing(finished: Run, tmp_path: Path) -> None:
    """Its file says the seed it was run with, so that it can be repeated; it lies outside the run."""
    again = rerun(finished.folder, seed=12, out=tmp_path / "again", progress="off")
    assert again.now is not None
    assert again.now.analysis.seed == 12 == again.now.record["seed"]
    assert rerun(tmp_path / "again", data=finished.folder.parent, progress="off").level == "bit-identical"
    (tmp_path / "file").write_text("mine")
    for out, sentence in (
        (finished.folder / "sub", "must not lie in the run's folder"),
        (tmp_path / "file", "no empty"),
    ):
        with pytest.raises(RunError, match=sentence):
            rerun(finished.folder, out=out, progress="off")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            ("[report]", '[[comparison]]\nmodels = ["main", "own"]\nunit = "site"\n\n[report]'),
            "comparison of 'main', 'own'",
        ),
        (
            ("[report]", '[[comparison]]\nmodels = ["main", "own"]\noutcomes = ["nope"]\n\n[report]'),
            "Unknown outcome 'nope'",
        ),
    ],
)
def test_comparisons_are_checked_before_anything_is_fitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str], sentence: str
) -> None:
    """Units and outcomes that are not there."""
    from bayes_alliance.run import execution

    monkeypatch.setattr(execution, "fit_design", lambda *_, **__: pytest.fail("something was fitted"))
    text = ANALYSIS[: ANALYSIS.index("[[comparison]]")] + "[report]\nchecks = false\n"
    with pytest.raises(DesignError, match=sentence):
        run_analysis(write_study(tmp_path, analysis=text.replace(*change)), progress="off")


def test_rows_without_a_therapist_are_no_therapist(tmp_path: Path) -> None:
    """Counts are of those who are there."""
    rows = planted_rows()
    rows.loc[rows["who"] == "a b c d e", "whom"] = ""
    own = ONE.replace('name = "growth/treatment"\nlabel = "main"', 'name = "models/own.toml"\nlabel = "main"')
    assert run_analysis(write_study(tmp_path, rows, own), progress="off").record["counts"]["therapist"] == 10


def test_models_can_share_rows_to_be_compared(tmp_path: Path) -> None:
    """One that needs the session before loses first sessions; the other, told to share, loses them too, and says so."""
    lagged = ANALYSIS.replace("[[comparison]]", "[report]\nchecks = false\npictures = false\n\n[[comparison]]").replace(
        'name = "growth/treatment"\nlabel = "main"', 'name = "models/lag.toml"\nlabel = "main"'
    )
    path = write_study(tmp_path, analysis=lagged)
    own = (tmp_path / "models" / "own.toml").read_text()
    lag = own.replace("session * condition", "session * condition + lag(outcome)")
    (tmp_path / "models" / "lag.toml").write_text(lag)
    with pytest.raises(DesignError, match=r"they would predict other rows.*shared_rows"):
        run_analysis(path, progress="off")
    path.write_text(lagged.replace("[data]", "[data]\nshared_rows = true"))
    run = run_analysis(path, progress="off")
    used = {label: one["provenance"]["rows_used"]["score"] for label, one in run.record["models"].items()}
    assert used == {"main": 120, "own": 120}
    assert "own: 40 rows left out, which another model cannot use." in run.record["messages"]
    assert rerun(run.folder, progress="off").level == "bit-identical"


def test_a_rerun_looks_at_the_stated_digest_last(tmp_path: Path) -> None:
    """Other values are told by column; the same rows in another order are another file than was stated."""
    from hashlib import sha256

    path = write_study(tmp_path, analysis=ONE)
    digest = sha256((tmp_path / "sessions.csv").read_bytes()).hexdigest()
    path.write_text(ONE.replace('"sessions.csv"', f'"sessions.csv"\nsha256 = "{digest}"'))
    run = run_analysis(path, progress="off")
    planted_rows().assign(score=1.5).to_csv(tmp_path / "sessions.csv", index=False)
    with pytest.raises(RunError, match="values of 'score' differ"):
        rerun(run.folder, progress="off")
    planted_rows().iloc[::-1].to_csv(tmp_path / "sessions.csv", index=False)
    with pytest.raises(TableError, match="is not the file that the analysis states"):
        rerun(run.folder, progress="off")


def test_settings_left_to_the_model_are_no_difference(finished: Run) -> None:
    """A run that stated what another left open sampled alike, as each fit's own record says."""
    record = finished.record
    assert record["models"]["main"]["provenance"]["settings"]["target_accept"] == 0.8
    stated = {**record, "settings": {**record["settings"], "target_accept": 0.8}}
    assert tell_differences(stated, record) == tell_differences(record, stated) == []
    small = json.loads(json.dumps(record))
    for model in small["models"].values():
        model["provenance"]["settings"]["target_accept"] = 0.99
    assert tell_differences(stated, small) == ["target_accept: 0.8 then, 0.99 now"]
    other = {**record, "settings": {**record["settings"], "draws": 7}}
    assert tell_differences(other, record) == [f"draws: 7 then, {record['settings']['draws']} now"]

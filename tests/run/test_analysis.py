"""Analysis files: what is refused, with which sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from bayes_alliance.errors import DesignError, SpecError, TableError
from bayes_alliance.run.analysis import find_specs, parse_analysis, read_analysis
from bayes_alliance.run.execution import run_analysis
from tests.run.conftest import ANALYSIS, planted_rows, write_study


def test_what_is_stated_is_read(study: Path) -> None:
    """Keys of the file end up in the record, labels and settings among them."""
    analysis, text = read_analysis(study)
    assert text == ANALYSIS
    assert analysis.labels == ("main", "own")
    assert analysis.settings().draws == 500
    assert analysis.comparisons[0].unit == "patient"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("seed = 11", "sead = 11"), "Unknown key 'sead'.*Did you mean 'seed'"),
        (("seed = 11", ""), "'seed' is missing"),
        (("seed = 11", "seed = 1.5"), "seed = 1.5: input should be a valid integer"),
        (("seed = 11", "seed = -1"), "seed = -1: input should be greater than or equal to 0"),
        (("draws = 500", "drawz = 500"), r"\[sampling\]: Unknown key 'drawz'.*Did you mean 'draws'"),
        (("draws = 500", "draws = 0"), "sampling: draws must be a whole number of 2 or more"),
        (
            ("draws = 500", 'engine = "fast"'),
            "engine = 'fast' is not allowed. Allowed: 'auto', 'collapsed', 'quadrature' or 'nuts'",
        ),
        (('path = "sessions.csv"', 'pfad = "sessions.csv"'), r"\[data\]: Unknown key 'pfad'"),
        (('label = "own"', 'label = "main"'), "Models share a label: 'main'"),
        (('label = "own"', 'label = "Own/../x"'), "label 'Own/../x': it cannot name a folder. It is a small letter"),
        (('models = ["main", "own"]', 'models = ["main", "owm"]'), "Unknown model 'owm'.*Did you mean 'own'"),
        (('models = ["main", "own"]', 'models = ["main"]'), "comparison.0.models = .*at least 2"),
        (('title = "Growth', "title = Growth"), "not valid TOML"),
        (('"sessions.csv"', '"sessions.csv"\nsha256 = "abc"'), "data.sha256 = 'abc': string should match pattern"),
    ],
)
def test_a_wrong_file_is_refused(change: tuple[str, str], sentence: str) -> None:
    """Every wrong key or value is named, with what is allowed."""
    with pytest.raises(SpecError, match=sentence):
        parse_analysis(ANALYSIS.replace(*change), "analysis.toml")


def test_all_problems_come_at_once() -> None:
    """Three wrong keys make one error of three sentences."""
    wrong = ANALYSIS.replace("seed = 11", "sead = 11").replace("draws = 500", "drawz = 500")
    with pytest.raises(SpecError) as found:
        parse_analysis(wrong)
    assert len(found.value.problems) == 3  # the seed is missing, too


@pytest.mark.parametrize("path", ["../sessions.csv", "/etc/hostname", "models/../../x.csv"])
def test_a_path_outside_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    """Also where such a file is there."""
    analysis = write_study(tmp_path / "inner", analysis=ANALYSIS.replace('"sessions.csv"', f'"{path}"'))
    planted_rows().to_csv(tmp_path / "sessions.csv", index=False)
    with pytest.raises(TableError, match="lies outside the analysis file's folder"):
        run_analysis(analysis)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    """A symbolic link counts as where it leads."""
    analysis = write_study(tmp_path / "inner")
    table = tmp_path / "inner" / "sessions.csv"
    table.rename(tmp_path / "sessions.csv")
    table.symlink_to(tmp_path / "sessions.csv")
    with pytest.raises(TableError, match="lies outside the analysis file's folder"):
        run_analysis(analysis)


def test_a_model_outside_the_folder_or_unknown_is_refused(tmp_path: Path) -> None:
    """Both are told at once."""
    wrong = ANALYSIS.replace('"models/own.toml"', '"../own.toml"').replace('"growth/treatment"', '"growth/treatmnt"')
    with pytest.raises(
        SpecError, match=r"(?s)Unknown model 'growth/treatmnt'.*Did you mean 'growth/treatment'.*outside"
    ):
        run_analysis(write_study(tmp_path, analysis=wrong))


def test_two_models_may_name_one_file_that_is_not_there(tmp_path: Path) -> None:
    """It is reported as a problem of the file; nothing is read."""
    wrong = ANALYSIS.replace('name = "models/own.toml"', 'name = "nowhere.toml"').replace(
        'name = "growth/treatment"', 'name = "nowhere.toml"'
    )
    with pytest.raises(SpecError) as found:
        run_analysis(write_study(tmp_path, analysis=wrong))
    assert [str(problem) for problem in found.value.problems] == [
        "model: no file 'nowhere.toml' in the analysis file's folder."
    ]


def test_a_stated_digest_holds(tmp_path: Path) -> None:
    """Another file under the same name is refused before it is read."""
    stated = ANALYSIS.replace('"sessions.csv"', f'"sessions.csv"\nsha256 = "{"0" * 64}"')
    with pytest.raises(TableError, match="is not the file that the analysis states"):
        run_analysis(write_study(tmp_path, analysis=stated))


def test_a_variable_no_model_reads_is_refused(tmp_path: Path) -> None:
    """Shared columns may be of one model only, but not of none."""
    wrong = ANALYSIS.replace('outcome = "score"', 'outcome = "score"\noutcom = "score"')
    with pytest.raises(DesignError, match=r"Unknown variable 'outcom'.*Did you mean 'outcome'"):
        run_analysis(write_study(tmp_path, analysis=wrong))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Analysis file and table."""
    with pytest.raises(SpecError, match="No analysis file"):
        read_analysis(tmp_path / "nothing.toml")
    analysis = write_study(tmp_path)
    (tmp_path / "sessions.csv").unlink()
    with pytest.raises(TableError, match=r"no file 'sessions.csv'"):
        run_analysis(analysis)


def test_estimands_can_be_asked_of_registered_models(study: Path) -> None:
    """They stand beside those the model has, and are checked like them."""
    asked = ANALYSIS.replace(
        'label = "main"',
        'label = "main"\nlabels = { faster = "outcome ~ time:condition" }\n\n[model.estimands.faster_by]\n'
        'value = "faster"\nunit = "points"',
    )
    specs = find_specs(parse_analysis(asked), study.parent)
    assert specs["main"].estimands["faster_by"].unit == "points"
    with pytest.raises(SpecError, match=r"model 'growth/treatment': .*quicker"):
        find_specs(parse_analysis(asked.replace('value = "faster"', 'value = "quicker"')), study.parent)


def test_a_model_has_the_course_that_is_asked_for(study: Path) -> None:
    """The form of time is part of what the model is called in the run."""
    own = ANALYSIS.replace('label = "main"', 'course = "log"').replace('"main"', '"growth-treatment-log"')
    assert parse_analysis(own).labels[0] == "growth-treatment-log"
    (spec, *_) = find_specs(parse_analysis(own), study.parent).values()
    assert spec.title == "Growth by condition, along log(time + 1)"
    with pytest.raises(SpecError, match=r"model 'growth/treatment': .*'cubic' is no course"):
        find_specs(
            parse_analysis(own.replace('"log"', '"cubic"').replace("treatment-log", "treatment-cubic")), study.parent
        )

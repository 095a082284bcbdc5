"""Reliability by name: the error that items tell, and coefficients of another level refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.spec.equations import equation_latex, equation_text
from tests.design.test_modelled import equation, model

ROLES = {"patient": "id", "session": "time"}
KEY = 'title = "Four items"\nitems = 4\nrange = [-20, 20]\nwhole = false\nbetter = "higher"\nscore = "{}"\n'
ERROR = 0.9


def rows(patients: int, seed: int) -> pd.DataFrame:
    """Return SYNTHETIC answers to four items: SD of persons 1, sessions .8, error .9; 2 to 8 sessions; an outcome."""
    rng = np.random.default_rng(seed)
    found = []
    for p in range(patients):
        person = rng.normal()
        for s in range(int(rng.integers(2, 9))):
            answers = person + 0.3 * s + rng.normal(0, 0.8) + rng.normal(0, ERROR, 4)
            found.append([f"p{p}", s + 1, rng.normal(), *answers])
    return pd.DataFrame(found, columns=["id", "time", "y", "i1", "i2", "i3", "i4"])


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> ba.SessionTable:
    """Return a table whose score is a sum, another one a mean."""
    folder = tmp_path_factory.mktemp("keys")
    scores = {}
    for score in ("sum", "mean"):
        path = folder / f"{score}.toml"
        path.write_text(KEY.format(score))
        scores[score] = {"instrument": path, "items": ["i1", "i2", "i3", "i4"]}
    return ba.read_sessions(rows(1500, 4), ROLES, scores=scores)


def errors(spec: ba.ModelSpec, table: ba.SessionTable, name: str) -> np.ndarray:
    """Return the SD of the error of every row of an equation."""
    own = ba.make_design(spec, table).find(name).modelled
    assert own is not None
    return own.error


def test_differences_between_sessions_have_the_error_of_their_items(table: ba.SessionTable) -> None:
    """R_C: the SD of the sum of four errors, or of their mean, whatever all patients share of a session number."""
    for name, right in (("sum", 2 * ERROR), ("mean", ERROR / 2)):
        found = errors(model(equation(name, "time + (1 | patient)", "session", reliability="R_C")), table, name)
        np.testing.assert_allclose(found, found[0])
        assert abs(found[0] / right - 1) < 0.02


def test_means_over_sessions_have_each_patients_own(table: ba.SessionTable) -> None:
    """R_KF of a window: the error of one session over the root of how many a patient has in it."""
    spec = model(equation("early", "1", reliability="R_KF"), variables={"early": "window(mean, 1, 4)"})
    found = errors(spec, table, "early")
    frame = table.frame
    sizes = frame[frame["time"] <= 4].groupby("id").size()
    assert sorted(set(sizes)) == [2, 3, 4]
    design = ba.make_design(spec, table).find("early")
    ratio = found * np.sqrt(sizes.reindex(design.patient).to_numpy())
    np.testing.assert_allclose(ratio, ratio[0])
    assert abs(ratio[0] / (ERROR / 2) - 1) < 0.02


def test_one_session_has_the_error_of_alpha(table: ba.SessionTable) -> None:
    """Alpha and omega of the first session, where items differ by error alone: the SD of the error of the sum."""
    for coefficient in ("alpha", "omega"):
        spec = model(equation("start", "1", reliability=coefficient), variables={"start": "first(sum)"})
        assert abs(errors(spec, table, "start")[0] / (2 * ERROR) - 1) < 0.05
    at = model(equation("third", "1", reliability="alpha"), variables={"third": "at(sum, session=3)"})
    assert abs(errors(at, table, "third")[0] / (2 * ERROR) - 1) < 0.05


def test_the_numbers_are_those_of_reliability(tmp_path: Path) -> None:
    """The message's coefficient is the one that ``reliability`` gives for the same sessions."""
    (tmp_path / "key.toml").write_text(KEY.format("sum"))
    table = ba.read_sessions(rows(60, 5), ROLES, scores={"sum": {"instrument": tmp_path / "key.toml", "items": "i*"}})
    values = ba.reliability(table, "i*", instrument=tmp_path / "key.toml").table.set_index("coefficient")["value"]
    for coefficient, own in {
        "R_C": equation("sum", "1 + (1 | patient)", "session", reliability="R_C"),
        "omega": equation("sum", "1", "session", reliability="omega"),
        "alpha": equation("sum", "1", "session", reliability="alpha"),
    }.items():
        told = " ".join(ba.make_design(model(own), table).messages)
        assert f"is {values[coefficient]:.3f} by its items" in told
    whole = model(equation("all", "1", reliability="R_KF"), variables={"all": "window(sum, 1, 99)"})
    assert f"is {values['R_KF']:.3f} by its items" in " ".join(ba.make_design(whole, table).messages)


def test_me_takes_a_name(table: ba.SessionTable) -> None:
    """me(start, reliability=alpha) is an equation with that coefficient, and is written down as it was."""
    spec = model(
        equation("y_end", "me(start, reliability=alpha)"),
        variables={"start": "first(sum)", "y_end": "last(y)"},
    )
    assert spec.equation[0].reliability == "alpha"
    assert ba.parse_model(ba.write_model(spec)) == spec
    assert abs(errors(spec, table, "start")[0] / (2 * ERROR) - 1) < 0.05


DECLARED = {"early": "window(sum, 1, 4)", "start": "first(sum)", "gain": "change(sum, first, last)"}


def one_equation(own: dict[str, object]) -> ba.ModelSpec:
    """Return a model of one equation, its outcome declared where it is a summary of sessions."""
    return model(own, variables={name: text for name, text in DECLARED.items() if name == own["outcome"]})


@pytest.mark.parametrize(
    ("own", "message"),
    [
        (
            equation("sum", "1", "session", reliability="R_C"),
            r"R_C is not the reliability of the score of one session\. State alpha or omega\.",
        ),
        (
            equation("sum", "1 + (1 | patient)", "session", reliability="R_KF"),
            r"R_KF is not the reliability of differences between a patient's sessions\. State R_C\.",
        ),
        (
            equation("early", "1", reliability="R_C"),
            r"R_C is not the reliability of means over a patient's sessions\. State R_KF\.",
        ),
        (equation("start", "1", reliability="R_KF"), r"R_KF is not the reliability of the score of one session"),
        (
            equation("gain", "1", reliability="R_C"),
            r"R_C is not the reliability of change\(\)\. State the SD of its error\.",
        ),
        (
            equation("y", "1", "session", reliability="alpha"),
            r"alpha is worked out from items, and column 'y' is no score that was made of items\. "
            r"Scores of items: 'sum', 'mean'\. Make it one when the table is read \(scores=, --score\), or state a n",
        ),
    ],
)
def test_coefficients_of_another_level_are_refused(
    table: ba.SessionTable, own: dict[str, object], message: str
) -> None:
    """Which coefficient is right depends on how the score is read; another one is not taken."""
    with pytest.raises(ba.DesignError, match=message):
        ba.make_design(one_equation(own), table)


def test_items_without_an_answer_make_more_error(tmp_path: Path) -> None:
    """The mean of two of four items has the error of two; a mean over sessions has what its sessions have."""
    frame = rows(400, 8)
    half = frame.index % 3 == 0
    frame.loc[half, ["i3", "i4"]] = np.nan
    (tmp_path / "key.toml").write_text(KEY.format("mean"))
    scores = {"s": {"instrument": tmp_path / "key.toml", "items": ["i1", "i2", "i3", "i4"]}}
    table = ba.read_sessions(frame, ROLES, scores=scores)
    found = errors(model(equation("s", "1 + (1 | patient)", "session", reliability="R_C")), table, "s")
    few = table.frame["i3"].isna().to_numpy()
    assert abs(found[few][0] / (ERROR / np.sqrt(2)) - 1) < 0.05
    assert abs(found[~few][0] / (ERROR / 2) - 1) < 0.05
    early = errors(model(equation("e", "1", reliability="R_KF"), variables={"e": "window(s, 1, 4)"}), table, "e")
    own = table.frame[table.frame["time"] <= 4].assign(
        square=np.where(few, ERROR**2 / 2, ERROR**2 / 4)[table.frame["time"] <= 4]
    )
    right = own.groupby("id").square.agg(lambda s: np.sqrt(s.sum()) / len(s))
    patients = (
        ba.make_design(model(equation("e", "1", reliability="R_KF"), variables={"e": "window(s, 1, 4)"}), table)
        .find("e")
        .patient
    )
    np.testing.assert_allclose(early, right.reindex(patients), rtol=0.05)


def test_patients_nested_in_therapists_are_patients(table: ba.SessionTable) -> None:
    """(1 | therapist/patient) tells the differences between a patient's sessions, too."""
    frame = table.frame.assign(th=lambda f: "t" + f["id"].str[-1])
    nested = ba.read_sessions(frame[["id", "time", "th", "i1"]], {**ROLES, "therapist": "th"})
    plain = ba.make_design(model(equation("i1", "1 + (1 | patient)", "session", reliability=0.7)), nested)
    inside = ba.make_design(model(equation("i1", "1 + (1 | therapist/patient)", "session", reliability=0.7)), nested)
    one, two = plain.equation.modelled, inside.equation.modelled
    assert one is not None
    assert two is not None
    np.testing.assert_allclose(one.error, two.error)


def test_sessions_that_nobody_shares(tmp_path: Path) -> None:
    """Days since a start have nothing in common: what all share at one cannot be told from a patient's own."""
    frame = rows(20, 9)
    frame["time"] = np.arange(len(frame)) + 1.0
    (tmp_path / "key.toml").write_text(KEY.format("sum"))
    scores = {"s": {"instrument": tmp_path / "key.toml", "items": ["i1", "i2", "i3", "i4"]}}
    table = ba.read_sessions(frame, ROLES, scores=scores)
    with pytest.raises(ba.DesignError, match=r"R_C of 's' cannot be worked out: hardly two patients share a session"):
        ba.make_design(model(equation("s", "1 + (1 | patient)", "session", reliability="R_C")), table)
    with pytest.raises(ba.TableError, match=r"hardly two patients share a session number.*Number sessions in order"):
        ba.reliability(table, ["i1", "i2", "i3", "i4"], instrument=tmp_path / "key.toml")


def test_too_few_rows(table: ba.SessionTable) -> None:
    """Nine patients, or sessions without items, tell no reliability."""
    few = ba.select_rows(table, maximum={"session": 1})
    with pytest.raises(ba.DesignError, match=r"R_KF of 'sum' cannot be worked out: 1,500 patients have 1,500"):
        ba.make_design(one_equation(equation("early", "1", reliability="R_KF")), few)


def test_names_that_are_none() -> None:
    """A word that is no coefficient is named with those there are."""
    with pytest.raises(
        ba.SpecError, match=r"kappa is no reliability\. A number above 0 and at most 1, or one of alpha,"
    ):
        model(equation("post", "me(pre, reliability=kappa)"))
    with pytest.raises(ba.SpecError, match=r"reliability"):
        model(equation("pre", "1", reliability="kappa"))


def test_names_in_equations() -> None:
    """The coefficient stands in the text and the LaTeX of the equation."""
    own = one_equation(equation("early", "1", reliability="R_KF")).equation[0]
    assert "measured with reliability R_KF" in equation_text(own)
    assert r"= R_{KF})" in equation_latex(own)

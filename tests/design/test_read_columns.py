"""Columns that a model reads: codes, levels that look alike, units under several sites, values in rows not used."""

from __future__ import annotations

import unicodedata

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import bayes_alliance as ba
from bayes_alliance.errors import AllianceWarning

ROLES = {"patient": "pid", "therapist": "tid", "site": "site", "session": "week"}


def study(seed: int = 1) -> pd.DataFrame:
    """Return 24 patients of six therapists at two sites in two arms, at sessions 1 to 5."""
    rng = np.random.default_rng(seed)
    rows = [
        {"pid": f"p{i:02d}", "tid": f"t{i % 6}", "site": f"s{i % 2}", "week": week, "arm": ["TAU", "CBT"][i // 2 % 2]}
        for i in range(24)
        for week in range(1, 6)
    ]
    frame = pd.DataFrame(rows)
    frame["y"] = np.clip(np.round(14 + rng.normal(0, 5, len(frame))), 0, 27)
    return frame.assign(other=rng.normal(size=len(frame)), dose=1.0 + np.arange(len(frame)) % 3)


def restarting() -> pd.DataFrame:
    """Return the study with therapists numbered from 0 at each site."""
    return study().assign(tid=lambda f: "t" + (f["pid"].str[1:].astype(int) // 2 % 3).astype(str))


def model(formula: str, outcome: str = "y") -> ba.ModelSpec:
    """Return a model of one equation of sessions."""
    text = f'title = "t"\nquestion = "q?"\n[[equation]]\noutcome = "{outcome}"\nunit = "session"\n'
    return ba.parse_model(f'{text}formula = "{formula}"\n')


def read(frame: pd.DataFrame, **options: object) -> ba.SessionTable:
    """Return the table with every role."""
    return ba.read_sessions(frame, ROLES, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [999, -99, 99, 777, -9])
def test_an_undeclared_code_is_an_error_until_declared_or_accepted(code: float) -> None:
    """The error names column, code, count and rows; it passes declared, inside stated bounds, or unread."""
    frame = study()
    frame.loc[[3, 17, 44, 80], "y"] = code
    spec = model("week + (1 | patient)")
    with pytest.raises(ba.DesignError, match=f"Column 'y' holds {code} in 4 rows.*patient 'p00' session 4") as caught:
        ba.make_design(spec, read(frame))
    assert f"missing={{'y': [{code}]}} (--missing y={code}" in str(caught.value)
    assert len(ba.make_design(spec, read(frame, missing={"y": [code]})).equation.y) == 116
    bounds = {"y": (min(0, code), max(27, code))}
    assert len(ba.make_design(spec, read(frame, bounds=bounds)).equation.y) == 120
    ba.make_design(model("week + (1 | patient)", "other"), read(frame))


@pytest.mark.parametrize("formula", ["y + week", "within(y, patient) + week", "lag(y) + week", "y:week + week"])
def test_a_code_is_found_wherever_a_model_reads_the_column(formula: str) -> None:
    """Predictors, means and lags read the code, too; all other problems come at once."""
    frame = study()
    frame.loc[[3, 17, 44, 80], "y"] = 999
    with pytest.raises(ba.DesignError, match="Column 'y' holds 999 in 4 rows"):
        ba.make_design(model(formula, "other"), read(frame))
    frame["arm"] = frame["arm"].where(frame.index > 4, "cbt")
    with pytest.raises(ba.DesignError) as caught:
        ba.make_design(model("y + arm", "other"), ba.Study(read(frame), reference={"arm": "TAU"}))
    assert len([problem for problem in caught.value.problems if "look" in problem.what]) == 2


def test_a_session_number_that_is_a_code_says_what_to_do() -> None:
    """A follow-up stored as session 99: its rows are left out or renumbered, since no session is missing."""
    frame = study()
    frame.loc[frame["week"] == 5, "week"] = 99
    with pytest.raises(ba.DesignError, match=r"Column 'week' holds 99 in 24 rows.*Leave these rows out \(select_rows"):
        ba.make_design(model("week + (1 | patient)"), read(frame))
    ba.make_design(model("other + (1 | patient)"), read(frame))


ALIKE = ["cbt", "CBT\u200b", "C\u00a0BT", "CBT\ufeff", "\uff23BT", "C\u00adBT", "CB T", "\u0421\u0412\u0422", "CBT."]


@pytest.mark.parametrize("alike", ALIKE, ids=ascii)
def test_levels_that_look_alike_are_refused(alike: str) -> None:
    """A level that differs in what a reader hardly sees (case, blanks, script, a full stop) would be an arm."""
    frame = study()
    frame.loc[frame["pid"].isin(["p02", "p03"]), "arm"] = alike
    for column in (frame["arm"], frame["arm"].astype("category")):
        table = read(frame.assign(arm=column))
        with pytest.raises(ba.DesignError, match="Column 'arm' has levels that look alike"):
            ba.make_design(model("week * arm"), ba.Study(table, reference={"arm": "TAU"}))
        with pytest.raises(ba.DesignError, match="Column 'arm' has levels that look alike"):
            ba.make_design(model("week + in_arm"), ba.Study(table, columns={"in_arm": "arm[CBT]"}))
        assert len(ba.make_design(model("week"), table).equation.y) == 120


def test_levels_and_ids_that_are_meant_to_differ_are_accepted() -> None:
    """accept= says that what looks alike, or like a code, is a level or an id of its own; others are still refused."""
    frame = study()
    frame.loc[frame["pid"].isin(["p02", "p03"]), "arm"] = "cbt"
    spec, asked = model("week * arm"), {"arm": "TAU"}
    table = read(frame, accept={"arm": ["CBT", "cbt"]})
    design = ba.make_design(spec, ba.Study(table, reference=asked))
    assert {"arm[cbt]", "arm[CBT]"} <= set(design.equation.coef.labels)
    frame.loc[frame["pid"] == "p04", "arm"] = "C BT"
    with pytest.raises(
        ba.DesignError, match=r"look alike: 'C BT', 'CBT', 'cbt' .*accept=..arm.: .'C BT', 'CBT', 'cbt'"
    ):
        ba.make_design(spec, ba.Study(read(frame, accept={"arm": ["CBT", "cbt"]}), reference=asked))
    with pytest.raises(ba.TableError, match=r"accept= of 'arm' holds 'ACT', which no cell holds"):
        read(frame, accept={"arm": ["ACT"]})
    coded = study()
    coded.loc[coded["pid"].isin(["p02", "p03"]), "arm"] = "NULL"
    with pytest.raises(ba.DesignError, match=r"If it is a level, accept it: accept=\{'arm': \['NULL'\]\}"):
        ba.make_design(spec, ba.Study(read(coded), reference=asked))
    ba.make_design(spec, ba.Study(read(coded, accept={"arm": ["NULL"]}), reference=asked))
    ids = study().replace({"pid": {"p02": "P01"}})
    with pytest.warns(AllianceWarning, match="patient ids that differ only"):
        read(ids)
    with pytest.warns(AllianceWarning, match="patient ids that differ only"):
        read(ids, accept={"pid": ["P01"]})
    read(ids, accept={"pid": ["P01", "p01"]})
    frame = study()
    frame.loc[[3, 17], "y"] = 999
    assert len(ba.make_design(model("week"), read(frame, accept={"y": ["999"]})).equation.y) == 120
    with pytest.raises(ba.TableError, match=r"accept= of 'y' holds None; values are numbers or text"):
        read(frame, accept={"y": [None]})


def test_levels_in_two_unicode_forms_are_refused() -> None:
    """Composed and decomposed letters are one level to a reader."""
    one, two = (unicodedata.normalize(form, "Gespr\u00e4ch") for form in ("NFC", "NFD"))
    frame = study()
    frame["arm"] = np.where(frame["pid"] < "p06", one, np.where(frame["pid"] < "p12", two, "TAU"))
    with pytest.raises(ba.DesignError, match=r"look alike: 'Gespra\\u0308ch', 'Gespr\\xe4ch'"):
        ba.make_design(model("week * arm"), ba.Study(read(frame), reference={"arm": "TAU"}))


@pytest.mark.parametrize("code", ["-99", "999", ".", "NULL"])
def test_a_level_that_looks_like_a_code_is_refused(code: str) -> None:
    """A code among words would be an arm; declared, it is missing."""
    frame = study()
    frame.loc[frame["pid"] == "p02", "arm"] = code
    with pytest.raises(ba.DesignError, match="Column 'arm' has a level that looks like a code for missing"):
        ba.make_design(model("week + arm"), ba.Study(read(frame), reference={"arm": "TAU"}))
    table = read(frame, missing={"arm": [code]})
    assert len(ba.make_design(model("week + arm"), ba.Study(table, reference={"arm": "TAU"})).equation.y) == 115


def levels_of(design: ba.Design, factor: str) -> int:
    """Return how many levels a factor has."""
    return len(next(one for one in design.factors if one.factor == factor).levels)


def test_units_under_several_sites_are_asked_about() -> None:
    """Therapist ids that every site uses again: asked where the model reads both, said where it reads no site."""
    table, both = read(restarting()), model("week + (1 | patient) + (1 | therapist) + (1 | site)")
    with pytest.raises(ba.DesignError, match=r"3 therapists occur under more than one site: 't0' \(s0, s1\)"):
        ba.make_design(both, table)
    fixed = model("week + site + (1 | patient) + (1 | therapist)")
    with pytest.raises(ba.DesignError, match="occur under more than one site"):
        ba.make_design(fixed, ba.Study(table, reference={"site": "s0"}))
    said = ba.make_design(model("week + (1 | patient) + (1 | therapist)"), table).messages
    assert any("3 therapists occur under more than one site" in message for message in said)
    again = ba.make_design(both, read(restarting(), transfers={"therapist": "reused"}))
    assert levels_of(again, "therapist") == 6
    crossed = ba.make_design(both, read(restarting(), transfers={"therapist": "transferred"}))
    assert levels_of(crossed, "therapist") == 3
    nested = ba.make_design(model("week + (1 | patient) + (1 | site/therapist)"), table)
    assert levels_of(nested, "site:therapist") == 6
    ba.make_design(model("week + (1 | patient) + (1 | site)"), table)


def test_groups_under_several_sites_are_asked_about() -> None:
    """Groups numbered from 1 at every site are the same mistake."""
    frame, roles = restarting().rename(columns={"tid": "gid"}), {**ROLES, "group": "gid"}
    del roles["therapist"]
    spec = model("week + (1 | patient) + (1 | group) + (1 | site)")
    with pytest.raises(ba.DesignError, match="3 groups occur under more than one site"):
        ba.make_design(spec, ba.read_sessions(frame, roles))
    again = ba.make_design(spec, ba.read_sessions(frame, roles, transfers={"group": "reused"}))
    assert levels_of(again, "group") == 6


def test_units_under_a_factor_without_a_role_are_named() -> None:
    """A column that every patient has one value of may be a wider unit: therapists under several are said."""
    frame = study().assign(clinic=lambda f: "c" + (f["pid"].str[1:].astype(int) // 3 % 4).astype(str))
    said = ba.make_design(model("week + (1 | patient) + (1 | therapist) + (1 | clinic)"), read(frame)).messages
    assert any("therapists occur under more than one clinic" in message for message in said)


def test_nested_ids_with_a_colon_stay_apart() -> None:
    """Site 'a:b' with therapist 'c' is another level than site 'a' with therapist 'b:c'."""
    frame = study().assign(site=lambda f: np.where(f["site"] == "s0", "a:b", "a"))
    frame["tid"] = np.where(frame["site"] == "a", "b:c", "c") + frame["tid"].isin(["t0", "t1"]).map(
        {True: "", False: "2"}
    )
    design = ba.make_design(model("week + (1 | patient) + (1 | site:therapist)"), read(frame))
    assert levels_of(design, "site:therapist") == len(frame[["site", "tid"]].drop_duplicates()) == 4


def test_two_columns_of_one_label_are_refused() -> None:
    """The indicator of a level and a column named like its label would be one coefficient; both terms are named."""
    frame = study()
    frame["arm[CBT]"] = frame["other"]
    names = {"columns": {"x": "arm[CBT]"}, "reference": {"arm": "TAU"}}
    with pytest.raises(ba.DesignError, match=r"would have one name, 'arm\[CBT\]': from the terms 'arm', 'x'"):
        ba.make_design(model("arm + x"), ba.Study(read(frame), **names))  # type: ignore[arg-type]
    with pytest.raises(ba.DesignError, match=r"2 coefficients of y by patient would have one name"):
        ba.make_design(model("week + (1 + arm + x | patient)"), ba.Study(read(frame), **names))  # type: ignore[arg-type]


@pytest.mark.parametrize("term", ["log(dose)", "mo(dose)", "quadratic(log(dose))", "log(week / dose)"])
def test_values_in_rows_that_are_not_used_are_not_checked(term: str) -> None:
    """A value that a function does not have is an error in rows that are used, and nothing in others."""
    frame = study()
    frame.loc[frame["week"] == 1, "dose"] = 0.5 if "mo" in term else 0.0
    spec = model(f"other + {term}")
    with pytest.raises(ba.DesignError, match=r"not defined|divides by 0|no categories"):
        ba.make_design(spec, read(frame))
    unused = read(frame.assign(y=frame["y"].where(frame["week"] > 1)))
    with_them, without = (ba.make_design(spec, t) for t in (unused, ba.select_rows(unused, minimum={"session": 2})))
    assert len(with_them.equation.y) == 96
    np.testing.assert_array_equal(with_them.equation.coef.values, without.equation.coef.values)
    with pytest.raises(ba.DesignError, match=r"not defined|divides by 0|no categories"):
        ba.make_design(spec, read(frame.assign(y=frame["y"].where(frame["week"] < 3))))


def test_values_that_other_rows_read_are_checked_in_every_row() -> None:
    """A patient's mean of logs, and a lag, read rows that are not used themselves."""
    frame = study()
    frame.loc[frame["week"] == 1, ["dose", "y"]] = [0.0, np.nan]
    for formula in (
        "between(log(dose), patient)",
        "within(log(dose), patient)",
        "lag(log(dose))",
        "centred(log(dose))",
    ):
        with pytest.raises(ba.DesignError, match=r"log\(dose\) is not defined in 24 rows: patient 'p00' session 1"):
            ba.make_design(model(f"week + {formula}"), read(frame))


@pytest.mark.parametrize("formula", ["mo(stage) + (1 | patient)", "week + (1 + mo(stage) | patient)"])
def test_a_category_lost_with_its_rows_is_a_problem_not_a_crash(formula: str) -> None:
    """The top of three categories is never used: what is reported is raised before it is computed with."""
    frame = study()
    stage = np.array(["none", "some", "much"])[np.arange(len(frame)) % 3]
    frame["stage"] = pd.Categorical(stage, categories=["none", "some", "much"], ordered=True)
    frame.loc[stage == "much", "y"] = np.nan
    with pytest.raises(ba.DesignError, match=r"2 categories; 3 to 30 have steps"):
        ba.make_design(model(formula), read(frame))
    with pytest.raises(ba.DesignError, match="'stage'"):
        ba.make_design(model(formula), read(frame.assign(stage=np.nan)))


def stream(frame: pd.DataFrame, formula: str, reference: dict[str, str] | None = None, **options: object) -> ba.Fit:
    """Fit a model to a stream of blocks."""
    source = pa.Table.from_pandas(frame, preserve_index=False)
    opened = ba.stream_sessions(source, ROLES, rows=30, **options)  # type: ignore[arg-type]
    return ba.fit_stream(model(formula), ba.Study(opened, reference=reference or {}), seed=1)


def test_streams_are_checked_as_tables_are() -> None:
    """Codes, levels, units and types are found over blocks, in the words of a table in memory."""
    coded, arms = study(), study()
    coded.loc[[3, 17, 44, 80], "y"] = 999.0
    arms.loc[arms["pid"] == "p22", "arm"] = "cbt"
    with pytest.raises(ba.DesignError, match=r"Column 'y' holds 999 in 4 rows.*patient 'p00' session 4"):
        stream(coded, "week + (1 | patient)")
    with pytest.raises(ba.DesignError, match="3 therapists occur under more than one site"):
        stream(restarting(), "week + (1 | patient) + (1 | therapist) + (1 | site)")
    with pytest.raises(ba.DesignError, match="Column 'arm' has levels that look alike: 'CBT', 'cbt'"):
        stream(arms, "week + arm + (1 | patient)", {"arm": "TAU"})
    with pytest.raises(ba.DesignError, match="Column 'other' is infinite"):
        stream(study().assign(other=np.inf), "other + (1 | patient)")
    with pytest.raises(ba.TableError, match="bounds: Unknown column 'nothing'"):
        stream(coded, "week", bounds={"nothing": (0, 1)})

"""Wide tables, questionnaire rows and dates, brought to a row per patient and session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba

WIDE = pd.DataFrame(
    {
        "id": ["a", "b"],
        "arm": ["TAU", "CBT"],
        "wai_1": [3, 4],
        "wai_2": [5, None],
        "wai_10": [6, 7],
        "phq_1": [20, 18],
        "phq_2": [None, None],
        "phq_10": [10, 9],
        "wai_fu": [6, 6],
    }
)


def test_wide_tables_have_a_row_per_session_with_a_value() -> None:
    """Columns of sessions become one column each; a session without any value is no row, and is counted."""
    patterns = {"alliance": "wai_{session}", "phq": "phq_{session}"}
    table = ba.read_sessions(WIDE, {"patient": "id"}, wide=patterns)
    frame = table.frame
    assert table.roles == {"session": "session", "patient": "id"}
    assert frame["id"].tolist() == ["a", "a", "a", "b", "b"]
    assert frame["session"].tolist() == [1, 2, 10, 1, 10]
    np.testing.assert_array_equal(frame["alliance"], [3, 5, 6, 4, 7])
    np.testing.assert_array_equal(frame["phq"], [20, np.nan, 10, 18, 9])
    assert table.units["arm"] == "patient"
    assert table.messages[:2] == (
        "'wai_fu' has no session number where 'wai_{session}' has one and stays of patients. State wide_sessions to "
        "read them.",
        "The wide table of 2 rows is 5 rows, one per patient and session with a value of 'alliance', 'phq'; 1 session "
        "without any is left out.",
    )
    words = ba.read_sessions(WIDE, {"patient": "id"}, wide=patterns, wide_sessions={"fu": 20})
    assert words.frame.loc[words.frame["session"] == 20, "alliance"].tolist() == [6, 6]
    named = ba.read_sessions(WIDE, {"patient": "id", "session": "week"}, wide=patterns)
    assert "week" in named.frame


def test_wide_tables_keep_the_order_of_categories() -> None:
    """Of columns with one order, or one that is a part of it; orders that contradict one another are said."""
    order = pd.CategoricalDtype(["low", "mid", "high"], ordered=True)
    part = pd.CategoricalDtype(["low", "high"], ordered=True)
    other = pd.CategoricalDtype(["high", "mid", "low"], ordered=True)
    first = pd.Series(["low", "mid"], dtype=order)

    def read(second: pd.Series) -> ba.SessionTable:
        frame = pd.DataFrame({"id": ["a", "b"], "s_1": first, "s_2": second, "y_3": [1.0, 2.0]})
        return ba.read_sessions(frame, {"patient": "id"}, wide={"s": "s_{session}", "y": "y_{session}"})

    table = read(pd.Series(["high", None], dtype=part))
    assert table.frame["s"].dtype == order
    assert table.frame["s"].tolist() == ["low", "high", np.nan, "mid", np.nan]
    odd = read(pd.Series(["high", "low"], dtype=other))
    assert odd.frame["s"].dropna().tolist() == ["low", "high", "mid", "low"]
    assert "Columns of 's' order their categories differently; 's' has words without order." in odd.messages


def test_wide_tables_with_items() -> None:
    """{item} makes a column per item; names before or after the session."""
    frame = pd.DataFrame({"id": ["a"], "s1_w1": [1], "s1_w2": [2], "s2_w1": [3], "s2_w2": [4]})
    table = ba.read_sessions(frame, {"patient": "id"}, wide={"wai": "s{session}_w{item}"})
    assert table.frame[["wai_1", "wai_2"]].to_numpy().tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wide": {"x": "wai_{session}{item}"}}, r"where the session ends and the item begins is not told"),
        ({"wide": {"session": "wai_{session}"}}, r"wide names 'session', the column of the session that is made"),
        ({"wide": {"x": "wai_{session}"}, "columns": ["arm"]}, r"columns= reads columns as they stand in the file"),
        ({"wide": {"x": "wai"}}, r"wide\['x'\] is 'wai'\. A name of columns with \{session\} in it"),
        ({"wide": {"x": "way_{session}"}}, r"No column fits the pattern 'way_\{session\}' of wide\['x'\]"),
        (
            {"wide": {"x": "wai_{session}", "y": "w{item}_{session}"}},
            r"Column 'wai_1' fits the patterns of 'x' and 'y'",
        ),
        ({"wide": {"arm": "wai_{session}"}}, r"'arm' of wide is a column of the table, too"),
        ({"wide": ["wai"]}, r"wide is \['wai'\]\. It maps variables to patterns"),
        (
            {"wide": {"x": "wai_{session}"}, "wide_sessions": {"fu": "x"}},
            r"wide_sessions is .*It maps words to numbers",
        ),
        (
            {"wide": {"x": "wai_{session}"}, "wide_sessions": {"fu": 10}},
            r"'wai_10', 'wai_fu' are both 'x' at session 10",
        ),
        ({"wide": {"x": "wai_{session}"}, "session": {"column": "arm"}}, r"A wide table has its sessions in the names"),
    ],
)
def test_wide_tables_that_cannot_be_read(options: dict, message: str) -> None:
    """Patterns that fit nothing, or two things; names that are taken."""
    with pytest.raises(ba.TableError, match=message):
        ba.read_sessions(WIDE, {"patient": "id"}, **options)


def test_a_wide_table_with_two_rows_of_a_patient_or_sessions_of_its_own() -> None:
    """It is none, then."""
    twice = pd.concat([WIDE, WIDE.iloc[:1]])
    with pytest.raises(ba.TableError, match=r"a row per patient, and 1 patient has several: 'a'"):
        ba.read_sessions(twice, {"patient": "id"}, wide={"x": "wai_{session}"})
    with pytest.raises(ba.TableError, match=r"this one has a column 'session' already"):
        ba.read_sessions(WIDE.assign(session=1), {"patient": "id"}, wide={"x": "wai_{session}"})


def answers() -> pd.DataFrame:
    """Return SYNTHETIC answers, a row each, as a study app exports them."""
    rows = [
        (who, day, item, 10 * visit + place, f"{day} 10:0{place}")
        for who in "ab"
        for visit, day in enumerate(["01.03.2024", "08.03.2024", "05.04.2024"])
        for place, item in enumerate(["w1", "w2"])
        if not (who == "b" and visit == 2 and item == "w2")
    ]
    return pd.DataFrame(rows, columns=["pid", "day", "question", "value", "stamp"])


def test_questionnaire_rows_and_dates() -> None:
    """A column per item, a session per date; what differs between answers of one session is left out by name."""
    table = ba.read_sessions(
        answers(),
        {"patient": "pid"},
        questionnaire={"item": "question", "answer": "value"},
        session={"column": "day", "every": "week"},
    )
    assert table.frame["session"].tolist() == [0, 1, 5] * 2
    np.testing.assert_array_equal(table.frame["w1"], [0, 10, 20] * 2)
    np.testing.assert_array_equal(table.frame["w2"], [1, 11, 21, 1, 11, np.nan])
    assert table.messages[:3] == (
        "'stamp' differs between answers of one session and is left out.",
        "11 answers to 2 items are 6 rows, one per patient and session.",
        "Sessions are weeks since the first date by 'day': 0 to 5.",
    )
    with pytest.raises(ba.TableError, match=r"An item is answered twice in one session in 11 rows: row 1, row 2"):
        ba.read_sessions(answers(), {"patient": "pid"}, questionnaire={"item": "question", "answer": "value"})
    with pytest.raises(ba.TableError, match=r"questionnaire needs 'answers', which is no column"):
        ba.read_sessions(answers(), {"patient": "pid"}, questionnaire={"item": "question", "answer": "answers"})
    with pytest.raises(ba.TableError, match=r"Unknown key 'items'.*Did you mean 'item'"):
        ba.read_sessions(answers(), {"patient": "pid"}, questionnaire={"items": "question", "answer": "value"})


@pytest.mark.parametrize(
    ("stated", "sessions"),
    [
        ({}, [1, 2, 3]),
        ({"every": "day"}, [0, 30, 61]),
        ({"every": "week"}, [0, 4, 8]),
        ({"every": "month"}, [0, 0, 2]),
        ({"every": "day", "start": "intake"}, [10, 40, 71]),
    ],
)
@pytest.mark.parametrize("written", ["%Y-%m-%d", "%d.%m.%Y", "%d.%m.%y", None])
def test_dates_in_steps(stated: dict, sessions: list[int], written: str | None) -> None:
    """Visits from 1, days, weeks and months from 0; ISO, German and real dates."""
    dates = pd.to_datetime(["2024-01-11", "2024-02-10", "2024-03-12"])
    intake = pd.to_datetime(["2024-01-01"] * 3)
    shown = [own if written is None else own.strftime(written) for own in (dates, intake)]
    frame = pd.DataFrame({"pid": "a", "when": shown[0], "intake": shown[1], "y": [1.0, 2, 3]})
    if stated.get("every") == "month":
        with pytest.raises(ba.TableError, match=r"several rows in one month in 2 rows: row 1, row 2\. State several="):
            ba.read_sessions(frame, {"patient": "pid"}, session={"column": "when", **stated})
        kept = ba.read_sessions(frame, {"patient": "pid"}, session={"column": "when", **stated, "several": "last"})
        assert kept.frame[["session", "y"]].to_numpy().tolist() == [[0, 2], [2, 3]]
        return
    table = ba.read_sessions(frame, {"patient": "pid"}, session={"column": "when", **stated})
    assert table.frame["session"].tolist() == sessions


def test_several_visits_of_one_day() -> None:
    """Refused, numbered on in the order of the table, or one kept."""
    frame = pd.DataFrame({"pid": "a", "when": ["2024-01-01", "2024-01-01", "2024-01-03"], "y": [1.0, 2, 3]})
    stated = {"column": "when"}
    with pytest.raises(ba.TableError, match=r"several rows in one day in 2 rows: .*or 'number' to number them on"):
        ba.read_sessions(frame, {"patient": "pid"}, session=stated)
    numbered = ba.read_sessions(frame, {"patient": "pid"}, session={**stated, "several": "number"})
    assert numbered.frame["session"].tolist() == [1, 2, 3]
    assert "2 rows of one day are numbered on in the order of the table." in numbered.messages
    first = ba.read_sessions(frame, {"patient": "pid"}, session={**stated, "several": "first"})
    assert first.frame["y"].tolist() == [1, 3]
    assert "1 row is left out: the first row of a patient's day is kept." in first.messages


@pytest.mark.parametrize(
    ("dates", "stated", "message"),
    [
        (["1/2/2024", "3/4/2024"], {}, r"can be read in several ways, such as 1/2/2020\. State how they are written"),
        (["2024-01-01", ""], {}, r"Column 'when' has no date in 1 row: row 2"),
        (["2024-01-01", "soon"], {"format": "%Y-%m-%d"}, r"is no date as %Y-%m-%d in 1 row: row 2"),
        (["2024-01-01", "2024-02-01"], {"every": "year"}, r"session: every is 'year'; allowed are visit, day, week"),
        (["2024-01-01", "2024-02-01"], {"start": "born", "every": "day"}, r"session needs 'born', which is no column"),
        (
            ["2024-01-01", "2024-02-01"],
            {"start": "late", "every": "day"},
            r"1 row is before 'late', or that is missing",
        ),
    ],
)
def test_dates_that_cannot_be_read(dates: list[str], stated: dict, message: str) -> None:
    """Ambiguous, missing, odd ones; starts after dates; steps that are none."""
    frame = pd.DataFrame({"pid": "a", "when": dates, "late": ["2024-01-15"] * 2, "y": 1.0})
    with pytest.raises(ba.TableError, match=message):
        ba.read_sessions(frame, {"patient": "pid"}, session={"column": "when", **stated})
    with pytest.raises(ba.TableError, match=r"The session is made of dates in 'when', and 'y' plays it, too"):
        ba.read_sessions(frame, {"patient": "pid", "session": "y"}, session={"column": "when"})


def test_slashes_are_read_where_one_number_tells_the_day() -> None:
    """13/2 has a day first; 2/13 a month."""
    for dates in (["1/2/2024", "13/2/2024"], ["2/1/2024", "2/13/2024"]):
        frame = pd.DataFrame({"pid": "a", "when": dates, "y": 1.0})
        table = ba.read_sessions(frame, {"patient": "pid"}, session={"column": "when", "every": "day"})
        assert table.frame["session"].tolist() == [0, 12]


def test_sgdata_is_wide(data_folder: Path) -> None:
    """The example data of suddengains: 43 patients, 13 sessions and two follow-ups."""
    path = data_folder / "sgdata.csv"
    patterns = {"bdi": "bdi_{session}", "rumination": "rq_{session}"}
    words = {f"s{i}": i for i in range(13)} | {"fu1": 20, "fu2": 30}
    table = ba.read_sessions(path, {"patient": "id"}, wide=patterns, wide_sessions=words)
    assert table.frame["id"].nunique() == 43
    assert set(table.frame["session"]) == {*range(13), 20, 30}
    wide = pd.read_csv(path)
    here = table.frame.set_index(["id", "session"])["bdi"]
    for number, word in ((0, "s0"), (7, "s7"), (30, "fu2")):
        right = wide.set_index(wide["id"].astype("str"))[f"bdi_{word}"].dropna()
        np.testing.assert_array_equal(here.xs(number, level="session").dropna().loc[right.index], right)


def test_a_wide_table_in_an_analysis_file(tmp_path: Path) -> None:
    """The analysis says how the table is brought into shape, and repeats it."""
    from bayes_alliance.run.analysis import parse_analysis
    from bayes_alliance.run.rows import read_rows

    rng = np.random.default_rng(1)
    wide = pd.DataFrame({"id": [f"p{i}" for i in range(20)]} | {f"bdi_s{t}": rng.normal(20, 5, 20) for t in range(5)})
    wide.to_csv(tmp_path / "wide.csv", sep=";", decimal=",", index=False)
    text = """
title = "Course"
seed = 1
[data]
path = "wide.csv"
roles = { patient = "id", session = "week" }
wide = { score = "bdi_s{session}" }
[[model]]
name = "own.toml"
"""
    (tmp_path / "own.toml").write_text(
        'title = "t"\nquestion = "q?"\n[[equation]]\noutcome = "score"\nunit = "session"\n'
        'formula = "session + (1 | patient)"\n'
    )
    analysis = parse_analysis(text)
    specs = {"own": ba.load_model(tmp_path / "own.toml")}
    rows = read_rows(analysis, tmp_path, specs)
    assert len(rows.sessions) == 100
    np.testing.assert_allclose(sorted(rows.sessions.frame["score"]), np.sort(wide.iloc[:, 1:].to_numpy().ravel()))
    assert any("The wide table of 20 rows is 100 rows" in message for message in rows.sessions.messages)
    assert any("separated by ';'" in message for message in rows.sessions.messages)


def test_sessions_of_missing_codes_are_no_rows() -> None:
    """NA and declared codes are no values: nobody is at risk in sessions that were not."""
    frame = pd.DataFrame({"id": ["a", "b"], "y_1": ["3", "4"], "y_2": ["NA", "5"], "y_3": ["-99", "-99"]})
    table = ba.read_sessions(frame, {"patient": "id"}, wide={"y": "y_{session}"}, missing={"y": [-99]})
    assert table.frame[["id", "session"]].to_numpy().tolist() == [["a", 1], ["b", 1], ["b", 2]]
    assert any("3 sessions without any are left out" in message for message in table.messages)


def test_times_zones_and_months_of_the_calendar() -> None:
    """The day is that of the clock on the wall; the first of every month is a month later."""
    zones = ["2024-03-30T10:00:00+01:00", "2024-03-31T23:30:00+02:00", "2024-04-02 08:00:00"]
    frame = pd.DataFrame({"pid": "a", "when": zones, "y": 1.0})
    days = ba.read_sessions(frame, {"patient": "pid"}, session={"column": "when", "every": "day"})
    assert days.frame["session"].tolist() == [0, 1, 3]
    firsts = pd.DataFrame({"pid": "a", "when": ["2023-02-01", "2023-03-01", "2023-04-01"], "y": 1.0})
    months = ba.read_sessions(firsts, {"patient": "pid"}, session={"column": "when", "every": "month"})
    assert months.frame["session"].tolist() == [0, 1, 2]
    odd = firsts.assign(when=["2023-02-01", "unknown", "2023-04-01"])
    with pytest.raises(ba.TableError, match=r"Column 'when' is no date in 1 row: row 2\. Correct") as caught:
        ba.read_sessions(odd, {"patient": "pid"}, session={"column": "when"})
    assert len(caught.value.problems) == 1
    with pytest.raises(ba.TableError, match=r"format is '%Q'; write it as in %d\.%m\.%Y"):
        ba.read_sessions(firsts, {"patient": "pid"}, session={"column": "when", "format": "%Q"})


def test_answers_of_one_day_are_one_session_and_items_may_be_numbers() -> None:
    """Each answer has its own second; items are 1 and 2, or 1.0 and 2.0."""
    stamps = ["2024-01-01 10:00:01", "2024-01-01 10:00:09", "2024-01-08 09:00:00", "2024-01-08 09:00:04"]
    for names in ([1, 2, 1, 2], [1.0, 2.0, 1.0, 2.0], ["1", "2", "1", "2"]):
        frame = pd.DataFrame({"pid": "a", "when": stamps, "item": names, "answer": [3, 4, 5, 6]})
        table = ba.read_sessions(
            frame, {"patient": "pid"}, questionnaire={"item": "item", "answer": "answer"}, session={"column": "when"}
        )
        assert table.frame[["1", "2"]].to_numpy().tolist() == [[3, 4], [5, 6]]
    with pytest.raises(ba.TableError, match="questionnaire names one column twice"):
        ba.read_sessions(frame, {"patient": "pid"}, questionnaire={"item": "pid", "answer": "answer"})


def test_a_start_that_is_no_date_is_told_once() -> None:
    """Cells of the start that cannot be read are one problem, not missing dates as well."""
    frame = pd.DataFrame(
        {"id": list("aab"), "on": ["2024-01-01", "2024-01-08", "2024-02-01"], "start": ["x", "2024-01-01", "y"]}
    )
    with pytest.raises(ba.TableError) as caught:
        ba.read_sessions(frame, {"patient": "id"}, session={"column": "on", "every": "week", "start": "start"})
    assert [problem.what for problem in caught.value.problems] == ["Column 'start' is no date in 2 rows: row 1, row 3."]


def test_times_that_are_numbers_put_visits_in_order() -> None:
    """Months since intake, fractions and below 0, number a patient's visits and stay as a variable."""
    frame = pd.DataFrame({"id": list("aaabb"), "months": ["1,15", "-2,5", "5,95", "0", "0,5"], "y": range(5)})
    with pytest.raises(
        ba.TableError, match=r"is not a whole number .*put visits in order: session=.'column': 'months'."
    ):
        ba.read_sessions(frame, {"patient": "id", "session": "months"})
    table = ba.read_sessions(frame, {"patient": "id"}, session={"column": "months"})
    assert table.frame["session"].tolist() == [1, 2, 3, 1, 2]
    np.testing.assert_allclose(table.frame["months"], [-2.5, 1.15, 5.95, 0, 0.5])
    assert "Sessions are visits in the order of 'months' (-2.5 to 5.95): 1 to 3." in table.messages
    twice = frame.assign(months=["1", "1", "2", "0", "1"])
    with pytest.raises(ba.TableError, match=r"Patients have several rows in one time in 2 rows: row 1, row 2"):
        ba.read_sessions(twice, {"patient": "id"}, session={"column": "months"})
    kept = ba.read_sessions(twice, {"patient": "id"}, session={"column": "months", "several": "last"})
    assert kept.frame["y"].tolist() == [1, 2, 3, 4]
    for stated, message in (
        ({"column": "months", "every": "week"}, r"holds numbers, no dates, so that weeks cannot be counted"),
        ({"column": "months"}, r"Column 'months' has no time in 1 row: row 2"),
    ):
        with pytest.raises(ba.TableError, match=message):
            ba.read_sessions(frame.assign(months=[1, None, 3, 4, 5]), {"patient": "id"}, session=stated)


def test_rows_without_ids_or_numbers() -> None:
    """Every row a person, or a patient's rows in the order of the table: stated, counted, a step of the preparation."""
    people = pd.DataFrame({"pre": [1.0, 2.0, 3.0], "post": [2.0, 2.5, 3.5]})
    with pytest.raises(
        ba.TableError, match=r"No column plays 'patient'.*each row is a person, state each_row='patient'"
    ):
        ba.read_sessions(people, {})
    table = ba.read_sessions(people, {}, each_row="patient")
    assert table.ids("patient").tolist() == ["1", "2", "3"]
    assert table.units == {"pre": "patient", "post": "patient"}
    assert table.steps[-1].kind == "numbering"
    assert table.messages == ("Every row is a patient of its own: 3 patients, numbered as they stand.",)
    ratings = pd.DataFrame({"id": list("abab"), "y": [1.0, 2.0, 3.0, 4.0]})
    with pytest.raises(ba.TableError, match=r"where the rows have no numbers, state each_row='session'"):
        ba.read_sessions(ratings, {"patient": "id"})
    numbered = ba.read_sessions(ratings, {"patient": "id"}, each_row="session")
    assert numbered.frame[["id", "session", "y"]].to_numpy().tolist() == [
        ["a", 1, 1], ["a", 2, 3], ["b", 1, 2], ["b", 2, 4]
    ]  # fmt: skip
    assert "A patient's rows are sessions in the order of the table: 4 rows, sessions 1 to 2." in numbered.messages[0]
    wide = pd.DataFrame({"y_1": [1.0, 2.0], "y_2": [3.0, 4.0]})
    long = ba.read_sessions(wide, {}, wide={"y": "y_{session}"}, each_row="patient")
    assert long.frame["patient"].tolist() == ["1", "1", "2", "2"]


@pytest.mark.parametrize(
    ("options", "roles", "message"),
    [
        ({"each_row": "person"}, {}, r"each_row is 'person'\. 'patient' or 'session'"),
        (
            {"each_row": "patient"},
            {"patient": "id"},
            r"each_row='patient' makes the column of patients, and 'id' plays it",
        ),
        (
            {"each_row": "session"},
            {"patient": "id", "session": "y"},
            r"each_row='session' makes the column of sessions",
        ),
        ({"each_row": "session", "wide": {"y": "y_{session}"}}, {"patient": "id"}, r"'wide' contradict each other"),
        (
            {"each_row": "patient", "questionnaire": {"item": "id", "answer": "y"}},
            {},
            r"each_row='patient' and 'questionnaire' contradict each other",
        ),
        ({"each_row": "patient"}, {"therapist": "id"}, r"The table has a column 'patient'\. Let it play the role"),
    ],
)
def test_rows_that_cannot_be_numbered(options: dict, roles: dict, message: str) -> None:
    """Stated twice, or beside what says the same."""
    frame = pd.DataFrame({"id": ["a", "b"], "y": [1.0, 2.0], "patient": ["p", "q"]})
    with pytest.raises(ba.TableError, match=message):
        ba.read_sessions(frame, roles, **options)

"""The session table: roles, repeats, transfers, side tables, units, order."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_alliance as ba
from tests.conftest import ROLES, make_trial


def test_all_problems_come_at_once() -> None:
    """Every problem of a table is in one error, numbered, with its rows."""
    frame = pd.DataFrame({"pid": ["A", "A", "", "B"], "week": [1, -1, 2, 1.5], "y": ["1,5", "2,5", "", "2"]})
    with pytest.raises(ba.TableError) as caught:
        ba.read_sessions(frame, {"patient": "pid", "session": "week"})
    text = str(caught.value)
    assert text.startswith("3 problems in 4 rows.")
    assert len(caught.value.problems) == 3
    assert "has no identifier" in text
    assert "is negative" in text
    assert "not a whole number" in text


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"patent": "pid", "session": "week"}, r"Unknown role 'patent'.*Did you mean 'patient'\?"),
        ({"patient": "PID", "session": "week"}, r"No column 'PID' to play 'patient'. .*Did you mean 'pid'\?"),
        ({"session": "week"}, r"No column plays 'patient'. Columns seen"),
        ({"patient": "pid", "therapist": "pid"}, r"Column 'pid' plays 'patient', 'therapist'; a column plays one role"),
        (["pid", "week"], r"roles is \['pid', 'week'\]. It names the column that plays each role.*Columns seen: 'pid'"),
        ({"patient": ["pid"]}, r"roles is \{'patient': \['pid'\]\}. It names the column"),
    ],
)
def test_roles_are_checked(trial: pd.DataFrame, roles: object, message: str) -> None:
    """A role that is unknown, missing, doubled or without a column is named with the nearest valid one."""
    with pytest.raises(ba.TableError, match=message):
        ba.read_sessions(trial, roles)  # type: ignore[arg-type]


def test_repeated_sessions_are_listed() -> None:
    """Two rows of a patient in one session are an error that lists them."""
    frame = pd.DataFrame({"pid": ["A", "A", "B"], "week": [4, 4, 4], "y": [1, 2, 3]})
    with pytest.raises(
        ba.TableError, match=r"'week' repeats within patient in 1 row: patient 'A' session 4\. Keep one"
    ):
        ba.read_sessions(frame, {"patient": "pid", "session": "week"})
    with pytest.raises(ba.TableError, match=r"No column plays 'session' and 1 patient has several rows: 'A'"):
        ba.read_sessions(frame, {"patient": "pid"})


def two_therapists() -> pd.DataFrame:
    """Return a patient id that occurs under two therapists."""
    return pd.DataFrame(
        {"pid": ["1", "1", "2", "2"], "tid": ["a", "b", "b", "b"], "week": [1, 2, 1, 2], "y": [1.0, 2.0, 3.0, 4.0]}
    )


def test_a_patient_under_two_therapists_is_asked_about() -> None:
    """The error names the patient and the three things it may mean."""
    roles = {"patient": "pid", "therapist": "tid", "session": "week"}
    with pytest.raises(
        ba.TableError, match=r"1 patient with more than one therapist: '1' \(a, b\).*transferred.*reused"
    ):
        ba.read_sessions(two_therapists(), roles)
    moved = ba.read_sessions(two_therapists(), roles, transfers="transferred")
    assert sorted(set(moved.ids("patient"))) == ["1", "2"]
    again = ba.read_sessions(two_therapists(), roles, transfers="reused")
    assert sorted(set(again.ids("patient"))) == ["a/1", "b/1", "b/2"]
    assert "2 patient ids under 2 therapists name 3 persons" in " ".join(again.messages)
    assert "1 patient changes therapist: '1' (a, b)" in str(ba.describe(moved))


def test_each_patient_may_have_a_meaning_of_its_own() -> None:
    """One person who changed therapist beside two who share an id; who is not named is asked about."""
    roles = {"patient": "pid", "therapist": "tid", "session": "week"}
    frame = pd.DataFrame(
        {"pid": list("112233"), "tid": list("ababaa"), "week": [1, 2] * 3, "y": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}
    )
    table = ba.read_sessions(frame, roles, transfers={"patient": {"1": "transferred", 2: "reused"}})
    assert sorted(set(table.ids("patient"))) == ["1", "3", "a/2", "b/2"]
    assert "1 patient id under 2 therapists names 2 persons: ids are used again by each therapist." in table.messages
    assert "1 patient under several therapists, groups or sites is one person, as stated." in table.messages
    with pytest.raises(ba.TableError, match=r"transfers of 'patient' names '1' twice"):
        ba.read_sessions(frame, roles, transfers={"patient": {"1": "transferred", 1: "reused"}})  # type: ignore[dict-item]
    for stated, message in (
        (
            {"1": "transferred"},
            r"1 patient with more than one therapist: '2' \(a, b\)\. Say what it means: .*by patient",
        ),
        ({"1": "moved", "2": "reused"}, r"Unknown meaning 'moved'"),
        (
            {"1": "transferred", "2": "reused", "3": "reused", "9": "reused"},
            r"transfers names 2 patients who are not seen under several therapists, groups or sites: '3', '9'",
        ),
    ):
        with pytest.raises(ba.TableError, match=message):
            ba.read_sessions(frame, roles, transfers={"patient": stated})
    taken = frame.assign(pid=["1", "1", "2", "2", "a/2", "a/2"])
    with pytest.raises(ba.TableError, match=r"names 'a/2', which is another person's id already"):
        ba.read_sessions(taken, roles, transfers={"patient": {"1": "transferred", "2": "reused"}})
    stream = ba.stream_sessions(
        pa.Table.from_pandas(frame), roles, transfers={"patient": {"1": "transferred", "2": "reused"}}, rows=2
    )
    assert sorted({one for block in stream.blocks() for one in block.ids("patient")}) == ["1", "3", "a/2", "b/2"]
    stated = {"patient": {"1": "transferred", "2": "reused", "77": "reused"}}
    with pytest.raises(ba.TableError, match=r"transfers names 1 patient who do not occur: '77'"):
        list(ba.stream_sessions(pa.Table.from_pandas(frame), roles, transfers=stated, rows=2).blocks())
    shared = pd.concat([frame[frame["pid"] != "3"], frame[frame["pid"] == "3"].assign(pid="a/2")], ignore_index=True)
    stated = {"patient": {"1": "transferred", "2": "reused"}}
    with pytest.raises(ba.TableError, match=r"'a/2' names patients of several blocks"):
        list(ba.stream_sessions(pa.Table.from_pandas(shared), roles, transfers=stated, rows=2).blocks())


def test_side_tables_are_joined_many_to_one() -> None:
    """What is measured once per patient or therapist joins on the id; repeats and clashes are errors."""
    roles = {"patient": "pid", "therapist": "tid", "session": "week"}
    frame = two_therapists().assign(tid=["a", "a", "b", "b"])
    people = pd.DataFrame({"pid": ["1", "2", "9"], "age": [30, 40, 50]})
    staff = pd.DataFrame({"tid": ["a"], "skill": [3.5]})
    table = ba.read_sessions(frame, roles, patients=people, therapists=staff)
    assert list(table.frame["age"]) == [30, 30, 40, 40]
    assert table.frame["skill"].isna().sum() == 2
    assert "1 patient of the patients table has no session and is left out." in table.messages
    assert "1 therapist of the sessions has no row in the therapists table." in table.messages
    with pytest.raises(ba.TableError, match=r"patients table has more than one row for 1 patient: '1'"):
        ba.read_sessions(frame, roles, patients=pd.DataFrame({"pid": ["1", "1"], "age": [1, 2]}))
    with pytest.raises(ba.TableError, match=r"patients table repeats columns of the sessions: 'y'"):
        ba.read_sessions(frame, roles, patients=pd.DataFrame({"pid": ["1"], "y": [1]}))
    with pytest.raises(ba.TableError, match=r"patients table needs a column 'pid' to join on. Columns seen: 'id'"):
        ba.read_sessions(frame, roles, patients=pd.DataFrame({"id": ["1"]}))
    with pytest.raises(ba.TableError, match=r"groups table needs a column that plays 'group' in roles"):
        ba.read_sessions(frame, roles, groups=pd.DataFrame({"gid": ["1"], "size": [4]}))


def test_units_are_worked_out(sessions: ba.SessionTable) -> None:
    """A column's unit is the widest one within which it never varies."""
    assert sessions.units["score"] == "session"
    assert sessions.units["pre"] == "patient"
    assert sessions.units["competence"] == "therapist"


def test_changing_the_frame_does_not_change_the_table(sessions: ba.SessionTable) -> None:
    """The table is a value."""
    before = sessions.fingerprint()
    frame = sessions.frame
    frame["score"] = 0.0
    assert sessions.fingerprint() == before


@settings(max_examples=20, deadline=None)
@given(order=st.randoms(use_true_random=False))
def test_permuting_rows_changes_nothing(order: object) -> None:
    """The table is the same for any order of its source rows."""
    trial = make_trial(patients=8)
    places = list(range(len(trial)))
    order.shuffle(places)  # type: ignore[attr-defined]
    shuffled = ba.read_sessions(trial.iloc[places], ROLES)
    assert shuffled.fingerprint() == ba.read_sessions(trial, ROLES).fingerprint()


def test_unsorted_rows_are_counted(trial: pd.DataFrame) -> None:
    """Rows that stood before an earlier session are sorted and counted."""
    messages = ba.read_sessions(trial.iloc[::-1], ROLES).messages
    assert any("stood before an earlier session; rows are sorted" in message for message in messages)


def test_select_rows_counts_what_it_leaves_out(sessions: ba.SessionTable) -> None:
    """Limits and levels keep the rows asked for and say how many went."""
    kept = ba.select_rows(sessions, minimum={"session": 2}, maximum={"week": 5}, only={"arm": "MBCT"})
    frame = kept.frame
    assert frame["week"].between(2, 5).all()
    assert set(frame["arm"]) == {"MBCT"}
    gone = [message for message in kept.messages if "left out on request" in message]
    assert len(gone) == 3
    assert len(sessions) - len(kept) == sum(int(message.split()[0].replace(",", "")) for message in gone)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"maximum": {"weak": 3}}, r"Unknown role or column 'weak'.*Did you mean 'week'\?"),
        ({"minimum": {"arm": 3}}, r"Column 'arm' holds words"),
        ({"only": {"arm": "CBT"}}, r"Unknown level of 'arm': 'CBT'. Valid: 'MBCT', 'TAU'"),
        ({"minimum": {"session": 99}}, r"week below 99 leaves no row"),
    ],
)
def test_select_rows_refuses(sessions: ba.SessionTable, limits: dict[str, dict[str, object]], message: str) -> None:
    """Unknown names, limits on words, levels that do not occur and empty results are errors."""
    with pytest.raises(ba.TableError, match=message):
        ba.select_rows(sessions, **limits)  # type: ignore[arg-type]


def test_description_says_what_a_statistician_asks(sessions: ba.SessionTable) -> None:
    """Sizes, missing by arm, and the factor that exists in one arm only."""
    described = ba.describe(sessions, condition="arm")
    sizes = described.sizes.set_index("what")
    assert sizes.loc["rows per patient", "units"] == 24
    assert sizes.loc["rows per patient", "with one"] == 2
    assert list(described.missing.columns) == ["variable", "unit", "missing", "arm = MBCT", "arm = TAU"]
    assert "group exists in MBCT only: rows of TAU have none (partial nesting)." in described.notes
    with pytest.raises(ba.TableError, match=r"Unknown column 'arms'.*Did you mean 'arm'"):
        ba.describe(sessions, condition="arms")


def test_roles_may_live_in_a_side_table() -> None:
    """A patients table that says who treats whom gives the therapist role."""
    rows = pd.DataFrame({"pid": ["1", "1", "2"], "week": [1, 2, 1], "y": [1.0, 2.0, 3.0]})
    people = pd.DataFrame({"pid": ["1", "2"], "tid": ["a", "b"], "arm": ["X", "Y"]})
    table = ba.read_sessions(rows, {"patient": "pid", "session": "week", "therapist": "tid"}, patients=people)
    assert list(table.ids("therapist")) == ["a", "a", "b"]


def test_a_side_row_without_an_id_joins_nobody() -> None:
    """A blank key of a side table is left out, counted, and never meets rows without an id."""
    rows = pd.DataFrame({"pid": ["1", "2"], "week": [1, 1], "tid": ["", "a"]})
    staff = pd.DataFrame({"tid": ["a", None], "skill": [3.0, 99.0]})
    roles = {"patient": "pid", "session": "week", "therapist": "tid"}
    table = ba.read_sessions(rows, roles, therapists=staff)
    assert table.frame["skill"].isna().tolist() == [True, False]
    assert "1 row of the therapists table without a therapist id left out." in table.messages


def test_reused_ids_need_therapists_and_work_with_sites() -> None:
    """Persons are named before sites are checked; rows without a therapist are an error."""
    frame = two_therapists().assign(site=["n", "s", "s", "s"])
    roles = {"patient": "pid", "therapist": "tid", "session": "week", "site": "site"}
    assert len(set(ba.read_sessions(frame, roles, transfers="reused").ids("patient"))) == 3
    with pytest.raises(ba.TableError, match=r"1 row has no therapist\. Complete the therapist ids"):
        ba.read_sessions(frame.assign(tid=["", "b", "b", "b"]), roles, transfers="reused")


def test_numbers_as_levels_keep_every_digit() -> None:
    """Seven-digit codes stay apart when rows are chosen by them."""
    frame = pd.DataFrame({"pid": ["A", "B"], "week": [1, 1], "cohort": [20190101, 20190102]})
    table = ba.read_sessions(frame, {"patient": "pid", "session": "week"})
    assert list(ba.select_rows(table, only={"cohort": "20190102"}).ids("patient")) == ["B"]
    assert list(ba.select_rows(table, only={"cohort": 20190102}).ids("patient")) == ["B"]  # type: ignore[dict-item]
    with pytest.raises(ba.TableError, match="The limit of 'week' must be a number; it is 'x'"):
        ba.select_rows(table, maximum={"week": "x"})  # type: ignore[dict-item]


def test_a_table_shows_its_sizes(trial: pd.DataFrame) -> None:
    """Rows and levels of each role, not the whole frame."""
    shown = repr(ba.read_sessions(trial, ROLES))
    assert shown.startswith(f"SessionTable of {len(trial)} rows: 24 patients, 6 therapists")
    assert len(shown) < 600


def test_a_therapist_in_both_arms_where_therapists_were_randomised(trial: pd.DataFrame) -> None:
    """Named with both arms; units without an id and missing values do not count."""
    frame = trial.assign(training=trial["tid"].isin(["T1", "T2"]).map({True: "trained", False: "standard"}))
    stated = {"training": "therapist"}
    assert ba.read_sessions(frame, ROLES, units=stated).units["training"] == "therapist"
    first = frame.index[frame["tid"] == "T1"][0]
    frame.loc[first, "training"] = "standard"
    with pytest.raises(
        ba.TableError,
        match=r"is stated to be of therapists, and 1 therapist has several values: 'T1' \(standard, trained\)",
    ):
        ba.read_sessions(frame, ROLES, units=stated)
    frame.loc[first, "training"] = None
    ba.read_sessions(frame, ROLES, units=stated)
    with pytest.raises(ba.TableError, match=r"(?s)Unknown column 'trainin'.*Did you mean.*Unknown unit 'therapists'"):
        ba.read_sessions(frame, ROLES, units={"trainin": "therapist", "training": "therapists"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ignore": ["pid"]}, r"ignore names 'pid', which plays 'patient'. Take it out of one of the two"),
        ({"ignore": "tid"}, r"ignore names 'tid', which plays 'therapist'"),
        ({"ignore": 3}, r"ignore: Unknown column '3'"),
        ({"units": {"tid": "therapist"}}, r"units= names 'tid', which plays 'therapist'. State units of measured"),
        ({"units": ["tid"]}, r"units is \['tid'\]; it is a mapping by column"),
        ({"units": {"y": ["patient"]}}, r"Unknown unit \['patient'\]"),
        ({"bounds": [0, 1]}, r"bounds is \[0, 1\]; it is a mapping by column"),
        ({"missing": ["y"]}, r"missing is \['y'\]; it names codes by column"),
        ({"missing": {"y": [[1]]}}, r"missing= of 'y' holds \[1\]; codes are numbers or text"),
        ({"transfers": "moved"}, r"transfers of 'patient': Unknown meaning 'moved'"),
        ({"transfers": {"site": "reused"}}, r"transfers: Unknown unit 'site'"),
        ({"transfers": {"group": "reused"}}, r"transfers names 'group', and no column plays it"),
        (
            {"transfers": {"therapist": "reused"}},
            r"transfers=\{'therapist': 'reused'\} needs a column that plays 'site'",
        ),
    ],
)
def test_options_that_name_nothing_are_typed_errors(options: dict[str, object], message: str) -> None:
    """Options of the wrong form, and those that name a column of a role, are named; none ends in another error."""
    frame = two_therapists().assign(tid=["a", "a", "b", "b"])
    with pytest.raises(ba.TableError, match=message):
        ba.read_sessions(frame, {"patient": "pid", "therapist": "tid", "session": "week"}, **options)  # type: ignore[arg-type]


NFC, NFD = "J\u00fcrgen", "Ju\u0308rgen"

ALIKE = {
    "Unicode form": (NFC, NFD),
    "compatibility form": ("office", "o\ufb03ce"),
    "no-break space": ("A B", "A\u00a0B"),
    "zero-width": ("Anna", "An\u200bna"),
    "soft hyphen": ("Anna", "An\u00adna"),
    "byte order mark": ("Anna", "\ufeffAnna"),
    "direction mark": ("Anna", "Anna\u200e"),
    "filler": ("Anna", "Anna\u3164"),
    "case": ("Anna", "ANNA"),
    "case beyond ASCII": ("Stra\u00dfe", "STRASSE"),
    "blanks": ("Anna", "Anna "),
}


@pytest.mark.parametrize("kind", ALIKE)
def test_ids_that_look_alike_are_named_and_kept_apart(kind: str) -> None:
    """Whatever a reader cannot see is named in a warning that shows the difference; ids stay apart."""
    one, two = ALIKE[kind]
    frame = two_therapists().assign(tid=[one, one, two, two])
    with pytest.warns(ba.AllianceWarning, match="therapist ids that differ only in blanks, case") as caught:
        table = ba.read_sessions(frame, {"patient": "pid", "therapist": "tid", "session": "week"})
    assert len(set(table.ids("therapist"))) == 2
    shown = str(caught[0].message)
    assert (ascii(one) in shown and ascii(two) in shown) or (repr(one) in shown and repr(two) in shown)


@pytest.mark.parametrize("pair", [("J", NFC, NFD), ("J", "0012", "12"), ("J", "Anna", "Anna\u200b")])
def test_side_tables_join_ids_that_look_alike_or_say_so(pair: tuple[str, str, str]) -> None:
    """An id that finds no partner where one looks the same is an error that shows both."""
    other, here, there = pair
    frame = pd.DataFrame({"pid": [other, here], "week": 1, "y": [1.0, 2.0]})
    roles = {"patient": "pid", "session": "week"}
    assert len(ba.read_sessions(frame, roles, patients=pd.DataFrame({"pid": [other, here], "age": [30, 40]}))) == 2
    with pytest.raises(ba.TableError, match="1 patient of the sessions has no row in the patients table, where an id"):
        ba.read_sessions(frame, roles, patients=pd.DataFrame({"pid": [other, there], "age": [30, 40]}))


def test_names_of_columns_in_two_unicode_forms() -> None:
    """A role in another form than its column is not found, with a reason; two such columns are named."""
    frame = pd.DataFrame({"pid": ["A"], "week": [1], "pr\u00fcfer": ["x"]})
    roles = {"patient": "pid", "session": "week", "therapist": "pru\u0308fer"}
    with pytest.raises(ba.TableError, match=r"'pru\\u0308fer', 'pr\\xfcfer' differ only in blanks, invisible"):
        ba.read_sessions(frame, roles)
    table = ba.read_sessions(frame.assign(**{"pru\u0308fer": "x"}), roles)
    assert any("Columns whose names differ only in blanks, invisible" in note for note in table.messages)


def test_ids_joined_into_one_stay_apart() -> None:
    """'a/1' of '2' and 'a' of '1/2' are two persons where ids are used again by each therapist."""
    frame = pd.DataFrame({"pid": ["2", "1/2"], "tid": ["a/1", "a"], "week": [1, 1], "y": [1.0, 2.0]})
    roles = {"patient": "pid", "therapist": "tid", "session": "week"}
    assert len(set(ba.read_sessions(frame, roles, transfers="reused").ids("patient"))) == 2


def test_therapist_ids_used_again_by_every_site() -> None:
    """Stated as such, site and id name the therapist; rows without a therapist keep none."""
    frame = pd.DataFrame({"pid": list("abcd"), "tid": ["1", "2", "1", ""], "site": list("nnss"), "week": 1, "y": 1.0})
    roles = {"patient": "pid", "therapist": "tid", "session": "week", "site": "site"}
    table = ba.read_sessions(frame, roles, transfers={"therapist": "reused"})
    assert sorted(set(table.ids("therapist"))) == ["", "n/1", "n/2", "s/1"]
    assert "2 therapist ids under 2 sites name 3 therapists: ids are used again by each site." in table.messages
    with pytest.raises(ba.TableError, match="names each therapist by site and id, and 1 row has no site"):
        ba.read_sessions(frame.assign(site=["n", "n", "", "s"]), roles, transfers={"therapist": "reused"})
    staff = pd.DataFrame({"tid": ["1", "2"], "skill": [1.0, 2.0]})
    with pytest.raises(ba.TableError, match="The therapists table is joined by therapist alone"):
        ba.read_sessions(frame, roles, therapists=staff, transfers={"therapist": "reused"})

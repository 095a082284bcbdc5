"""Scores of items: keys as data, rows worked out by hand, missing items, and what is never guessed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.table.scores.instrument import list_instruments, load_instrument

ROLES = {"patient": "pid", "session": "week"}


def items(rows: list[list[float | None]], stem: str = "wai_") -> pd.DataFrame:
    """Return sessions of a patient with their answers."""
    frame = pd.DataFrame(rows, columns=[f"{stem}{i}" for i in range(1, len(rows[0]) + 1)], dtype=float)
    return frame.assign(pid="a", week=range(1, len(rows) + 1))


def test_every_key_is_whole() -> None:
    """Items of subscales lie within the key, none in two of one instrument; every key says where its facts are from."""
    for name in list_instruments():
        key = load_instrument(name)
        listed = [item for own in key.subscales.values() for item in own]
        assert len(set(listed)) == len(listed), name
        assert key.facts, name
        assert all(fact.source for fact in key.facts), name
        if name not in ("wai-i", "sai"):
            assert not listed or set(listed) == set(range(1, key.items + 1)), name
    assert len(list_instruments()) >= 26


def test_scores_are_those_of_camcops() -> None:
    """175 scores of random answers, worked out by CamCOPS 2.4.24 (``tests/oracles/camcops.py``), missing items too."""
    oracle = pd.read_csv(Path(__file__).parents[1] / "oracles" / "camcops.csv", dtype=str)
    seen = 0
    for (name, score), own in oracle.groupby(["instrument", "score"]):
        answers = [[float(a) if a else np.nan for a in row.split(" ")] for row in own["answers"]]
        frame = items(answers, "i_")
        stated = {"s": {"instrument": str(name), "items": "i_*"}}
        table = ba.read_sessions(frame, ROLES, scores=stated).frame
        column = "s" if score == "total" else f"s_{score}"
        np.testing.assert_allclose(table[column], own["value"].astype(float), rtol=1e-5)
        seen += len(own)
    assert seen == 175
    assert oracle["answers"].str.contains(r"  |^ | $").any()  # missing items


def test_hamilton_and_ids_have_items_of_other_kinds() -> None:
    """Ranges of their own, and items of which one is answered."""
    assert load_instrument("hrsd-17").ends()[:, 1].sum() == 52
    assert load_instrument("hrsd-24").ends()[:, 1].sum() == 75
    ids = load_instrument("ids-sr")
    assert len(ids.counted) == 28
    answers = [1.0] * 30
    answers[10], answers[11], answers[12], answers[13] = np.nan, 3.0, 2.0, 1.0
    table = ba.read_sessions(
        items([answers, [3.0] * 30]), ROLES, scores={"d": {"instrument": "ids-sr", "items": "wai_*"}}
    )
    assert table.frame["d"].tolist() == [26 + 3 + 2, 84]
    assert table.bounds["d"] == (0, 84)
    assert "1 row answers several of the items 11, 12 of 'd', of which one is to be answered; the highest" in " ".join(
        table.messages
    )
    high = [2.0] * 17
    high[3] = 3.0
    with pytest.raises(
        ba.TableError,
        match=r"'wai_4' row 1 \(3\)\. Answers are whole numbers from 0 to 4, and 0 to 2 to the items 4, 5, 6, 12",
    ):
        ba.read_sessions(items([high]), ROLES, scores={"d": {"instrument": "hrsd-17", "items": "wai_*"}})
    gone = [1.0] * 17
    gone[0] = np.nan
    table = ba.read_sessions(items([gone]), ROLES, scores={"d": {"instrument": "hrsd-17", "items": "wai_*"}})
    assert table.frame["d"].isna().all()
    with pytest.raises(ba.TableError, match=r"have different ranges; the mean of others cannot stand for one"):
        ba.read_sessions(
            items([gone]), ROLES, scores={"d": {"instrument": "hrsd-17", "items": "wai_*", "items_missing": "half"}}
        )


def test_an_instrument_without_a_key_says_why() -> None:
    """The name is known and its scales are not: nothing is guessed."""
    with pytest.raises(
        ba.TableError, match=r"no key of 'dpccq' \(Development .*found in no source.*Write the key that"
    ):
        load_instrument("dpccq")


def test_wai_sr_by_hand() -> None:
    """Bond 3, 5, 7, 9; task 1, 2, 10, 12; goal 4, 6, 8, 11, and not blocks of four items."""
    answers = [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2]
    table = ba.read_sessions(items([answers]), ROLES, scores={"alliance": {"instrument": "wai-sr", "items": "wai_*"}})
    row = table.frame.iloc[0]
    assert row["alliance"] == sum(answers)
    assert row["alliance_bond"] == 3 + 5 + 2 + 4
    assert row["alliance_task"] == 1 + 2 + 5 + 2
    assert row["alliance_goal"] == 4 + 1 + 3 + 1
    assert table.bounds["alliance"] == (12, 60)
    assert table.bounds["alliance_bond"] == (4, 20)
    assert (
        "Score 'alliance' (Working Alliance Inventory, short form revised, sum of 12 items, higher is better): 1 row"
        in ("\n".join(table.messages))
    )


def test_wai_s_has_another_key_and_reversals() -> None:
    """The same columns give other scores: 4 and 10 count the other way round, from 1 to 7."""
    answers = [7, 6, 5, 1, 3, 2, 1, 7, 6, 2, 4, 3]
    table = ba.read_sessions(items([answers]), ROLES, scores={"w": {"instrument": "wai-s", "items": "wai_*"}})
    turned = [8 - a if i in (4, 10) else a for i, a in enumerate(answers, 1)]
    assert table.frame["w"].tolist() == [sum(turned)]
    assert table.frame["w_goal"].tolist() == [turned[3] + turned[5] + turned[9] + turned[10]]
    assert any("The key of 'w' is from memory in: key, range, reversals. Check it" in m for m in table.messages)


def test_items_without_an_answer() -> None:
    """Half of the items or more: the mean of those answered stands for the others; of fewer there is no score."""
    whole = [1.0, 2, 3, 0, 1, 2, 3, 0, 1]
    half = [1.0, 2, 3, 0, 1, None, None, None, None]
    few = [1.0, 2, 3, 0, None, None, None, None, None]
    frame = items([whole, half, few, [None] * 9], "phq")
    stated = {"depression": {"instrument": "phq-9", "items": "phq*"}}
    table = ba.read_sessions(frame, ROLES, scores=stated)
    np.testing.assert_allclose(table.frame["depression"], [13, 7 / 5 * 9, np.nan, np.nan])
    assert any(
        "2 rows scored; 1 with items missing, for which the mean of the others stands; 1 not scored, with more than "
        "half of the items missing; 1 without any answer." in message
        for message in table.messages
    )
    complete = ba.read_sessions(
        frame, ROLES, scores={"depression": {**stated["depression"], "items_missing": "complete"}}
    )
    np.testing.assert_allclose(complete.frame["depression"], [13, np.nan, np.nan, np.nan])


def test_means_factors_and_single_subscales() -> None:
    """HAQ-II is a mean with reversals, WHO-5 four times the sum, an octant of the IIP a mean of four."""
    haq = [float(i % 6 + 1) for i in range(19)]
    turned = [7 - a if i in (4, 8, 11, 16, 19) else a for i, a in enumerate(haq, 1)]
    table = ba.read_sessions(items([haq], "h"), ROLES, scores={"haq": {"instrument": "haq-ii", "items": "h*"}})
    np.testing.assert_allclose(table.frame["haq"], [np.mean(turned)])
    who = ba.read_sessions(
        items([[5.0, 4, 3, 2, 1]], "h"), ROLES, scores={"who": {"instrument": "who-5", "items": "h*"}}
    )
    assert who.frame["who"].tolist() == [60]
    assert who.bounds["who"] == (0, 100)
    iip = [float(i % 5) for i in range(32)]
    cold = {"cold": {"instrument": "iip-32", "items": "h*", "subscale": "de"}}
    one = ba.read_sessions(items([iip], "h"), ROLES, scores=cold)
    np.testing.assert_allclose(one.frame["cold"], [np.mean([iip[i - 1] for i in (10, 11, 13, 15)])])
    assert "cold_de" not in one.frame


def test_columns_listed_in_order_and_a_key_of_your_own(tmp_path: Path) -> None:
    """Columns may be listed; a key is a file beside the analysis."""
    own = tmp_path / "own.toml"
    own.write_text(
        'title = "Two questions"\nitems = 2\nrange = [0, 10]\nwhole = false\nbetter = "higher"\nreverse = [2]\n'
    )
    frame = pd.DataFrame({"pid": "a", "week": [1], "late": [2.5], "early": [4.0]})
    table = ba.read_sessions(frame, ROLES, scores={"two": {"instrument": str(own), "items": ["early", "late"]}})
    assert table.frame["two"].tolist() == [4.0 + 7.5]


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"instrument": "wai", "items": "wai_*"}, r"Unknown instrument 'wai'.*A key of your own ends in \.toml"),
        ({"instrument": "wai-sr", "items": "wai*x"}, r"numbered 1 to 12 .*0 columns fit 'wai\*x': none"),
        ({"instrument": "phq-9", "items": "wai_*"}, r"numbered 1 to 9 \(Patient Health.*12 columns fit"),
        ({"instrument": "wai-sr", "items": ["wai_1"]}, r"has 12 items, and 1 are listed for 'a'"),
        ({"instrument": "wai-sr", "items": ["wai_1", "nope"]}, r"Items of 'a': 'nope' is no column"),
        (
            {"instrument": "wai-sr", "items": "wai_*", "subscale": "bonds"},
            r"Unknown subscale 'bonds'.*Did you mean 'bond'",
        ),
        (
            {"instrument": "wai-sr", "items": "wai_*", "items_missing": "most"},
            r"items_missing of scores\['a'\] is 'most'",
        ),
        ({"instrument": "wai-sr", "item": "wai_*"}, r"It states instrument and items"),
        ({"instrument": "nope.toml", "items": "wai_*"}, r"No file of an instrument"),
        ({"instrument": "wai-sr", "items": ["wai_1"] * 12}, r"Items of 'a' list 'wai_1' twice"),
        (
            {"instrument": "wai-sr", "items": {"wai_1", "wai_2"}},
            r"A pattern such as 'wai_\*', or a list of columns in order",
        ),
        ({"instrument": "wai-sr", "items": 5}, r"Items of 'a' are 5"),
        ("wai-sr", r"scores\['a'\] is 'wai-sr'\. It states instrument and items"),
    ],
)
def test_scores_that_cannot_be_made(stated: object, message: str) -> None:
    """Unknown instruments, patterns that fit another number of columns, subscales and rules that are none."""
    with pytest.raises(ba.TableError, match=message):
        ba.read_sessions(items([[3.0] * 12]), ROLES, scores={"a": stated})  # type: ignore[dict-item]


def test_answers_that_are_none() -> None:
    """Outside of the range, no whole number, words; and a score that is called like a column."""
    stated = {"a": {"instrument": "wai-sr", "items": "wai_*"}}
    odd = items([[3.0] * 12, [3.0] * 11 + [6.0]])
    with pytest.raises(
        ba.TableError, match=r"1 answer of 'a' is none: 'wai_12' row 2 \(6\)\. Answers are whole numbers"
    ):
        ba.read_sessions(odd, ROLES, scores=stated)
    with pytest.raises(ba.TableError, match=r"1 answer of 'a' is none: 'wai_1' row 1 \(2\.5\)"):
        ba.read_sessions(items([[2.5] + [3.0] * 11]), ROLES, scores=stated)
    words = items([[3.0] * 12]).assign(wai_3="often")
    with pytest.raises(ba.TableError, match=r"Items of 'a' hold words: 'wai_3'"):
        ba.read_sessions(words, ROLES, scores=stated)
    with pytest.raises(ba.TableError, match=r"Score 'a' is called like a column"):
        ba.read_sessions(items([[3.0] * 12]).assign(a=1.0), ROLES, scores=stated)
    coded = ba.read_sessions(odd.replace(6.0, 99.0), ROLES, scores=stated, missing={"wai_12": [99]})
    assert coded.frame["a"].tolist() == [36, 36]


def test_keys_that_are_none(tmp_path: Path) -> None:
    """Items beyond the last, ranges turned round, unknown entries, no TOML."""
    head = 'title = "t"\nitems = 2\nrange = {}\nbetter = "higher"\n'
    for text, message in (
        (head.format("[0, 3]") + "reverse = [3]\n", r"items are numbered 1 to 2; 3 is none"),
        (head.format("[3, 0]"), r"range is the lowest answer and the highest one"),
        (head.format("[0, 3]") + "[subscales]\nx = [1, 1]\n", r"'x' lists an item twice"),
        (head.format("[0, 3]") + "colour = 1\n", r"instrument .*colour"),
        (head.format("[0, 3]") + "one_of = [[1, 2], [2, 1]]\n", r"one_of lists an item twice"),
        (head.format("[0, 3]") + "times = -1.0\n", r"times.*greater than 0"),
        (head.format("[0, 3]") + "[subscales]\nx = []\n", r"'x' lists no item"),
        (
            head.format("[0, 3]")
            + 'missing = "complete"\none_of = [[1, 2]]\n[[other_range]]\nitems = [2]\nrange = [0, 2]\n',
            r"items of one_of have one range",
        ),
        (head.format("[0, 3]") + "one_of = [[1, 2]]\n[subscales]\nx = [2]\n", r"'x' lists an item of one_of that"),
        (
            head.format("[0, 3]") + "[[other_range]]\nitems = [1]\nrange = [0, 2]\n",
            r"cannot stand for one another; missing is 'complete'",
        ),
        ("title =", r"is no TOML"),
    ):
        path = tmp_path / "own.toml"
        path.write_text(text)
        with pytest.raises(ba.TableError, match=message):
            load_instrument(path)


def test_wide_items_dates_and_scores_in_an_analysis(tmp_path: Path) -> None:
    """From a wide export of items to scores by session, as the analysis file says."""
    from bayes_alliance.run.analysis import parse_analysis
    from bayes_alliance.run.rows import read_rows

    rng = np.random.default_rng(1)
    wide = {f"phq{i}_t{t}": rng.integers(0, 4, 12) for t in range(4) for i in range(1, 10)}
    pd.DataFrame({"id": [f"p{i}" for i in range(12)]} | wide).to_csv(tmp_path / "wide.csv", index=False)
    (tmp_path / "own.toml").write_text(
        'title = "t"\nquestion = "q?"\n[[equation]]\noutcome = "phq9"\nunit = "session"\n'
        'formula = "session + (1 | patient)"\n'
    )
    analysis = parse_analysis(
        'title = "Course"\nseed = 1\n[data]\npath = "wide.csv"\nroles = { patient = "id" }\n'
        'wide = { item = "phq{item}_t{session}" }\n[scores.phq9]\ninstrument = "phq-9"\nitems = "item_*"\n'
        '[[model]]\nname = "own.toml"\n'
    )
    rows = read_rows(analysis, tmp_path, {"own": ba.load_model(tmp_path / "own.toml")})
    found = rows.sessions.frame.groupby("session")["phq9"].apply(sorted)
    for t in range(4):
        right = sorted(sum(wide[f"phq{i}_t{t}"] for i in range(1, 10)))
        assert found[float(t)] == right

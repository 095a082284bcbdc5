"""Every combination of decisions: which one matters, what is weighed against what, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.comparison.decision_effects import find_moves
from bayes_alliance.comparison.estimand_meaning import describe_meaning
from tests.build.test_equations import HEAD, equation
from tests.conftest import ROLES

QUIET = ba.SamplerSettings(draws=500, progress="off")
NESTED = {k: v for k, v in ROLES.items() if k in ("patient", "session")}
ESTIMAND = '[labels]\na = "score ~ alliance"\n[estimands.effect]\nvalue = "a"\nunit = "points per point"\n'
MODEL = HEAD + equation("score", "alliance + week + (1 | patient)") + ESTIMAND


def make_confounded(seed: int = 4, patients: int = 60) -> pd.DataFrame:
    """Make a SYNTHETIC study: severity raises alliance and score alike, alliance lowers the score by 0.3 a point."""
    rng = np.random.default_rng(seed)
    severity = rng.normal(size=patients)
    effect = rng.normal(0, 0.7, patients)
    rows = []
    for p in range(patients):
        trait = 0.9 * severity[p] + rng.normal(0, 0.6)
        for week in range(1, 6):
            alliance = 5 + trait + rng.normal(0, 0.5)
            score = 10 + 1.5 * severity[p] - 0.3 * alliance - 0.4 * week + effect[p] + rng.normal()
            rows.append((f"P{p}", float(week), alliance, alliance + rng.normal(0, 0.3), severity[p], score))
    frame = pd.DataFrame(rows, columns=["pid", "week", "alliance", "wai_t", "severity", "score"])
    return frame.assign(noise=frame.groupby("pid")["week"].transform(lambda _: rng.normal()))


FORKS = {
    "covariate": {"none": ba.Option(), "noise": ba.Option(add="noise")},
    "confounder": {"adjusted": ba.Option(add="severity"), "not adjusted": ba.Option()},
    "rater": {"patient": ba.Option(), "therapist": ba.Option(columns={"alliance": "wai_t"})},
    "prior": {"default": ba.Option(), "narrow": ba.Option(priors={"b score ~ noise": "normal(0, 0.5)"})},
    "sessions": {"all": ba.Option(), "first four": ba.Option(maximum={"session": 4})},
}


@pytest.fixture(scope="module")
def table() -> ba.SessionTable:
    """Return the study as rows."""
    return ba.read_sessions(make_confounded(), NESTED)


@pytest.fixture(scope="module")
def explored(table: ba.SessionTable, tmp_path_factory: pytest.TempPathFactory) -> ba.Multiverse:
    """Return four forks explored; a prior on what is not in the model is excluded."""
    forks = {name: FORKS[name] for name in ("covariate", "confounder", "rater", "sessions")}
    return ba.fit_multiverse(
        ba.parse_model(MODEL), table, forks=forks, estimand="effect", seed=1, settings=QUIET, progress="off",
        exclude=[{"covariate": "noise", "sessions": "first four"}], folder=tmp_path_factory.mktemp("fits"),
    )  # fmt: skip


def test_intervals_are_held_against_what_means_no_difference(explored: ba.Multiverse) -> None:
    """Of a factor they exclude 1 or do not; an SD has no such value, and no line is drawn."""
    factor, spread = replace(explored, null=1.0), replace(explored, null=None)
    assert factor.clear(factor.table).equals(explored.table["eti95_ub"] < 1)
    assert "12 of 12 95% intervals exclude 1." in repr(factor)
    assert "exclude" not in repr(spread)
    assert not spread.clear(spread.table).any()
    drawn = [[line.get_linestyle() for line in ba.plot_multiverse(one).axes[0].lines] for one in (factor, spread)]
    assert [lines.count("--") for lines in drawn] == [1, 0]


def test_the_fork_that_matters_is_found(explored: ba.Multiverse) -> None:
    """The confounder moves the estimand most, by its sign; adjusted analyses hold the truth, the others do not."""
    assert len(explored) == 12
    first = explored.moves.iloc[0]
    assert first["fork"] == "confounder"
    assert first["other_sign"] == first["pairs"] == 6
    assert first["mean_move"] > 3 * explored.moves["mean_move"].iloc[1]
    table = explored.table
    adjusted = table[(table["confounder"] == "adjusted") & (table["rater"] == "patient")]
    assert ((adjusted["eti95_lb"] < -0.3) & (adjusted["eti95_ub"] > -0.3)).all()
    assert (table.loc[table["confounder"] == "not adjusted", "median"] > 0).all()
    assert table["passed"].all()


def test_weights_stay_inside_rows_and_meaning(explored: ba.Multiverse) -> None:
    """A block has one set of rows and one meaning; its weights add up to one; another rater is another meaning."""
    for _, block in explored.table.groupby("block"):
        assert block["rows"].nunique() == block["meaning"].nunique() == 1
        assert block["weight"].sum() == pytest.approx(1.0)
    assert explored.table["block"].nunique() == 4
    assert explored.table.groupby("rater")["meaning"].first().to_dict() == {
        "patient": "b[score, alliance] (points per point, population)",
        "therapist": "b[score, wai_t] (points per point, population)",
    }
    assert dict(zip(explored.moves["fork"], explored.moves["changes"], strict=True))["rater"] == "meaning"
    assert any(message.startswith("rater changes what the estimand is of") for message in explored.messages)
    assert "4 combinations left out on request." in explored.messages
    assert explored.moves["share"].isna().all(), "combinations are missing, so forks are confounded"
    averaged = explored.blocks.set_index("block")
    one = explored.table[explored.table["block"] == 1]
    assert one["median"].min() <= averaged.loc[1, "median"] <= one["median"].max()
    assert one["eti95_lb"].min() <= averaged.loc[1, "eti95_lb"]
    assert "what each decision moves" in repr(explored).casefold()
    assert "<table" in explored._repr_html_()


def test_the_curve_shows_every_analysis(explored: ba.Multiverse) -> None:
    """One interval per analysis in order of size, one mark per fork and analysis; failed chains in their own colour."""
    figure = ba.plot_multiverse(explored)
    top, bottom = figure.axes
    shown = np.concatenate([line.get_ydata() for line in top.lines if line.get_marker() == "o"])
    np.testing.assert_allclose(np.sort(shown), np.sort(explored.table["median"]))
    assert sum(len(line.get_xdata()) for line in bottom.lines) == 12 * 4
    bad = replace(explored, table=explored.table.assign(passed=False))
    assert "sampling checks failed" in [text.get_text() for text in ba.plot_multiverse(bad).axes[0].get_legend().texts]
    lost = replace(explored, table=explored.table.assign(error="no"))
    with pytest.raises(ba.FitError, match="nothing to draw"):
        ba.plot_multiverse(lost)


def test_a_killed_run_goes_on_and_the_same_analysis_is_fitted_once(table: ba.SessionTable, tmp_path: Path) -> None:
    """A second run answers from disk with the same numbers; options that come to the same are said."""
    forks = {
        "rater": {"patient": ba.Option(), "again": ba.Option(columns={"alliance": "alliance"})},
        "cut": {"all": ba.Option(), "three": ba.Option(maximum={"session": 3})},
    }

    def run() -> ba.Multiverse:
        return ba.fit_multiverse(
            ba.parse_model(MODEL), table, forks=forks, estimand="effect", seed=2, settings=QUIET, folder=tmp_path,
            same_rows=True, progress="off",
        )  # fmt: skip

    one = run()
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nc")}
    assert len(kept) == 2, "a column stated under its own name is no other analysis; priors scaled on other rows are"
    again = run()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nc")} == kept
    pd.testing.assert_frame_equal(one.table, again.table)
    assert one.table["rows"].unique().tolist() == [180]
    assert "2 combinations came to the same analysis as another; fitted once." in one.messages
    assert one.moves.set_index("fork")["mean_move"]["rater"] == 0


def test_declared_windows_change_the_meaning(table: ba.SessionTable) -> None:
    """An early mean over other sessions is another quantity, though its name is the same."""
    text = (
        HEAD
        + '[variables]\nearly = "window(alliance, 1, 2)"\n'
        + equation("score", "early + week + (1 | patient)")
        + ESTIMAND.replace("~ alliance", "~ early")
    )
    forks = {"window": {"two": ba.Option(), "three": ba.Option(variables={"early": "window(alliance, 1, 3)"})}}
    found = ba.fit_multiverse(
        ba.parse_model(text), table, forks=forks, estimand="effect", seed=1, settings=QUIET, weigh=False,
        progress="off",
    )  # fmt: skip
    assert [m.split("; ")[1] for m in found.table["meaning"]] == [
        "early = window(alliance, 1, 2)",
        "early = window(alliance, 1, 3)",
    ]
    assert found.table["weight"].isna().all()
    assert found.moves["share"].tolist() == [1.0]


def test_what_is_refused(table: ba.SessionTable) -> None:
    """Every kind of mistake, all of one kind at once, with the combinations it is in."""
    spec = ba.parse_model(MODEL)

    def run(forks: object, **rest: object) -> ba.Multiverse:
        given = {"estimand": "effect", "seed": 1, "settings": QUIET} | rest
        return ba.fit_multiverse(spec, table, forks=forks, **given)  # type: ignore[arg-type]

    two = {"rater": FORKS["rater"]}
    with pytest.raises(ba.FitError, match="forks names no decision"):
        run({})
    with pytest.raises(ba.FitError, match=r"Fork 'one' has 1 option(.|\n)*Fork 'no': 'b' is no Option"):
        run({"one": {"a": ba.Option()}, "no": {"a": ba.Option(), "b": {"add": "x"}}})
    with pytest.raises(ba.FitError, match=r"Unknown fork 'ratr'(.|\n)*Unknown option of 'rater': 'therapst'"):
        run(two, exclude=[{"ratr": "patient"}, {"rater": "therapst"}])
    with pytest.raises(ba.FitError, match="Every combination is excluded"):
        run(two, exclude=[{"rater": "patient"}, {"rater": "therapist"}])
    with pytest.raises(ba.FitError, match=r"Forks 'rater' and 'other' both set columns\['alliance'\]"):
        run(two | {"other": {"a": ba.Option(), "b": ba.Option(columns={"alliance": "week"})}})
    with pytest.raises(ba.FitError, match=r"age: a, rater: patient and 1 other combination: drop from score: Unknown"):
        run({"age": {"a": ba.Option(drop="age"), "b": ba.Option()}} | two)
    with pytest.raises(ba.DesignError, match=r"Unknown variable 'allianc'.*Did you mean 'alliance'"):
        run({"rater": {"a": ba.Option(), "b": ba.Option(columns={"allianc": "wai_t"})}})
    with pytest.raises(ba.FitError, match="Fork 'combination' has the name of a column"):
        run({"combination": FORKS["rater"]} | two)
    with pytest.raises(ba.FitError, match=r"Fork 'a' holds Option\. Name its options"):
        run({"a": ba.Option()})
    with pytest.raises(ba.FitError, match="Unknown unit 'patients'"):
        run(two, unit="patients")
    with pytest.raises(ba.DesignError, match=r"age: a, rater: patient and 1 other combination: .*'age'"):
        run({"age": {"a": ba.Option(add="age"), "b": ba.Option()}} | two)
    with pytest.raises(ba.FitError, match=r"Unknown estimand 'efect'.*Did you mean 'effect'.*State it under"):
        run(two, estimand="efect")
    with pytest.raises(ba.FitError, match="Fork 'rows' has the name of a column of the result"):
        run({"rows": FORKS["rater"]})
    many = {str(i): {"a": ba.Option(), "b": ba.Option()} for i in range(12)}
    with pytest.raises(ba.FitError, match=r"4,096 combinations, 4,096 of them not excluded; up to 2,000 are fitted"):
        run(many)
    endless = {str(i): {"a": ba.Option(), "b": ba.Option()} for i in range(64)}
    with pytest.raises(ba.FitError, match=r"18,446,744,073,709,551,616 combinations; up to 2,000"):
        run(endless)


def test_references_and_interactions_change_the_meaning() -> None:
    """What a level is compared with, and a term that makes an effect one at 0 of another variable."""
    frame = make_confounded(patients=30)
    frame["arm"] = frame["pid"].map(lambda p: "ABC"[int(p[1:]) % 3])
    labels = '[labels]\na = "score ~ arm[C]"\n[estimands.effect]\nvalue = "a"\nunit = "points"\n'
    spec = ba.parse_model(HEAD + equation("score", "arm + week + (1 | patient)") + labels)
    rows = ba.read_sessions(frame, NESTED)

    def meaning(changed: ba.ModelSpec, reference: str) -> str:
        return describe_meaning(ba.make_design(changed, ba.Study(rows, reference={"arm": reference})), "effect")

    one = meaning(spec, "A")
    assert one == "b[score, arm[C]] (points, population); arm against A"
    assert meaning(spec, "B") == one.replace("against A", "against B")
    assert meaning(ba.alter_model(spec, add="severity"), "A") == one
    more = meaning(ba.alter_model(spec, add="week:arm"), "A")
    assert more == f"{one}; beside week:arm[B]; beside week:arm[C]"


def test_moves_are_differences_of_pairs() -> None:
    """Two forks, worked out by hand; a fork whose pairs are all missing has no move."""
    table = pd.DataFrame(
        {
            "a": ["x", "x", "y", "y"],
            "b": ["u", "v", "u", "v"],
            "median": [1.0, 2.0, -1.0, 4.0],
            "eti95_lb": [0.5, -1.0, -2.0, 3.0],
            "eti95_ub": [1.5, 5.0, -0.5, 5.0],
            "meaning": ["m", "m", "m", "n"],
        }
    )
    forks = {"a": ("x", "y"), "b": ("u", "v")}
    found = find_moves(table, forks).set_index("fork")
    assert found.index.tolist() == ["b", "a"]
    assert found["mean_move"].to_dict() == {"a": 2.0, "b": 3.0}
    assert found["largest_move"].to_dict() == {"a": 2.0, "b": 5.0}
    assert found["other_sign"].to_dict() == {"a": 1, "b": 1}
    assert found["other_verdict"].to_dict() == {"a": 2, "b": 2}
    assert found["furthest"]["b"] == "u / v"
    assert found["changes"].to_dict() == {"a": "meaning", "b": "meaning"}
    np.testing.assert_allclose(found["in_sd"]["a"], 2.0 / (np.mean([1.0, 6.0, 1.5, 2.0]) / 4))
    np.testing.assert_allclose(found["share"]["b"], 2.25 / 3.25)
    shifted = table.assign(**{name: table[name] + 1 for name in ("median", "eti95_lb", "eti95_ub")})
    assert find_moves(shifted, forks, null=1.0).equals(find_moves(table, forks))
    assert find_moves(table, forks, null=1.5).set_index("fork")["other_sign"].to_dict() == {"a": 0, "b": 2}
    assert find_moves(table, forks, null=None)[["other_sign", "other_verdict"]].isna().all().all()
    one = find_moves(table.iloc[:2], forks).set_index("fork")
    assert np.isnan(one["mean_move"]["a"])
    assert one["pairs"].to_dict() == {"a": 0, "b": 1}
    assert one["share"].isna().all()

"""The twins: every study's design as data, labelled synthetic, ready for the models it has data for."""

from __future__ import annotations

import re
import tomllib

import numpy as np
import pytest

import bayes_alliance as ba
from bayes_alliance.simulate.layout import make_layout
from bayes_alliance.simulate.plan import design_of
from bayes_alliance.simulate.twins import FOLDER, Collected, read_twin
from bayes_alliance.spec.registry import models_folder


def test_the_five_studies_have_twins() -> None:
    """One twin per study."""
    assert ba.list_twins() == ("alliance-training", "cbasp-sp", "embct-mbct", "mbct-groups", "norwegian-multisite")


@pytest.mark.parametrize("name", ba.list_twins())
def test_a_twin_is_labelled_and_sourced(name: str) -> None:
    """It cites its study, says what is known and what is ours, and its table says that it is synthetic."""
    twin = ba.load_twin(name)
    bib = (models_folder() / "references.bib").read_text()
    assert all(re.search(rf"@\w+\{{{key},", bib) for key in twin.references)
    assert twin.known
    assert twin.assumed
    table = ba.simulate_twin(name, seed=1)
    assert table.messages[0].startswith("SYNTHETIC")
    assert table.frame["patient"].nunique() == twin.layout["patients"]
    assert set(table.truth) == {key for outcome in twin.generate for key in outcome.truth}


@pytest.mark.parametrize("name", ba.list_twins())
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_every_model_of_a_twin_can_be_designed(name: str, seed: int) -> None:
    """What the twin has data for can be fitted to them, other seeds included."""
    twin = ba.load_twin(name)
    layout, table = make_layout(twin.layout), ba.simulate_twin(name, seed=seed)
    for outcome in twin.generate:
        made = design_of(twin.spec(outcome), table, layout, outcome.columns, outcome.reference)
        for equation in made.equations:
            assert equation.rows_read == len(equation.y) + sum(equation.ledger.values())


def test_numbers_of_the_studies_are_kept() -> None:
    """Patients, therapists, waves and arms are those that were published."""
    mbct = ba.simulate_twin("embct-mbct", seed=1).frame
    assert mbct.groupby("patient")["arm"].first().value_counts().to_dict() == {"MBCT": 120, "eMBCT": 125}
    assert set(mbct["week"]) == {2.0, 5.0, 9.0}
    assert set(mbct.loc[mbct["group"] != "", "arm"]) == {"MBCT"}
    norway = ba.simulate_twin("norwegian-multisite", seed=1).frame
    assert (norway["patient"].nunique(), norway["therapist"].nunique(), norway["site"].nunique()) == (370, 89, 8)
    training = ba.simulate_twin("alliance-training", seed=1).frame
    assert (training["patient"].nunique(), training["therapist"].nunique()) == (117, 40)
    assert (training.groupby("therapist")["condition"].nunique() == 1).all()


def test_who_leaves_has_no_later_session() -> None:
    """Leaving ends sessions, and what was to be measured afterwards is missing."""
    frame = ba.simulate_twin("embct-mbct", seed=1).frame
    left = frame[frame["dropout"] == 1]
    assert left.groupby("patient")["week"].max().max() < 9
    assert left["hads_post"].isna().all()
    assert np.isclose(frame.groupby("patient")["dropout"].first().mean(), 0.25, atol=0.12)


def test_who_leaves_a_study_without_sessions_lacks_what_comes_after() -> None:
    """All who were randomised are there, with the distress after treatment of those who stayed alone."""
    frame = ba.simulate_twin("mbct-groups", seed=1).frame
    assert len(frame) == 120
    assert (frame["hads_post"].isna() == (frame["dropout"] == 1)).all()


def test_a_table_as_it_was_collected() -> None:
    """The same draws as without, rated with the stated error, in about the numbers of rows that were printed."""
    drawn, table = (ba.simulate_twin("embct-mbct", seed=3, collected=one) for one in (False, True))
    both = drawn.frame.merge(table.frame, on=["patient", "week"], suffixes=("", "_got"), validate="one_to_one")
    error = (both["alliance_got"] - both["alliance"]).dropna()
    assert error.std() == pytest.approx(0.43, abs=4 * 0.43 / np.sqrt(2 * len(error)))
    assert abs(error.mean()) < 4 * 0.43 / np.sqrt(len(error))
    scores = both.dropna(subset=["hads_post", "hads_post_got"])
    assert len(scores) > 300
    assert (scores["hads_post"] == scores["hads_post_got"]).all()
    assert table.truth == drawn.truth
    early = table.frame[table.frame["week"] == 2]
    assert len(early) == 245
    rows = [early["alliance"].count(), len(early.dropna(subset=["alliance", "hads_post"]))]
    waves = table.frame.pivot(index="patient", columns="week", values="alliance").dropna()
    np.testing.assert_allclose([*rows, len(waves)], [144, 118, 93], atol=20)


def test_who_never_started_left_and_gave_nothing() -> None:
    """One row each, without ratings or scores afterwards; all others are marked as started."""
    table = ba.simulate_twin("embct-mbct", seed=3, collected=True)
    never = table.frame[table.frame["started"] == 0]
    assert 5 < len(never) == never["patient"].nunique() < 40
    assert never[["alliance", "hads_post", "mhc_post"]].isna().all(axis=None)
    assert (never["dropout"] == 1).all()
    assert never["hads_pre"].notna().all()
    assert any(f"{len(never)} patients never started" in message for message in table.messages)
    with pytest.raises(ba.SpecError, match="does not say how its table was collected"):
        ba.simulate_twin("mbct-groups", seed=1, collected=True)


def test_an_error_of_a_patients_value_is_one_for_all_rows() -> None:
    """What has one value per patient keeps one."""
    twin = ba.load_twin("embct-mbct")
    noisy = twin.model_copy(update={"collected": Collected(error={"hads_pre": 1.0})})
    frame = ba.simulate_twin(noisy, seed=1, collected=True).frame
    assert (frame.groupby("patient")["hads_pre"].nunique() == 1).all()
    assert not np.allclose(frame["hads_pre"] % 1, 0)


def broken(**changes: object) -> dict[str, object]:
    """Return the content of a twin with changes."""
    return {**tomllib.loads((FOLDER / "embct-mbct.toml").read_text()), **changes}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layout": {"patients": 30, "arms": {"MBCT": 15, "eMBCT": 15}}, "lost": []}, "needs two sessions or more"),
        (
            {"layout": {"patients": 30, "arms": {"MBCT": 15, "eMBCT": 15}}, "leave": None, "collected": None},
            "State the waves",
        ),
        ({"leave": "droput"}, "Did you mean 'dropout'"),
        ({"missing": {"hads": 0.1}}, "Unknown column 'hads'"),
        ({"collected": {"error": {"hads": 0.1}}}, "Unknown column 'hads'"),
        ({"collected": {"error": {"alliance": 0.0}}}, "greater than 0"),
        ({"collected": {"never": 0.1}, "leave": None, "lost": []}, "collected.never needs leave"),
        ({"generate": [{"truth": {}}]}, "names a model or writes a spec"),
        ({"titel": "x"}, "Did you mean 'title'"),
    ],
)
def test_twins_that_cannot_be_are_refused(changes: dict[str, object], message: str) -> None:
    """A twin without its waves, and names that are not there."""
    content = {key: value for key, value in broken(**changes).items() if value is not None}
    with pytest.raises(ba.SpecError) as caught:
        ba.simulate_twin(read_twin(content), seed=1)
    assert message in str(caught.value)


def test_an_unknown_twin_names_the_nearest() -> None:
    """As everywhere."""
    with pytest.raises(ba.SpecError, match="Did you mean 'embct-mbct'"):
        ba.simulate_twin("embct", seed=1)

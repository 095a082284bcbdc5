"""Fits without rows: what is stored of a design predicts new rows as it does, and has nothing of any patient."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.design.outline import outline_of
from bayes_alliance.design.outline_records import DesignOutline
from bayes_alliance.errors import AllianceError
from bayes_alliance.fit.result import fit_files
from bayes_alliance.fit.store import write_artefact
from tests.posterior.test_propagation import flat
from tests.posterior.test_setting import ARM, GATED, equation, fit_of, study
from tests.truth.cases import NAMES, registry_case
from tests.truth.predicted import rows_as_new


def without_rows(fit: ba.Fit) -> ba.Fit:
    """Return a fit as it is after saving and loading, its outline read from text."""
    assert fit.design is not None
    text = outline_of(fit.design).model_dump_json()
    return replace(fit, design=None, outline=DesignOutline.model_validate(json.loads(text)))


@pytest.mark.parametrize("name", NAMES)
def test_every_registered_model_predicts_new_rows_without_its_own(name: str) -> None:
    """The same numbers for the same rows, or the same refusal."""
    fit = registry_case(name).fit
    assert fit.design is not None
    bare = without_rows(fit)
    for e in fit.design.equations:
        rows = rows_as_new(e).iloc[:6]
        answers = []
        for one in (fit, bare):
            try:
                answers.append(flat(ba.predictions(one, rows, outcome=e.outcome)))
            except AllianceError as error:
                answers.append(str(error))
        if isinstance(answers[0], str):
            assert answers[1] == answers[0]
        else:
            np.testing.assert_allclose(answers[1], answers[0], rtol=1e-9, atol=1e-10)


def test_nothing_of_a_patient_is_in_an_outline() -> None:
    """No id and no row: of numbers the mean and SD, of others the most frequent value."""
    fit = fit_of(equation("y", "condition + x + within(alliance, patient) + (1 | patient) + (1 | therapist)"), **ARM)
    outline = outline_of(fit.design)  # type: ignore[arg-type]
    text = outline.model_dump_json()
    frame = study()
    assert not any(f'"{name}"' in text for column in ("pid", "tid") for name in frame[column])
    own = outline.equations[0].variables["x"].values
    np.testing.assert_allclose([np.mean(own), np.std(own)], [frame["x"].mean(), frame["x"].std(ddof=0)])
    assert len(text) < 6000


def test_a_loaded_fit_answers_for_grids_and_new_patients(small_fit: ba.Fit, tmp_path: Path) -> None:
    """Comparisons and slopes too, with known therapists; its own rows it cannot average over."""
    loaded = ba.load_fit(small_fit.save(tmp_path / "fit", effects=True))
    asked = {"grid": {"week": [1, 4], "arm": ["TAU", "MBCT"]}}
    for work in (
        lambda fit: ba.predictions(fit, **asked),
        lambda fit: ba.comparisons(fit, "arm", grid={"week": [1, 4]}),
        lambda fit: ba.slopes(fit, "week", grid={"arm": ["TAU", "MBCT"]}),
    ):
        np.testing.assert_allclose(flat(work(loaded)), flat(work(small_fit)), rtol=1e-6, atol=1e-9)
    therapist = small_fit.design.equation.groups[1].levels[0]  # type: ignore[union-attr]
    rows = pd.DataFrame({"week": [2, 3], "arm": "MBCT", "therapist": therapist, "patient": ["new", "new"]})
    own = {"groups": {"therapist": "own"}}
    np.testing.assert_allclose(
        flat(ba.predictions(loaded, rows, **own)), flat(ba.predictions(small_fit, rows, **own)), rtol=1e-9
    )
    with pytest.raises(ba.FitError, match=r"no rows to average over. Give new rows or a grid"):
        ba.predictions(loaded)
    with pytest.raises(ba.FitError, match=r"fit\.with_rows"):
        ba.comparisons(loaded, "arm")
    again = ba.load_fit(loaded.save(tmp_path / "again"))
    np.testing.assert_allclose(flat(ba.predictions(again, **asked)), flat(ba.predictions(loaded, **asked)))


def test_what_goes_with_what_is_asked_for() -> None:
    """Rows that are not there do not tell that late is 1 from session 4 on; levels of factors are known by name."""
    fit = without_rows(fit_of(equation("y", "condition + in_group:x + session + late:x + (1 | patient)"), **GATED))
    with pytest.raises(
        ba.FitError, match=r"'late' goes with 'session' in the rows that were fitted.*State 'late', too"
    ):
        ba.predictions(fit, grid={"session": [5]})
    found = ba.predictions(fit, grid={"session": [5], "late": [1], "condition": ["MBCT"]})
    assert len(found.lines) == 1


def test_effects_that_were_not_stored_are_not_made_up(small_fit: ba.Fit) -> None:
    """Own effects need the draws to hold them."""
    bare = without_rows(small_fit)
    rows = pd.DataFrame({"week": [2], "arm": "MBCT", "therapist": "T1", "patient": "new"})
    with pytest.raises(ba.FitError, match=r"holds no effects of 'therapist'.*with_rows"):
        ba.predictions(bare, rows, groups={"therapist": "own"})


def variable(outline: dict, label: str) -> dict:
    """Return a predictor of the first equation by its label."""
    return next(own for own in outline["equations"][0]["variables"].values() if own["label"] == label)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.pop("factors"),
        lambda one: one["equations"].clear(),
        lambda one: one["equations"][0].update(of="nothing"),
        lambda one: one["equations"][0]["predictors"][0]["coef"]["labels"].append("more"),
        lambda one: one["equations"][0]["predictors"][0]["coef"]["labels"].__setitem__(1, "other"),
        lambda one: variable(one, "arm").update(values=[7.0, 7.0, 7.0]),
        lambda one: variable(one, "week").update(values=[1.0]),
        lambda one: one["equations"][0]["predictors"][0]["groups"][0].update(factor="nobody"),
        lambda one: one["equations"][0].update(more=1),
    ],
)
def test_outlines_that_are_not_the_fits_are_refused(small_fit: ba.Fit, tmp_path: Path, change) -> None:
    """A changed record is no fit, whichever part was changed."""
    files = fit_files(small_fit)
    record = json.loads(files["fit.json"])
    change(record["outline"])
    write_artefact(tmp_path / "fit", {**files, "fit.json": json.dumps(record).encode()})
    with pytest.raises(ba.FitError, match=r"'fit\.json' of .* is not that of a whole fit"):
        ba.load_fit(tmp_path / "fit")

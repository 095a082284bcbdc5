"""A table with columns, reference levels and priors."""

from __future__ import annotations

import pandas as pd
import pytest

import bayes_alliance as ba
from tests.conftest import ROLES

HEAD = 'title = "t"\nquestion = "q?"\n'

MODEL = HEAD + '[[equation]]\noutcome = "y"\nunit = "session"\nformula = "week + condition + (1 | patient)"\n'


def test_a_study_stays_as_it_was_made(trial: pd.DataFrame) -> None:
    """What the caller does with its mappings later changes nothing."""
    columns, reference, priors = {"y": "score"}, {"condition": "TAU"}, {"sigma": "half_normal(1)"}
    study = ba.Study(ba.read_sessions(trial, ROLES), columns, reference, priors)
    columns["y"], reference["condition"], priors["sigma"] = "stress", "MBCT", "half_normal(2)"
    assert (study.columns, study.reference) == ({"y": "score"}, {"condition": "TAU"})
    assert study.priors == {"sigma": "half_normal(1)"}


def test_models_of_one_study_share_it(trial: pd.DataFrame) -> None:
    """A design has the study's columns and priors; what a model does not read is an error, unless several read it."""
    study = ba.Study(
        ba.read_sessions(trial, ROLES),
        columns={"y": "score", "condition": "arm"},
        reference={"condition": "TAU"},
        priors={"sigma": "half_normal(3)"},
    )
    design = ba.make_design(ba.parse_model(MODEL), study)
    assert design.columns == {"y": "score", "condition": "arm"}
    assert str(design.priors.sigma[0].distribution) == "half_normal(3)"
    shorter = ba.parse_model(MODEL.replace(" + condition", ""))
    with pytest.raises(ba.DesignError, match="Unknown variable of the model 'condition'"):
        ba.make_design(shorter, study)
    assert ba.make_design(shorter, study.reading({"y", "week"})).columns == {"y": "score"}


def test_a_table_alone_is_a_study(trial: pd.DataFrame) -> None:
    """Its columns are called like the model's variables; rows that were not read are refused."""
    table = ba.read_sessions(trial.rename(columns={"score": "y", "arm": "condition"}), ROLES)
    spec = ba.parse_model(MODEL.replace(" + condition", ""))
    assert ba.make_design(spec, table).fingerprint == ba.make_design(spec, ba.Study(table)).fingerprint
    with pytest.raises(ba.TableError, match=r"The rows are a DataFrame, not a table of sessions\. Read it"):
        ba.make_design(spec, trial)  # type: ignore[arg-type]

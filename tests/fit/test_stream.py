"""Fits of streams: the same statistics, priors and posterior as of the table in memory, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import bayes_alliance as ba
from bayes_alliance.collapse.density import Density
from bayes_alliance.collapse.engine import first_guess, sum_design
from bayes_alliance.collapse.tables import pack_statistics
from bayes_alliance.design.moments import variance_moments
from bayes_alliance.design.stream.stream import StreamReader
from bayes_alliance.fit import stream as module
from tests.build.test_equations import HEAD, TWO, equation
from tests.conftest import ROLES

SHAPES = {
    "three levels": equation("score", "week * pre + (1 + week | patient) + (1 + week | therapist)"),
    "arms": equation("score", "week * condition + (1 + week | patient) + (1 | therapist)"),
    "an arm as indicator": equation("score", "in_mbct * log(week) + (1 | patient) + (0 + in_mbct | group)"),
    "within and between": equation("score", "within(alliance, patient) + between(alliance, patient) + (1 | patient)"),
    "lags": equation("score", "lag(alliance) + week + (1 + week || patient)"),
    "crossed": equation("score", "week + (1 + week | patient) + (1 | site)"),
    "two equations": TWO,
    "declared": '[variables]\nearly = "window(alliance, 1, 3)"\n' + equation("score", "early + week + (1 | patient)"),
    "one level": equation("score", "week"),
}
QUIET = ba.SamplerSettings(draws=500, chains=2, progress="off")


type Mapped = dict[str, dict[str, str]]


def tables(
    name: str, trial: pd.DataFrame, rows: int = 40
) -> tuple[ba.ModelSpec, ba.SessionTable, ba.SessionStream, Mapped]:
    """Return a model, the trial in memory and as a stream, and how names map."""
    frame = trial.copy()
    frame.loc[frame.index[::11], "score"] = np.nan
    frame["site"] = "S" + ((frame["week"].astype(int) + frame["pid"].str[1:].astype(int)) % 3).astype(str)
    text = SHAPES[name]
    # factors other than patient and therapist need a role only where the model has them
    roles = {role: column for role, column in ROLES.items() if role != "group" or "| group" in text}
    if "| site" in text:
        roles["site"] = "site"
    mapped: Mapped = {"columns": {}, "reference": {}}
    if "condition" in text:
        mapped = {"columns": {"condition": "arm"}, "reference": {"condition": "TAU"}}
    if "in_mbct" in text:
        mapped["columns"] = {"in_mbct": "arm[MBCT]"}
    whole = ba.read_sessions(frame, roles, transfers="transferred")
    source = pa.Table.from_pandas(frame.sample(frac=1, random_state=1).sort_values("pid"), preserve_index=False)
    return (
        ba.parse_model(HEAD + text),
        whole,
        ba.stream_sessions(source, roles, transfers="transferred", rows=rows),
        mapped,
    )


@pytest.mark.parametrize("name", SHAPES)
def test_a_stream_adds_up_to_the_table_in_memory(
    name: str, trial: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Priors, names, ledger and log-density are those of the design of all rows, to rounding."""
    spec, whole, stream, mapped = tables(name, trial)
    design = ba.make_design(spec, ba.Study(whole, **mapped))
    reader = StreamReader(spec, ba.Study(stream, **mapped))
    folder = tmp_path_factory.mktemp("kept")
    for number, rows in enumerate(reader.blocks()):
        module._keep(folder, number, rows)
    streamed = reader.finish()
    statistics, moments = module._sum(streamed, folder)
    made = streamed.design
    assert [p.parameter for p in made.priors.table()] == [p.parameter for p in design.priors.table()]
    for one, two in zip(made.priors.table(), design.priors.table(), strict=True):
        np.testing.assert_allclose(one.distribution.values, two.distribution.values, rtol=1e-9, atol=1e-12)
    assert [f.levels for f in made.factors] == [f.levels for f in design.factors]
    assert [dict(e.ledger) for e in made.equations] == [dict(e.ledger) for e in design.equations]
    assert streamed.rows == tuple(len(e.y) for e in design.equations)
    expected = sum_design(design)
    assert (statistics.shape.chain, statistics.shape.crossed) == (expected.shape.chain, expected.shape.crossed)
    one, two = (Density(pack_statistics(s), s.shape) for s in (statistics, expected))
    rng = np.random.default_rng(1)
    start = first_guess(expected.shape, expected)
    for point in start + rng.normal(scale=0.5, size=(5, len(start))):
        logs = np.ones(one.sds, dtype=bool)
        assert one.value(point, logs) == pytest.approx(two.value(point, logs), rel=1e-9)
    for e in design.equations:
        wanted = variance_moments(design, e)
        for variable in wanted.data_vars:
            if set(moments[e.outcome]["stratum"].values) == set(wanted["stratum"].values):
                np.testing.assert_allclose(moments[e.outcome][variable], wanted[variable], rtol=1e-9, atol=1e-12)


def test_the_posterior_is_that_of_the_table(trial: pd.DataFrame) -> None:
    """Same names, coords and, within Monte Carlo error, the same means; block size changes nothing."""
    spec, whole, stream, mapped = tables("arms", trial)
    fit = ba.fit_stream(spec, ba.Study(stream, **mapped), seed=1, settings=QUIET)
    other = ba.fit_model(spec, ba.Study(whole, **mapped), seed=1, settings=QUIET, engine="collapsed")
    assert fit.passed, fit.verdict
    assert set(fit.data["posterior"].data_vars) == set(other.data["posterior"].data_vars)
    one, two = (ba.summarize(f).set_index("name") for f in (fit, other))
    assert list(one.index) == list(two.index)
    errors = [table["sd"] / np.sqrt(table["ess_bulk"]) for table in (one, two)]
    apart = (one["mean"] - two["mean"]).abs() / np.hypot(*errors)
    assert apart.max() < 4.5
    assert fit.provenance["rows_used"] == other.provenance["rows_used"]
    larger = ba.fit_stream(spec, ba.Study(tables("arms", trial, rows=10_000)[2], **mapped), seed=1, settings=QUIET)
    one, two = larger.data["posterior"]["b"], fit.data["posterior"]["b"]
    assert float((abs(one - two) / two.std(("chain", "draw"))).max()) < 1e-6  # a draw may be next to 0
    assert larger.provenance["fingerprint"] == fit.provenance["fingerprint"]


def test_a_streamed_fit_says_what_it_lacks(trial: pd.DataFrame) -> None:
    """What needs rows says so; what was left out is counted over all blocks."""
    spec, whole, stream, mapped = tables("three levels", trial)
    fit = ba.fit_stream(spec, ba.Study(stream, **mapped), seed=1, settings=QUIET)
    assert fit.design is None
    missing = int(whole.frame["score"].isna().sum())
    assert f"{missing} rows of {len(whole)} left out: outcome score missing." in fit.messages
    with pytest.raises(ba.FitError, match="with_rows"):
        ba.predict_trajectories(fit)
    assert len(ba.variance_shares(fit))


REFUSED = {
    "centred(week) + (1 | patient)": "takes a mean over all rows",
    "between(alliance, therapist) + (1 | patient)": "more than one patient's rows",
    "week + (1 | patient)'\nsigma = 'condition": "one residual SD per outcome",
}


@pytest.mark.parametrize("formula", REFUSED)
def test_what_a_stream_cannot_do_is_said(formula: str, trial: pd.DataFrame) -> None:
    """Columns that need the rows of several patients, and what lines rows up, are refused with what to do."""
    spec = ba.parse_model(HEAD + equation("score", formula))
    stream = tables("one level", trial)[2]
    with pytest.raises(ba.DesignError, match=f"{REFUSED[formula]}.*Read the table whole"):
        ba.fit_stream(spec, ba.Study(stream, columns={"condition": "arm"} if "condition" in formula else {}), seed=1)


def test_models_for_nuts_are_refused(trial: pd.DataFrame) -> None:
    """A stream has the collapsed engine only."""
    spec = ba.parse_model(HEAD + equation("dropout", "week + (1 | patient)", extra='family = "bernoulli"'))
    with pytest.raises(ba.FitError, match="cannot fit this model: dropout is bernoulli"):
        ba.fit_stream(spec, tables("one level", trial)[2], seed=1)


BAD = {
    "constant": ("one + (1 | patient)", "Predictor 'one' is constant: it is 1 in every row used"),
    "collinear": ("week + twice + (1 | patient)", "'twice' is determined by 'Intercept', 'week'|'twice' is determined"),
    "never varies": ("week + (1 + pre | patient)", "'pre' never varies within a patient"),
    "outcome": ("week + (1 | patient)", "Outcome 'flat' is constant"),
    "one row each": ("week + (1 | row)", "Every level of 'row' has one row"),
    "alike": ("week + (1 | patient) + (1 | twin)", "'twin' and 'patient' group the rows alike"),
    "missing ids": ("week + (1 | patient) + (1 | gid)", "rows have no gid where the model needs one"),
    "no rows": ("nothing + (1 | patient)", "No row has outcome"),
}


@pytest.mark.parametrize("name", BAD)
def test_data_that_cannot_be_fitted(name: str, trial: pd.DataFrame) -> None:
    """Spread, rank and ids are judged over all blocks, in the words of a table in memory."""
    formula, message = BAD[name]
    frame = trial.copy().assign(one=1.0, flat=3.0, twice=2 * trial["week"] + 1, nothing=np.nan)
    frame["row"] = [f"R{i}" for i in range(len(frame))]
    frame["twin"] = "X" + frame["pid"]
    source = pa.Table.from_pandas(frame.sort_values("pid"), preserve_index=False)
    roles = {role: column for role, column in ROLES.items() if role != "group"}
    stream = ba.stream_sessions(source, roles, transfers="transferred", rows=40)
    spec = ba.parse_model(HEAD + equation("flat" if name == "outcome" else "score", formula))
    with pytest.raises(ba.DesignError, match=message):
        ba.fit_stream(spec, stream, seed=1, settings=QUIET)

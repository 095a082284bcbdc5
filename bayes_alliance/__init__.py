"""bayes_alliance: Bayesian modeling of psychotherapy process.

Read a table of sessions, load a model, fit it, summarize it::

    import bayes_alliance as ba

    sessions = ba.read_sessions("sessions.csv", roles={"patient": "pid", "session": "week"})
    fit = ba.fit_model(ba.load_model("growth/treatment"), ba.Study(sessions, columns={...}), seed=1)
    ba.summarize(fit)

Names are loaded on first use, so that importing the package is quick and has no side effects.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bayes_alliance.build.model import build_model
    from bayes_alliance.comparison.confounders import SensitivityGrid, confounding_grid
    from bayes_alliance.comparison.confounding import Sensitivity, confounding_sensitivity
    from bayes_alliance.comparison.decisions import Option
    from bayes_alliance.comparison.kfold import kfold, leave_future_out
    from bayes_alliance.comparison.loo import loo
    from bayes_alliance.comparison.missing_not_at_random import Sweep, delta_sweep
    from bayes_alliance.comparison.models import ModelComparison, compare_models
    from bayes_alliance.comparison.multiverse import Multiverse, fit_multiverse
    from bayes_alliance.comparison.scores import Scores
    from bayes_alliance.comparison.surfaces import surface_family
    from bayes_alliance.comparison.table import Comparison, compare
    from bayes_alliance.design.design import Design, make_design
    from bayes_alliance.design.missing_table import missing_table
    from bayes_alliance.diagnosis.calibration import Calibration, calibrate
    from bayes_alliance.diagnosis.examples import example_study
    from bayes_alliance.diagnosis.predictive import predictive_checks
    from bayes_alliance.diagnosis.sensitivity import prior_overlap, prior_sensitivity
    from bayes_alliance.diagnosis.verdict import Diagnosis, diagnose
    from bayes_alliance.errors import (
        AllianceError,
        AllianceWarning,
        DesignError,
        FitError,
        RunError,
        SpecError,
        TableError,
    )
    from bayes_alliance.expectation.effects import integrated_log_likelihood
    from bayes_alliance.findings import Problem
    from bayes_alliance.fit.fit import fit_model
    from bayes_alliance.fit.many_fits import FitJob, ManyFits, fit_many
    from bayes_alliance.fit.result import Fit, load_fit
    from bayes_alliance.fit.settings import SamplerSettings
    from bayes_alliance.fit.stream import fit_stream
    from bayes_alliance.plot.answers import plot_answers
    from bayes_alliance.plot.calibration import plot_calibration
    from bayes_alliance.plot.caterpillar import plot_caterpillar
    from bayes_alliance.plot.confounding import plot_sensitivity
    from bayes_alliance.plot.effects import plot_effects
    from bayes_alliance.plot.estimands import plot_estimands
    from bayes_alliance.plot.graph import plot_graph
    from bayes_alliance.plot.hazard import plot_hazard
    from bayes_alliance.plot.interactive import turn_surface
    from bayes_alliance.plot.levels import plot_within_between
    from bayes_alliance.plot.multiverse import plot_multiverse
    from bayes_alliance.plot.paths import plot_paths
    from bayes_alliance.plot.predictive import plot_predictive
    from bayes_alliance.plot.prior import plot_prior_prediction
    from bayes_alliance.plot.prior_posterior import plot_prior_posterior
    from bayes_alliance.plot.surface import plot_surface
    from bayes_alliance.plot.trajectories import plot_trajectories
    from bayes_alliance.plot.variance import plot_variance_shares
    from bayes_alliance.posterior.comparisons import comparisons, slopes
    from bayes_alliance.posterior.counterfactual import Counterfactual, counterfactual_effects
    from bayes_alliance.posterior.estimands import add_estimands, probability_in_rope, summarize_estimands
    from bayes_alliance.posterior.expectations import Expectations
    from bayes_alliance.posterior.hazard import predict_hazard
    from bayes_alliance.posterior.joint_hypothesis import claim_probability
    from bayes_alliance.posterior.marginal import marginal_effects
    from bayes_alliance.posterior.mediation import Mediation, mediation_effects, moderated_mediation, unit_effects
    from bayes_alliance.posterior.predictions import predictions
    from bayes_alliance.posterior.prior import describe_prior
    from bayes_alliance.posterior.recovery import compare_with_truth
    from bayes_alliance.posterior.response_surface import response_surface
    from bayes_alliance.posterior.summary import summarize
    from bayes_alliance.posterior.surface import Surface
    from bayes_alliance.posterior.trajectories import predict_trajectories, predict_unit_trajectories
    from bayes_alliance.posterior.units import unit_estimates
    from bayes_alliance.posterior.variance import variance_shares
    from bayes_alliance.report.report_files import write_report
    from bayes_alliance.run.agreement import Agreed, compare_fits
    from bayes_alliance.run.execution import run_analysis
    from bayes_alliance.run.record import Run, load_run
    from bayes_alliance.run.rerun import Rerun, rerun
    from bayes_alliance.simulate.layout import Layout
    from bayes_alliance.simulate.matched_twins import simulate_matched
    from bayes_alliance.simulate.prior import predict_prior
    from bayes_alliance.simulate.simulation import SimulatedTable, simulate_sessions
    from bayes_alliance.simulate.twins import Twin, list_twins, load_twin, simulate_twin
    from bayes_alliance.spec.model import ModelSpec, PriorSpec
    from bayes_alliance.spec.registry import list_models, load_model
    from bayes_alliance.spec.toml import parse_model, write_model
    from bayes_alliance.spec.variants import alter_model
    from bayes_alliance.study import Study
    from bayes_alliance.table.description import describe
    from bayes_alliance.table.reliability import Reliability, reliability
    from bayes_alliance.table.row_selection import select_rows
    from bayes_alliance.table.scores.instrument import Instrument, list_instruments, load_instrument
    from bayes_alliance.table.sessions import SessionTable, read_sessions
    from bayes_alliance.table.stream import SessionStream, stream_sessions

_WHERE: Final = {
    "Agreed": "run.agreement",
    "AllianceError": "errors",
    "AllianceWarning": "errors",
    "Calibration": "diagnosis.calibration",
    "Comparison": "comparison.table",
    "Counterfactual": "posterior.counterfactual",
    "Design": "design.design",
    "DesignError": "errors",
    "Diagnosis": "diagnosis.verdict",
    "Expectations": "posterior.expectations",
    "Fit": "fit.result",
    "FitError": "errors",
    "FitJob": "fit.many_fits",
    "Instrument": "table.scores.instrument",
    "Layout": "simulate.layout",
    "ManyFits": "fit.many_fits",
    "Mediation": "posterior.mediation",
    "ModelComparison": "comparison.models",
    "ModelSpec": "spec.model",
    "Multiverse": "comparison.multiverse",
    "Option": "comparison.decisions",
    "PriorSpec": "spec.model",
    "Problem": "findings",
    "Reliability": "table.reliability",
    "Rerun": "run.rerun",
    "Run": "run.record",
    "RunError": "errors",
    "SamplerSettings": "fit.settings",
    "Scores": "comparison.scores",
    "Sensitivity": "comparison.confounding",
    "SensitivityGrid": "comparison.confounders",
    "SessionStream": "table.stream",
    "SessionTable": "table.sessions",
    "SimulatedTable": "simulate.simulation",
    "SpecError": "errors",
    "Study": "study",
    "Surface": "posterior.surface",
    "Sweep": "comparison.missing_not_at_random",
    "TableError": "errors",
    "Twin": "simulate.twins",
    "add_estimands": "posterior.estimands",
    "alter_model": "spec.variants",
    "build_model": "build.model",
    "calibrate": "diagnosis.calibration",
    "claim_probability": "posterior.joint_hypothesis",
    "compare": "comparison.table",
    "compare_fits": "run.agreement",
    "compare_models": "comparison.models",
    "compare_with_truth": "posterior.recovery",
    "comparisons": "posterior.comparisons",
    "confounding_grid": "comparison.confounders",
    "confounding_sensitivity": "comparison.confounding",
    "counterfactual_effects": "posterior.counterfactual",
    "delta_sweep": "comparison.missing_not_at_random",
    "describe": "table.description",
    "describe_prior": "posterior.prior",
    "diagnose": "diagnosis.verdict",
    "example_study": "diagnosis.examples",
    "fit_many": "fit.many_fits",
    "fit_model": "fit.fit",
    "fit_multiverse": "comparison.multiverse",
    "fit_stream": "fit.stream",
    "integrated_log_likelihood": "expectation.effects",
    "kfold": "comparison.kfold",
    "leave_future_out": "comparison.kfold",
    "list_instruments": "table.scores.instrument",
    "list_models": "spec.registry",
    "list_twins": "simulate.twins",
    "load_fit": "fit.result",
    "load_instrument": "table.scores.instrument",
    "load_model": "spec.registry",
    "load_run": "run.record",
    "load_twin": "simulate.twins",
    "loo": "comparison.loo",
    "make_design": "design.design",
    "marginal_effects": "posterior.marginal",
    "mediation_effects": "posterior.mediation",
    "missing_table": "design.missing_table",
    "moderated_mediation": "posterior.mediation",
    "parse_model": "spec.toml",
    "plot_answers": "plot.answers",
    "plot_calibration": "plot.calibration",
    "plot_caterpillar": "plot.caterpillar",
    "plot_effects": "plot.effects",
    "plot_estimands": "plot.estimands",
    "plot_graph": "plot.graph",
    "plot_hazard": "plot.hazard",
    "plot_multiverse": "plot.multiverse",
    "plot_paths": "plot.paths",
    "plot_predictive": "plot.predictive",
    "plot_prior_posterior": "plot.prior_posterior",
    "plot_prior_prediction": "plot.prior",
    "plot_sensitivity": "plot.confounding",
    "plot_surface": "plot.surface",
    "plot_trajectories": "plot.trajectories",
    "plot_variance_shares": "plot.variance",
    "plot_within_between": "plot.levels",
    "predict_hazard": "posterior.hazard",
    "predict_prior": "simulate.prior",
    "predict_trajectories": "posterior.trajectories",
    "predict_unit_trajectories": "posterior.trajectories",
    "predictions": "posterior.predictions",
    "predictive_checks": "diagnosis.predictive",
    "prior_overlap": "diagnosis.sensitivity",
    "prior_sensitivity": "diagnosis.sensitivity",
    "probability_in_rope": "posterior.estimands",
    "read_sessions": "table.sessions",
    "reliability": "table.reliability",
    "rerun": "run.rerun",
    "response_surface": "posterior.response_surface",
    "run_analysis": "run.execution",
    "select_rows": "table.row_selection",
    "simulate_matched": "simulate.matched_twins",
    "simulate_sessions": "simulate.simulation",
    "simulate_twin": "simulate.twins",
    "slopes": "posterior.comparisons",
    "stream_sessions": "table.stream",
    "summarize": "posterior.summary",
    "summarize_estimands": "posterior.estimands",
    "surface_family": "comparison.surfaces",
    "turn_surface": "plot.interactive",
    "unit_effects": "posterior.mediation",
    "unit_estimates": "posterior.units",
    "variance_shares": "posterior.variance",
    "write_model": "spec.toml",
    "write_report": "report.report_files",
}

__version__: Final = "0.1.0"

__all__ = [
    "Agreed",
    "AllianceError",
    "AllianceWarning",
    "Calibration",
    "Comparison",
    "Counterfactual",
    "Design",
    "DesignError",
    "Diagnosis",
    "Expectations",
    "Fit",
    "FitError",
    "FitJob",
    "Instrument",
    "Layout",
    "ManyFits",
    "Mediation",
    "ModelComparison",
    "ModelSpec",
    "Multiverse",
    "Option",
    "PriorSpec",
    "Problem",
    "Reliability",
    "Rerun",
    "Run",
    "RunError",
    "SamplerSettings",
    "Scores",
    "Sensitivity",
    "SensitivityGrid",
    "SessionStream",
    "SessionTable",
    "SimulatedTable",
    "SpecError",
    "Study",
    "Surface",
    "Sweep",
    "TableError",
    "Twin",
    "add_estimands",
    "alter_model",
    "build_model",
    "calibrate",
    "claim_probability",
    "compare",
    "compare_fits",
    "compare_models",
    "compare_with_truth",
    "comparisons",
    "confounding_grid",
    "confounding_sensitivity",
    "counterfactual_effects",
    "delta_sweep",
    "describe",
    "describe_prior",
    "diagnose",
    "example_study",
    "fit_many",
    "fit_model",
    "fit_multiverse",
    "fit_stream",
    "integrated_log_likelihood",
    "kfold",
    "leave_future_out",
    "list_instruments",
    "list_models",
    "list_twins",
    "load_fit",
    "load_instrument",
    "load_model",
    "load_run",
    "load_twin",
    "loo",
    "make_design",
    "marginal_effects",
    "mediation_effects",
    "missing_table",
    "moderated_mediation",
    "parse_model",
    "plot_answers",
    "plot_calibration",
    "plot_caterpillar",
    "plot_effects",
    "plot_estimands",
    "plot_graph",
    "plot_hazard",
    "plot_multiverse",
    "plot_paths",
    "plot_predictive",
    "plot_prior_posterior",
    "plot_prior_prediction",
    "plot_sensitivity",
    "plot_surface",
    "plot_trajectories",
    "plot_variance_shares",
    "plot_within_between",
    "predict_hazard",
    "predict_prior",
    "predict_trajectories",
    "predict_unit_trajectories",
    "predictions",
    "predictive_checks",
    "prior_overlap",
    "prior_sensitivity",
    "probability_in_rope",
    "read_sessions",
    "reliability",
    "rerun",
    "response_surface",
    "run_analysis",
    "select_rows",
    "simulate_matched",
    "simulate_sessions",
    "simulate_twin",
    "slopes",
    "stream_sessions",
    "summarize",
    "summarize_estimands",
    "surface_family",
    "turn_surface",
    "unit_effects",
    "unit_estimates",
    "variance_shares",
    "write_model",
    "write_report",
]


def __getattr__(name: str) -> object:
    """Load a public name on first use."""
    if name not in _WHERE:
        raise AttributeError(f"module 'bayes_alliance' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"bayes_alliance.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return [*__all__, "__version__"]

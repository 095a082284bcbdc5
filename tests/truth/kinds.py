"""Small models of the kinds that went wrong: each sets something from which something else follows."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pandas as pd

import bayes_alliance as ba
from tests.truth.cases import Case

ROLES = {"patient": "pid", "therapist": "tid", "group": "gid", "session": "week"}


@cache
def three_arms(patients: int = 36, seed: int = 4) -> pd.DataFrame:
    """Return a trial of three arms, groups in one of them only, with values missing in other rows for each column.

    SYNTHETIC.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(patients):
        arm = ("TAU", "CBT", "MBCT")[i % 3]
        x, pre = rng.normal(1 + (i % 3) / 2, 1), rng.normal(20, 4)
        education, last = int(rng.integers(1, 5)), int(rng.integers(2, 7))
        m, ill = rng.normal(4 + (arm == "CBT"), 1), float(rng.random() < 0.3 + 0.3 * (arm == "MBCT"))
        left, cured = float(rng.random() < 0.5), float(rng.random() < 0.5)
        for week in range(1, 7):
            if rng.random() < 0.15 and week > 1:
                continue
            al = rng.normal(4 + 0.2 * week + (arm != "TAU") + 0.2 * x, 1)
            rows.append(
                {
                    "pid": f"p{i:02d}",
                    "tid": f"t{i % 5}",
                    "gid": f"g{i // 3 % 4}" if arm == "MBCT" else "",
                    "week": float(week),
                    "arm": arm,
                    "dose": float(("TAU", "CBT", "MBCT").index(arm)),
                    "x": x,
                    "pre": pre,
                    "education": float(education),
                    "m": m,
                    "ill": ill,
                    "m2": m * 0.5 + x,
                    "post": pre - m + 0.3 * x * m,
                    "al": al,
                    "bounded": float(np.clip(al, 3.2, 6.0)),
                    "score": rng.normal(10 - 0.5 * week + x, 2),
                    "better": float(rng.random() < 0.4),
                    "bad_days": float(rng.poisson(3)),
                    "tasks": float(rng.integers(0, 7)),
                    "step": float(rng.integers(1, 5)),
                    "cured": cured,
                    "last": float(last),
                    "left": left,
                }
            )
    frame = pd.DataFrame(rows)
    patient = frame.groupby("pid").ngroup().to_numpy()
    own = np.random.default_rng(9)
    for name in ("m", "m2", "post"):
        frame[name] += own.normal(size=patients)[patient]
    frame.loc[own.random(len(frame)) < 0.1, "al"] = np.nan
    frame.loc[(frame["week"] > 4) & (own.random(len(frame)) < 0.5), "score"] = np.nan
    frame.loc[np.isin(patient, [3, 7]), "post"] = np.nan
    return frame


BOUNDS = {"bounded": (3.2, 6.0), "step": (1.0, 4.0), "education": (1.0, 4.0)}

COLUMNS = {"condition": "arm", "in_group": "arm[MBCT]"}


def equation(outcome: str, unit: str, formula: str, more: str = "") -> str:
    """Return an equation as a model's file has it."""
    return f'[[equation]]\noutcome = "{outcome}"\nunit = "{unit}"\nformula = \'{formula}\'\n{more}\n'


E = equation
KINDS: dict[str, str] = {
    "three arms, a quadratic course": E("score", "session", "condition * quadratic(session) + (1 + session | patient)"),
    "three arms, a course in pieces": E(
        "bad_days",
        "session",
        "condition * piecewise(session, 3, 5) + (1 + session | patient)",
        'family = "negative_binomial"',
    ),
    "a smooth course by condition": E("score", "session", "condition * spline(session, 3) + (1 | patient)"),
    "steps between sessions": E(
        "cured", "session", 'condition * piecewise(session, 2, 4, form="constant")', 'family = "bernoulli"'
    ),
    "extra zeros, patients differ": E(
        "bad_days",
        "session",
        "condition * session + (1 | patient)",
        'family = "zero_inflated_poisson"\nzi = "1 + condition + (1 | patient)"',
    ),
    "Poisson counts": E("bad_days", "session", "condition * session + (1 + session | patient)", 'family = "poisson"'),
    "ordered steps by condition": E(
        "cured", "patient", "condition * mo(education) + (1 | therapist)", 'family = "bernoulli"'
    ),
    "a square by condition, slopes vary": E(
        "cured", "patient", "condition * quadratic(x) + (1 + x | therapist)", 'family = "bernoulli"'
    ),
    "groups in one of three arms": E(
        "cured", "patient", "condition + x + (0 + in_group | group) + (1 | therapist)", 'family = "bernoulli"'
    ),
    "groups by their ids alone": E("cured", "patient", "condition + x + (1 | group)", 'family = "bernoulli"')
    + '[groups.group]\nmissing = "none"\n',
    "covariances by condition": E(
        "better", "session", "condition + session + (1 + session | patient)", 'family = "bernoulli"'
    )
    + '[groups.patient]\nby = "condition"\n',
    "a censored score, residual SDs by condition": E(
        "bounded", "session", "condition + x + (1 | patient)", 'family = "censored"\nsigma = "condition"'
    ),
    "a censored score, a formula of the residual SD": E(
        "bounded",
        "session",
        "condition + x + (1 | patient)",
        'family = "censored"\nsigma = "1 + condition + x + (1 | therapist)"',
    ),
    "a censored score, one patient effect on both": E(
        "bounded",
        "session",
        "condition + (1 | patient)",
        'family = "censored"\nsigma = "1 + condition + (1 | patient)"',
    ),
    "categories, slopes of the condition": E(
        "step", "session", "condition * x + (1 + condition | therapist)", 'family = "cumulative"'
    ),
    "categories, a probit of the condition": E(
        "step", "session", "condition * x + (1 + condition | therapist)", 'family = "cumulative"\nlink = "probit"'
    ),
    "a yes or no, a probit": E(
        "better", "session", "condition * x + (1 | patient)", 'family = "bernoulli"\nlink = "probit"'
    ),
    "a score between bounds": E("bounded", "session", "condition * session + (1 | patient)", 'family = "ordered_beta"'),
    "successes out of trials": E(
        "tasks", "patient", "condition * x + (1 | therapist)", 'family = "binomial"\ntrials = 6'
    ).replace('"tasks"', '"tasks_first"'),
    "heavy tails, residual SDs by condition": E(
        "score", "session", "condition * session + (1 | patient)", 'family = "student_t"\nsigma = "condition"'
    ),
    "hazards in three arms": E("leaving", "session", "session + condition + x + (1 | therapist)", 'family = "hazard"'),
    "hazards, groups in one arm": E(
        "leaving", "session", "quadratic(session) * condition + x + (0 + in_group | group)", 'family = "hazard"'
    ),
    "hazards, patients differ": E("leaving", "session", "log(session) * x + (1 | patient)", 'family = "hazard"'),
    "a latent mean of a modelled outcome": E("al", "session", "session + (1 | patient)")
    + E("better", "session", 'between(al, patient, means="latent") + condition', 'family = "bernoulli"'),
    "a latent mean that the condition moves": E("al", "session", "condition + session + (1 | patient)")
    + E(
        "better", "session", 'between(al, patient, means="latent") + condition + (1 | patient)', 'family = "bernoulli"'
    ),
    "a latent mean of a measured variable": E(
        "better",
        "session",
        'within(al, patient, means="latent") + between(al, patient, means="latent") + condition',
        'family = "bernoulli"',
    ),
    "a measured centre": E(
        "al", "session", "centred(score, on=score) + session * condition + (1 | patient)", 'centre = "score"'
    ),
    "a treatment that changes its mediator's slope": E("m", "patient", "condition + x")
    + E("post", "patient", "condition * m + x"),
    "a moderator of both steps": E("m", "patient", "condition * x + (1 | therapist)")
    + E("post", "patient", "m * x + condition * x + (1 | therapist)"),
    "a moderator in ordered steps": E("m", "patient", "condition * mo(education)")
    + E("post", "patient", "m + condition"),
    "a moderator of two columns": E("al", "session", "x * quadratic(session)")
    + E("score", "session", "al + x + session"),
    "one moderator at two means": E("al", "session", "x * session") + E("score", "session", "al * session + x"),
    "a mean of all sessions": E("al", "session", "condition * session + (1 | patient)")
    + E("score", "session", "within(al, patient) + between(al, patient) + condition + session + (1 | patient)"),
    "a mean that the outcome of a patient reads": E("al", "session", "condition * session + (1 | patient)")
    + E("post", "patient", "between(al, patient) + condition + pre"),
    "a slope that a yes or no reads": E("al", "session", "condition * session + (1 + session | patient)")
    + E("cured", "patient", "condition * slope(al) + x + (1 | therapist)", 'family = "bernoulli"'),
    "a value at the end, groups in one arm": E("al", "session", "x * session + (1 + session | patient)")
    + E("cured", "patient", "x + value(al, session=6) + (1 | group)", 'family = "bernoulli"')
    + "[groups.group]\nmissing = 'none'\n",
    "a value that moves with a group": E("al", "session", "condition * session + (0 + in_group | group)")
    + E("cured", "patient", "condition + value(al, session=6) + (0 + in_group | group)", 'family = "bernoulli"')
    + '[groups.group]\ncorrelate = ["al", "cured"]\n',
    "a patient's outcome that sessions read": E("m", "patient", "condition + x + (1 | therapist)")
    + E("better", "session", "session + m + (1 | patient)", 'family = "bernoulli"'),
    "the session before": E("al", "session", "condition * session + (1 | patient)")
    + E("score", "session", "lag(al) + condition + session + (1 | patient)"),
    "the session before, by session": E("al", "session", "condition * session + (1 | patient)")
    + E("score", "session", "lag(al) * session + condition + (1 | patient)"),
    "slopes of paths that go together": E("al", "session", "x + session + (1 + x | therapist)")
    + E("score", "session", "al + x + session + (1 + al + x | therapist)")
    + '[groups.therapist]\ncorrelate = ["al", "score"]\n',
    "slopes by strata": E("al", "session", "session + (1 + session | patient)")
    + E("score", "session", "al + session + (1 + al | patient)")
    + '[groups.patient]\ncorrelate = ["al", "score"]\nby = "condition"\n',
    "mediators in a row, the first a yes or no": E(
        "ill", "patient", "condition + x + (1 | therapist)", 'family = "bernoulli"'
    )
    + E("m", "patient", "ill * condition + x + (1 | therapist)")
    + E("cured", "patient", "ill + m * condition + x + (1 | therapist)", 'family = "bernoulli"'),
    "two scores on the way, a product of both": E("m", "patient", "condition + x")
    + E("m2", "patient", "m + condition + x")
    + E("cured", "patient", "m * m2 + condition", 'family = "bernoulli"'),
    "a mediator with residual SDs by condition": E("m", "patient", "condition + x", 'sigma = "condition"')
    + E("cured", "patient", "quadratic(m) + condition", 'family = "bernoulli"'),
    "a mediator with a formula of its residual SD": E("m", "patient", "condition + x", 'sigma = "1 + condition + x"')
    + E("post", "patient", "quadratic(m) + condition"),
    "a mediator with slopes that vary": E("m", "patient", "condition + (1 + condition | therapist)")
    + E("post", "patient", "m * condition + (1 + m | therapist)")
    + '[groups.therapist]\ncorrelate = ["m", "post"]\n',
    "groups in one arm, a mediator": E("m", "patient", "condition + (0 + in_group | group)")
    + E("post", "patient", "m * condition + (0 + in_group | group)")
    + '[groups.group]\ncorrelate = ["m", "post"]\n',
    "groups in one arm, a mediator of yes or no": E(
        "ill", "patient", "condition + (0 + in_group | group)", 'family = "bernoulli"'
    )
    + E("post", "patient", "ill * condition + x"),
    "a mediator whose strata differ": E("m", "patient", "condition + x + (1 | therapist)")
    + E("cured", "patient", "m + condition + (1 | therapist)", 'family = "bernoulli"'),
    "a treatment coded by numbers": E("m", "patient", "condition + x")
    + E("cured", "patient", "m * condition", 'family = "bernoulli"'),
    "a mediator that is modelled where missing": E("m", "patient", "condition + x", "reliability = 0.7")
    + E("cured", "patient", "mi(m) * condition", 'family = "bernoulli"'),
    "visits, a covariance for all arms": E(
        "score", "session", "visit * condition + x + (1 | therapist)", 'residuals = "unstructured"'
    ),
    "visits after a mediator": E("al", "session", "condition + session + (1 | patient)")
    + E("score", "session", "visit + al * condition", 'residuals = "unstructured"'),
    "a product of two latent parts": E("score", "session", "condition * x + session:x + (1 + x:session | therapist)"),
}


@cache
def kind_case(name: str) -> Case:
    """Return a model of one kind with its study."""
    text = KINDS[name]
    head = f'title = "{name}"\nquestion = "q?"\n'
    if "leaving" in text:
        head += '[variables]\nleaving = "survive(last, left)"\n'
    if "tasks_first" in text:
        head += '[variables]\ntasks_first = "first(tasks)"\n'
    spec = ba.parse_model(head + text)
    frame = three_arms()
    columns = {k: v for k, v in COLUMNS.items() if k in text}
    reference = {"condition": "TAU"} if "condition" in text else {}
    if "coded by numbers" in name:
        columns["condition"], reference["condition"] = "dose", "0"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = ba.read_sessions(frame, ROLES, bounds=dict(BOUNDS.items()))
    return Case(name, spec, table, columns, reference)

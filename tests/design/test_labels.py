"""Labels that leave the level of a factor open: estimands per level and per pair, in every draw what they say."""

from __future__ import annotations

import numpy as np
import pandas as pd

import bayes_alliance as ba

ROLES = {"patient": "pid", "session": "week"}
HEAD = 'title = "t"\nquestion = "q?"\n'
FAST = ba.SamplerSettings(draws=200, tune=200, chains=2, progress="off")


def rows(arms: tuple[str, ...] = ("TAU", "CBT", "ACT")) -> pd.DataFrame:
    """Return SYNTHETIC scores of 45 patients over four weeks in so many arms, each its number more a week."""
    rng = np.random.default_rng(1)
    found = [
        (
            f"p{p:02d}",
            week,
            arms[p % len(arms)],
            ["m", "f", "d"][p // 3 % 3],
            level + p % len(arms) * week + rng.normal(),
        )
        for p, level in enumerate(rng.normal(0, 1, 45))
        for week in range(1, 5)
    ]
    return pd.DataFrame(found, columns=["pid", "week", "arm", "sex", "y"])


def model(formula: str, labels: str, estimands: str) -> ba.ModelSpec:
    """Return a model of sessions with labels and estimands."""
    equation = f'[[equation]]\noutcome = "y"\nunit = "session"\nformula = "{formula}"\n'
    return ba.parse_model(f"{HEAD}{equation}[labels]\n{labels}\n{estimands}")


def study(frame: pd.DataFrame) -> ba.Study:
    """Return a study with the arm as condition."""
    return ba.Study(ba.read_sessions(frame, ROLES), columns={"condition": "arm"}, reference={"condition": "TAU"})


GROWTH = (
    'slope = "y ~ session"\nmore = "y ~ session:condition"',
    '[estimands.faster]\nvalue = "more"\nunit = "points per week"\n'
    '[estimands.twice]\nvalue = "exp(more / 10)"\nunit = "times"\n'
    '[estimands.own]\nvalue = "slope + more * w"\nunit = "points per week"\nat = { w = [0, 1] }\ncontrast = true\n',
)


def test_three_arms_have_an_estimand_each_and_one_per_pair() -> None:
    """Differences of two arms are those of their coefficients in every draw, within functions, too."""
    spec = model("session * condition + (1 | patient)", *GROWTH)
    fit = ba.fit_model(spec, study(rows()), seed=1, settings=FAST)
    found = ba.summarize_estimands(fit).set_index("name")
    assert list(found.index) == [
        "faster[arm = ACT]",
        "faster[arm = CBT]",
        "faster[arm = CBT less ACT]",
        "twice[arm = ACT]",
        "twice[arm = CBT]",
        "twice[arm = CBT less ACT]",
        "own[arm = ACT, w = 0]",
        "own[arm = ACT, w = 1]",
        "own[arm = ACT, w = 1 less w = 0]",
        "own[arm = CBT, w = 0]",
        "own[arm = CBT, w = 1]",
        "own[arm = CBT, w = 1 less w = 0]",
    ]
    values = fit.data["estimands"].to_dataset()["value"]
    act, cbt, apart = (values.sel(estimand=f"faster[arm = {one}]").to_numpy() for one in ("ACT", "CBT", "CBT less ACT"))
    np.testing.assert_allclose(apart, cbt - act)
    np.testing.assert_allclose(values.sel(estimand="twice[arm = CBT less ACT]").to_numpy(), np.exp((cbt - act) / 10))
    assert abs(found.loc["faster[arm = ACT]", "mean"] - 2) < 0.3
    assert abs(found.loc["faster[arm = CBT less ACT]", "mean"] + 1) < 0.3


def test_two_arms_stay_as_they_were() -> None:
    """One coefficient, one estimand, no level in its name."""
    spec = model("session * condition + (1 | patient)", *GROWTH)
    design = ba.make_design(spec, study(rows(("TAU", "CBT"))))
    assert [one.name for one in design.estimands][:2] == ["faster", "twice"]


def test_labels_of_two_factors_are_worked_out_at_every_pair_of_levels() -> None:
    """A sum over two factors with three levels each has a version per pair of levels, and compares no arms alone."""
    spec = model(
        "session * condition + sex + (1 | patient)",
        'a = "y ~ condition"\nb = "y ~ sex"',
        '[estimands.both]\nvalue = "a + b"\nunit = "points"\n',
    )
    asked = ba.Study(study(rows()).sessions, {"condition": "arm"}, {"condition": "TAU", "sex": "m"})
    found = {one.name: one.labels for one in ba.make_design(spec, asked).estimands}
    assert list(found) == [f"both[arm = {arm}, sex = {sex}]" for arm in ("ACT", "CBT") for sex in ("d", "f")]
    assert found["both[arm = CBT, sex = d]"] == {"a": "y, arm[CBT]", "b": "y, sex[d]"}


def test_paths_of_three_arms_are_compared_pair_by_pair() -> None:
    """An indirect effect is a comparison whatever the second path is: one less the other arm's, in every draw."""
    text = HEAD + (
        '[[equation]]\noutcome = "m"\nunit = "patient"\nformula = "condition"\n'
        '[[equation]]\noutcome = "z"\nunit = "patient"\nformula = "m + condition"\n'
        '[labels]\na = "m ~ condition"\nb = "z ~ m"\nc = "z ~ condition"\n'
        '[estimands.total]\nvalue = "c + a * b"\nunit = "points"\n'
        '[estimands.ratio]\nvalue = "a * b / (c + a * b)"\nunit = "share"\n'
    )
    people = rows().drop_duplicates("pid").assign(m=lambda f: f["y"], z=lambda f: f["y"] + 1.0 * f.index % 7)
    fit = ba.fit_model(ba.parse_model(text), study(people), seed=1, settings=FAST)
    values = fit.data["estimands"].to_dataset()["value"]
    act, cbt, apart = (values.sel(estimand=f"total[arm = {one}]").to_numpy() for one in ("ACT", "CBT", "CBT less ACT"))
    np.testing.assert_allclose(apart, cbt - act)
    assert [str(name) for name in values["estimand"].values if "ratio" in str(name)] == [
        "ratio[arm = ACT]",
        "ratio[arm = CBT]",
    ]

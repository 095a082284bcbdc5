"""The same questions answered by several analyses, side by side: what was printed, and what is better."""

from __future__ import annotations

from collections.abc import Collection
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bayes_alliance._messages import quote
from bayes_alliance.errors import FitError
from bayes_alliance.findings import Problem
from bayes_alliance.plot.style import COLOURS, MARKERS, WIDTH, Picture, legend_label, on_log_axis

NEEDED = ("question", "analysis", "estimate", "lower", "upper")


def plot_answers(
    answers: pd.DataFrame, *, intervals: str = "95% equal-tailed intervals", factors: Collection[str] = ()
) -> Figure:
    """Draw each question's answers by every analysis, with the truth where it is known.

    Parameters
    ----------
    answers : DataFrame
        A row per question and analysis: ``question``, ``analysis``, ``estimate``, ``lower``, ``upper``; where known,
        ``unit`` and ``truth`` of the question. Questions and analyses are drawn in the order of the rows.
    intervals : str
        What ``lower`` and ``upper`` are, for the title.
    factors : collection of str
        Questions whose answers are factors, such as odds ratios: on a logarithmic axis, where 1 is no difference.

    Returns
    -------
    Figure
        A panel per question, a row and a colour per analysis; a dotted line where there is no difference, a solid one
        at the truth.

    Raises
    ------
    FitError
        If a column is missing, a question has two answers of one analysis, two units or truths, or a factor is not
        positive.
    """
    _check(answers, factors)
    questions = list(dict.fromkeys(answers["question"]))
    analyses = list(dict.fromkeys(answers["analysis"]))
    columns = 2 if len(questions) > 1 else 1
    lines = -(-len(questions) // columns)
    figure = Picture(figsize=(WIDTH, 0.8 + lines * (0.85 + 0.2 * len(analyses))), dpi=150, layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False)
    for axes in list(panels.flat)[len(questions) :]:
        axes.set_visible(False)
    known = False
    for axes, question in zip(panels.flat, questions, strict=False):
        own = answers[answers["question"] == question]
        _draw(axes, own, analyses, question in factors)
        axes.set_title(fill(question, 50), fontsize=8, loc="left")
        if "unit" in own and own["unit"].notna().any():
            axes.set_xlabel(fill(str(own["unit"].dropna().iloc[0]), 55), fontsize=7)
        if "truth" in own and own["truth"].notna().any():
            known = True
            axes.axvline(float(own["truth"].dropna().iloc[0]), color="black", linewidth=1.2, zorder=1)
    marks = [
        Line2D([], [], color=_colour(i), marker=MARKERS[i % len(MARKERS)], markersize=5, label=label)
        for i, label in enumerate(map(legend_label, map(str, analyses)))
    ]
    marks += [Line2D([], [], color="black", linewidth=1.2, label="truth")] if known else []
    figure.legend(handles=marks, frameon=False, fontsize=8, loc="outside lower center", ncols=2)
    figure.suptitle(f"Estimates with {intervals}", fontsize=9, x=0.01, ha="left")
    return figure


def _draw(axes: Axes, own: pd.DataFrame, analyses: list[str], factor: bool) -> None:
    for _, answer in own.iterrows():
        i = analyses.index(answer["analysis"])
        axes.plot([answer["lower"], answer["upper"]], [-i, -i], color=_colour(i), linewidth=2)
        axes.plot(answer["estimate"], -i, marker=MARKERS[i % len(MARKERS)], color=_colour(i), markersize=6)
    if factor:
        on_log_axis(axes)
    axes.axvline(1.0 if factor else 0.0, color="0.4", linewidth=0.8, linestyle=":", zorder=0)
    axes.set_ylim(0.6 - len(analyses), 0.6)
    axes.set_yticks([])
    axes.tick_params(labelsize=7, which="both")
    axes.spines[["top", "right", "left"]].set_visible(False)


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _check(answers: pd.DataFrame, factors: Collection[str]) -> None:
    lacking = [name for name in NEEDED if name not in answers]
    if lacking:
        raise FitError(f"Answers lack the columns {quote(lacking)}; they have {quote(map(str, answers.columns))}.")
    problems = []
    if answers.duplicated(["question", "analysis"]).any():
        twice = answers.loc[answers.duplicated(["question", "analysis"]), "question"]
        problems.append(Problem(f"Questions with two answers of one analysis: {quote(dict.fromkeys(twice))}."))
    for name in ("unit", "truth"):
        if name in answers:
            several = answers.groupby("question")[name].nunique()
            odd = [str(question) for question, count in several.items() if count > 1]
            problems += [Problem(f"Questions with more than one {name}: {quote(odd)}.")] if odd else []
    negative = answers[answers["question"].isin(list(factors)) & ~(answers[["estimate", "lower"]] > 0).all(axis=1)]
    if len(negative):
        problems.append(Problem(f"Factors are positive; not so: {quote(dict.fromkeys(negative['question']))}."))
    unknown = [name for name in factors if name not in set(answers["question"])]
    problems += [Problem(f"No question {quote(unknown)} to be a factor.")] if unknown else []
    if not len(answers) or not np.isfinite(answers[["estimate", "lower", "upper"]].to_numpy(float)).all():
        problems.append(Problem("Answers need numbers in estimate, lower and upper, and one row at least."))
    if problems:
        raise FitError(problems)

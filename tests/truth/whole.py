"""The whole truth table: every model and every reader, and the summary that the documentation shows."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from tests.truth import followed, mediated, others, predicted, readers
from tests.truth.cases import COURSES, NAMES, Case, registry_case
from tests.truth.kinds import KINDS, kind_case
from tests.truth.table import Cell, Reader, judge

PAGE = Path(__file__).resolve().parents[2] / "docs" / "truth.json"

READERS: Mapping[str, Reader] = {
    **readers.READERS,
    **predicted.READERS,
    **followed.READERS,
    **mediated.READERS,
    **others.READERS,
}
"""What is held against worlds, by its public name."""

WHY: Mapping[str, str] = {
    "predict_hazard": "no 0/1 outcome by session",
    "predict_trajectories": "no outcome",
    "predict_unit_trajectories": "no group effects",
    "marginal_effects": "no predictor that is read by its values",
    "predictions": "no outcome",
    "comparisons": "no predictor that is read by its values",
    "predictions, outcomes following": "no outcome reads another",
    "slopes": "no predictor that is a number read by its values",
    "mediation_effects": "no outcome predicts another",
    "moderated_mediation": "no outcome predicts another, or nothing numeric moderates",
    "unit_effects": "no outcome predicts another, or no group effects",
    "counterfactual_effects": "no outcome predicts another",
    "variance_shares": "no outcome",
    "response_surface": "no surface()",
    "summarize_estimands": "the file states no estimands",
    "unit_estimates": "no factor with three levels",
    "loo": "all outcomes are Gaussian: integrated exactly, held against dense normals elsewhere",
    "leave_future_out": "an equation has rows of patients",
}
"""Why a reader has nothing to say of a model."""


def case_of(model: str) -> Case:
    """Return a registered model, or one of the small ones, with its study."""
    return kind_case(model) if model in KINDS else registry_case(model)


def cells(model: str, reader: str, most: int | None = None) -> Iterator[Cell]:
    """Yield how each setting of a reader on a model comes out; one cell where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = False
        for setting, work in islice(READERS[reader](case_of(model)), most):
            found = True
            yield judge(model, reader, setting, work)
        if not found:
            yield Cell(model, reader, "", "not applicable", WHY[reader])


def whole_table(models: Sequence[str] = (*NAMES, *COURSES, *KINDS)) -> list[Cell]:
    """Work the whole table out."""
    return [cell for model in models for reader in READERS for cell in cells(model, reader)]


def summarise(found: Sequence[Cell]) -> dict[str, dict[str, dict[str, object]]]:
    """Return per model and reader how many settings agree, and why others are refused or do not apply."""
    table: dict[str, dict[str, dict[str, object]]] = {}
    for cell in found:
        entry = table.setdefault(cell.model, {}).setdefault(cell.reader, {"agrees": 0, "refused": {}, "other": {}})
        if cell.how == "agrees":
            entry["agrees"] += 1
        else:
            kind = entry["refused" if cell.how == "refused" else "other"]
            note = cell.note if cell.how != "DISAGREES" else f"DISAGREES: {cell.note}"
            kind.setdefault(note, []).append(cell.setting)
    return table


def write_page(found: Sequence[Cell]) -> None:
    """Write the summary where the documentation reads it."""
    PAGE.write_text(json.dumps(summarise(found), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

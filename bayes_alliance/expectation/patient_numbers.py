"""A number for every patient, the same in all equations: new units of one patient are one unit wherever they are."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd

from bayes_alliance.design.design import Design
from bayes_alliance.design.equations.equation import EquationDesign


def number_patients(design: Design, e: EquationDesign) -> np.ndarray:
    """Return the number of every row's patient, shape (obs,): of the fit's rows over all equations of the design."""
    names = pd.Index(e.patient.astype(str))
    code = _patients_of(design).get_indexer(names)
    if (code < 0).any():  # new rows, the same ones in every equation
        return np.asarray(np.unique(names, return_inverse=True)[1])
    return np.asarray(code)


@lru_cache(maxsize=4)
def _patients_of(design: Design) -> pd.Index:
    names: pd.Index = pd.Index(np.unique(np.concatenate([e.patient.astype(str) for e in design.equations])))
    return names

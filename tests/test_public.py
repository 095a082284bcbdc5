"""The public face: names, signatures, docstrings, and what importing costs."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import bayes_alliance as ba

FUNCTIONS = [name for name in ba.__all__ if inspect.isfunction(getattr(ba, name))]


def test_all_is_sorted_and_complete() -> None:
    """Every public name loads, and the list is the one ``dir`` shows."""
    assert ba.__all__ == sorted(ba.__all__)
    assert all(getattr(ba, name) is not None for name in ba.__all__)
    assert set(ba.__all__) <= set(dir(ba))


def test_unknown_name_is_an_attribute_error() -> None:
    """A name that is not public is refused as Python does it."""
    with pytest.raises(AttributeError, match="no attribute 'fit_modle'"):
        _ = ba.fit_modle


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signatures_are_explicit(name: str) -> None:
    """No ``*args`` or ``**kwargs``, everything annotated, keyword-only after the second argument."""
    function = getattr(ba, name)
    parameters = list(inspect.signature(function).parameters.values())
    assert all(p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters)
    assert all(p.annotation is not p.empty for p in parameters)
    assert sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters) <= 2


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstrings_name_every_parameter(name: str) -> None:
    """A docstring has a summary line that ends with a full stop and names each parameter where there are any."""
    function = getattr(ba, name)
    text = inspect.getdoc(function) or ""
    assert text.splitlines()[0].endswith(".")
    parameters = list(inspect.signature(function).parameters)
    if "Parameters\n" in text:
        assert all(parameter in text for parameter in parameters)
    else:
        assert len(parameters) <= 1


def run(code: str) -> str:
    """Run code in a fresh interpreter and return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.strip()


def test_importing_loads_no_heavy_library() -> None:
    """``import bayes_alliance`` loads neither PyMC nor pandas; names load on first use."""
    heavy = "('pymc', 'pytensor', 'pandas', 'numpy', 'xarray', 'matplotlib', 'pydantic')"
    assert run(f"import sys, bayes_alliance; print([m for m in {heavy} if m in sys.modules])") == "[]"


def test_list_of_models_loads_no_pymc() -> None:
    """Showing help works without NumPy; listing models loads it, as families have their arithmetic, and no more."""
    heavy = "('pymc', 'pytensor', 'pandas', 'matplotlib', 'scipy.special', 'scipy.stats')"
    code = (
        "import sys, bayes_alliance.cli.app, bayes_alliance as ba; print('numpy' in sys.modules); ba.list_models();"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    assert run(code) == "False\n[]"


def test_importing_changes_no_global_setting() -> None:
    """Importing every module leaves matplotlib's and NumPy's settings and the warning filters alone."""
    code = (
        "import warnings, matplotlib, numpy; before = numpy.geterr();"
        "import pymc, nutpie, arviz_stats; filters = list(warnings.filters); rc = dict(matplotlib.rcParams);"
        "import bayes_alliance as ba; [getattr(ba, n) for n in ba.__all__];"
        "print(filters == list(warnings.filters), rc == dict(matplotlib.rcParams), before == numpy.geterr())"
    )
    assert run(code) == "True True True"

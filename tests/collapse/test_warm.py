"""Compiled functions that a fit needs: read from disk one by one, or compiled side by side."""

from __future__ import annotations

import atexit
import subprocess
import sys
import time
from collections.abc import Sequence

import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.collapse import warm
from bayes_alliance.collapse.callbacks import VARIANTS, Variant
from bayes_alliance.collapse.density import Density
from bayes_alliance.collapse.engine import density_of, sum_design
from tests.build.test_equations import HEAD, equation
from tests.conftest import ROLES

TWO: list[Variant] = [(None, None, "values"), (None, None, "slopes")]
EFFECTS: Variant = (None, None, "effects")


class Stage:
    """Stands for compilers: the first takes ``seconds``; ``begun`` and ``loaded`` say what was asked of whom."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
        self.begun: list[Variant] = []
        self.loaded: list[Variant] = []
        self.processes: list[subprocess.Popen[bytes]] = []

        def load(*variant: bool | str | None) -> None:
            if not self.loaded:
                time.sleep(seconds)
            self.loaded.append(variant)  # type: ignore[arg-type]

        def begin(variants: Sequence[Variant]) -> subprocess.Popen[bytes]:
            self.begun += variants
            code = "import time; print(flush=True); time.sleep(30)"
            self.processes.append(subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE))
            return self.processes[-1]

        monkeypatch.setattr(warm, "_LEFT", [])
        monkeypatch.setattr(atexit, "register", lambda function: None)
        monkeypatch.setattr(warm, "SLOW", 0.05)
        monkeypatch.setattr(warm, "density_callback", load)
        monkeypatch.setattr(warm, "_begin", begin)

    def end(self) -> None:
        """End all processes."""
        for process in self.processes:
            process.kill()
            process.wait()


def test_what_is_on_disk_is_read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process starts where the first function is there at once, nor for nothing."""
    stage = Stage(monkeypatch, 0.0)
    warm.load_variants(TWO)
    assert (stage.loaded, stage.begun) == (TWO, [])
    warm.load_variants([])
    assert stage.loaded == TWO


def test_what_must_be_compiled_is_compiled_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others begin in processes once the first takes long; all are loaded here, those that failed there too.

    What is needed later is compiled, and neither waited for nor loaded; the process ends with this one.
    """
    stage = Stage(monkeypatch, 0.4)
    begun = time.perf_counter()
    warm.load_variants(TWO, [EFFECTS])
    assert time.perf_counter() - begun < 20  # of the 30 seconds that the other goes on for
    assert (stage.loaded, stage.begun) == (TWO, [*TWO[1:], EFFECTS])
    assert stage.processes[0].poll() is None
    assert stage.processes == warm._LEFT
    warm._end()
    assert stage.processes[0].returncode is not None
    stage.end()


def test_a_process_that_fails_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has not made is compiled here."""
    stage = Stage(monkeypatch, 0.4)
    failing = subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"], stdout=subprocess.PIPE)
    monkeypatch.setattr(warm, "_begin", lambda variants: failing)
    warm.load_variants(TWO, [EFFECTS])
    assert stage.loaded == TWO
    failing.wait()


def test_a_stop_ends_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the first compiles leaves none of them behind."""
    stage = Stage(monkeypatch, 0.0)

    def stopped(*_: bool | str | None) -> None:
        time.sleep(0.4)
        raise KeyboardInterrupt

    monkeypatch.setattr(warm, "density_callback", stopped)
    with pytest.raises(KeyboardInterrupt):
        warm.load_variants(TWO)
    assert stage.begun == TWO[1:]
    assert stage.processes[0].wait(timeout=5) != 0
    stage.end()


def test_which_functions_a_fit_needs(trial: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slopes where differences of values would cost more; none that this process has."""
    made = ba.make_design(
        ba.parse_model(HEAD + equation("score", "week + (1 | patient)")), ba.read_sessions(trial, ROLES)
    )
    density = density_of(sum_design(made))
    monkeypatch.setattr(warm, "is_loaded", lambda variant: False)
    assert warm.needed_variants(density) == [VARIANTS[0]]
    assert warm.later_variants(density) == [EFFECTS]
    monkeypatch.setattr(Density, "exact_slopes", True)
    assert warm.needed_variants(density) == TWO
    monkeypatch.setattr(warm, "is_loaded", lambda variant: variant == VARIANTS[0])
    assert warm.needed_variants(density) == TWO[1:]

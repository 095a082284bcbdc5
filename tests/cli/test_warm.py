"""warm: what is compiled beforehand, and what is said of it."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from bayes_alliance.cli import app as cli
from bayes_alliance.collapse import warm
from bayes_alliance.collapse.callbacks import VARIANTS, Variant, is_loaded, seconds_compiling, variant_of
from bayes_alliance.collapse.warm import compile_all, describe_variant
from tests.collapse.dense import engine_of
from tests.collapse.test_density import SHAPES, design_of
from tests.conftest import make_trial


def test_variants_are_all_there_are() -> None:
    """Each has words of its own, and every shape of model needs one of them."""
    assert len({describe_variant(variant) for variant in VARIANTS}) == len(VARIANTS) == 10
    for name in ("one level", "crossed", "crossed with joint residuals", "effects and residuals"):
        assert name in SHAPES
        shape = engine_of(design_of(name, make_trial())).shape
        for part in ("values", "slopes", "effects"):
            variant = variant_of(shape, part)
            assert variant in VARIANTS
            assert ("factors that cross" in describe_variant(variant)) == bool(shape.crossed)


def test_the_command_says_what_took_how_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line per function, and the time of all."""

    def compiled(done: Callable[[int], None]) -> dict[Variant, float]:
        done(len(VARIANTS))
        return {variant: 1.5 + number for number, variant in enumerate(VARIANTS)}

    monkeypatch.setattr(warm, "compile_all", compiled)
    monkeypatch.setattr(sys, "argv", ["bayes-alliance", "warm"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code
    said = capsys.readouterr().out
    assert "values, factors that cross, residuals that correlate" in said
    assert "10.5" in said
    assert "Ready after 0 s." in said


def test_time_of_compiling_is_counted() -> None:
    """A function that this process has called counts as loaded, with the seconds that took."""
    engine = engine_of(design_of("one level", make_trial()))
    engine.callback("values")
    assert is_loaded(variant_of(engine.shape, "values"))
    assert seconds_compiling() > 0


@pytest.mark.slow
def test_everything_is_compiled_in_processes_of_their_own() -> None:
    """All variants are ready, and progress counts up to their number."""
    counts: list[int] = []
    seconds = compile_all(counts.append, cores=2)
    assert list(seconds) == list(VARIANTS)
    assert counts == list(range(1, len(VARIANTS) + 1))

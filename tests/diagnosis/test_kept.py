"""Calibrations that were stopped go on: what is kept is taken in as it is, and only for the same question."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bayes_alliance as ba
from bayes_alliance.diagnosis import calibration as module
from bayes_alliance.diagnosis import stored_ranks
from bayes_alliance.diagnosis.calibration import DEFAULTS
from bayes_alliance.diagnosis.stored_ranks import Outcome, calibration_key, read_outcome, write_outcome
from bayes_alliance.errors import DesignError, FitError
from bayes_alliance.fit.workers import Lost
from bayes_alliance.simulate.studies import plan_studies

LAYOUT = {"patients": 12, "sessions": [0, 1, 2], "therapists": 4}
SETTINGS = replace(DEFAULTS, draws=100, chains=2)
SPEC = ba.load_model("growth/three-level")


class Here:
    """An executor of this thread, so that tests can count and break what runs."""

    def submit(self, function: Callable[[object], object], task: object) -> Future[object]:
        """Run it now."""
        future: Future[object] = Future()
        try:
            future.set_result(function(task))
        except Exception as error:
            future.set_exception(error)
        return future


def run(n: int, cache: Path | None, **given: object) -> ba.Calibration:
    """Calibrate a small growth model in this thread."""
    asked = {"seed": 5, "settings": SETTINGS, "progress": "off", "executor": Here()} | given
    return ba.calibrate(SPEC, LAYOUT, n=n, cache=cache, **asked)  # type: ignore[arg-type]


def files_of(cache: Path) -> list[Path]:
    """Return the kept studies, in order."""
    return sorted(cache.glob("*/*.json"))


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ba.Calibration]:
    """Return a cache with twelve studies and what came out."""
    cache = tmp_path_factory.mktemp("cache")
    return cache, run(12, cache)


def copy_of(cache: Path, folder: Path) -> Path:
    """Return a copy of a cache."""
    for path in files_of(cache):
        place = folder / path.parent.name
        place.mkdir(exist_ok=True)
        (place / path.name).write_bytes(path.read_bytes())
    return folder


def count_fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows with every study that is fitted."""
    fitted: list[int] = []
    sample = module._sample

    def counted(*given: object) -> object:
        fitted.append(1)
        return sample(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_sample", counted)
    return fitted


def test_what_is_kept_comes_back_as_it_was(
    filled: tuple[Path, ba.Calibration], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is fitted twice, and ranks and levels are the same to the last digit."""
    fitted = count_fits(monkeypatch)
    cache, first = filled
    again = run(12, copy_of(cache, tmp_path))
    assert not fitted
    assert (first.from_cache, again.from_cache) == (0, 12)
    np.testing.assert_array_equal(again.ranks, first.ranks)
    np.testing.assert_array_equal(again.levels, first.levels)
    assert again.quantities == first.quantities
    # a card says how long the studies took, not how long they took to read
    assert again.seconds == first.seconds


def test_a_stopped_calibration_fits_only_what_is_missing(
    filled: tuple[Path, ba.Calibration], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of twelve studies are not there: three are fitted, and all is as in one run."""
    cache, whole = filled
    copy = copy_of(cache, tmp_path)
    for path in files_of(copy)[4:7]:
        path.unlink()
    fitted = count_fits(monkeypatch)
    found = run(12, copy)
    assert (len(fitted), found.from_cache) == (3, 9)
    np.testing.assert_array_equal(found.ranks, whole.ranks)


def test_more_studies_take_in_the_first_ones_and_equal_those_of_one_run(
    filled: tuple[Path, ba.Calibration], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fourteen studies after twelve are two more."""
    cache, _ = filled
    fitted = count_fits(monkeypatch)
    more = run(14, copy_of(cache, tmp_path))
    assert (len(fitted), more.from_cache) == (2, 12)
    np.testing.assert_array_equal(more.ranks, run(14, None).ranks)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"seconds": 1}', '{"lost": "x", "seconds": null}', "short"])
def test_a_damaged_study_is_fitted_anew(
    filled: tuple[Path, ba.Calibration], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    """What cannot be read is not taken for a result."""
    cache, whole = filled
    copy = copy_of(cache, tmp_path)
    path = files_of(copy)[2]
    if content == "short":
        stored = json.loads(path.read_text())
        content = json.dumps(stored | {"ranks": stored["ranks"][:-1]})
    path.write_text(content)
    fitted = count_fits(monkeypatch)
    found = run(12, copy)
    assert len(fitted) == 1
    np.testing.assert_array_equal(found.ranks, whole.ranks)


def test_another_question_takes_nothing(
    filled: tuple[Path, ba.Calibration], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seed, draws and priors make another question; cores do not."""
    cache, _ = filled
    copy = copy_of(cache, tmp_path)
    fitted = count_fits(monkeypatch)
    for changed in ({"seed": 6}, {"settings": replace(SETTINGS, draws=120)}, {"priors": {"sigma": "half_normal(3)"}}):
        assert run(2, copy, **changed).from_cache == 0
    assert len(fitted) == 6
    assert run(2, copy, settings=replace(SETTINGS, cores=1)).from_cache == 2


def test_the_key_sees_layout_variables_and_truth() -> None:
    """All that studies are drawn from is in the key."""
    spec = ba.load_model("growth/three-level")

    def key(layout: dict[str, object], variables: dict[str, object] | None = None, truth: object = None) -> str:
        studies = plan_studies(spec, layout, seed=1, variables=variables)  # type: ignore[arg-type]
        return calibration_key(studies, layout, variables, seed=1, truth=truth, settings=SETTINGS)  # type: ignore[arg-type]

    plain = key(LAYOUT)
    bounded = {**LAYOUT, "bounds": {"alliance": [0, 10]}}
    others = [
        key(bounded),
        key({**LAYOUT, "patients": 13}),
        key(LAYOUT, {"age": {"unit": "patient"}, "trust": {"unit": "therapist"}}),
        key(LAYOUT, {"trust": {"unit": "therapist"}, "age": {"unit": "patient"}}),
        key(LAYOUT, truth={"b[1]": 1.0}),
    ]
    assert len({plain, *others}) == 6
    assert key(dict(reversed(LAYOUT.items()))) == plain


def test_a_lost_study_stays_lost_with_its_reason(tmp_path: Path) -> None:
    """A study that could not be fitted is not tried at every call."""
    write_outcome(tmp_path, 3, Outcome(Lost("no variance"), 1.25))
    found = read_outcome(tmp_path, 3)
    assert found is not None
    assert (found.ranked, found.seconds) == (Lost("no variance"), 1.25)
    assert read_outcome(tmp_path, 4) is None


def test_a_cache_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """Before any study is fitted, a file in its place or a folder that refuses."""
    (tmp_path / "file").write_text("")
    with pytest.raises(FitError, match=r"cache '.*file' cannot be written: "):
        run(2, tmp_path / "file")

    def refuse(path: Path, content: bytes) -> None:
        raise OSError(30, "Read-only file system")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stored_ranks, "replace_file", refuse)
        with pytest.raises(FitError, match=r"cache '.*folder' cannot be written: Read-only file system"):
            run(2, tmp_path / "folder")


def test_a_full_disk_costs_no_study(
    filled: tuple[Path, ba.Calibration], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be written in the middle of a run is ranked all the same."""
    _, whole = filled
    replace_file = stored_ranks.replace_file

    def full(path: Path, content: bytes) -> None:
        if path.suffix == ".json" and int(path.stem) > 3:
            raise OSError(28, "No space left on device")
        replace_file(path, content)

    monkeypatch.setattr(stored_ranks, "replace_file", full)
    found = run(12, tmp_path)
    assert not found.lost
    np.testing.assert_array_equal(found.ranks, whole.ranks)
    assert len(files_of(tmp_path)) == 4


def test_a_chunk_that_died_loses_only_what_it_had_not_written(
    filled: tuple[Path, ba.Calibration], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The twentieth study breaks its process: the nine before it are on disk."""
    _, whole = filled
    sample, tried = module._sample, []

    def breaking(*given: object) -> object:
        tried.append(1)
        if len(tried) == 20:
            raise np.linalg.LinAlgError("no factor")
        return sample(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_sample", breaking)
    found = run(22, tmp_path)
    assert found.lost == {"LinAlgError: no factor": 1}
    np.testing.assert_array_equal(found.ranks[:12], whole.ranks)


def test_what_another_day_may_bring_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sampler that could not run leaves nothing behind; a study without a design, or whose chains disagree, does."""
    sample, why = module._sample, iter([FitError("no threads"), module._NotDependable("chains"), DesignError("flat")])

    def failing(*given: object) -> object:
        error = next(why, None)
        if error is not None:
            raise error
        return sample(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_sample", failing)
    first = run(30, tmp_path)
    assert first.lost == {"no threads": 1, "chains": 1, "flat": 1}
    second = run(30, tmp_path)
    assert (second.lost, second.from_cache) == ({"chains": 1, "flat": 1}, 29)


def test_workers_of_other_code_keep_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster's worker with other packages ranks its studies and leaves the folder alone."""
    planned = iter([{"code": "of the one who asks"}])
    monkeypatch.setattr(module, "versions", lambda: next(planned, {"code": "of the worker"}))
    assert len(run(2, tmp_path)) == 2
    assert not files_of(tmp_path)

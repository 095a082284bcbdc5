"""Folders that hold no fit, or lead elsewhere: refused by name and left as they are, whatever they say."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

import bayes_alliance as ba
from bayes_alliance.fit import store
from bayes_alliance.fit.result import RECORD, RESULTS, TREE
from bayes_alliance.fit.store import LOCK, MANIFEST, read_artefact, write_artefact

type Change = Callable[[dict[str, bytes]], dict[str, bytes]]


def write_plainly(folder: Path, files: dict[str, bytes], manifest: object = None) -> Path:
    """Write files and a manifest that agrees with them, or another one, by no code of ours."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    stated = {name: sha256(content).hexdigest() for name, content in files.items()} if manifest is None else manifest
    (folder / MANIFEST).write_text(stated if isinstance(stated, str) else json.dumps(stated))
    return folder


@pytest.fixture(scope="module")
def files(small_fit: ba.Fit, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of a stored fit."""
    return read_artefact(small_fit.save(tmp_path_factory.mktemp("fit") / "fit"))


def record_with(**changes: object) -> Change:
    """Return a change of a fit's record: parts of its provenance, or the whole of its checks."""

    def change(files: dict[str, bytes]) -> dict[str, bytes]:
        record = json.loads(files[RECORD])
        if "checks" in changes:
            record["checks"] = changes["checks"]
        record["provenance"] |= {name: value for name, value in changes.items() if name != "checks"}
        for name in [name for name, value in changes.items() if value is None]:
            del record["provenance"][name]
        return {**files, RECORD: json.dumps(record).encode()}

    return change


def settings_with(**changes: object) -> Change:
    """Return a change of the settings that a fit's record states."""

    def change(files: dict[str, bytes]) -> dict[str, bytes]:
        settings = {**json.loads(files[RECORD])["provenance"]["settings"], **changes}
        return record_with(settings=settings)(files)

    return change


def draws_with(work: Callable[[xr.Dataset], xr.Dataset], group: str = "posterior") -> Change:
    """Return a change of a group of a fit's tree."""

    def change(files: dict[str, bytes]) -> dict[str, bytes]:
        tree = xr.load_datatree(io.BytesIO(files[TREE]), engine="h5netcdf")
        tree[group] = xr.DataTree(work(tree[group].to_dataset()))
        return {**files, TREE: bytes(tree.to_netcdf(engine="h5netcdf") or b"")}

    return change


def hdf_with(work: Callable[[h5py.File], object]) -> Change:
    """Return a change of a fit's tree as a file of arrays."""

    def change(files: dict[str, bytes]) -> dict[str, bytes]:
        content = io.BytesIO(files[TREE])
        with h5py.File(content, "r+") as file:
            work(file)
        return {**files, TREE: content.getvalue()}

    return change


def one_nan(draws: xr.Dataset) -> xr.Dataset:
    """Return draws with one number less."""
    values = draws["b"].values.copy()
    values[1, 7, 0] = np.nan
    return draws.assign(b=draws["b"].copy(data=values))


def linked(file: h5py.File) -> None:
    """Have a variable be that of another file."""
    del file["posterior/b"]
    file["posterior/b"] = h5py.ExternalLink("/etc/passwd", "/b")


def outside(file: h5py.File) -> None:
    """Have a variable's numbers be those of another file."""
    del file["posterior/b"]
    file["posterior"].create_dataset("b", (2, 300), "f8", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def huge(file: h5py.File) -> None:
    """Have a variable be larger than any memory."""
    del file["posterior/b"]
    file["posterior"].create_dataset("b", (2, 10**12), "f8", chunks=(1, 1000))


def looped(file: h5py.File) -> None:
    """Have a group hold itself."""
    file["posterior/again"] = file["posterior"]


NO_FITS: dict[str, tuple[Change, str]] = {
    "empty record": (lambda files: {**files, RECORD: b"{}"}, "'provenance': Field required"),
    "no JSON": (lambda files: {**files, RECORD: b"{"}, "It is no JSON"),
    "no text": (lambda files: {**files, RECORD: b"\xff\xfe"}, "It is no JSON"),
    "deep JSON": (lambda files: {**files, RECORD: b"[" * 100_000}, "nested too deeply"),
    "a list": (lambda files: {**files, RECORD: b"[]"}, "is not that of a whole fit"),
    "no record": (lambda files: {TREE: files[TREE]}, "'manifest.json' does not name 'fit.json'"),
    "no draws": (lambda files: {RECORD: files[RECORD]}, "does not name 'posterior.nc'"),
    "no netCDF": (lambda files: {**files, TREE: b"x"}, "'posterior.nc' .* It is no netCDF file"),
    "cut netCDF": (lambda files: {**files, TREE: files[TREE][:3000]}, "It is no netCDF file"),
    "a model that is none": (record_with(spec="title = 1"), "'fit.json' .* is not that of a whole fit"),
    "a model that is no text": (record_with(spec=[1]), "'provenance.spec': Input should be a valid string"),
    "columns that are a list": (record_with(columns=["a"]), "'provenance.columns'"),
    "messages that are a number": (record_with(messages=3), "'provenance.messages'"),
    "an engine of another kind": (record_with(engine="magic"), "'provenance.engine'"),
    "no fingerprint": (record_with(fingerprint=None), "'provenance.fingerprint': Field required"),
    "a seed that is text": (record_with(seed="7"), "'provenance.seed'"),
    "checks that are words": (record_with(checks=["passed"]), "'checks.0'"),
    "no checks": (record_with(checks=[]), "It lacks the checks 'r_hat', 'ess_bulk', 'ess_tail'"),
    "unknown settings": (settings_with(warp=9), "are not those of a sampler"),
    "settings no sampler can use": (settings_with(draws=-1), "draws must be a whole number"),
    "constants that are not there": (record_with(constants={"b": [999]}), "fixed by the model"),
    "more draws than stored": (settings_with(draws=1000), "2 chains of 300 draws, not the 2 chains of 1,000 draws"),
    "more chains than stored": (settings_with(chains=4), "2 chains of 300 draws, not the 4 chains of 300 draws"),
    "a number that is none": (draws_with(one_nan), r"Draws are NaN or infinite: b \(1 of"),
    "a chain less": (draws_with(lambda d: d.isel(chain=[0])), "1 chains of 300 draws"),
    "a stump": (draws_with(lambda d: d.isel(draw=slice(20))), "2 chains of 20 draws"),
    "no coefficients": (draws_with(lambda d: d.drop_vars("b")), "Its draws lack 'b'"),
    "no SDs": (draws_with(lambda d: d.drop_vars("sd_patient")), "Its draws lack 'sd_patient'"),
    "fewer statistics": (draws_with(lambda d: d.isel(draw=slice(9)), "sample_stats"), "Group 'sample_stats' is not of"),
    "no posterior": (hdf_with(lambda file: file.pop("posterior")), "It lacks the groups 'posterior'"),
    "another group": (hdf_with(lambda file: file.create_group("virus")), "It has groups 'virus'"),
    "a link to another file": (hdf_with(linked), "'b' is a link"),
    "numbers of another file": (hdf_with(outside), "'b' is read from another file"),
    "larger than the file": (hdf_with(huge), "'b' is larger than the file"),
    "a group in itself": (hdf_with(looped), "nested too deeply|no netCDF"),
}


@pytest.mark.parametrize("kind", NO_FITS)
def test_what_is_no_fit_is_refused(files: dict[str, bytes], tmp_path: Path, kind: str) -> None:
    """However well its manifest fits: content is checked before it is used."""
    change, sentence = NO_FITS[kind]
    with pytest.raises(ba.FitError, match=sentence):
        ba.load_fit(write_plainly(tmp_path / "fit", change(dict(files))))


@pytest.mark.parametrize("kind", ["a stump", "a number that is none"])
def test_a_stump_is_not_stored(small_fit: ba.Fit, files: dict[str, bytes], tmp_path: Path, kind: str) -> None:
    """Nor is what was put together by hand; what stood in the folder stays."""
    from dataclasses import replace

    tree = xr.load_datatree(io.BytesIO(NO_FITS[kind][0](dict(files))[TREE]), engine="h5netcdf")
    write_artefact(tmp_path, files)
    with pytest.raises(ba.FitError, match="This fit is not stored: it is not whole"):
        replace(small_fit, data=tree).save(tmp_path)
    assert read_artefact(tmp_path) == files


MANIFESTS: dict[str, tuple[object, str]] = {
    "no JSON": ("{", "cannot be read"),
    "deep": ("[" * 100_000, "nested too deeply"),
    "a list": ([], "does not list the sha256"),
    "numbers": ({RECORD: 5}, "does not list the sha256"),
    "a digest that is none": ({RECORD: "z"}, "does not list the sha256"),
    "a long name": ({"a" * 5000: "0" * 64}, "names 'aaaaaaaaaaaaaaaaaaaa'…"),
    "an absolute name": ({"/etc/passwd": "0" * 64}, "names '/etc/passwd'"),
    "a name above": ({"../../thesis.txt": "0" * 64}, r"names '\.\./\.\./thesis\.txt'"),
    "a name with a zero": ({"a\0b": "0" * 64}, "was not written by bayes_alliance"),
    "a hidden name": ({".profile": "0" * 64}, r"names '\.profile'"),
    "a name of Windows": ({"..\\x": "0" * 64}, "was not written by bayes_alliance"),
    "its own name": ({MANIFEST: "0" * 64}, "was not written by bayes_alliance"),
    "nothing": ({}, "does not name 'fit.json', 'posterior.nc'"),
}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_a_manifest_is_checked_before_its_names_are_used(files: dict[str, bytes], tmp_path: Path, kind: str) -> None:
    """Names of files outside the folder, hidden ones, and what is no manifest."""
    manifest, sentence = MANIFESTS[kind]
    with pytest.raises(ba.FitError, match=sentence):
        ba.load_fit(write_plainly(tmp_path / "fit", files, manifest))


@pytest.mark.parametrize("named", ["absolute", "above", "staged"])
def test_saving_never_reaches_outside_the_folder(small_fit: ba.Fit, tmp_path: Path, named: str) -> None:
    """A folder that somebody prepared: its manifest names files outside, and one is staged to be moved there."""
    (tmp_path / "thesis.txt").write_text("precious")
    folder = tmp_path / "received" / "fit"
    name = "../../thesis.txt" if named == "above" else str(tmp_path / "thesis.txt")
    payload = b"taken over"
    write_plainly(folder, {}, {name: sha256(payload).hexdigest()})
    if named == "staged":
        place = Path(f"{folder}/.{name}.{sha256(payload).hexdigest()[:16]}.new")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(payload)
    before = sorted(folder.rglob("*"))
    with pytest.raises(ba.FitError, match=r"names .*thesis\.txt.*Nothing was changed"):
        small_fit.save(folder)
    assert (tmp_path / "thesis.txt").read_text() == "precious"
    assert sorted(folder.rglob("*")) == before


def test_files_that_are_not_ours_stay(small_fit: ba.Fit, tmp_path: Path) -> None:
    """Of an earlier manifest only names that a fit's results may have are removed; hidden files of others stay."""
    theirs = {"thesis.txt": b"precious", "summary.csv": b"old"}
    write_plainly(tmp_path, theirs)
    for name in (".thesis.part", ".vimrc.new", ".summary.csv.0123456789abcdef.new"):
        (tmp_path / name).write_bytes(b"x")
    small_fit.save(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"thesis.txt", ".thesis.part", ".vimrc.new", LOCK, MANIFEST, RECORD, TREE}
    assert ba.load_fit(tmp_path).checks == small_fit.checks


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
@pytest.mark.parametrize("name", [RECORD, MANIFEST, LOCK])
def test_links_do_not_lead_outside(small_fit: ba.Fit, files: dict[str, bytes], tmp_path: Path, name: str) -> None:
    """A link in place of a file is not read, and writing leaves what it points to as it is."""
    folder = write_plainly(tmp_path / "fit", files)
    kept = (folder / name).read_bytes() if name != LOCK else b"precious"
    (tmp_path / "elsewhere").write_bytes(kept)
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(tmp_path / "elsewhere")
    if name == LOCK:
        with pytest.raises(ba.FitError, match="is a link, not a lock"):
            small_fit.save(folder)
    else:
        with pytest.raises(ba.FitError, match=r"changed or damaged|is a link"):
            ba.load_fit(folder)
        small_fit.save(folder)
        assert not (folder / name).is_symlink()
        assert ba.load_fit(folder).checks == small_fit.checks
    assert (tmp_path / "elsewhere").read_bytes() == kept


def test_names_that_are_written_are_plain(tmp_path: Path) -> None:
    """No caller can write outside a folder either; one folder inside it is a name like any."""
    for name in ("../x", "/x", "a/b/c", ".x", MANIFEST, "x" * 300, ""):
        with pytest.raises(ba.FitError, match="plain names"):
            write_artefact(tmp_path / "a", {name: b""})
    assert not (tmp_path / "a").exists()
    write_artefact(tmp_path / "a", {"pictures/x.png": b"1", "y": b"2"}, mode=0o644)
    assert read_artefact(tmp_path / "a") == {"pictures/x.png": b"1", "y": b"2"}
    assert (tmp_path / "a" / "y").stat().st_mode & 0o777 == 0o644
    write_artefact(tmp_path / "a", {"y": b"3"}, known=store.NAME)
    assert (tmp_path / "a" / "pictures" / "x.png").exists(), "no name of the kind that is known"


def test_a_stop_while_writing_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At every replacement in turn: the old files or the new ones, and no part of a file."""
    write_artefact(tmp_path, {RECORD: b"old", TREE: b"old"}, known=RESULTS)
    real, left = os.replace, [0]

    def stopped(*names: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        real(*names)

    monkeypatch.setattr(os, "replace", stopped)
    for place in range(1, 6):
        left[0] = place
        new = f"new {place}".encode()
        before = read_artefact(tmp_path)
        with pytest.raises(KeyboardInterrupt):
            write_artefact(tmp_path, {RECORD: new, TREE: new}, known=RESULTS)
        assert read_artefact(tmp_path) in (before, {RECORD: new, TREE: new})
        assert not list(tmp_path.glob(".*.part"))

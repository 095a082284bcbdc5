"""Streams of sessions: blocks of whole patients, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import bayes_alliance as ba
from tests.conftest import ROLES


@pytest.fixture
def path(trial: pd.DataFrame, tmp_path: Path) -> Path:
    """Return the trial as a parquet file."""
    trial.to_parquet(tmp_path / "trial.parquet", index=False)
    return tmp_path / "trial.parquet"


@pytest.mark.parametrize("rows", [1, 7, 50, 10_000])
def test_blocks_hold_whole_patients_and_all_rows(path: Path, trial: pd.DataFrame, rows: int) -> None:
    """Blocks joined are the table read whole, and no patient is in two."""
    stream = ba.stream_sessions(path, ROLES, transfers="transferred", rows=rows)
    blocks = list(stream.blocks())
    assert len(stream) == len(trial) == sum(map(len, blocks))
    patients = [set(block.ids("patient")) for block in blocks]
    assert sum(map(len, patients)) == len(set().union(*patients))
    whole = ba.read_sessions(trial, ROLES, transfers="transferred")
    joined = pd.concat([block.frame for block in blocks]).sort_values(["pid", "week"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(joined, whole.frame)


def test_a_folder_and_an_arrow_table_are_streams(path: Path, trial: pd.DataFrame, tmp_path: Path) -> None:
    """Parquet files of a folder follow each other by name; a pyarrow table is read as it is."""
    folder = tmp_path / "parts"
    folder.mkdir()
    half = trial.pid.isin(sorted(trial.pid.unique())[:20])
    for number, part in enumerate((trial[half], trial[~half])):
        pq.write_table(pa.Table.from_pandas(part, preserve_index=False), folder / f"{number}.parquet")
    for source in (folder, pa.Table.from_pandas(trial, preserve_index=False)):
        stream = ba.stream_sessions(source, ROLES, transfers="transferred", rows=40)
        assert sum(map(len, stream.blocks())) == len(trial)


def test_patients_that_stand_apart_are_refused(trial: pd.DataFrame) -> None:
    """Half of a patient's rows in a later block would be another patient."""
    shuffled = trial.sort_values("week")
    stream = ba.stream_sessions(pa.Table.from_pandas(shuffled, preserve_index=False), ROLES, rows=50)
    with pytest.raises(ba.TableError, match=r"patients? stand apart: 'P.* Sort the source by 'pid'.*rows \d+ to \d+"):
        list(stream.blocks())


def test_problems_of_a_block_name_its_rows(trial: pd.DataFrame) -> None:
    """What is wrong with a block says where in the source it is."""
    frame = trial.reset_index(drop=True)
    frame.loc[len(frame) - 1, "week"] = -1
    stream = ba.stream_sessions(
        pa.Table.from_pandas(frame, preserve_index=False), ROLES, transfers="transferred", rows=60
    )
    with pytest.raises(ba.TableError, match=rf"is negative in 1 row.*to {len(frame)} of the Arrow table"):
        list(stream.blocks())


@pytest.mark.parametrize(
    ("source", "roles", "options", "message"),
    [
        ("nowhere.parquet", ROLES, {}, "No file at"),
        ("trial.csv", ROLES, {}, "cannot be streamed. Allowed"),
        ("trial.parquet", {"patient": "id"}, {}, "No column 'id' to play 'patient'"),
        ("trial.parquet", ROLES, {"rows": 0}, "rows must be 1 or more"),
        ("trial.parquet", ROLES, {"ignore": ["nothing"]}, "ignore: Unknown column 'nothing'"),
        ("trial.parquet", ROLES, {"missing": {"nothing": [-9]}}, "missing: Unknown column 'nothing'"),
    ],
)
def test_what_cannot_be_opened(
    path: Path, source: str, roles: dict[str, str], options: dict[str, object], message: str
) -> None:
    """Files, roles and options are checked before anything is read."""
    (path.parent / "trial.csv").write_text("pid,week\n1,2\n")
    with pytest.raises(ba.TableError, match=message):
        ba.stream_sessions(path.parent / source, roles, **options)  # type: ignore[arg-type]


def test_an_empty_and_a_damaged_file_are_refused(tmp_path: Path, trial: pd.DataFrame) -> None:
    """No rows, and bytes that are not parquet."""
    trial.head(0).to_parquet(tmp_path / "empty.parquet", index=False)
    with pytest.raises(ba.TableError, match="There are no rows"):
        ba.stream_sessions(tmp_path / "empty.parquet", ROLES)
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(ba.TableError, match="cannot be read"):
        ba.stream_sessions(tmp_path / "damaged.parquet", ROLES)

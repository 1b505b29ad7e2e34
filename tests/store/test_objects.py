"""Block files: whole, of this key, or absent."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fociquant.errors import ResultsError
from fociquant.store import has_objects, read_objects, write_objects


@pytest.fixture()
def table():
    n = 400
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "label": np.arange(1, n + 1, dtype=np.int32),
            "y_um": rng.random(n),
            "flags": np.zeros(n, np.int32),
            "outline": [rng.random(8).astype(np.float32) for _ in range(n)],
            "decode_cell": np.zeros(n, np.int64),
            "mask_bits": [rng.bytes(30) for _ in range(n)],
        }
    )


def test_objects_come_back_as_they_were(tmp_path, table):
    write_objects(tmp_path / "b.parquet", table, key="k")
    again = read_objects(tmp_path / "b.parquet")
    pd.testing.assert_frame_equal(again, table)
    assert again["outline"][0].dtype == np.float32


def test_the_same_objects_are_the_same_bytes(tmp_path, table):
    write_objects(tmp_path / "a.parquet", table, key="k")
    write_objects(tmp_path / "b.parquet", table.set_index(table.index[::-1]), key="k")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_another_key_counts_as_absent(tmp_path, table):
    write_objects(tmp_path / "b.parquet", table, key="k")
    assert has_objects(tmp_path / "b.parquet", key="k")
    assert not has_objects(tmp_path / "b.parquet", key="other")
    assert not has_objects(tmp_path / "absent.parquet", key="k")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.9999])
def test_a_truncated_file_counts_as_absent(tmp_path, table, share):
    path = tmp_path / "b.parquet"
    write_objects(path, table, key="k")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    assert not has_objects(path, key="k")
    with pytest.raises(ResultsError, match=r"b\.parquet is damaged.*Run the study again"):
        read_objects(path)


def test_a_flipped_bit_anywhere_in_the_data_is_found_out(tmp_path, table):
    path = tmp_path / "b.parquet"
    write_objects(path, table, key="k")
    whole = path.read_bytes()
    data_end = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    for place in np.linspace(60, data_end - 20, 12).astype(int):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        path.write_bytes(bytes(damaged))
        assert not has_objects(path, key="k") or read_objects(path).equals(table)


def test_no_objects_are_a_table_too(tmp_path, table):
    write_objects(tmp_path / "b.parquet", table.iloc[:0], key="k")
    again = read_objects(tmp_path / "b.parquet")
    assert len(again) == 0 and list(again) == list(table)
    assert again["decode_cell"].dtype == np.int64

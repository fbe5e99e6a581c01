"""read_table keeps the good rows and says where and why each bad one is bad."""

import builtins
import datetime
from pathlib import Path

import pytest

from graphkern.graph.tables import read_table, report_bad_rows


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_reads_named_columns_in_the_order_asked(tmp_path):
    path = write(tmp_path / "t.csv", '\ufeffa,b,c\n1, x ,2\n\n3,"y, ""z""\nmore",4\n')
    table, bad = read_table(path, ["c", "b"])
    assert list(table.columns.items()) == [("c", ["2", "4"]), ("b", ["x", 'y, "z"\nmore'])]
    assert table.lines == [2, 5]
    assert bad == []


def test_delimiter(tmp_path):
    table, _ = read_table(write(tmp_path / "t.tsv", "a\tb\n1,5\t2\n"), ["a", "b"], "\t")
    assert table.columns == {"a": ["1,5"], "b": ["2"]}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1", "1 cells, but the header has 2"),
        (b"1,2,3", "3 cells, but the header has 2"),
        (b"1,\xff", "not UTF-8"),
        (b'1,"2"3', "',' expected after '\"', in a row that begins on line 3"),
    ],
)
def test_a_bad_row_is_reported_and_its_neighbors_stay(tmp_path, row, reason):
    path = write(tmp_path / "t.csv", b"a,b\n0,0\n" + row + b"\n4,5\n")
    table, bad = read_table(path, ["a"])
    assert table.columns == {"a": ["0", "4"]}
    assert [str(row) for row in bad] == [f"{path}:3: {reason}"]


def test_an_open_quote_says_where_it_began(tmp_path):
    _, (bad,) = read_table(write(tmp_path / "t.csv", 'a,b\n1,2\n3,"4\n5,6\n'), ["a"])
    assert bad.line == 4
    assert "begins on line 3" in bad.reason


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no header line"),
        ("a,b\n", "no column x, y; it has a, b"),
        ("x,y,x\n", "names a column twice"),
    ],
)
def test_a_bad_header_is_an_error(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read_table(write(tmp_path / "t.csv", content), ["x", "y"])


def test_a_table_may_have_no_rows(tmp_path):
    table, bad = read_table(write(tmp_path / "t.csv", "a,b\n"), ["a"])
    assert (len(table), table.columns, bad) == (0, {"a": []}, [])


def test_parquet_gives_what_csv_gives(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is an optional dependency")
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is an optional dependency")
    when = datetime.datetime(1970, 1, 1, 0, 0, 7, 900_000)
    columns = {"a": [1, 2], "b": ["x", None], "t": [when, None], "unread": [0, 0]}
    parquet.write_table(pa.table(columns), tmp_path / "t.parquet")
    table, bad = read_table(tmp_path / "t.parquet", ["b", "a", "t"])
    assert table.columns == {"b": ["x", ""], "a": ["1", "2"], "t": ["7", ""]}
    assert (table.lines, bad) == ([1, 2], [])
    with pytest.raises(ValueError, match="no column z"):
        read_table(tmp_path / "t.parquet", ["z"])


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    real_import = builtins.__import__

    def no_pyarrow(name, *args, **kwargs):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_pyarrow)
    with pytest.raises(ImportError, match=r"graphkern\[all\]"):
        read_table(tmp_path / "t.parquet", ["a"])


def test_the_report_lists_ten_rows_and_counts_all(tmp_path):
    path = write(tmp_path / "t.csv", "a,b\n" + "1\n" * 12)
    _, bad = read_table(path, ["a"])
    report = report_bad_rows(bad)
    assert report.startswith("12 bad rows, the first ten:\n")
    assert report.count("\n") == 10

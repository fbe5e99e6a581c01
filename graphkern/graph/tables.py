"""Reading tables of strings, with every row that cannot be read reported by file, line and reason."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO


@dataclass(frozen=True)
class BadRow:
    """A row that was left out. line counts the lines of the file from 1; in a Parquet file it counts the rows."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


@dataclass(frozen=True)
class Table:
    """Columns of equal length. lines[i] is the line of the file that row i ends on."""

    path: Path
    columns: dict[str, list[str]]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.lines)


def read_table(path: Path, names: Sequence[str], delimiter: str = ",") -> tuple[Table, list[BadRow]]:
    """Read the named columns of a CSV file, or of a Parquet file if the path ends in .parquet.

    A CSV file is UTF-8 with one header line; blank lines are not rows. Parquet values become strings: null the
    empty string, a timestamp whole seconds since 1970.

    Returns: the good rows in file order, and the bad ones: too few or too many cells, broken quotes, not UTF-8.
    Raises: FileNotFoundError; ValueError if the file has no header, a column twice, or lacks one of names;
        ImportError if a Parquet file is read without pyarrow.
    """
    path = Path(path)
    if path.suffix == ".parquet":
        return _read_parquet(path, names), []
    return _read_csv(path, names, delimiter)


def report_bad_rows(rows: Sequence[BadRow]) -> str:
    """The count and the first ten rows, one a line."""
    shown = "".join(f"\n  {row}" for row in rows[:10])
    return f"{len(rows)} bad rows" + (", the first ten:" if len(rows) > 10 else ":") + shown


def _read_csv(path: Path, names: Sequence[str], delimiter: str) -> tuple[Table, list[BadRow]]:
    columns: dict[str, list[str]] = {name: [] for name in names}
    lines: list[int] = []
    bad: list[BadRow] = []
    # surrogateescape lets a broken byte spoil its own row only
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        rows = _csv_rows(file, delimiter)
        _, header = next(rows, (1, "it is empty"))
        if isinstance(header, str):
            raise ValueError(f"{path} has no header line: {header}")
        _check_names(path, header, names)
        positions = [header.index(name) for name in names]
        for line, row in rows:
            if isinstance(row, str):
                bad.append(BadRow(str(path), line, row))
            elif len(row) != len(header):
                bad.append(BadRow(str(path), line, f"{len(row)} cells, but the header has {len(header)}"))
            elif not _is_utf8(row):
                bad.append(BadRow(str(path), line, "not UTF-8"))
            else:
                lines.append(line)
                for name, position in zip(names, positions, strict=True):
                    columns[name].append(row[position].strip())
    return Table(path, columns, lines), bad


def _csv_rows(file: TextIO, delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Each row that is not blank with the line it ends on, or in its place the reason why it cannot be parsed."""
    reader = csv.reader(file, delimiter=delimiter, strict=True)
    while True:
        first_line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield reader.line_num, f"{error}, in a row that begins on line {first_line}"
            continue
        if row:
            yield reader.line_num, row


def _is_utf8(row: Sequence[str]) -> bool:
    try:
        "".join(row).encode()
    except UnicodeEncodeError:
        return False
    return True


def _read_parquet(path: Path, names: Sequence[str]) -> Table:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError(f"reading {path} needs pyarrow: pip install 'graphkern[all]'") from error
    file = pyarrow.parquet.ParquetFile(path)
    _check_names(path, file.schema_arrow.names, names)
    table = file.read(columns=list(names))
    columns = {}
    for name in names:
        column = table.column(name)
        if pyarrow.types.is_timestamp(column.type):
            column = column.cast(pyarrow.timestamp("s"), safe=False).cast(pyarrow.int64())
        columns[name] = ["" if value is None else str(value).strip() for value in column.to_pylist()]
    return Table(path, columns, list(range(1, table.num_rows + 1)))


def _check_names(path: Path, header: Sequence[str], names: Sequence[str]) -> None:
    if len(set(header)) != len(header):
        raise ValueError(f"{path} names a column twice: {', '.join(header)}")
    missing = [name for name in names if name not in header]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(missing)}; it has {', '.join(header)}")

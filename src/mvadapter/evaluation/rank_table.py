"""Ranks in, a file with one row per query out; two such files in, a paired test out."""

import json
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.compute
import pyarrow.parquet
from jaxtyping import Float

from mvadapter.documents.csv_tables import csv_text, parse_csv, unguard_cell
from mvadapter.documents.text import TABLE_BYTES, DocumentKind, open_ordinary, read_text
from mvadapter.documents.values import read_json_lines
from mvadapter.errors import ConfigError, DataError
from mvadapter.evaluation.bootstrap import Difference, paired_bootstrap
from mvadapter.evaluation.metrics import RECALLS_AT
from mvadapter.evaluation.ranks import QueryRanks, expected_hits
from mvadapter.evaluation.results import EvaluationResult
from mvadapter.files import atomic_write

_KIND = DocumentKind(
    error=DataError,
    expected="a file of ranks that `mvadapter evaluate` wrote",
    advice="let `mvadapter evaluate` write it again",
    max_bytes=TABLE_BYTES,
)
RANK_SUFFIXES = (".csv", ".jsonl", ".parquet")
_SCHEMA = pyarrow.schema(
    {
        "direction": pyarrow.string(),
        "query": pyarrow.string(),
        "right": pyarrow.string(),
        "rank": pyarrow.float64(),
        "num_better": pyarrow.int64(),
        "num_equal": pyarrow.int64(),
        "num_items": pyarrow.int64(),
        "right_score": pyarrow.float64(),
        "first": pyarrow.string(),
    }
)


def check_rank_suffix(path: Path) -> None:
    """Refuse a file name whose suffix gives no format for ranks.

    Raises:
        ConfigError: It ends in none of the three suffixes.
    """
    if path.suffix.lower() not in RANK_SUFFIXES:
        raise ConfigError(f"{path}: ranks are written to a file in {', '.join(RANK_SUFFIXES)}")


def rank_table(result: EvaluationResult) -> pyarrow.Table:
    """Make a table with a row for each query of each direction."""
    ranks = result.ranks
    caption_names, video_names = (
        np.array([_printable(name) for name in names], dtype=object)
        for names in (result.captions, result.videos)
    )
    return pyarrow.concat_tables(
        [
            _rows("text_to_video", ranks.text_to_video, caption_names, video_names),
            _rows("video_to_text", ranks.video_to_text, video_names, video_names),
            _rows(
                "video_to_text_all_captions",
                ranks.video_to_text_all_captions,
                video_names,
                caption_names,
            ),
        ]
    )


def _printable(name: str) -> str:
    """A file name that is no UTF-8 is written with its bytes as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def _rows(
    direction: str, ranks: QueryRanks, queries: np.ndarray, items: np.ndarray
) -> pyarrow.Table:
    columns = {
        "direction": [direction] * len(ranks.query),
        "query": queries[ranks.query],
        "right": items[ranks.correct],
        "rank": ranks.ranks,
        "num_better": ranks.num_better,
        "num_equal": ranks.num_equal,
        "num_items": ranks.num_items,
        "right_score": ranks.correct_score,
        "first": items[ranks.first],
    }
    return pyarrow.table(columns, schema=_SCHEMA)


def write_rank_table(path: Path, table: pyarrow.Table) -> None:
    """Write a table of ranks in the format of the file's suffix.

    Raises:
        ConfigError: The file has none of the three suffixes.
        OSError: The folder cannot be written to.
    """
    check_rank_suffix(path)
    with atomic_write(path) as aside:
        match path.suffix.lower():
            case ".csv":
                aside.write_text(
                    csv_text(table.column_names, table.to_pylist()), encoding="utf-8", newline=""
                )
            case ".parquet":
                pyarrow.parquet.write_table(table, aside)
            case _:
                with aside.open("w", encoding="utf-8") as file:
                    for row in table.to_pylist():
                        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def is_rank_table(path: Path) -> bool:
    """Whether a file is what `write_rank_table` writes."""
    try:
        read_rank_table(path)
    except (ConfigError, DataError, OSError):
        return False
    return True


def read_rank_table(path: Path) -> pyarrow.Table:
    """Read what `write_rank_table` wrote.

    Raises:
        ConfigError: The file has none of the three suffixes.
        DataError: The file is missing, or holds no ranks.
    """
    check_rank_suffix(path)
    try:
        table = _read_any(path).select(_SCHEMA.names).cast(_SCHEMA)
        table.validate(full=True)
    except DataError:
        raise
    except (pyarrow.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        reason = str(error).strip("'\"").partition("\n")[0]
        raise _KIND.fault(path, f"not a file of ranks: {reason}") from error
    for name in _SCHEMA.names:
        if table[name].null_count:
            raise _KIND.fault(path, f"not a file of ranks: a row has no {name}")
        if _SCHEMA.field(name).type != pyarrow.string():
            values = table[name].to_numpy()
            if not (np.isfinite(values).all() and (name == "right_score" or (values >= 0).all())):
                raise _KIND.fault(path, f"not a file of ranks: an impossible {name}")
    return table


def _read_any(path: Path) -> pyarrow.Table:
    match path.suffix.lower():
        case ".csv":
            return _csv_table(path)
        case ".parquet":
            with open_ordinary(path, _KIND):
                return pyarrow.parquet.read_table(path)
        case _:
            rows = [row for _, row in read_json_lines(path, _KIND)]
            return pyarrow.Table.from_pylist(rows, schema=_SCHEMA)


def _csv_table(path: Path) -> pyarrow.Table:
    lines = parse_csv(read_text(path, _KIND), path, _KIND)
    _, names = next(lines, ("", []))
    columns: list[list[str]] = [[] for _ in names]
    for _, cells in lines:
        for column, cell in zip(columns, cells, strict=True):
            column.append(unguard_cell(cell))
    arrays = [pyarrow.array(column, pyarrow.string()) for column in columns]
    return pyarrow.Table.from_arrays(arrays, names=names)


def compare_ranks(
    ours: pyarrow.Table, theirs: pyarrow.Table, *, confidence_percent: float
) -> dict[str, dict[str, Difference]]:
    """Test the recalls of two systems on the same queries: ours minus theirs, by direction.

    The captions of one video are resampled together.

    Returns:
        Direction -> name of a recall -> the difference, in points.

    Raises:
        DataError: The two answered other queries, or chose from another number of items.
    """
    _check_same_queries(ours, theirs)
    differences = {}
    for direction in ours["direction"].unique().to_pylist():
        is_here = pyarrow.compute.equal(ours["direction"], direction)
        here, there = ours.filter(is_here), theirs.filter(is_here)
        video = here["right" if direction == "text_to_video" else "query"]
        group = video.combine_chunks().dictionary_encode().indices.to_numpy()
        differences[direction] = {
            f"recall_at_{k}": paired_bootstrap(
                100 * _hits(here, k),
                100 * _hits(there, k),
                group=group,
                confidence_percent=confidence_percent,
            )
            for k in RECALLS_AT
        }
    return differences


def _hits(table: pyarrow.Table, k: int) -> Float[np.ndarray, " query"]:
    return expected_hits(table["num_better"].to_numpy(), table["num_equal"].to_numpy(), k)


def _check_same_queries(ours: pyarrow.Table, theirs: pyarrow.Table) -> None:
    if len(ours) != len(theirs):
        raise DataError(
            f"the ranks to compare with have {len(theirs)} queries, these have {len(ours)}; both "
            f"must come from the same data and split"
        )
    # Among all captions, the correct one is a system's own choice: the best of the video's.
    is_chosen = pyarrow.compute.equal(ours["direction"], "video_to_text_all_captions").to_numpy()
    for column in ("direction", "query", "right", "num_items"):
        is_same = pyarrow.compute.equal(ours[column], theirs[column]).to_numpy()
        is_same = is_same | (is_chosen & (column == "right"))
        if not is_same.all():
            row = int(np.argmin(is_same))
            raise DataError(
                f"the ranks to compare with are of other queries: {column} of row {row + 1} is "
                f"{theirs[column][row].as_py()!r} there and {ours[column][row].as_py()!r} here; "
                f"both must come from the same data and split"
            )

import csv
import dataclasses
import json

import numpy as np
import pyarrow.parquet
import pytest
import torch

from mvadapter.errors import ConfigError, DataError
from mvadapter.evaluation.evaluate_scores import evaluate_scores
from mvadapter.evaluation.rank_table import (
    compare_ranks,
    rank_table,
    read_rank_table,
    write_rank_table,
)

SUFFIXES = (".csv", ".jsonl", ".parquet")
# By hand: caption 1 finds its video second, behind a; b's best caption is its second.
SCORES = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.1, 0.7]])
OWNERS = [0, 1, 1]
CAPTIONS = ['it\'s, "a"\nline', "two", "three"]


def made_table(scores=SCORES, captions=CAPTIONS, videos=("a", "b"), owners=OWNERS):
    result = evaluate_scores(np.asarray(scores), np.asarray(owners))
    return rank_table(dataclasses.replace(result, captions=captions, videos=videos))


def test_a_row_says_where_a_querys_right_item_came():
    row = made_table().to_pylist()[1]

    assert row == {
        "direction": "text_to_video", "query": "two", "right": "b", "rank": 2.0, "num_better": 1,
        "num_equal": 0, "num_items": 2, "right_score": pytest.approx(0.2), "first": "a",
    }  # fmt: skip


def test_each_direction_has_its_queries():
    rows = made_table().to_pylist()

    assert [(row["direction"], row["query"], row["right"]) for row in rows[3:]] == [
        ("video_to_text", "a", "a"),
        ("video_to_text", "b", "b"),
        ("video_to_text_all_captions", "a", CAPTIONS[0]),
        ("video_to_text_all_captions", "b", "three"),
    ]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_table_is_read_as_it_was_written(tmp_path, suffix):
    path = tmp_path / f"ranks{suffix}"

    write_rank_table(path, made_table())

    assert read_rank_table(path).equals(made_table())


def test_captions_that_look_like_numbers_or_nothing_stay_text(tmp_path):
    table = made_table(captions=["12", "NA", "null"])

    write_rank_table(tmp_path / "ranks.csv", table)

    assert read_rank_table(tmp_path / "ranks.csv").equals(table)


def test_names_that_are_no_utf_8_are_written_with_escapes(tmp_path):
    write_rank_table(tmp_path / "ranks.csv", made_table(videos=["\udcff.mp4", "b"]))

    assert read_rank_table(tmp_path / "ranks.csv")["right"][0].as_py() == r"\udcff.mp4"


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(
        ConfigError, match=r"ranks.txt: ranks are written to a file in .csv, .jsonl"
    ):
        write_rank_table(tmp_path / "ranks.txt", made_table())


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(DataError, match="ranks.csv: no such file"):
        read_rank_table(tmp_path / "ranks.csv")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("r.csv", b"video,caption\na,b\n"),
        ("r.csv", b""),
        ("r.csv", b"direction,query\n\xff,x\n"),
        ("r.jsonl", b"not json"),
        ("r.jsonl", json.dumps({"direction": 1}).encode()),
        ("r.jsonl", json.dumps({"direction": "text_to_video"}).encode()),
        ("r.parquet", b"PAR1"),
    ],
)
def test_a_file_that_holds_no_ranks_is_one_line(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(
        DataError, match=f"{name}.*: .+; (let `mvadapter evaluate` write it again|save it as UTF-8)"
    ):
        read_rank_table(tmp_path / name)


def test_a_parquet_file_of_something_else_is_one_line(tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"x": [1]}), tmp_path / "r.parquet")

    with pytest.raises(DataError, match=r"r.parquet: not a file of ranks"):
        read_rank_table(tmp_path / "r.parquet")


def test_a_better_system_is_told_from_a_worse_one():
    generator = np.random.default_rng(0)
    worse = generator.standard_normal((100, 100)) + 2 * np.eye(100)
    better = worse + 2 * np.eye(100)
    names = {"captions": [f"c{i}" for i in range(100)], "videos": [f"v{i}" for i in range(100)]}
    ours, theirs = (
        made_table(torch.tensor(scores), owners=range(100), **names) for scores in (better, worse)
    )

    found = compare_ranks(ours, theirs, confidence_percent=95.0)

    assert list(found) == ["text_to_video", "video_to_text", "video_to_text_all_captions"]
    first = found["text_to_video"]["recall_at_1"]
    assert 0 < first.low < first.mean < first.high
    assert first.p_value < 0.01
    back = compare_ranks(theirs, ours, confidence_percent=95.0)
    assert back["text_to_video"]["recall_at_1"].mean == -first.mean


def test_the_best_own_caption_may_be_another_one():
    other = torch.tensor([[0.9, 0.1], [0.1, 0.8], [0.3, 0.2]])

    assert compare_ranks(made_table(), made_table(other), confidence_percent=95.0)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"captions": [CAPTIONS[0], "2", "three"]},
            "query of row 2 is '2' there and 'two' here; both must come from the same data",
        ),
        ({"owners": [0, 0, 1]}, "right of row 2 is 'a' there and 'b' here"),
        (
            {"scores": torch.zeros(3, 3), "videos": ["a", "b", "c"]},
            "num_items of row 1 is 3 there and 2 here",
        ),
        (
            {"scores": torch.zeros(2, 2), "owners": [0, 1], "captions": ["one", "two"]},
            "have 6 queries, these have 7",
        ),
    ],
)
def test_results_of_other_queries_are_not_compared(other, message):
    with pytest.raises(DataError, match=message):
        compare_ranks(made_table(), made_table(**other), confidence_percent=95.0)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_formulas_in_captions_and_ids_are_read_as_they_were(tmp_path, suffix):
    table = made_table(
        captions=['=HYPERLINK("http://x")', "'=x", "-1"], videos=("@a.mp4", "+b.mp4")
    )

    write_rank_table(tmp_path / f"ranks{suffix}", table)

    assert read_rank_table(tmp_path / f"ranks{suffix}").equals(table)


def test_no_text_of_a_rank_file_is_a_formula_and_numbers_stay_numbers(tmp_path):
    table = made_table(-SCORES, captions=["=1+1", "@x", "\tx"], videos=("+a", "-b"))

    write_rank_table(tmp_path / "ranks.csv", table)

    with (tmp_path / "ranks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        for name in ("query", "right", "first"):
            assert row[name][0] == "'"
        assert float(row["right_score"]) < 0


@pytest.mark.parametrize(
    ("column", "value"),
    [("rank", "nan"), ("rank", "inf"), ("num_better", "-1"), ("right_score", "nan")],
)
def test_impossible_numbers_are_refused(tmp_path, column, value):
    write_rank_table(tmp_path / "ranks.csv", made_table())
    with (tmp_path / "ranks.csv").open(newline="") as file:
        header, first, *rest = csv.reader(file)
    first[header.index(column)] = value
    with (tmp_path / "ranks.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, first, *rest])

    with pytest.raises(DataError, match=f"not a file of ranks: an impossible {column}"):
        read_rank_table(tmp_path / "ranks.csv")

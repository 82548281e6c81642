import csv
import io

import pytest

from mvadapter.comparison.compare import Comparison, Found
from mvadapter.comparison.report import write_report
from mvadapter.comparison.summary import Spread, summarise
from mvadapter.comparison.tables import csv_text, markdown, tables

CLIP_WEIGHTS = 1000
RUN = {"precision": "float32"}


def metrics(recall):
    """Another number for everything, so that none can stand for another."""
    return {
        "recall_at_1": recall,
        "recall_at_5": recall + 20,
        "recall_at_10": recall + 30,
        "median_rank": recall / 10,
        "mean_rank": recall / 8,
        "num_queries": 4,
        "recall_sum": 3 * recall + 50,
    }


def of_one_seed(recall, hits):
    return {
        "metrics": {"text_to_video": metrics(recall), "video_to_text": metrics(recall + 8)},
        "hits": {"text_to_video": hits, "reversal": hits},
        "groups": {key: list(range(len(hits))) for key in ("text_to_video", "reversal")},
        "skipped": {},
        "needs": {
            "order": {"text_to_video": recall, "reversal": 50.0},
            "appearance": {"text_to_video": recall},
        },
    }


def trained(adapter_bytes, seed):
    return {
        "adapter_bytes": adapter_bytes,
        "num_steps": 7,
        "best_epoch": seed + 1,
        "metrics": {},
        "skipped": {},
    }


def found(name, trainable, hits, **more):
    cost = {"seconds_per_step": 0.5, "peak_bytes": 2_000_000, "videos_per_second": 10.0}
    trains = trainable > 0
    values = {
        "name": name,
        "runs_of": name,
        "trainable": trainable,
        "learning_rate": 0.1 if trains else None,
        "search": {0.1: 30.0, 0.2: None} if trains else {},
        "trained": {seed: trained(4 * trainable, seed) for seed in (0, 2)} if trains else {},
        "tested": {seed: of_one_seed(40.0 + seed, hits) for seed in ((0, 2) if trains else (0,))},
        "cost": cost,
        "commits": ("abc",),
        "machines": ("here",),
    }
    return Found(**{**values, **more})


@pytest.fixture
def summary():
    comparison = Comparison(
        methods=(
            found("frozen", 0, [0.0] * 40),
            found("small", 20, [100.0] * 30 + [0.0] * 10),
            found("full", CLIP_WEIGHTS, [100.0, 0.0] * 20),
        ),
        num_backbone_weights=CLIP_WEIGHTS,
        **RUN,
    )
    return summarise(comparison, "small")


def test_seeds_become_a_mean_and_a_spread(summary):
    recall = summary.methods[1].metrics["text_to_video"]["recall_at_1"]

    # By hand: seeds 0 and 2 gave 40 and 42; the sample's standard deviation is sqrt(2).
    assert recall.values == (40.0, 42.0)
    assert recall.mean == 41.0
    assert recall.std == pytest.approx(2**0.5)


def test_one_seed_has_no_spread():
    assert Spread.of([3.0]).std == 0.0


def test_storage_counts_one_clip_and_an_adapter_a_task(summary):
    _, small, full = summary.methods

    # By hand: CLIP is 4,000 bytes and the adapter 80, so that 100 tasks are 12,000 of 400,000.
    assert [storage.percent_of_full for storage in small.storage] == pytest.approx(
        [102.0, 22.0, 3.0]
    )
    assert [storage.percent_of_full for storage in full.storage] == [100.0] * 3


def test_differences_are_paired_and_tested_for_each_measure(summary):
    by = {(one.name, one.measure): one for one in summary.differences}

    assert by.keys() == {(n, m) for n in ("frozen", "full") for m in ("text_to_video", "reversal")}
    assert by["frozen", "text_to_video"].difference.mean == -75.0
    assert by["frozen", "text_to_video"].is_real
    assert by["full", "text_to_video"].difference.mean == -25.0


def test_queries_of_one_group_are_no_more_evidence_than_one():
    ours, theirs = [100.0] * 6 + [0.0] * 2, [0.0] * 6 + [100.0] * 2
    alone, together = list(range(8)), [0] * 6 + [1] * 2

    def difference(groups):
        methods = []
        for name, hits in (("a", ours), ("b", theirs)):
            one = of_one_seed(1.0, hits)
            one["groups"] = dict.fromkeys(one["groups"], groups)
            methods.append(found(name, 10, hits, tested={0: one}))
        comparison = Comparison(methods=tuple(methods), num_backbone_weights=CLIP_WEIGHTS, **RUN)
        return summarise(comparison, "b").differences[0].difference

    assert difference(alone).mean == difference(together).mean == 50.0
    assert difference(together).low < difference(alone).low


def test_the_chosen_epochs_and_steps_are_told(summary):
    frozen, small, _ = summary.methods

    assert (small.num_steps, small.best_epochs) == (7, (1, 3))
    assert (frozen.num_steps, frozen.best_epochs) == (0, ())


def test_equal_methods_do_not_differ():
    same = [100.0, 0.0] * 20
    comparison = Comparison(
        methods=(found("a", 10, same), found("b", 10, same)),
        num_backbone_weights=CLIP_WEIGHTS,
        **RUN,
    )

    (first, *_) = summarise(comparison, "b").differences

    assert (first.difference.mean, first.is_real) == (0.0, False)


def test_names_that_share_their_runs_are_one_test():
    better, worse = [100.0] * 24 + [0.0] * 16, [100.0] * 12 + [0.0] * 28

    def differences(*names):
        others = [found(name, 10, better, runs_of=name.split("-")[0]) for name in names]
        comparison = Comparison(
            methods=(found("b", 10, worse), found("b-again", 10, worse, runs_of="b"), *others),
            num_backbone_weights=CLIP_WEIGHTS,
            **RUN,
        )
        found_there = summarise(comparison, "b").differences
        return [(one.name, one.is_real) for one in found_there if one.measure == "text_to_video"]

    assert differences("a") == [("a", True)]
    assert differences(*(f"a-{i}" for i in range(500))) == [(f"a-{i}", True) for i in range(500)]
    assert not any(is_real for _, is_real in differences(*(f"a{i}" for i in range(500))))


def test_a_rate_at_an_end_of_the_search_is_marked(summary):
    (search,) = [table for table in tables(summary) if table.title.startswith("Search")]

    assert {row[0]: row[-1] for row in search.rows} == {
        "small": "0.1 (an end)",
        "full": "0.1 (an end)",
    }


def test_many_tests_need_more_evidence_each():
    from mvadapter.comparison.summary import _pass_holm

    # Holm 1979: the smallest against 0.05 / 3, the next against 0.05 / 2, and no further.
    assert _pass_holm([0.03, 0.01, 0.04]) == [False, True, False]
    assert _pass_holm([0.02, 0.01, 0.04]) == [True, True, True]


def test_every_number_stands_in_the_tables(summary):
    text = markdown(tables(summary))

    # By hand from seeds 0 and 2, which gave recalls of 40 and 42 (48 and 50 from video to text).
    for lines in (
        """### Text to video, test split

| method | trained | R@1 | R@5 | R@10 | Sum | MdR | MnR |
|---|--:|--:|--:|--:|--:|--:|--:|
| frozen | 0.00 % | 40.0 | 60.0 | 70.0 | 170.0 | 4.0 | 5.0 |
| small | 2.00 % | 41.0 ± 1.4 | 61.0 ± 1.4 | 71.0 ± 1.4 | 173.0 ± 4.2 | 4.1 ± 0.1 | 5.1 ± 0.2 |
""",
        """### Video to text, test split

| method | trained | R@1 | R@5 | R@10 | Sum | MdR | MnR |
|---|--:|--:|--:|--:|--:|--:|--:|
| frozen | 0.00 % | 48.0 | 68.0 | 78.0 | 194.0 | 4.8 | 6.0 |
""",
        """### Reversal accuracy by what captions need

| method | order |
|---|--:|
| frozen | 50.0 |
""",
        """### Cost

| method | trained weights | trained | peak memory | seconds a step | videos a second |
|---|--:|--:|--:|--:|--:|
| frozen | 0 | 0.00 % | 2.0 MB |  | 10.0 |
| small | 20 | 2.00 % | 2.0 MB | 0.500 | 10.0 |
| full | 1,000 | 100.00 % | 2.0 MB | 0.500 | 10.0 |
""",
        """| method | adapter | 1 task | 5 tasks | 100 tasks |
|---|--:|--:|--:|--:|
| frozen |  | 100.0 % | 20.0 % | 1.0 % |
| small | 0.0 MB | 102.0 % | 22.0 % | 3.0 % |
| full | 0.0 MB | 100.0 % | 100.0 % | 100.0 % |
""",
        """| method | 0.1 | 0.2 | chosen |
|---|--:|--:|--:|
| small | 30.0 | diverged | 0.1 (an end) |
""",
    ):
        assert lines in text


def test_a_difference_stands_between_its_bounds(summary):
    (table,) = [one for one in tables(summary) if one.title.startswith("Difference to small, text")]

    assert table.columns == ("method", "difference", "95 % interval", "p", "real (Holm)")
    frozen, full = table.rows
    for name, difference, interval, _, is_real in (frozen, full):
        low, high = map(float, interval.split(" to "))
        assert low < float(difference) < high, name
        assert is_real == ("yes" if high < 0 else "no")
    assert (frozen[1], full[1]) == ("-75.0", "-25.0")


def test_the_csv_has_a_row_a_method_and_a_column_a_number(summary):
    rows = list(csv.DictReader(io.StringIO(csv_text(summary))))

    assert [row["method"] for row in rows] == ["frozen", "small", "full"]
    assert {key: rows[1][key] for key in rows[1] if "." not in key} == {
        "method": "small",
        "trainable": "20",
        "share_percent": "2.0",
        "adapter_bytes": "80",
        "learning_rate": "0.1",
        "num_seeds": "2",
        "seconds_per_step": "0.5",
        "peak_bytes": "2000000",
        "videos_per_second": "10.0",
        # By hand: CLIP is 4,000 bytes and the adapter 80.
        "storage_bytes_of_1_tasks": "4080",
        "storage_percent_of_1_tasks": "102.0",
        "storage_bytes_of_5_tasks": "4400",
        "storage_percent_of_5_tasks": "22.0",
        "storage_bytes_of_100_tasks": "12000",
        "storage_percent_of_100_tasks": "3.0",
    }
    measured = {
        f"{direction}.{key}"
        for direction in ("text_to_video", "video_to_text")
        for key in metrics(1.0).keys() - {"num_queries"}
    } | {"order.text_to_video", "order.reversal", "appearance.text_to_video"}
    spreads = {f"{name}.{kind}" for name in measured for kind in ("mean", "std")}
    assert {key for key in rows[1] if "." in key} == spreads
    assert float(rows[1]["video_to_text.recall_at_5.mean"]) == 69
    assert float(rows[1]["video_to_text.recall_at_5.std"]) == pytest.approx(2**0.5)


def test_the_plots_show_recall_at_1_against_the_share_of_trained_weights(summary):
    from mvadapter.comparison import plots

    text_to_video, video_to_text = plots._by_share(summary.methods).axes
    # An error bar is a line and its bars; the frozen CLIP, which trains nothing, is a dotted line.
    points = {
        (float(line[0].get_xdata()[0]), float(line[0].get_ydata()[0]))
        for line in text_to_video.containers
    }
    assert points == {(2.0, 41.0), (100.0, 41.0)}
    assert [float(line.get_ydata()[0]) for line in video_to_text.lines if line.get_ls() == ":"] == [
        48.0
    ]

    by_seed, _ = plots._by_seed(summary.methods).axes
    seeds = [list(map(float, line.get_xdata())) for line in by_seed.lines[::2]]
    assert seeds == [[40.0], [40.0, 42.0], [40.0, 42.0]]


def test_queries_that_all_belong_together_are_not_tested():
    methods = []
    for name in ("a", "b"):
        one = of_one_seed(1.0, [100.0] * 4)
        one["groups"]["reversal"] = [0] * 4
        methods.append(found(name, 10, [100.0] * 4, tested={0: one}))
    comparison = Comparison(methods=tuple(methods), num_backbone_weights=CLIP_WEIGHTS, **RUN)

    assert [one.measure for one in summarise(comparison, "b").differences] == ["text_to_video"]


def test_a_method_larger_than_clip_stands_beside_it_all_the_same():
    comparison = Comparison(
        methods=(found("large", CLIP_WEIGHTS + 200, [100.0, 0.0]),),
        num_backbone_weights=CLIP_WEIGHTS,
        **RUN,
    )

    (large,) = summarise(comparison, "large").methods
    # By hand: 4,000 bytes of CLIP and 4,800 of the method.
    assert large.storage[0].num_bytes == 8800


ABOUT = {
    "command": "mvadapter compare",
    "commit": "1a",
    "machine": "here",
    "threads of a run": "2",
    "versions": "1",
    "precision": "float32",
    "missing": [],
    "skipped": {},
}


def test_a_report_is_json_csv_markdown_and_plots(summary, tmp_path):
    about = ABOUT | {"missing": ["a"], "skipped": {"b": "broken", "c": "empty"}}

    result = write_report(summary, about, tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == {
        "results.json", "results.csv", "tables.md", "recall_by_share.png", "recall_by_share.svg",
        "recall_by_seed.png", "recall_by_seed.svg",
    }  # fmt: skip
    assert result["machine"] == "here"
    says = (tmp_path / "tables.md").read_text()
    assert says.startswith("- command: mvadapter compare\n- commit: 1a\n")
    assert "- left out of the test split, alike for all methods: 3 videos\n" in says


def test_the_same_numbers_give_the_same_plots(summary, tmp_path):
    for name in ("one", "two"):
        write_report(summary, ABOUT, tmp_path / name)

    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name

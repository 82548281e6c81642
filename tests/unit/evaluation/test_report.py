import dataclasses
import os
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from mvadapter.data.records import Record
from mvadapter.evaluation.evaluate_scores import evaluate_scores
from mvadapter.evaluation.rank_table import compare_ranks, rank_table
from mvadapter.evaluation.ranks import QueryRanks
from mvadapter.evaluation.report import choose_examples, is_report, rank_bins, write_report
from mvadapter.evaluation.results import AgainstResult, EvaluatedData

EVIL = "<script>document.title = 'caught'</script><style>*{display:none}</style>\" onerror=\"x"
NUM_VIDEOS = 40
CHROMIUM = Path("/usr/bin/chromium")


def painted_frames(video):
    """Frames of two shapes, all of one colour a video; none for one of them."""
    if video == 7:
        return None
    size = (90, 160, 3) if video % 2 else (160, 90, 3)
    return np.stack([np.full(size, 5 * video + 9 * step, np.uint8) for step in range(5)])


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A report with everything that one may hold, and what some captions bring along."""
    generator = torch.Generator().manual_seed(0)
    owners = torch.arange(60) % NUM_VIDEOS
    scores = torch.rand(60, NUM_VIDEOS, generator=generator)
    scores[torch.arange(60), owners] += 0.4
    captions = [f"{EVIL} {number}" for number in range(60)]
    videos = [f"{EVIL} {number}.mp4" for number in range(NUM_VIDEOS)]
    result = dataclasses.replace(
        evaluate_scores(scores.numpy(), owners.numpy(), dual_softmax=100.0),
        encoder=f"an encoder {EVIL}",
        selection=f"the test split {EVIL}",
        is_selected_on_test=True,
        data=EvaluatedData(
            split=EVIL, skipped={EVIL: f"no frames {EVIL}"}, dropped={EVIL: 2, f"{EVIL} 2": 1}
        ),
        captions=captions,
        videos=videos,
        records=[Record(id=name, video=Path(name), captions=()) for name in videos],
    )
    table = rank_table(result)
    differences = compare_ranks(table, table, confidence_percent=95.0)
    result = dataclasses.replace(result, against=AgainstResult(ranks=EVIL, differences=differences))
    path = tmp_path_factory.mktemp("a report") / "report.html"
    write_report(path, result, lambda record: painted_frames(result.records.index(record)))
    return path


class Tags(HTMLParser):
    """Collects the tags of a page and their attributes."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.fixture(scope="module")
def tags(page):
    parser = Tags()
    parser.feed(page.read_text())
    return parser.found


def test_a_page_holds_no_script_and_asks_for_nothing(page, tags):
    names = [tag for tag, _ in tags]
    assert "script" not in names
    assert names.count("style") == 1
    for _, attributes in tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:")
    assert "http:" not in page.read_text() and "https:" not in page.read_text()


def test_the_policy_allows_the_pages_own_style_and_pictures_only(tags):
    policies = [a["content"] for tag, a in tags if tag == "meta" and "http-equiv" in a]

    assert len(policies) == 1
    assert re.fullmatch(
        r"default-src 'none'; img-src data:; style-src 'sha256-[A-Za-z0-9+/]{43}='; "
        r"base-uri 'none'; form-action 'none'",
        policies[0],
    )


def test_headings_go_down_one_step_at_a_time_and_pictures_have_words(tags):
    levels = [int(tag[1]) for tag, _ in tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    pictures = [attributes for tag, attributes in tags if tag == "img"]
    assert pictures
    assert all(re.search(r"5 frames of .+ in order of time", a["alt"]) for a in pictures)
    assert all("lang" in attributes for tag, attributes in tags if tag == "html")


def test_a_page_without_records_has_no_pictures(tmp_path):
    result = evaluate_scores(np.eye(3), name="scores.npy")
    result = dataclasses.replace(result, videos=["a", "b", "\udcff.mp4"])

    write_report(tmp_path / "report.html", result)

    text = (tmp_path / "report.html").read_text()
    assert "<img" not in text
    # A file name that is no UTF-8.
    assert r"\udcff.mp4" in text
    assert "dual softmax" not in text
    assert "Dropped" not in text


def made_ranks(num_better, num_items=1000, num_equal=0, correct=None):
    num_better = np.asarray(num_better)
    size = len(num_better)
    return QueryRanks(
        num_better=num_better,
        num_equal=np.full(size, num_equal),
        num_items=np.full(size, num_items),
        query=np.arange(size),
        correct=np.arange(size) if correct is None else np.asarray(correct),
        first=np.arange(size),
        correct_score=np.linspace(1, 0, size),
        video=np.arange(size),
    )


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_no_page_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "page.html")

    assert not is_report(tmp_path / "page.html")


def test_bins_hold_every_query_once_and_end_at_the_last_item():
    bins = rank_bins(made_ranks([0, 1, 2, 4, 5, 9, 10, 699], num_items=700))

    assert [(b.label, b.num_queries) for b in bins] == [
        ("1", 1), ("2", 1), ("3 to 5", 2), ("6 to 10", 2), ("11 to 20", 1), ("21 to 50", 0),
        ("51 to 100", 0), ("101 to 200", 0), ("201 to 500", 0), ("501 to 700", 1),
    ]  # fmt: skip
    assert max(b.width_percent for b in bins) == 100


@pytest.mark.parametrize("num_items", [1, 2, 3, 5, 6, 670, 27_763, 1_000_000])
def test_no_rank_falls_out_of_the_bins(num_items):
    better = np.unique(np.geomspace(1, num_items, 50).astype(int)) - 1

    bins = rank_bins(made_ranks(better, num_items))

    assert sum(b.num_queries for b in bins) == len(better)


def test_a_tied_rank_falls_between_its_neighbours():
    # By hand: rank 1 + 1/2.
    assert [b.num_queries for b in rank_bins(made_ranks([0], 4, num_equal=1))] == [0, 1, 0]


def test_examples_are_the_best_and_the_worst_and_none_is_both():
    best, worst = choose_examples(made_ranks(range(100)))

    assert best == [0, 1, 2, 3, 4, 5]
    assert worst == [99, 98, 97, 96, 95, 94]


@pytest.mark.parametrize(("size", "num_best", "num_worst"), [(1, 1, 0), (2, 1, 1), (5, 3, 2)])
def test_few_queries_are_shared_out(size, num_best, num_worst):
    best, worst = choose_examples(made_ranks(range(size)))

    assert (len(best), len(worst)) == (num_best, num_worst)
    assert set(best).isdisjoint(worst)


def test_a_video_is_an_example_once():
    best, worst = choose_examples(made_ranks(range(20), correct=[0] * 15 + [1] * 5))

    assert best == [0, 15]
    assert worst == [19, 14]


@pytest.fixture(scope="module")
def browser():
    """Chromium from Debian; where it is missing, these tests have nothing to look with."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not CHROMIUM.exists():
        pytest.skip(f"no browser at {CHROMIUM}; on Debian: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(params=[(1280, "light"), (360, "dark")], ids=["wide light", "narrow dark"])
def shown(browser, page, request):
    """The page opened from disk without a network, and what it said while it opened."""
    width, scheme = request.param
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
    )
    opened, said = context.new_page(), []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda asked: said.append(asked.url) if asked.url[:5] != "data:" else None)
    opened.goto(page.as_uri())
    yield opened, said
    context.close()


def test_a_browser_opens_the_page_without_a_word_or_a_network(shown, page):
    opened, said = shown

    assert said == [page.as_uri()]
    assert opened.title() == f"Retrieval with an encoder {EVIL}"


def test_a_browser_shows_every_picture_and_the_histogram(shown):
    opened, _ = shown

    widths = opened.evaluate("[...document.images].map(image => image.naturalWidth)")
    bars = opened.locator(".histogram rect")
    boxes = [bars.nth(place).bounding_box() for place in range(bars.count())]

    assert len(widths) >= 12 and min(widths) > 0
    assert opened.locator(".histogram").count() == 3
    assert max(box["width"] for box in boxes) > 50
    assert all(box["height"] > 5 for box in boxes)


def test_a_browser_shows_captions_as_they_are_written_and_runs_none(shown):
    opened, _ = shown

    assert opened.locator("h3").first.inner_text().startswith("<script>document.title")
    assert opened.locator("h3").first.is_visible()


def test_a_page_fits_its_window(shown):
    opened, _ = shown

    wide, window = opened.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")

    assert wide <= window

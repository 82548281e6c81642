"""The Python examples of the documentation run, in order, on small made videos and the tiny CLIP."""

import re
import shutil
from pathlib import Path

import pytest

from made_clips import write_random_clip
from made_videos import write_video
from mvadapter import Encoder, MvAdapterConfig, VideoIndex, build_adapter, save_adapter

_ROOT = Path(__file__).parents[2]
_PAGES = [
    page
    for page in sorted([_ROOT / "README.md", *(_ROOT / "docs").rglob("*.md")])
    if "```python\n" in page.read_text()
]
# A block with this comment needs the network, and is only compiled.
_DOWNLOADS = "# downloads"

_CAPTIONS = """video,caption,split
0.mp4,a red circle moves to the right,train
1.mp4,a blue square grows,train
2.mp4,a green ring moves to the left,train
holidays/3.mp4,a yellow star jumps,train
4.mp4,a dog jumps into the water,test
5.mp4,a man walks his dog,test
"""


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Path:
    """A folder with everything that the examples name."""
    folder = tmp_path_factory.mktemp("material")
    videos = folder / "Videos"
    (videos / "holidays").mkdir(parents=True)
    for name in ("0", "1", "2", "holidays/3", "4", "5"):
        write_video(videos / f"{name}.mp4", 15)
    (videos / "captions.csv").write_text(_CAPTIONS)
    shutil.copytree(_ROOT / "recipes", folder / "recipes")
    write_random_clip(folder / "old-folder")
    encoder = Encoder.load("tiny")
    VideoIndex.create(folder / "my-index", encoder).add(videos)
    adapted = Encoder(encoder.backbone, build_adapter(MvAdapterConfig(), encoder.backbone))
    save_adapter(adapted, folder / "my-adapter")
    return folder


def examples(page: Path) -> list[str]:
    """The Python blocks of a page that need no network."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    return [block for block in blocks if _DOWNLOADS not in block]


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(_ROOT)))
def test_the_python_examples_of_a_page_run_in_order(page, material, tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(material, tmp_path / "folder"))
    names = {"__name__": "an example"}

    for block in examples(page):
        exec(compile(block, f"{page.name}: {block.splitlines()[0]}", "exec"), names)  # noqa: S102 - our own documentation


def test_few_examples_need_the_network():
    blocks = [block for page in _PAGES for block in examples(page)]
    marked = sum(page.read_text().count(_DOWNLOADS) for page in _PAGES)

    assert marked * 5 < len(blocks)

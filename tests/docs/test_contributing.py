"""The number of edits in CONTRIBUTING equals the number of files that name an existing addition."""

import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PAGE = (_ROOT / "CONTRIBUTING.md").read_text()
_SUFFIXES = {".py", ".toml", ".md"}
# Results, and what the build of the docs writes.
_LEFT_OUT = (
    "docs/study", "docs/_build", "docs/reference/commands.md", "docs/reference/methods.md",
)  # fmt: skip


def edits(kind: str, name: str) -> list[str]:
    """The files that the list for this kind names, with this name filled in."""
    title, _, section = _PAGE.partition(f"### A new {kind}: ")[2].partition("\n")
    items = re.findall(r"^\d+\. `([^`]+)`", section.partition("\n###")[0], re.MULTILINE)
    assert f"{len(items)} edits" == title
    return [path.replace("NAME", name) for path in items]


def files_that_name(pattern: str, *places: str) -> set[str]:
    """Every text file in these places that has the pattern in its path or its text."""
    found = set()
    for place in places:
        path = _ROOT / place
        for file in path.rglob("*") if path.is_dir() else [path]:
            name = file.relative_to(_ROOT).as_posix()
            if file.suffix not in _SUFFIXES or name.startswith(_LEFT_OUT):
                continue
            if re.search(pattern, f"{name}\n{file.read_text()}", re.IGNORECASE):
                found.add(name)
    return found


def test_a_method_is_named_in_as_many_files_as_contributing_lists():
    named = files_that_name(
        "sequence[-_ ]?transformer", "src", "tests/contract", "docs", "pyproject.toml"
    )

    assert named == {*edits("method", "sequence_transformer")}


def test_a_method_of_the_papers_tables_is_named_among_the_variants_too():
    named = files_that_name("convpass", "src", "tests/contract", "docs", "pyproject.toml")

    assert named == {*edits("method", "convpass"), "src/mvadapter/adapters/variants.py"}


def test_a_dataset_is_named_in_as_many_files_as_contributing_lists():
    # Its word in the README's list of all of them is no edit that anything depends on.
    named = files_that_name(
        "lsmdc", "src", "tests/contract", "tests/made_datasets.py", "docs", "pyproject.toml",
    ) | {path for path in files_that_name("lsmdc", "recipes") if "lsmdc" in path}  # fmt: skip

    assert named == {*edits("dataset", "lsmdc")}


@pytest.mark.parametrize("word", ["CLIPModel", "CLIPConfig", "vision_model", "self_attn"])
def test_one_file_knows_how_transformers_names_a_family(word):
    family, listed = edits("backbone family", "clip")

    assert files_that_name(word, "src") == {family}
    assert "import CLIP" in (_ROOT / listed).read_text()

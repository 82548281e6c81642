"""Files of text, JSON, TOML, CSV and .npy are read in `mvadapter.documents` and nowhere else."""

import re
from pathlib import Path

import pytest

import mvadapter

_PACKAGE = Path(mvadapter.__file__).parent
_READS = re.compile(
    r"json\.loads?\b|\btomllib\b|\bcsv\.(?:reader|DictReader)|pyarrow\.(?:csv|json)\b|np\.load\("
    r"|np\.loadtxt|\.read_text\(|\.read_bytes\("
)
# What is read there is no file, is part of the package, belongs to the operating system, or is
# prose that is kept as it is.
_OTHERS = {
    "settings.py": "json.loads",
    "embedding/records.py": "json.loads",
    "evaluation/report.py": ".read_text(",
    "comparison/machine.py": ".read_text(",
    "comparison/memory.py": ".read_text(",
    "encoder/checkpoint.py": ".read_bytes(",
    "isolation.py": ".read_text(",
}


@pytest.mark.parametrize(
    "path",
    [path for path in sorted(_PACKAGE.rglob("*.py")) if path.parent != _PACKAGE / "documents"],
    ids=lambda path: str(path.relative_to(_PACKAGE)),
)
def test_only_documents_reads_files_of_text_and_numbers(path):
    found = set(_READS.findall(path.read_text(encoding="utf-8")))

    assert found <= {_OTHERS.get(path.relative_to(_PACKAGE).as_posix())}

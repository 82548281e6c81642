"""A file, a problem and an advice in, one line out."""

from pathlib import Path


def complaint(path: Path, problem: str, advice: str) -> str:
    """Describe in one line the file, the problem and what to do."""
    name = str(path).encode("utf-8", "backslashreplace").decode()
    return " ".join(f"{name}: {problem}; {advice}".splitlines())

"""The running code in, its commit out."""

import shutil
import subprocess
from pathlib import Path


def commit() -> str:
    """The commit of the checkout that this code runs from, with "-dirty" where it has changes."""
    git, here = shutil.which("git"), Path(__file__)

    def run_git(*words: str) -> str | None:
        command = [git or "git", "-C", str(here.parent), *words]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        return ended.stdout.strip() if ended.returncode == 0 else None

    # The environment may be inside the checkout of another project.
    if git is None or run_git("ls-files", "--error-unmatch", here.name) is None:
        return "none: not run from a checkout"
    return run_git("describe", "--always", "--dirty") or "none: nothing is committed"

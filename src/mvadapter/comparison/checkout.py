"""The running code in, the commit that it is of out."""

import shutil
import subprocess
from pathlib import Path


def commit() -> str:
    """The commit of the checkout that this runs from, "-dirty" where it has changes."""
    git, here = shutil.which("git"), Path(__file__)

    def ask(*words: str) -> str | None:
        command = [git or "git", "-C", str(here.parent), *words]
        said = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        return said.stdout.strip() if said.returncode == 0 else None

    # An environment may lie in some other project's checkout.
    if git is None or ask("ls-files", "--error-unmatch", here.name) is None:
        return "none: not run from a checkout"
    return ask("describe", "--always", "--dirty") or "none: nothing is committed"

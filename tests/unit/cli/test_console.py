import os
from pathlib import Path

from mvadapter.cli.console import show_path


def test_a_path_on_another_drive_is_shown_complete(monkeypatch):
    def refuse(_path):
        # As on Windows, where one drive has no path to another.
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(os.path, "relpath", refuse)

    assert show_path(Path("/videos/a.mp4")) == str(Path("/videos/a.mp4"))

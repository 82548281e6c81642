"""Ctrl-C and SIGTERM at any time: one line, 130 or 143, and nothing is lost."""

import os
import signal
import subprocess
import sys

import pytest

from held import held_at
from made_videos import write_video

# Sends a signal to itself when a module begins to be imported, which no sleep can time.
_STOPPED_AT_IMPORT = """
import os, signal, sys

module, number, *sys.argv[1:] = sys.argv[1:]
signal.signal(signal.SIGINT, signal.default_int_handler)


class Stop:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), int(number))


sys.meta_path.insert(0, Stop())
from mvadapter.__main__ import main

main()
"""
_SIGNALS = pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")]
)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    rows = ["video,caption"]
    for number in range(4):
        write_video(folder / f"{number}.mp4", range(number, number + 6))
        rows.append(f"{number}.mp4,video {number}")
    (folder / "captions.csv").write_text("\n".join(rows) + "\n")
    return folder / "captions.csv"


@_SIGNALS
@pytest.mark.parametrize("module", ["typer", "mvadapter.cli.main", "torch", "transformers"])
def test_a_signal_while_the_command_still_loads_ends_it_with_one_line(module, number, name):
    command = [sys.executable, "-c", _STOPPED_AT_IMPORT, module, str(int(number)), "methods"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 128 + number
    assert done.stderr == f"mvadapter: stopped by {name}\n"
    assert not done.stdout


@_SIGNALS
def test_a_signal_during_work_ends_a_command_with_one_line(table, tmp_path, number, name):
    command = ["index", tmp_path / "index", table.parent, "--backbone", "tiny"]
    with held_at("mvadapter.index.writer:find_changes", *command) as indexing:
        stopped = indexing.interrupt(number)

    assert stopped.returncode == 128 + number
    assert stopped.stderr == f"mvadapter: stopped by {name}; run the same command to continue\n"


@_SIGNALS
def test_a_signal_before_the_first_step_of_training_ends_it(table, tmp_path, number, name):
    command = ["train", "--data", table, "--output", tmp_path / "adapter"]
    with held_at("mvadapter.training.train:train_recipe", *command) as training:
        stopped = training.interrupt(number)

    assert stopped.returncode == 128 + number
    assert stopped.stderr == f"mvadapter: stopped by {name}; run the same command to continue\n"


def test_sigterm_during_training_saves_the_state(table, tmp_path):
    folder = tmp_path / "adapter"
    command = ["train", "--data", table, "--output", folder, "--epochs", "200"]
    with held_at("mvadapter.training.loop:take_step", *command, call=2) as training:
        stopped = training.interrupt(signal.SIGTERM)

    assert stopped.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM at step 2 of" in stopped.stderr
    assert (folder / "run" / "state.safetensors").is_file()


def test_a_process_that_was_told_to_ignore_ctrl_c_goes_on():
    script = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "from mvadapter.cli.stopping import catch_signals; catch_signals();"
        "os.kill(os.getpid(), signal.SIGINT); print('went on')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, env=os.environ
    )

    assert done.stdout == "went on\n"

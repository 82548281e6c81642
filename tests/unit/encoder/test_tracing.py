import os
import subprocess
import sys
from itertools import product
from pathlib import Path

_PROGRAM = Path(__file__).parent / "traced_encoder.py"
_METHODS = ("frozen", "full", "prompts", "mv-adapter")
_WAYS = ("embed_frames", "embed_videos", "embed_tokens")


def test_every_way_forward_can_be_exported_and_compiled(random_clip_folder):
    done = subprocess.run(
        [sys.executable, str(_PROGRAM), str(random_clip_folder)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )

    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == [
        f"{method} {way} {how}"
        for method, way, how in product(_METHODS, _WAYS, ("export", "compile"))
    ]

"""Which of several video streams is the film."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.stream import Disposition

from mvadapter.video.decode import read_segment

FILM, OTHER = (200, 40, 40), (40, 40, 200)


def write(path, *streams):
    """Write streams of one colour each: colour, size, number of frames, codec, disposition."""
    with av.open(str(path), "w") as container:
        made = []
        for _, size, _, codec, disposition in streams:
            stream = container.add_stream(codec, rate=10)
            stream.width, stream.height = size
            stream.pix_fmt = (
                "yuvj420p" if codec == "mjpeg" else "rgb24" if codec == "png" else "yuv420p"
            )
            stream.disposition = disposition
            made.append(stream)
        for stream, (colour, size, num_frames, _, _) in zip(made, streams, strict=True):
            image = np.full((size[1], size[0], 3), colour, np.uint8)
            for number in range(num_frames):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 10)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return path


NONE, DEFAULT = Disposition(0), Disposition.default
CASES = {
    "the larger": [(OTHER, (64, 48), 10, "libx264", NONE), (FILM, (128, 96), 10, "libx264", NONE)],
    "the default": [
        (OTHER, (128, 96), 10, "libx264", NONE),
        (FILM, (64, 48), 10, "libx264", DEFAULT),
    ],
    "the first of equals": [
        (FILM, (64, 48), 10, "libx264", NONE),
        (OTHER, (64, 48), 10, "libx264", NONE),
    ],
    "not the attached picture": [
        (OTHER, (640, 480), 1, "mjpeg", Disposition.attached_pic),
        (FILM, (64, 48), 10, "libx264", NONE),
    ],
    "not the thumbnail marked as default": [
        (OTHER, (640, 480), 1, "mjpeg", DEFAULT),
        (FILM, (64, 48), 10, "libx264", NONE),
    ],
    "not the track of one frame": [
        (OTHER, (640, 480), 1, "libx264", DEFAULT),
        (FILM, (64, 48), 10, "libx264", NONE),
    ],
    "not the moving thumbnails": [
        (OTHER, (640, 480), 3, "mjpeg", NONE),
        (FILM, (64, 48), 10, "libx264", NONE),
    ],
}


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("name", CASES)
def test_the_film_is(tmp_path, name, suffix):
    if suffix == ".mkv" and name == "not the track of one frame":
        pytest.skip("Matroska does not count frames")
    if suffix == ".mp4" and name == "the larger":
        pytest.skip("one track of an mp4 file is always the default")
    path = write(tmp_path / f"film{suffix}", *CASES[name])

    image = read_segment(path, 1).images[0]

    assert np.abs(image.reshape(-1, 3).mean(axis=0) - FILM).max() < 10


def test_a_film_of_still_pictures_is_read_where_it_is_alone(tmp_path):
    path = write(tmp_path / "camera.avi", (FILM, (64, 48), 5, "mjpeg", NONE))

    assert len(read_segment(path, 5).images) == 5

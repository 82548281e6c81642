"""A decoded frame in, the picture that a player shows out."""

from fractions import Fraction
from typing import NamedTuple, TypeAlias

import numpy as np
from av.filter import Graph
from av.sidedata.sidedata import SideData
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from jaxtyping import UInt8

from mvadapter.video.colour import ColourImage, to_rgb
from mvadapter.video.container import as_fraction

# Pixels of another shape are a mistake in the file; those of DVDs are between 8:9 and 16:11, and
# anamorphic film is 2:1.
_MAX_PIXEL_ASPECT = 4


_UprightImage: TypeAlias = UInt8[np.ndarray, "shown_height shown_width channel"]


class Projector:
    """Turns the frames of a stream into pictures of one size as a player shows them.

    Fields become whole frames, colours those of an ordinary screen, pixels square, and the picture
    stands upright.

    Args:
        stream: The stream, as it is before anything is decoded: its size may change on the way.
    """

    def __init__(self, stream: VideoStream) -> None:
        self.size = _shown_size(stream)
        """Width and height in square pixels, before the picture is turned."""
        self._reformatter = VideoReformatter()
        self._deinterlacer = _Deinterlacer()

    def picture(self, frame: VideoFrame) -> ColourImage:
        """Give the picture of a frame."""
        orientation = orientation_of(frame)
        if frame.interlaced_frame:
            frame = self._deinterlacer.whole(frame)
        image = to_rgb(self._reformatter, frame, *self.size)
        return np.ascontiguousarray(orientation.upright(image))


class Orientation(NamedTuple):
    """How a picture is turned or mirrored to be shown."""

    is_on_its_side: bool = False
    """Whether width and height change places, before the rest."""
    is_right_left: bool = False
    is_upside_down: bool = False

    def upright(self, image: ColourImage) -> _UprightImage:
        """Turn and mirror an image."""
        image = image.swapaxes(0, 1) if self.is_on_its_side else image
        return image[:: -1 if self.is_upside_down else 1, :: -1 if self.is_right_left else 1]


def orientation_of(frame: VideoFrame) -> Orientation:
    """Read how a frame is to be shown, to the nearest quarter turn."""
    said = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(said, SideData):
        return Orientation()
    # ISO/IEC 14496-12, 6.2.2: to the right a * x + c * y, and downwards b * x + d * y.
    (a, b, _), (c, d, _), _ = np.frombuffer(bytes(said), np.int32).reshape(3, 3).astype(int)
    if abs(a) >= abs(b):
        return Orientation(is_right_left=bool(a < 0), is_upside_down=bool(d < 0))
    return Orientation(is_on_its_side=True, is_right_left=bool(c < 0), is_upside_down=bool(b < 0))


def _shown_size(stream: VideoStream) -> tuple[int, int]:
    """Stretch one side, as browsers do, so that nothing is lost."""
    width, height = stream.codec_context.width, stream.codec_context.height
    # The container's word before the codec's.
    said = stream.sample_aspect_ratio
    aspect = as_fraction(said) if said else Fraction(1)
    if not 1 / _MAX_PIXEL_ASPECT <= aspect <= _MAX_PIXEL_ASPECT:
        return width, height
    if aspect > 1:
        return round(width * aspect), height
    return width, round(height / aspect)


class _Deinterlacer:
    """Makes a frame of the earlier of two interlaced fields, by filling in its missing lines."""

    def __init__(self) -> None:
        self._form: tuple[int, int, str] | None = None
        self._graph = Graph()

    def whole(self, frame: VideoFrame) -> VideoFrame:
        form = (frame.width, frame.height, frame.format.name)
        if form != self._form:
            self._form, self._graph = form, _graph(frame)
        # The filter gives a frame when the next one comes. It looks at one frame at a time, so the
        # next may be the same; what it still held of an earlier one comes out first.
        for _ in range(2):
            self._graph.vpush(frame)
        shown = frame
        while (following := self._pull()) is not None:
            shown = following
        return shown

    def _pull(self) -> VideoFrame | None:
        try:
            return self._graph.vpull()
        except BlockingIOError:
            return None


def _graph(frame: VideoFrame) -> Graph:
    graph = Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 90_000)
    )
    graph.link_nodes(source, graph.add("estdif", "mode=frame"), graph.add("buffersink")).configure()
    return graph

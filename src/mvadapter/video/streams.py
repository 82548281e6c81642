"""An open container in, the video stream out that a player would show."""

from pathlib import Path

from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from mvadapter.errors import VideoError
from mvadapter.video.complaint import complaint

MAX_FRAME_PIXELS = 64 * 2**20
"""Larger pictures are refused before memory is taken for them; 8K video has 33 million pixels."""

_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_IMAGE_CODECS = frozenset({"bmp", "gif", "jpeg2000", "jpegxl", "mjpeg", "png", "tiff", "webp"})
# In ffmpeg's own choice a stream's mark as the default one is worth this many pixels.
_DEFAULT_PIXELS = 5_000_000


def choose_video(path: Path, container: InputContainer) -> VideoStream:
    """Choose as ffmpeg does: the largest pictures, or somewhat smaller ones marked as default.

    Cover pictures and thumbnails are never the video, and streams of still images only where there
    is nothing else.

    Raises:
        VideoError: No stream is a video that can be decoded.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & _PICTURES]
    if not streams:
        kinds = ", ".join(stream.type for stream in container.streams) or "nothing"
        raise VideoError(
            complaint(path, f"contains no video (but {kinds})", "use a file with a video stream")
        )
    stream = max(streams, key=_merit)
    if not _has_decoder(stream):
        raise VideoError(complaint(path, "no decoder supports its format", "convert it to H.264"))
    width, height = stream.codec_context.width, stream.codec_context.height
    if not width or not height:
        raise VideoError(complaint(path, "its video has no size", "download or convert it again"))
    refuse_large(path, width, height)
    return stream


def refuse_large(path: Path, width: int, height: int) -> None:
    """Refuse pictures that would take too much memory.

    Raises:
        VideoError: They would.
    """
    if width * height > MAX_FRAME_PIXELS:
        raise VideoError(
            complaint(
                path, f"its pictures are too large, {width} x {height} pixels", "scale it down"
            )
        )


def _merit(stream: VideoStream) -> tuple[bool, bool, int]:
    if not _has_decoder(stream):
        return False, False, 0
    context = stream.codec_context
    # A container that counts its frames counts one for a thumbnail.
    is_moving = stream.frames != 1 and context.codec.canonical_name not in _IMAGE_CODECS
    is_default = bool(stream.disposition & Disposition.default)
    num_pixels = context.width * context.height
    return num_pixels > 0, is_moving, num_pixels + _DEFAULT_PIXELS * is_default


def _has_decoder(stream: VideoStream) -> bool:
    # PyAV has no context, despite its annotations, where FFmpeg knows no decoder.
    return getattr(stream, "codec_context", None) is not None

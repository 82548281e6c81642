"""Pictures as a player shows them on an ordinary screen."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from made_videos import painted, turned, video_info, with_matrix, write_video
from mvadapter.errors import VideoError
from mvadapter.video import colour
from mvadapter.video.decode import read_segment

RED = (220, 40, 30)
# BT.2087: linear light in BT.709 -> in BT.2020.
TO_2020 = np.array([
    [0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956],
])  # fmt: skip


def plain(colours, width, height):
    """Draw vertical stripes."""
    stripes = np.array(colours, np.uint8)[np.arange(width) * len(colours) // width]
    return np.broadcast_to(stripes, (height, width, 3)).copy()


def write(path, images, *, codec="libx264", tags=None, options=None, sar=None):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={"crf": "4"} | (options or {}))
        height, width = images[0].shape[:2]
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        if sar:
            stream.codec_context.sample_aspect_ratio = Fraction(sar)
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            matrix, full = (tags or {}).get("matrix"), (tags or {}).get("full", False)
            frame = frame.reformat(
                format="yuv420p",
                dst_colorspace=matrix,
                dst_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
            )
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def middle(path, column=0.5):
    image = read_segment(path, 1).images[0]
    return image[image.shape[0] // 2, int(image.shape[1] * column)].astype(int)


@pytest.mark.parametrize(
    ("size", "matrix"),
    [
        ((640, 480), Colorspace.ITU601),
        ((720, 576), Colorspace.ITU601),
        ((1280, 720), Colorspace.ITU709),
        ((1280, 536), Colorspace.ITU709),
        ((720, 1280), Colorspace.ITU709),
        ((960, 720), Colorspace.ITU709),
        ((3840, 2160), Colorspace.ITU709),
    ],
)
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_untagged_video_is_bt601_in_standard_and_bt709_in_high_definition(
    tmp_path, size, matrix, codec
):
    name = "x.mp4" if codec == "libx264" else "x.avi"
    options = None if codec == "libx264" else {"qmin": "1", "qmax": "1"}
    # The frames are converted with a matrix that the file does not mention.
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        frame = av.VideoFrame.from_ndarray(plain([RED], *size), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=matrix)
        frame.colorspace = frame.color_trc = frame.color_primaries = 2
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())

    assert np.abs(middle(path) - RED).max() <= 6


@pytest.mark.parametrize("matrix", ["bt709", "smpte170m", "bt470bg"])
@pytest.mark.parametrize("size", [(320, 240), (1280, 720)])
@pytest.mark.parametrize("full", [False, True])
def test_tags_are_believed_at_every_size(tmp_path, matrix, size, full):
    names = {"bt709": Colorspace.ITU709}
    path = write(
        tmp_path / "tagged.mp4",
        [plain([RED], *size)],
        tags={"matrix": names.get(matrix, Colorspace.ITU601), "full": full},
        options={
            "preset": "ultrafast",
            "x264-params": f"colormatrix={matrix}:fullrange={'on' if full else 'off'}",
        },
    )

    assert np.abs(middle(path) - RED).max() <= 6


def test_a_matrix_that_cannot_be_converted_is_named(tmp_path):
    options = {"x264-params": "colormatrix=YCgCo"}
    path = write(tmp_path / "odd.mp4", [plain([RED], 64, 48)], options=options)

    with pytest.raises(VideoError, match=r"odd\.mp4: its colours cannot be converted \(matrix 8, "):
        read_segment(path)


def linear(rgb):
    share = np.asarray(rgb) / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def hlg(light):
    scene = np.clip(light, 0, 1) ** (1 / 1.2) * 0.265  # white at 75 % of the signal
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c
    )


def pq(light, white_nits=203):
    power = (np.clip(light, 0, None) * white_nits / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def yuv_frame(signal, matrix=(0.2627, 0.678, 0.0593)):
    """Store a picture of red, green and blue from 0 to 1 as ten bits of narrow range."""
    red, green, blue = np.moveaxis(signal, -1, 0)
    luma = matrix[0] * red + matrix[1] * green + matrix[2] * blue
    planes = [64 + 876 * luma]
    for part, weight in ((blue, matrix[2]), (red, matrix[0])):
        height, width = luma.shape
        small = ((part - luma) / (2 - 2 * weight)).reshape(height // 2, 2, width // 2, 2)
        planes.append(512 + 896 * small.mean((1, 3)))
    frame = av.VideoFrame(luma.shape[1], luma.shape[0], "yuv420p10le")
    for plane, values in zip(frame.planes, planes, strict=True):
        row = np.zeros((values.shape[0], plane.line_size // 2), np.uint16)
        row[:, : values.shape[1]] = np.round(values)
        plane.update(row.tobytes())
    return frame


def write_hdr(path, signal, params):
    with av.open(str(path), "w") as container:
        options = {"x264-params": params, "crf": "4", "preset": "ultrafast"}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.height, stream.width = signal.shape[:2]
        stream.pix_fmt = "yuv420p10le"
        frame = yuv_frame(signal)
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


STRIPES = [RED, (30, 160, 60), (20, 40, 200), (128, 128, 128), (200, 180, 40), (40, 40, 40)]


@pytest.mark.parametrize(
    ("transfer", "encode"), [("arib-std-b67", hlg), ("smpte2084", pq)], ids=["HLG", "PQ"]
)
@pytest.mark.parametrize("tags", ["colorprim=bt2020:colormatrix=bt2020nc:", ""])
def test_high_dynamic_range_looks_as_the_same_picture_in_standard_range(
    tmp_path, transfer, encode, tags
):
    picture = plain(STRIPES, 192, 96)
    signal = encode(linear(picture) @ TO_2020.T)
    path = write_hdr(tmp_path / "hdr.mp4", signal, f"{tags}transfer={transfer}")

    shown = [middle(path, (i + 0.5) / len(STRIPES)) for i in range(len(STRIPES))]

    assert np.abs(np.array(shown) - STRIPES).max() <= 8


def test_white_stays_light_and_highlights_keep_their_order(tmp_path):
    greys = np.array([0.9, 1.0, 1.5, 2.5, 4.9])
    light = np.repeat(greys[np.arange(160) * 5 // 160][None, :, None], 3, axis=2)
    path = write_hdr(
        tmp_path / "pq.mp4",
        pq(np.broadcast_to(light, (64, 160, 3))),
        "colorprim=bt2020:colormatrix=bt2020nc:transfer=smpte2084",
    )

    shown = [middle(path, (i + 0.5) / 5).mean() for i in range(5)]

    assert shown == sorted(shown)
    assert shown[0] > 230
    assert 235 <= shown[1] <= 250
    assert shown[-1] >= 254


def test_wide_colours_of_standard_range_are_mapped(tmp_path):
    picture = plain(STRIPES, 192, 96)
    light = linear(picture) @ TO_2020.T
    signal = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    path = write_hdr(
        tmp_path / "wide.mp4", signal, "colorprim=bt2020:colormatrix=bt2020nc:transfer=bt2020-10"
    )

    shown = [middle(path, (i + 0.5) / len(STRIPES)) for i in range(len(STRIPES))]

    assert np.abs(np.array(shown) - STRIPES).max() <= 6


def test_the_matrices_keep_white():
    for matrix in colour._TO_709.values():
        np.testing.assert_allclose(np.sum(matrix, axis=1), 1, atol=1e-5)
    assert set(colour._TO_709) == {ColorPrimaries.BT2020, ColorPrimaries.SMPTE432}
    assert colour._light_table(ColorTrc.SMPTE2084)[38055] == pytest.approx(1, rel=0.01)
    assert colour._light_table(ColorTrc.ARIB_STD_B67)[49151] == pytest.approx(1, rel=0.01)


SHAPES = [("2/1", (96, 96), (192, 96)), ("1/2", (96, 96), (96, 192)), ("16/15", (720, 576), (768, 576)),
          ("8/9", (720, 480), (720, 540)), ("1/1", (96, 64), (96, 64))]  # fmt: skip


@pytest.mark.parametrize(("sar", "stored", "shown"), SHAPES)
@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("x.mp4", "libx264"),
        ("x.mov", "libx264"),
        ("x.mkv", "libx264"),
        ("x.ts", "mpeg2video"),
        ("x.avi", "mpeg4"),
    ],
)
def test_pixels_become_square(tmp_path, sar, stored, shown, name, codec):
    if codec == "mpeg2video" and sar in {"2/1", "1/2"}:
        pytest.skip("MPEG-2 knows shapes of the picture only")
    image = plain([(20, 20, 20), (230, 230, 230)], *stored)
    path = write(tmp_path / name, [image] * 12, codec=codec, sar=sar)

    frames, info = read_segment(path, 2), video_info(path)

    assert abs(info.width_px - shown[0]) <= 2 and abs(info.height_px - shown[1]) <= 2
    assert frames.images.shape[1:3] == (info.height_px, info.width_px)
    row = frames.images[0, info.height_px // 2, :, 0].astype(int)
    assert row[: info.width_px * 4 // 10].max() < 60 and row[info.width_px * 6 // 10 :].min() > 190


# How x and y are to be shown, and the same with numpy.
ORIENTATIONS = {
    (1, 0, 0, 1): lambda image: image,
    (0, 1, -1, 0): lambda image: np.rot90(image, -1),
    (-1, 0, 0, -1): lambda image: np.rot90(image, 2),
    (0, -1, 1, 0): np.rot90,
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (0, 1, 1, 0): lambda image: image.swapaxes(0, 1),
    (0, -1, -1, 0): lambda image: np.rot90(image, 2).swapaxes(0, 1),
}


@pytest.mark.parametrize("matrix", ORIENTATIONS)
def test_pictures_are_turned_and_mirrored_as_the_file_says(tmp_path, matrix):
    path = with_matrix(write_video(tmp_path / "x.mp4", 6), matrix)

    shown, info = read_segment(path, 99).images[5], video_info(path)

    expected = ORIENTATIONS[matrix](painted(5)).astype(int)
    assert (info.height_px, info.width_px) == expected.shape[:2] == shown.shape[:2]
    assert np.abs(shown - expected).mean() < 12


def test_pixels_become_square_before_the_picture_is_turned(tmp_path):
    path = turned(write(tmp_path / "x.mp4", [plain([RED], 96, 96)], sar="2/1"), 90)

    assert read_segment(path, 1).images.shape == (1, 192, 96, 3)
    assert (video_info(path).width_px, video_info(path).height_px) == (96, 192)


def test_the_container_is_believed_before_the_codec(tmp_path):
    path = write(tmp_path / "x.mp4", [plain([RED], 96, 96)], sar="2/1")
    data = path.read_bytes()
    place = data.index(b"pasp") + 4
    path.write_bytes(data[:place] + struct.pack(">II", 3, 1) + data[place + 8 :])

    assert read_segment(path, 1).images.shape == (1, 96, 288, 3)


def test_an_absurd_shape_of_pixels_is_not_believed(tmp_path):
    path = write(tmp_path / "x.mp4", [plain([RED], 96, 96)], sar="200/1")

    assert read_segment(path, 1).images.shape == (1, 96, 96, 3)


def fields(number, width=96, height=96):
    """Draw a bar that moves between the two fields of a frame."""
    image = np.full((height, width, 3), 20, np.uint8)
    for field in (0, 1):
        place = 8 + 6 * (2 * number + field)
        image[field::2, place : place + 24] = 220
    return image


def combing(image):
    """How much lines differ from both their neighbours."""
    lines = image[:, :, 0].astype(int)
    return np.abs(2 * lines[1:-1] - lines[:-2] - lines[2:]).mean()


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("x.mp4", "libx264", {"x264-params": "tff=1"}),
        ("x.mkv", "libx264", {"x264-params": "bff=1"}),
        ("x.ts", "mpeg2video", {"flags": "+ildct+ilme"}),
    ],
)
def test_fields_become_whole_frames(tmp_path, name, codec, options):
    images = [fields(number) for number in range(6)]
    path = write(tmp_path / name, images, codec=codec, options=options)

    shown = read_segment(path, 6).images

    assert min(map(combing, images)) > 30
    assert max(map(combing, shown)) < 5
    # Each is of its own frame, and in its place.
    for number, image in enumerate(shown):
        columns = np.flatnonzero(image[48, :, 0] > 120)
        assert abs(columns[0] - (8 + 12 * number)) <= 7
        assert 22 <= len(columns) <= 32


def test_progressive_frames_keep_every_line(tmp_path):
    images = [fields(number) for number in range(3)]
    path = write(tmp_path / "x.mp4", images)

    assert min(map(combing, read_segment(path, 3).images)) > 30

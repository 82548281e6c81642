"""Sound, shape and colours of a cut, and whom its errors blame."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc

from made_videos import number_in, turned, video_info, write_video
from mvadapter.errors import VideoError
from mvadapter.video import cut
from mvadapter.video.cut import cut_segment
from mvadapter.video.cut_copy import PictureCopy

FLASHES = (0.7, 1.5, 2.3)


def write_flashes(path, codec, sound, *, late=0.0, num_b_frames=0):
    """Write black film with a white frame and a click at one time, three times."""
    with av.open(str(path), "w") as file:
        video = file.add_stream(codec, rate=50)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.gop_size = 25
        video.codec_context.max_b_frames = num_b_frames
        audio = file.add_stream(sound, rate=48_000, layout="stereo")
        time = np.arange(3 * 48_000) / 48_000
        wave = sum(
            ((time >= at) & (time < at + 0.02)) * np.sin(2000 * np.pi * (time - at))
            for at in FLASHES
        )
        for number in range(150):
            is_white = any(abs(number / 50 - at) < 1e-6 for at in FLASHES)
            picture = np.full((48, 64, 3), 235 if is_white else 20, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number + round(late * 50), Fraction(1, 50)
            file.mux(video.encode(frame))
            block = (wave[number * 960 : (number + 1) * 960] * 26_000).astype(np.int16)
            heard = av.AudioFrame.from_ndarray(np.repeat(block, 2)[None], "s16", "stereo")
            heard.sample_rate, heard.time_base = 48_000, Fraction(1, 48_000)
            heard.pts = number * 960 + round(late * 48_000)
            file.mux(audio.encode(heard))
        file.mux(video.encode())
        file.mux(audio.encode())
    return path


def flashes_and_clicks(path):
    with av.open(str(path)) as file:
        flashes = [
            frame.pts * float(frame.time_base)
            for frame in file.decode(video=0)
            if frame.to_ndarray(format="gray").mean() > 120
        ]
    clicks = []
    resampler = av.AudioResampler("flt", "mono", 48_000)
    with av.open(str(path)) as file:
        for decoded in file.decode(audio=0):
            for frame in resampler.resample(decoded):
                loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.25)
                times = frame.pts * float(frame.time_base) + loud / 48_000
                clicks += [t for t in times[:1] if not clicks or t > clicks[-1] + 0.1]
    return flashes, clicks


@pytest.mark.parametrize(
    ("name", "codec", "sound"),
    [
        ("a.mp4", "libx264", "aac"),
        ("a.mp4", "mpeg4", "alac"),
        ("a.mov", "libx264", "pcm_s16le"),
        ("a.mkv", "libx264", "aac"),
        ("a.mkv", "mpeg4", "flac"),
        ("a.webm", "libvpx-vp9", "libopus"),
        ("a.ts", "libx264", "mp2"),
        ("a.ts", "mpeg2video", "ac3"),
    ],
)
def test_sound_keeps_its_moment(tmp_path, name, codec, sound):
    num_b_frames = 0 if codec.startswith("libvpx") else 2
    source = write_flashes(tmp_path / name, codec, sound, late=1.5, num_b_frames=num_b_frames)
    flashes, clicks = flashes_and_clicks(source)
    assert len(flashes) == len(clicks) == 3

    made = cut_segment(source, flashes[1] - 0.3, flashes[1] + 0.3, tmp_path / "cut.mp4")

    (flash, *_), (click, *_) = flashes_and_clicks(made.path)
    assert flash == pytest.approx(flashes[1] - made.start_seconds, abs=0.001)
    assert click - flash == pytest.approx(clicks[1] - flashes[1], abs=0.003)


def test_a_film_whose_sound_ends_early_is_cut_without_sound_afterwards(tmp_path):
    source = tmp_path / "a.mkv"
    with (
        av.open(str(write_video(tmp_path / "film.mp4", 90))) as film,
        av.open(str(source), "w") as file,
    ):
        video = file.add_stream_from_template(film.streams.video[0])
        audio = file.add_stream("flac", rate=48_000, layout="mono")
        heard = av.AudioFrame.from_ndarray(np.zeros((1, 4608), np.int16), "s16", "mono")
        heard.sample_rate, heard.pts, heard.time_base = 48_000, 0, Fraction(1, 48_000)
        file.mux(audio.encode(heard))
        file.mux(audio.encode())
        for packet in film.demux(video=0):
            if packet.size:
                packet.stream = video
                file.mux(packet)

    made = cut_segment(source, 2.0, 2.5, tmp_path / "cut.mp4")

    with av.open(str(made.path)) as file:
        assert [stream.type for stream in file.streams] == ["video"]


def write_tagged(path, codec, *, shape=None, pixels="yuv420p", tags=None):
    with av.open(str(path), "w") as file:
        options = {"x265-params": "log-level=none:pools=1"} if codec == "libx265" else {}
        stream = file.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        if shape:
            stream.codec_context.sample_aspect_ratio = shape
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        for number in range(20):
            frame = av.VideoFrame.from_ndarray(
                np.full((48, 64, 3), (200, 40, 40), np.uint8), format="rgb24"
            ).reformat(format=pixels)
            frame.pts, frame.time_base = number, Fraction(1, 10)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.avi", "mpeg4")])
def test_pixels_keep_their_shape(tmp_path, name, codec):
    source = write_tagged(tmp_path / name, codec, shape=Fraction(16, 11))

    made = cut_segment(source, 0.0, 1.0, tmp_path / "cut.mp4")

    with av.open(str(made.path)) as file:
        video = file.streams.video[0]
        assert (video.width, video.height) == (64, 48)
        assert video.sample_aspect_ratio == Fraction(16, 11)


def test_a_shape_that_only_the_container_knows_is_kept(tmp_path):
    plain = write_tagged(tmp_path / "plain.mp4", "libx264")
    source = tmp_path / "a.mp4"
    with av.open(str(plain)) as film, av.open(str(source), "w") as file:
        video = file.add_stream_from_template(film.streams.video[0], opaque=True)
        video.codec_context.sample_aspect_ratio = Fraction(2)
        for packet in film.demux(video=0):
            if packet.size:
                packet.stream = video
                file.mux(packet)

    with av.open(str(source)) as file:
        assert file.streams.video[0].codec_context.sample_aspect_ratio is None

    made = cut_segment(source, 0.0, 1.0, tmp_path / "cut.mp4")

    with av.open(str(made.path)) as file:
        assert file.streams.video[0].sample_aspect_ratio == 2


def test_an_encoded_cut_of_a_turned_film_is_upright(tmp_path):
    source = turned(write_video(tmp_path / "source.mp4", 30, codec="mpeg4"), 90)

    made = cut_segment(source, 0.0, 1.0, tmp_path / "cut.mp4")

    info = video_info(made.path)
    assert (info.width_px, info.height_px) == (48, 64)


def test_a_copy_keeps_the_tags_of_a_film_in_high_dynamic_range(tmp_path):
    tags = {
        "color_trc": ColorTrc.SMPTE2084,
        "color_primaries": ColorPrimaries.BT2020,
        "colorspace": Colorspace.BT2020,
        "color_range": ColorRange.MPEG,
    }
    source = write_tagged(tmp_path / "a.mkv", "libx265", pixels="yuv420p10le", tags=tags)

    made = cut_segment(source, 0.0, 1.0, tmp_path / "cut.mp4")

    with av.open(str(made.path)) as file:
        context = file.streams.video[0].codec_context
        assert {name: getattr(context, name) for name in tags} == tags
        assert context.pix_fmt == "yuv420p10le"
        # The name under which Apple's players take HEVC.
        assert context.codec_tag == "hvc1"


def test_an_encoded_cut_names_its_colours_and_has_them(tmp_path):
    source = write_tagged(tmp_path / "a.avi", "mpeg4")

    made = cut_segment(source, 0.0, 1.0, tmp_path / "cut.mp4")

    with av.open(str(made.path)) as file:
        context = file.streams.video[0].codec_context
        frame = next(file.decode(video=0))
    assert context.colorspace == Colorspace.ITU709
    assert context.color_primaries == ColorPrimaries.BT709
    assert context.color_trc == ColorTrc.BT709
    assert context.color_range == ColorRange.MPEG
    seen = frame.reformat(format="rgb24", src_colorspace=Colorspace.ITU709).to_ndarray()
    assert np.abs(seen.mean(axis=(0, 1)) - (200, 40, 40)).max() < 8


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_a_film_of_uneven_steps_keeps_them(tmp_path, codec):
    starts = [0, 1, 5, 6, 7, 20, 21, 40, 41, 60, 61, 62, 90]
    source = write_video(
        tmp_path / "a.mkv", starts, codec=codec, num_b_frames=2, keyframe_every=250
    )

    made = cut_segment(source, 0.0, 3.0, tmp_path / "cut.mp4")

    with av.open(str(made.path)) as file:
        seen = [(f.pts * float(f.time_base) * 30, number_in(f.to_ndarray(format="rgb24")))
                for f in file.decode(video=0)]  # fmt: skip
    assert [number for _, number in seen[:12]] == list(range(12))
    assert [time for time, _ in seen[:12]] == pytest.approx(starts[:12], abs=0.05)


def test_a_stretch_that_begins_in_the_middle_of_a_group_by_an_edit_list_plays(tmp_path):
    whole = write_video(tmp_path / "whole.mp4", 60, keyframe_every=30, num_b_frames=2)
    first = cut_segment(whole, 0.0, 2.0, tmp_path / "first.mp4")
    data = bytearray(first.path.read_bytes())
    # ISO/IEC 14496-12, 8.6.6: let the only edit begin 10 frames later.
    place = data.index(b"elst") + 4 + 8
    media_time = int.from_bytes(data[place + 4 : place + 8], "big")
    with av.open(str(first.path)) as file:
        ten = round(Fraction(10, 30) / file.streams.video[0].time_base)
    data[place + 4 : place + 8] = (media_time + ten).to_bytes(4, "big")
    source = tmp_path / "edited.mp4"
    source.write_bytes(data)

    made = cut_segment(source, 0.0, 0.5, tmp_path / "cut.mp4")

    with av.open(str(made.path)) as file:
        seen = [number_in(frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]
    assert seen[:15] == list(range(10, 25))


def test_what_mp4_turns_out_not_to_take_is_encoded(tmp_path, monkeypatch):
    source = write_video(tmp_path / "a.mp4", 60, keyframe_every=30)

    def refuse(*_):
        raise av.error.InvalidDataError(1094995529, "Invalid data found when processing input")

    monkeypatch.setattr(PictureCopy, "packets", refuse)
    made = cut_segment(source, 0.5, 1.0, tmp_path / "cut.mp4")

    assert made.start_seconds == 0.5
    assert video_info(made.path).end_seconds == pytest.approx(0.5, abs=0.01)


def test_an_error_of_ffmpeg_blames_the_source_and_not_the_place(tmp_path, monkeypatch):
    source = write_video(tmp_path / "a.mp4", 30)

    def refuse(*_):
        raise av.error.InvalidDataError(1094995529, "Invalid data")

    monkeypatch.setattr(cut, "_write", refuse)
    with pytest.raises(VideoError) as caught:
        cut_segment(source, 0.0, 1.0, tmp_path / "cut.mp4")

    assert str(caught.value) == f"{source}: cannot be cut (Invalid data); convert it to mp4 first"

import io
import os
import struct
import tarfile
from pathlib import Path

import av
import pytest
from av.error import FFmpegError
from av.format import ContainerFormat

from made_videos import painted, write_video
from mvadapter.errors import VideoError
from mvadapter.video import opening
from mvadapter.video.decode import read_segment
from mvadapter.video.opening import DEMUXERS, open_container


def readable_formats():
    for name in sorted(av.formats_available):
        try:
            ContainerFormat(name, "r")
        except ValueError:
            continue  # It can only be written.
        yield name


# FFmpeg knows some by several names: "mov,mp4,m4a,3gp,3g2,mj2".
READ_NAMES = {
    part
    for name in (*readable_formats(), *DEMUXERS)
    for part in name.split(",")
    if {*name.split(",")} & {*DEMUXERS}
}
OTHER_FORMATS = sorted(name for name in readable_formats() if not {*name.split(",")} & READ_NAMES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("opening")


@pytest.fixture(scope="module")
def video(folder):
    return write_video(folder / "other.mp4", 10)


@pytest.fixture(scope="module")
def stream(folder):
    return write_video(folder / "other.ts", 10)


@pytest.fixture(scope="module")
def picture(folder):
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="image2pipe") as written:
        stream = written.add_stream("mjpeg", rate=1)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        written.mux(stream.encode(av.VideoFrame.from_ndarray(painted(5), format="rgb24")))
        written.mux(stream.encode())
    (folder / "picture1.jpg").write_bytes(buffer.getvalue())
    return buffer.getvalue()


def test_the_bundled_ffmpeg_has_all_formats_that_are_read_and_many_that_are_not():
    known = {part for name in readable_formats() for part in name.split(",")}

    assert set(DEMUXERS) <= known
    assert len(OTHER_FORMATS) > 300
    followers = {"concat", "hls", "image2", "sdp", "lavfi", "webm_dash_manifest", "vobsub"}
    assert followers & known <= {part for name in OTHER_FORMATS for part in name.split(",")}


@pytest.mark.parametrize("name", OTHER_FORMATS)
def test_no_other_format_is_opened_even_where_ffmpeg_takes_a_file_for_it(video, name, monkeypatch):
    opened = av.open
    monkeypatch.setattr(av, "open", lambda path, **options: opened(path, format=name, **options))

    with pytest.raises(VideoError, match="cannot be opened as a video"):
        open_container(video)


def playlists(folder: Path) -> dict[str, bytes]:
    other, piece = folder / "other.mp4", folder / "other.ts"
    texts = {
        "ffconcat": f"ffconcat version 1.0\nfile {other}\nfile other.mp4\n",
        "concat without a version": "file other.mp4\n",
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{piece}\n#EXT-X-ENDLIST\n",
        "hls with an initial part": '#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MAP:URI="other.mp4"\n'
        "#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n",
        "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period>'
        '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="1">'
        "<BaseURL>other.mp4</BaseURL></Representation></AdaptationSet></Period></MPD>",
        "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "quicktime text": "RTSPtextRTSP://127.0.0.1/other.mp4\n",
        "asx": '<asx version="3"><entry><ref href="other.mp4"/></entry></asx>',
        "imf": '<?xml version="1.0"?><CompositionPlaylist xmlns="http://www.smpte-ra.org/schemas/'
        '2067-3/2016"><Id>urn:uuid:0</Id></CompositionPlaylist>',
        "srt": "1\n00:00:00,000 --> 00:00:01,000\nother.mp4\n",
        "ass": "[Script Info]\n[Events]\nDialogue: 0,0:00:00.00,0:00:01.00,,,0,0,0,,other.mp4\n",
        "vobsub": "# VobSub index file, v7\nid: en, index: 0\ntimestamp: 00:00:00:000, filepos: 0\n",
        "ffmetadata": ";FFMETADATA1\ntitle=other.mp4\n",
        "svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="picture1.jpg"/></svg>',
        "lavfi": "movie=other.mp4\n",
        "pls": "[playlist]\nFile1=other.mp4\n",
    }
    return {name: text.encode() for name, text in texts.items()}


@pytest.mark.parametrize("name", playlists(Path()))
@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".mpd", ".ffconcat", ".ts"])
def test_texts_that_name_videos_are_refused_in_one_line(folder, video, stream, name, suffix):
    path = folder / f"list{suffix}"
    path.write_bytes(playlists(folder)[name])

    with pytest.raises(VideoError) as caught:
        read_segment(path)

    assert str(caught.value) == (
        f"{path}: cannot be opened as a video: it is text; pass the path of a video file"
    )


@pytest.mark.parametrize("name", ["picture.mp4", "picture%d.jpg", "picture*.jpg", "picture.mjpeg"])
def test_pictures_and_patterns_of_their_names_are_no_videos(folder, picture, name):
    (folder / name).write_bytes(picture)

    with pytest.raises(VideoError, match="cannot be opened as a video"):
        read_segment(folder / name)


@pytest.mark.parametrize("suffix", [".tar", ".mp4", ".mjpg"])
def test_an_archive_of_pictures_is_no_video(folder, picture, suffix):
    path = folder / f"pictures{suffix}"
    with tarfile.open(path, "w") as archive:
        for number in range(5):
            member = tarfile.TarInfo(f"{number}.jpg")
            member.size = len(picture)
            archive.addfile(member, io.BytesIO(picture))

    with pytest.raises(VideoError, match="cannot be opened as a video"):
        read_segment(path)


def inside(data: bytes, *names: bytes) -> list[int]:
    """Find where boxes begin that are nested in an mp4 file, from the outermost on."""
    places, start = [], 0
    for name in names:
        start = data.index(name, start) - 4
        places.append(start)
        start += 8
    return places


def with_data_elsewhere(source: Path, path: Path, other: Path) -> Path:
    """Write an mp4 file that says that its pictures are in another file, as QuickTime's may."""
    data = bytearray(source.read_bytes())
    name = str(other).encode()
    # QuickTime File Format, "Data reference atoms": an alias, of which FFmpeg reads these parts.
    alias = bytearray(150)
    alias[10] = 1  # length and name of the volume
    alias[11:12] = b"/"
    alias[50] = len(other.name)
    alias[51 : 51 + len(other.name)] = other.name.encode()
    struct.pack_into(">hh", alias, 130, 1, 1)  # how many folders up and down
    padded = name + b"\0" * (len(name) % 2)
    entry = bytes(alias) + struct.pack(">hh", 2, len(name)) + padded + struct.pack(">hh", -1, 0)
    entry = struct.pack(">I4sI", 12 + len(entry), b"alis", 0) + entry
    boxes = inside(data, b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")
    place = boxes[-1] + 16
    grown = len(entry) - struct.unpack_from(">I", data, place)[0]
    data[place : place + struct.unpack_from(">I", data, place)[0]] = entry
    for box in boxes:
        struct.pack_into(">I", data, box, struct.unpack_from(">I", data, box)[0] + grown)
    path.write_bytes(data)
    return path


def open_files() -> set[str]:
    links = list(Path("/proc/self/fd").iterdir())
    return {str(link.readlink()) for link in links if link.is_symlink()}


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs Linux")
def test_a_quicktime_file_opens_no_other_file(folder, video, monkeypatch):
    path = with_data_elsewhere(video, folder / "elsewhere.mov", folder / "other.mp4")

    with open_container(path):
        assert str(video) not in open_files()

    # The same file does so where FFmpeg is told to follow it, so that the test can fail.
    options = opening._OPTIONS | {"enable_drefs": "1", "use_absolute_path": "1"}
    monkeypatch.setattr(opening, "_OPTIONS", options)
    with open_container(path):
        assert str(video) in open_files()


@pytest.mark.parametrize("protocol", ["http", "tcp", "pipe", "concat", "subfile", "data", "crypto"])
def test_no_protocol_but_file_is_opened(protocol):
    name = f"{protocol}:127.0.0.1:1/x.mp4"

    with pytest.raises((FFmpegError, ValueError)):
        av.open(name, mode="r", container_options=opening._OPTIONS)
    with pytest.raises(VideoError, match="there is no such file"):
        open_container(Path(name))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_and_sockets_are_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")

    with pytest.raises(VideoError, match="pipe.mp4: is not an ordinary file"):
        read_segment(tmp_path / "pipe.mp4")


def test_a_name_that_is_too_long_is_refused_in_one_line(tmp_path):
    path = tmp_path / ("x" * 300 + ".mp4")

    with pytest.raises(VideoError, match=r"cannot be read \(file name too long\); check the path"):
        read_segment(path)


def test_a_name_with_a_nul_is_refused_in_one_line(tmp_path):
    with pytest.raises(VideoError, match="null byte"):
        read_segment(tmp_path / "a\0b.mp4")


def test_a_folder_that_may_not_be_searched_is_named(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "stat", fail)
    with pytest.raises(VideoError, match="may not be read; change its permissions"):
        read_segment(tmp_path / "closed.mp4")


def test_a_refusal_of_ffmpeg_is_not_taken_for_permissions(video, monkeypatch):
    def fail(*_, **__):
        raise av.error.PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(av, "open", fail)
    with pytest.raises(VideoError, match="cannot be opened as a video"):
        open_container(video)

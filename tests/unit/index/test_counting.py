from mvadapter.index.counting import counted


def test_one_thing_is_singular_and_none_is_plural():
    assert [counted(num, "video") for num in (0, 1, 2)] == ["0 videos", "1 video", "2 videos"]

import numpy as np
import pytest

from mvadapter.errors import ConfigError, UnknownNameError
from mvadapter.synthetic.scenes import COLORS, DARK_GREY, KINDS, Shape, draw, draw_batch


def shape(kind="circle", color="red", x=0.5, y=0.5, radius=0.12):
    return Shape(kind=kind, color=color, x=x, y=y, radius=radius)


def drawn_part(picture):
    return (picture != np.array(DARK_GREY, dtype=np.uint8)).any(axis=2)


@pytest.mark.parametrize("kind", KINDS)
def test_a_shape_is_synthetic_around_its_centre_and_nowhere_else(kind):
    picture = draw([shape(kind=kind, x=0.25, y=0.75)], 64)

    rows, columns = np.nonzero(drawn_part(picture))
    assert abs(columns.mean() + 0.5 - 16.0) < 1.5
    assert abs(rows.mean() + 0.5 - 48.0) < 2.5
    assert np.abs(columns + 0.5 - 16.0).max() <= 1.1 * 0.12 * 64 + 1
    assert np.abs(rows + 0.5 - 48.0).max() <= 1.1 * 0.12 * 64 + 1


@pytest.mark.parametrize("color", COLORS)
def test_a_shape_has_the_colour_it_was_given(color):
    picture = draw([shape(color=color)], 64)

    assert tuple(picture[32, 32]) == COLORS[color]
    assert tuple(picture[0, 0]) == DARK_GREY


def test_the_hole_of_a_ring_shows_the_background():
    picture = draw([shape(kind="ring", radius=0.3)], 64)

    assert tuple(picture[32, 32]) == DARK_GREY
    assert tuple(picture[32, 32 + round(0.75 * 0.3 * 64)]) == COLORS["red"]


def test_a_circle_covers_its_area_whatever_the_size_of_the_picture():
    shares = [
        (draw([shape(color="white", radius=0.2)], size_px, (0, 0, 0)) / 245.0).mean()
        for size_px in (32, 64, 200)
    ]

    assert shares == pytest.approx([np.pi * (0.92 * 0.2) ** 2] * 3, rel=0.01)


def test_every_two_kinds_differ_visibly_at_64_pixels():
    masks = [drawn_part(draw([shape(kind=kind)], 64)) for kind in KINDS]

    differences = [
        (first != second).sum() / (first | second).sum()
        for index, first in enumerate(masks)
        for second in masks[:index]
    ]
    assert min(differences) > 0.15


def test_a_later_shape_covers_an_earlier_one():
    picture = draw([shape(color="red", radius=0.3), shape(color="blue", radius=0.1)], 64)

    assert tuple(picture[32, 32]) == COLORS["blue"]
    assert tuple(picture[32, 20]) == COLORS["red"]


@pytest.mark.parametrize(("x", "y"), [(-0.3, 0.5), (1.3, 0.5), (0.5, -0.3), (0.5, 7.0)])
def test_a_shape_outside_leaves_the_background_unchanged(x, y):
    picture = draw([shape(x=x, y=y)], 64)

    assert not drawn_part(picture).any()


def test_a_shape_partly_outside_shows_its_inner_part():
    whole = draw([shape(x=0.5)], 64)
    half = draw([shape(x=0.0)], 64)

    np.testing.assert_array_equal(half[:, :32], whole[:, 32:])


def test_draw_batch_draws_what_draw_draws():
    scenes = [[shape()], [], [shape(kind="star", x=0.2), shape(kind="heart", color="cyan", x=0.8)]]
    backgrounds = [(10, 20, 30), DARK_GREY, (90, 90, 90)]

    pictures = draw_batch(scenes, 48, backgrounds)

    for picture, shapes, background in zip(pictures, scenes, backgrounds, strict=True):
        np.testing.assert_array_equal(picture, draw(shapes, 48, background))


def test_an_empty_batch_has_no_pictures():
    assert draw_batch([], 64, []).shape == (0, 64, 64, 3)


def test_draw_batch_wants_one_background_for_each_scene():
    with pytest.raises(ConfigError, match="one background for each scene, got 1 for 2"):
        draw_batch([[], []], 64, [DARK_GREY])


def test_an_unknown_kind_is_refused_with_the_nearest_known():
    with pytest.raises(
        UnknownNameError, match=r"shape 'sqare' is not known\. Did you mean 'square'"
    ):
        shape(kind="sqare")


def test_an_unknown_colour_is_refused_with_the_nearest_known():
    with pytest.raises(
        UnknownNameError, match=r"color 'purpel' is not known\. Did you mean 'purple'"
    ):
        shape(color="purpel")


@pytest.mark.parametrize("radius", [0.0, -0.1, float("nan")])
def test_a_radius_that_is_not_positive_is_refused(radius):
    with pytest.raises(ConfigError, match=r"shape\.radius must be positive"):
        shape(radius=radius)


def test_a_picture_without_pixels_is_refused():
    with pytest.raises(ConfigError, match="size_px must be at least 1, got 0"):
        draw([], 0)

"""A .npy file in: its numbers, or one line; and nothing is allocated for a header that lies."""

import io
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvadapter.documents.arrays import open_array
from mvadapter.documents.text import DocumentKind
from mvadapter.errors import DataError

KIND = DocumentKind(error=DataError, expected="a .npy matrix", advice="write one with numpy.save")


def saved(array, **options) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def with_header(header: str, numbers: bytes = b"", version: int = 1) -> bytes:
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + header.encode("latin-1") + numbers


def header(descr="'<f4'", order="False", shape="(2, 3)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}"


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)),
        np.zeros((0, 3), np.float16),
        np.array(3.5),
        np.array([True, False]),
    ],
    ids=["float64", "fortran", "empty", "scalar", "bool"],
)
def test_what_numpy_saves_is_read(tmp_path, array):
    (tmp_path / "a.npy").write_bytes(saved(array))

    read = open_array(tmp_path / "a.npy", KIND)

    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a .npy array"),
        (b"0.5,0.2\n", "not a .npy array of numbers"),
        (b"PK\x03\x04", "holds several arrays"),
        (b"\x93NUMPY\x09\x00", "not a .npy array"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "a header of 4294967295 bytes"),
        (b"\x93NUMPY\x02\x00\xff", "a header of|its header"),
        (with_header(header())[:-10], "its header is cut off"),
        (with_header("(" * 9000), "its header cannot be read"),
        (with_header("__import__('os')"), "its header cannot be read"),
        (with_header("{'descr': '<f4'}"), "lacks a type or a shape"),
        (with_header(header("'|O'")), "not a .npy array of numbers, but of '|O'"),
        (with_header(header("[('a', '<f4')]")), "not a .npy array of numbers, but of"),
        (with_header(header("'<f99'")), "not a .npy array of numbers, but of"),
        (with_header(header("'<U3'")), "not a .npy array of numbers, but of"),
        (with_header(header(shape="(-1, 3)")), r"impossible shape, \(-1, 3\)"),
        (with_header(header(shape="(2**40,)")), "its header cannot be read"),
        (with_header(header(shape=f"({10**30}, 0)")), "impossible shape"),
        (with_header(header(shape="(True, 3)")), "impossible shape"),
        (with_header(header(shape="[2, 3]")), "impossible shape"),
        (with_header(header(shape=str((1,) * 40))), "impossible shape"),
        (with_header(header(shape="(100000, 100000)")), "holds 0 bytes .* needs 40000000000"),
        (saved(np.zeros(4))[:-1], "holds 31 bytes of numbers where .* needs 32"),
        (saved(np.zeros(4)) + saved(np.zeros(4)), "holds .* bytes of numbers where"),
        (saved(np.array([{}], dtype=object), allow_pickle=True), "but of"),
    ],
)
def test_a_file_that_lies_is_refused_and_allocates_nothing(tmp_path, content, message):
    (tmp_path / "a.npy").write_bytes(content)

    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message) as caught:
            open_array(tmp_path / "a.npy", KIND)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert "\n" not in str(caught.value)
    assert peak < 10 * 2**20


SEED = saved(np.arange(6, dtype=np.float32).reshape(2, 3))


ANY = st.tuples(
    st.binary(max_size=80),
    st.lists(st.tuples(st.integers(0, len(SEED) - 1), st.integers(0, 255)), max_size=5),
    st.integers(0, len(SEED)),
)


def check(drawn, path):
    random, flips, cut = drawn
    damaged = bytearray(SEED)
    for place, value in flips:
        damaged[place] = value
    for content in (random, SEED[:8] + random, bytes(damaged), SEED[:cut]):
        path.write_bytes(content)
        try:
            array = open_array(path, KIND)
        except DataError as error:
            assert "\n" not in str(error)
            assert str(path) in str(error)
        else:
            assert array.dtype.kind in "biufc"
            assert array.nbytes < len(SEED)


@given(ANY)
def test_any_bytes_are_numbers_or_one_line(tmp_path_factory, drawn):
    check(drawn, tmp_path_factory.getbasetemp() / "fuzz.npy")


@pytest.mark.slow
@settings(max_examples=5_000)
@given(ANY)
def test_many_bytes_are_numbers_or_one_line(tmp_path_factory, drawn):
    check(drawn, tmp_path_factory.getbasetemp() / "fuzz.npy")

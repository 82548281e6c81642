"""JSON and TOML in: plain values, or one line that says what is wrong."""

import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mvadapter.documents.text import DocumentKind
from mvadapter.documents.values import parse_json, parse_setting, read_json_lines, read_toml
from mvadapter.errors import ConfigError

KIND = DocumentKind(error=ConfigError, expected="settings", advice="correct them")
FOREIGN = DocumentKind(
    error=ConfigError, expected="settings", advice="correct them", has_long_integers=True
)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(PLAIN)
def test_what_python_writes_is_read_as_it_was(value):
    assert parse_json(json.dumps(value), "here", KIND) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "b": 2, "a": 1}', "here: the key 'a' comes twice in one object; correct them"),
        ('[{"x": {"k": 1, "k": 2}}]', "the key 'k' comes twice"),
        ("[NaN]", "here: NaN is no number in JSON"),
        ("-Infinity", "-Infinity is no number in JSON"),
        ("1e999", "the number 1e999 is too large"),
        ("-1e999", "the number -1e999 is too large"),
        (str(2**63), "the integer 9223372036854775808 does not fit into 64 bits"),
        ("1" * 400, r"the integer 1{40}\.\.\. does not fit into 64 bits"),
        ("-" + "9" * 10_000, r"the integer -9{39}\.\.\. does not fit into 64 bits"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("[" * 500 + "]" * 500, "nested too deeply"),
        ("[1,\n2,,]", r"here:2: not valid JSON \(.*character 3"),
        ("", "here: not valid JSON"),
        ("[1] 2", "here: not valid JSON"),
    ],
)
def test_what_programs_read_differently_is_refused(text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        parse_json(text, "here", KIND)
    assert "\n" not in str(caught.value)


def test_integers_of_64_bits_are_read():
    assert parse_json(f"[{2**63 - 1}, {-(2**63)}]", "here", KIND) == [2**63 - 1, -(2**63)]


def test_transformers_mark_for_no_limit_is_read_where_it_may_come():
    assert parse_json(str(int(1e30)), "here", FOREIGN) == int(1e30)
    with pytest.raises(ConfigError, match="does not fit"):
        parse_json("1" * 400, "here", FOREIGN)


def test_a_line_is_an_object_whatever_characters_it_holds(tmp_path):
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": "x\u2028y\u0085z"}\n\n{"a": 2}\r\n', encoding="utf-8")

    assert list(read_json_lines(path, KIND)) == [
        (f"{path}:1", {"a": "x\u2028y\u0085z"}),
        (f"{path}:3", {"a": 2}),
    ]


@pytest.mark.parametrize("value", ["[1]", "3", "null", '"x"', "true"])
def test_a_line_that_is_no_object_is_refused_with_its_number(tmp_path, value):
    path = tmp_path / "t.jsonl"
    path.write_text(f"{{}}\n{value}\n")

    with pytest.raises(ConfigError, match=r"t\.jsonl:2: expected a JSON object, got "):
        list(read_json_lines(path, KIND))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 9223372036854775808", "the integer 9223372036854775808 does not fit into 64 bits"),
        ("a = [{b = -9223372036854775809}]", "does not fit into 64 bits"),
        ("a = " + "1" * 5000, "not valid TOML"),
        ("a = 0x" + "f" * 5000, "does not fit into 64 bits"),
        ("a = nan", "nan is no number that a setting can have"),
        ("a = -inf", "-inf is no number"),
        ("a = " + "[" * 100_000, "nested too deeply"),
        (".".join("a" * 5000) + " = 1", "nested too deeply"),
        ("a = 1\na = 2", "not valid TOML"),
        ("a =", "not valid TOML"),
    ],
)
def test_toml_that_no_setting_can_have_is_refused(tmp_path, text, message):
    (tmp_path / "r.toml").write_text(text)

    with pytest.raises(ConfigError, match=rf"r\.toml: .*{message}"):
        read_toml(tmp_path / "r.toml", KIND)


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("true", True), ("[1, 2]", [1, 2]), ("a/b.csv", "a/b.csv"), ("'3'", "3"), ("", "")],
)
def test_a_setting_needs_no_quotes(text, value):
    assert parse_setting(text, "--set a.b", KIND) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("99999999999999999999", "--set a.b: the integer .* does not fit into 64 bits"),
        ("inf", "inf is no number"),
        ("1\nother = 2", "more than one line"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_setting(text, "--set a.b", KIND)


SEED_JSON = '{"a": [1, 2.5e3, null], "b": {"c": "\\ud83d\\ude00 x", "d": true}, "e": -0.0}'
SEED_TOML = '[a]\nb = 1\nc = [1.5, 2]\n[[d]]\ne = "x"\nf = 1979-05-27\n'


def mutated(seed: bytes):
    """Valid bytes with some of them replaced, removed or inserted."""
    edits = st.lists(
        st.tuples(st.integers(0, len(seed)), st.integers(0, 3), st.binary(max_size=3)), max_size=6
    )

    def apply(edits):
        content = seed
        for place, length, new in edits:
            content = content[:place] + new + content[place + length :]
        return content

    return edits.map(apply)


ANY_JSON = st.binary(max_size=60) | mutated(SEED_JSON.encode()) | st.text('[]{},:"\\0123e-.nuN\n')
ANY_TOML = st.binary(max_size=60) | mutated(SEED_TOML.encode())


def check_json(content):
    for kind in (KIND, FOREIGN):
        try:
            value = parse_json(content, "here", kind)
        except ConfigError as error:
            assert "\n" not in str(error)
            assert str(error).startswith("here")
        else:
            assert value == json.loads(content)


def check_toml(content, path):
    path.write_bytes(content)
    try:
        table = read_toml(path, KIND)
    except ConfigError as error:
        assert "\n" not in str(error)
        assert str(path) in str(error)
    else:
        assert table == tomllib.loads(content.decode("utf-8-sig"))


@given(ANY_JSON)
def test_any_bytes_are_json_or_one_line(content):
    check_json(content)


@given(ANY_TOML)
def test_any_bytes_are_toml_or_one_line(tmp_path_factory, content):
    check_toml(content, tmp_path_factory.getbasetemp() / "fuzz.toml")


@pytest.mark.slow
@settings(max_examples=20_000)
@given(ANY_JSON)
def test_many_bytes_are_json_or_one_line(content):
    check_json(content)


@pytest.mark.slow
@settings(max_examples=10_000)
@given(ANY_TOML)
def test_many_bytes_are_toml_or_one_line(tmp_path_factory, content):
    check_toml(content, tmp_path_factory.getbasetemp() / "fuzz.toml")

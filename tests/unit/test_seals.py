import json
from dataclasses import dataclass

import pytest

from mvadapter.documents.text import DocumentKind
from mvadapter.errors import DataError
from mvadapter.seals import read_sealed, read_sealed_table, sealed_text, unsealed

KIND = DocumentKind(error=DataError, expected="a table (JSON)", advice="copy it again")


@dataclass(frozen=True, kw_only=True)
class Size:
    rows: int


def test_a_sealed_table_is_read_back(tmp_path):
    table = {"a": [1, 2.5, None], "b": {"ä": "\u2028"}}
    (tmp_path / "t.json").write_text(sealed_text(table), encoding="utf-8")

    assert read_sealed_table(tmp_path / "t.json", KIND) == table


def test_a_change_is_noticed_and_free_keys_may_change():
    table = json.loads(sealed_text({"a": 1, "place": "/here"}, free=("place",)))

    assert unsealed(table | {"place": "/there"}, "t", KIND, free=("place",))["place"] == "/there"
    with pytest.raises(DataError, match="t: is damaged, or was changed by hand"):
        unsealed(table | {"a": 2}, "t", KIND, free=("place",))


def test_only_a_table_of_an_earlier_format_may_lack_its_seal():
    assert unsealed({"a": 1}, "t", KIND, has_seal=False) == {"a": 1}
    with pytest.raises(DataError, match=r"\(its sha256 is missing\); copy it again$"):
        unsealed({"a": 1}, "t", KIND)
    with pytest.raises(DataError, match=r"\(its sha256 is another\)"):
        unsealed({"a": 1, "sha256": "0"}, "t", KIND, has_seal=False)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (sealed_text({"rows": "two"}), "rows: input should be a valid integer, got 'two'"),
        (sealed_text({"rosw": 2}), "setting 'rosw' is not known. Did you mean 'rows'? Known: rows"),
        (sealed_text({}), "rows: field required, got {}"),
        ('{"rows": 2}', "is damaged, or was changed by hand (its sha256 is missing)"),
        (
            "{",
            "not valid JSON (Expecting property name enclosed in double quotes, character 2 of "
            "the line)",
        ),
        ("[]", "expected a JSON object, got a list"),
    ],
)
def test_a_fault_is_one_line_with_one_advice(tmp_path, text, problem):
    path = tmp_path / "t.json"
    path.write_text(text)

    with pytest.raises(DataError) as caught:
        read_sealed(path, KIND, Size)

    assert str(caught.value) == f"{path}: {problem}; copy it again"

import json

import pytest

from mvadapter.errors import ConfigError
from mvadapter.seals import sealed_text, unsealed


def test_a_sealed_table_is_read_back(tmp_path):
    table = {"a": [1, 2.5, None], "b": {"ä": "\u2028"}}
    (tmp_path / "t.json").write_text(sealed_text(table), encoding="utf-8")

    assert unsealed(json.loads((tmp_path / "t.json").read_text(encoding="utf-8")), "t") == table


def test_a_change_is_noticed_and_free_keys_may_change():
    table = json.loads(sealed_text({"a": 1, "place": "/here"}, free=("place",)))

    assert unsealed(table | {"place": "/there"}, "t", free=("place",))["place"] == "/there"
    with pytest.raises(ConfigError, match="t: is damaged, or was changed by hand"):
        unsealed(table | {"a": 2}, "t", free=("place",))


def test_a_table_of_an_earlier_version_has_no_seal():
    assert unsealed({"a": 1}, "t") == {"a": 1}

import pickle

import pytest

from mvadapter import errors
from mvadapter.errors import MissingExtraError, MvAdapterError, UnknownNameError

_MADE = {
    UnknownNameError: lambda: UnknownNameError("method", "lorra", ["lora"], "See the list."),
    MissingExtraError: lambda: MissingExtraError("plots", "matplotlib", extra="report"),
}
_KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, MvAdapterError)
]


@pytest.mark.parametrize("kind", _KINDS)
def test_every_error_can_go_from_process_to_process(kind):
    error = _MADE.get(kind, lambda: kind("what is wrong"))()

    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert type(again) is kind
    assert str(again) == str(error) != ""

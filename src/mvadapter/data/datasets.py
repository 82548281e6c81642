"""The name of a dataset in, all that is particular to it out."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from mvadapter.data.activitynet import ACTIVITYNET
from mvadapter.data.annotations import Dataset
from mvadapter.data.didemo import DIDEMO
from mvadapter.data.lsmdc import LSMDC
from mvadapter.data.msrvtt import MSRVTT
from mvadapter.data.msvd import MSVD

DatasetName: TypeAlias = Literal["msrvtt", "msvd", "lsmdc", "didemo", "activitynet"]

DATASETS: Mapping[str, Dataset] = {
    "msrvtt": MSRVTT,
    "msvd": MSVD,
    "lsmdc": LSMDC,
    "didemo": DIDEMO,
    "activitynet": ACTIVITYNET,
}

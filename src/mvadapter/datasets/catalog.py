"""The name of a dataset in, its description out."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

from mvadapter.datasets.activitynet import ACTIVITYNET
from mvadapter.datasets.annotations import Dataset
from mvadapter.datasets.didemo import DIDEMO
from mvadapter.datasets.lsmdc import LSMDC
from mvadapter.datasets.msrvtt import MSRVTT
from mvadapter.datasets.msvd import MSVD

DatasetName: TypeAlias = Literal["msrvtt", "msvd", "lsmdc", "didemo", "activitynet"]

DATASETS: Mapping[str, Dataset] = {
    "msrvtt": MSRVTT,
    "msvd": MSVD,
    "lsmdc": LSMDC,
    "didemo": DIDEMO,
    "activitynet": ACTIVITYNET,
}

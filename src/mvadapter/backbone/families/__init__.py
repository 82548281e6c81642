"""The kinds of dual encoders that are known, by the model_type of their config.json."""

from mvadapter.backbone.families.clip import CLIP
from mvadapter.backbone.family import Family

FAMILIES: dict[str, Family] = {"clip": CLIP}

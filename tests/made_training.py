"""A made-up record of how an adapter was trained."""

from mvadapter.data.splits import SplitSettings
from mvadapter.encoder.training_record import TrainingData, TrainingRecord


def made_training(**changes) -> TrainingRecord:
    """A record with every field, some of them changed."""
    splits = SplitSettings(
        train_split="train", test_split="test", holdout_percent=10.0, select_on="holdout"
    )
    fields = {
        "recipe": {"train": {"epochs": 5}},
        "data": TrainingData(
            name="captions.csv",
            fingerprint="0123456789abcdef",
            splits=splits,
            train_records=8,
            missing_videos=0,
        ),
        "selection": "held-out 2 of the train split's records",
        "epoch": 5,
        "precision": "float32",
        "metrics": {"recall_at_1": 42.0},
    }
    return TrainingRecord(**(fields | changes))

"""A plan in, a finished comparison in a folder out; what the folder holds is not run again."""

import dataclasses
import importlib.metadata
import logging
from collections.abc import Sequence
from pathlib import Path

from mvadapter.backbone.clip import Backbone
from mvadapter.backbone.precision import Precision, choose_precision
from mvadapter.comparison.folder import SavedPlan, lock_folder
from mvadapter.comparison.plan import ComparisonPlan, check_plan
from mvadapter.comparison.report import ComparisonResult, write_results
from mvadapter.comparison.runs import ComparisonRuns
from mvadapter.comparison.stages import ComparisonOptions, ComparisonStages
from mvadapter.comparison.summary import summarise
from mvadapter.data.origin import missing_captions
from mvadapter.data.records import Record, fingerprint
from mvadapter.data.splits import split_records
from mvadapter.embedding.captions import look_at_captions
from mvadapter.errors import ConfigError, UnknownNameError

log = logging.getLogger(__name__)

_REFERENCE = "mv-adapter"
_VERSIONS = ("mvadapter", "torch")


def compare(
    plan: ComparisonPlan,
    folder: str | Path,
    options: ComparisonOptions | None = None,
    *,
    reference: str | None = None,
) -> ComparisonResult:
    """Train every method of a plan alike, measure each on the test split, and write the tables.

    For each method the learning rates are tried with the first seed, the held-out part of the train
    split chooses one, the other seeds train with that one, and only the chosen runs, at their ends,
    are measured on the test split.

    Runs are processes of their own, so a script must call this under ``if __name__ == "__main__"``.

    Args:
        plan: What to compare, as `read_plan` reads it.
        folder: The output folder; a stopped comparison continues there.
        options: Device, processes and callbacks.
        reference: The method that the others are tested against; by default mv-adapter where it is
            compared, or else the last.

    Raises:
        UnknownNameError: The reference is not compared.
        ConfigError: A method does not fit the CLIP, or the folder holds something else.
        TrainingError: A run failed.
        KeyboardInterrupt: Ctrl-C; finished runs are kept.
    """
    folder, options = Path(folder), options or ComparisonOptions()
    if reference is None:
        reference = _REFERENCE if _REFERENCE in plan.methods else list(plan.methods)[-1]
    if reference not in plan.methods:
        raise UnknownNameError("reference", reference, plan.methods)
    with lock_folder(folder):
        missing = missing_captions(plan.recipe.table, plan.recipe.data.test_split)
        runs = _run(plan, folder, options)
        result = ComparisonResult(
            command=options.command,
            versions={name: importlib.metadata.version(name) for name in _VERSIONS},
            commits=runs.commits,
            machines=runs.machines,
            num_threads=runs.num_threads,
            precision=runs.precision,
            plan=plan,
            missing=tuple(missing),
            skipped=runs.skipped_in_test,
            skipped_in_training=runs.skipped_in_training,
            summary=summarise(runs, reference),
        )
        write_results(result, folder)
    return result


def _run(plan: ComparisonPlan, folder: Path, options: ComparisonOptions) -> ComparisonRuns:
    """Check everything that can be checked before the first run, then run what is missing."""
    options.on_stage("getting ready")
    # The table is read before CLIP, which may be a download; videos are drawn last.
    videos, records = folder / "videos", []
    if not plan.recipe.data.is_synthetic:
        records = plan.recipe.records(videos)
    backbone = Backbone.load(plan.recipe.backbone.name, device=options.device)
    trainable = check_plan(plan, backbone)
    saved = SavedPlan(folder)
    plan = _settle_precision(plan, saved.precision, backbone)
    saved.check(plan)
    records = records or plan.recipe.records(videos)
    _check_records(plan, records, trainable)
    data_fingerprint = fingerprint(records)
    saved.check(plan, data_fingerprint)
    saved.write(plan, data_fingerprint)
    _report_captions(plan, backbone, records)
    num_backbone_weights = backbone.num_weights
    # The processes of the jobs load their own.
    del backbone
    return ComparisonRuns(
        methods=tuple(ComparisonStages(plan, folder, options, trainable).run()),
        num_backbone_weights=num_backbone_weights,
        precision=plan.recipe.train.precision,
    )


def _report_captions(plan: ComparisonPlan, backbone: Backbone, records: Sequence[Record]) -> None:
    """Report once what holds for the captions of every run."""
    recipe = plan.recipe
    train = split_records(records, recipe.splits).train
    found = look_at_captions(backbone.tokenizer, train, recipe.inputs.max_tokens)
    notes = [found.cut_note()]
    if not recipe.train.mask_equal_captions:
        notes.append(found.equal_note())
    for note in filter(None, notes):
        log.warning("%s", note)


def _check_records(
    plan: ComparisonPlan, records: Sequence[Record], trainable: dict[str, int]
) -> None:
    """Refuse, before anything is trained, data that cannot be trained, chosen or measured on.

    Raises:
        UnknownNameError: There is no test split.
        ConfigError: A learning rate must be chosen, but nothing is held out.
        TrainingError: There is too little to train on, or a video is in both splits.
    """
    test_split, splits = plan.recipe.data.test_split, {record.split for record in records}
    if test_split not in splits:
        raise UnknownNameError(f"{plan.recipe.data.path}: split", test_split, splits)
    parts = split_records(records, plan.recipe.splits)
    searches = any(
        trainable[name] and len(rates) > 1 for name, rates in plan.learning_rates.items()
    )
    if searches and not parts.selection:
        raise ConfigError(
            "nothing is held out of the train split, so that no learning rate can be chosen; "
            "raise train.holdout_percent, or give one learning rate"
        )


def _settle_precision(
    plan: ComparisonPlan, saved: Precision | None, backbone: Backbone
) -> ComparisonPlan:
    """Settle precision "auto" once, for all runs of a folder."""
    train = plan.recipe.train
    if train.precision != "auto":
        return plan
    precision = saved or choose_precision("auto", backbone.device)
    train = dataclasses.replace(train, precision=precision)
    return dataclasses.replace(plan, recipe=dataclasses.replace(plan.recipe, train=train))

"""Pretrain the shipped tiny CLIP from nothing, on pictures and captions drawn on the way.

    OMP_WAIT_POLICY=PASSIVE MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=17179869184 \
        python pretraining/pretrain_tiny.py --work FOLDER [--stop-after-minutes 25]

The three settings change only the speed: glibc keeps its memory instead of asking for it at every
step, and threads that wait leave the processor to others.

Run it again with the same work folder and it goes on where it stopped; each batch depends on the
seed and its number only. The model folder is written at the end, as one move.
"""

import argparse
import json
import math
import random
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from captions import Example, training_batch
from model_card import Run, write_card
from pictures import MEAN, SIZE_PX, STD, photograph, pixels_of
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_model import SIDE, Pupil, pretext_loss, tiny_config
from tokenizer import write_tokenizer
from torch.nn import functional
from transformers import CLIPModel, CLIPTokenizer

TINY = Path(__file__).parents[1] / "src" / "mvadapter" / "backbone" / "tiny"
MAX_LOGIT_SCALE = math.log(100.0)
# Most of a picture is empty. Leaving out most of the empty patches halves the time of a step;
# the last part of the run looks at all of them, as everybody will afterwards.
FEW_PATCHES = 28


@dataclass
class Progress:
    """How far the run is; saved beside the weights."""

    step: int = 0
    pictures: int = 0
    seconds: float = 0.0


def main() -> None:
    """Train for the asked number of steps, then write the model folder."""
    options = parse_options()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    write_tokenizer(options.work / "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(options.work / "tokenizer", local_files_only=True)
    pupil = Pupil(tiny_config(tokenizer))
    optimizer = make_optimizer(pupil)
    progress = resume(options.work, pupil, optimizer)
    train(pupil, tokenizer, optimizer, progress, options)
    if progress.step >= options.steps:
        write_folder(pupil.clip, progress, options)


def parse_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--output", type=Path, default=TINY, help="the model folder to write")
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--stop-after-minutes", type=float, default=math.inf)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=1.2e-3)
    parser.add_argument("--warmup-steps", type=int, default=150)
    parser.add_argument("--full-from", type=float, default=0.88, help="share of steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def make_optimizer(pupil: Pupil) -> torch.optim.AdamW:
    """Make AdamW that decays matrices only."""
    matrices = [weight for weight in pupil.parameters() if weight.ndim >= 2]
    others = [weight for weight in pupil.parameters() if weight.ndim < 2]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), eps=1e-6)


def train(
    pupil: Pupil,
    tokenizer: CLIPTokenizer,
    optimizer: torch.optim.AdamW,
    progress: Progress,
    options: argparse.Namespace,
) -> None:
    """Take the remaining steps, or as many as the time allows, and save."""
    pupil.train()
    started, before = time.monotonic(), progress.seconds
    while progress.step < options.steps:
        examples = training_batch(
            options.batch_size, random.Random(f"{options.seed} {progress.step}")
        )
        pixels, tokens = inputs_of(examples, tokenizer, [options.seed, progress.step])
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(progress.step, options)
        share = progress.step / (options.full_from * options.steps)
        num_patches = FEW_PATCHES if share < 1.0 else SIDE**2
        guesses = pupil(pixels, tokens, num_patches)
        loss, recall = symmetric_loss(guesses.scores)
        pretext = pretext_loss(guesses, examples)
        optimizer.zero_grad()
        (loss + max(0.0, 1.0 - share) * pretext).backward()
        torch.nn.utils.clip_grad_norm_(pupil.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            pupil.clip.logit_scale.clamp_(max=MAX_LOGIT_SCALE)
        progress.step += 1
        progress.pictures += len(examples)
        progress.seconds = before + time.monotonic() - started
        report(progress, loss.item(), pretext.item(), recall)
        if time.monotonic() - started > 60.0 * options.stop_after_minutes:
            break
        if progress.step % 100 == 0:
            save(options.work, pupil, optimizer, progress)
    save(options.work, pupil, optimizer, progress)


def inputs_of(
    examples: list[Example], tokenizer: CLIPTokenizer, seed: list[int]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Draw the pictures and split the captions."""
    pictures = photograph([example.shapes for example in examples], np.random.default_rng(seed))
    captions = [example.caption for example in examples]
    tokens = tokenizer(captions, padding=True, return_tensors="pt")
    return pixels_of(pictures), {name: tokens[name] for name in ("input_ids", "attention_mask")}


def symmetric_loss(scores: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Return the mean InfoNCE of both directions and the recall at 1 in the batch, in percent."""
    right = torch.arange(len(scores))
    loss = functional.cross_entropy(scores, right) + functional.cross_entropy(scores.T, right)
    recall = (scores.argmax(dim=1) == right).float().mean().item()
    return 0.5 * loss, 100.0 * recall


def learning_rate(step: int, options: argparse.Namespace) -> float:
    """Rise linearly, then fall as a cosine to a hundredth."""
    if step < options.warmup_steps:
        return options.learning_rate * (step + 1) / options.warmup_steps
    share = (step - options.warmup_steps) / max(1, options.steps - options.warmup_steps)
    return options.learning_rate * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * share)))


def report(progress: Progress, loss: float, pretext: float, recall: float) -> None:
    """Print a line now and then."""
    if progress.step % 20 == 0:
        print(
            f"step {progress.step}  pictures {progress.pictures}  {progress.seconds:.0f} s  "
            f"loss {loss:.3f}  pretext {pretext:.3f}  recall@1 in batch {recall:.1f} %",
            flush=True,
        )


def save(work: Path, pupil: Pupil, optimizer: torch.optim.AdamW, progress: Progress) -> None:
    """Save weights, moments and progress in one file, put in place by one move."""
    tensors = {f"weight.{name}": weight.detach() for name, weight in pupil.named_parameters()}
    for name, weight in pupil.named_parameters():
        state = optimizer.state[weight]
        tensors |= {f"{key}.{name}": state[key] for key in ("exp_avg", "exp_avg_sq")}
    writing = work / "checkpoint.writing"
    save_file(tensors, writing, metadata={"progress": json.dumps(asdict(progress))})
    writing.replace(work / "checkpoint.safetensors")


def resume(work: Path, pupil: Pupil, optimizer: torch.optim.AdamW) -> Progress:
    """Load the checkpoint, if there is one."""
    path = work / "checkpoint.safetensors"
    if not path.exists():
        return Progress()
    with safe_open(path, "pt") as file:
        progress = Progress(**json.loads(file.metadata()["progress"]))
    tensors = load_file(path)
    for name, weight in pupil.named_parameters():
        weight.data.copy_(tensors[f"weight.{name}"])
        optimizer.state[weight] = {
            "step": torch.tensor(float(progress.step)),
            "exp_avg": tensors[f"exp_avg.{name}"].clone(),
            "exp_avg_sq": tensors[f"exp_avg_sq.{name}"].clone(),
        }
    return progress


def write_folder(model: CLIPModel, progress: Progress, options: argparse.Namespace) -> None:
    """Write the model in float16 with all it needs, then put it in place of the old folder."""
    writing = options.output.with_name(f"{options.output.name}.writing")
    shutil.rmtree(writing, ignore_errors=True)
    model.half().save_pretrained(writing)
    for file in (options.work / "tokenizer").iterdir():
        shutil.copy(file, writing / file.name)
    preprocessing = {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": SIZE_PX},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": SIZE_PX, "width": SIZE_PX},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": MEAN,
        "image_std": STD,
    }
    text = json.dumps(preprocessing, indent=2) + "\n"
    (writing / "preprocessor_config.json").write_text(text, "utf-8")
    run = Run(
        seed=options.seed,
        steps=progress.step,
        pictures=progress.pictures,
        seconds=progress.seconds,
        full_from=options.full_from,
    )
    write_card(writing, run, num_weights=sum(weight.numel() for weight in model.parameters()))
    (writing / "model.safetensors").chmod(0o644)
    before = options.output.with_name(f"{options.output.name}.before")
    if options.output.exists():
        options.output.replace(before)
    writing.replace(options.output)
    shutil.rmtree(before, ignore_errors=True)


if __name__ == "__main__":
    main()

"""Trains the small vision-language model on the emoji of both vendors; the same command goes on after a stop.

    python -m fastret.demo.vision_language.train --out FOLDER --minutes 60

FOLDER then holds

- ``features/``: the feature map of every picture, computed once;
- ``checkpoint.pt``: the run after its last step, from which it goes on;
- ``weights.safetensors``: the new weights, which `fastret.demo.vision_language.load_model` reads;
- ``log.jsonl``: the loss in training, and caption loss and exact-name rate on seen and unseen concepts;
- ``README.md``: the model card, once all steps are done.

Concepts are split as in ``fastret demo``. The unseen ones are measured on, and decide nothing: the weights are those
of the last step.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from fastret.embed.backbone import parse_dtype, resolve_device
from fastret.replacing import replacing

from ..emoji import read_emoji
from ..pictures import TESTED_VENDOR, ConceptSplit, split_concepts
from .captions import CaptionDraws, whole_captions
from .learning import Captioner, evaluate
from .model import build_model, load_language
from .model_card import model_card
from .pictures import VIEWS, picture_cells, picture_views
from .processor import build_processor
from .training_run import Settings, TrainingRun
from .vision_tower import load_vision_tower

MEASURED = 128  # concepts of each side


def prepare_run(folder: Path, settings: Settings, *, device: str = "auto", progress: bool | None = None) -> TrainingRun:
    """The run in `folder`, begun or to go on, with the pretrained parts from their packages.

    Raises RuntimeError or OSError where those are missing, ValueError where the folder holds another run.
    """
    dtype, where = parse_dtype(settings.dtype), resolve_device(device)
    if dtype is None:
        raise ValueError("train: dtype must be float32, bfloat16 or float16, got 'auto'")
    split = split_concepts(read_emoji(), settings.held_out_share, settings.seed)
    tower, (language, tokenizer) = load_vision_tower(), load_language()
    processor = build_processor(tokenizer, tower.config.image_size)
    views = picture_views(split.trained, VIEWS) | picture_views(split.held_out, VIEWS[:1])
    pictures = picture_cells(views, tower, processor.image_processor, folder / "features", progress=progress)
    model = build_model(tower, language, processor, lora_rank=settings.lora_rank, seed=settings.seed).to(where)
    captioner = Captioner(model, processor, pictures, dtype)
    return captioning_run(captioner, split, folder, settings)


def captioning_run(captioner: Captioner, split: ConceptSplit, folder: Path, settings: Settings) -> TrainingRun:
    """Training on one side of the split, measured on both."""
    unseen = whole_captions(split.held_out, TESTED_VENDOR)[:MEASURED]
    all_seen = whole_captions(split.trained, TESTED_VENDOR)
    seen = all_seen[:: max(1, len(all_seen) // MEASURED)][:MEASURED]
    return TrainingRun(
        captioner,
        CaptionDraws(split.trained, seed=settings.seed),
        lambda: evaluate(captioner, seen, unseen, batch_size=2 * settings.batch_size),
        folder,
        settings,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--minutes", type=float, help="stop after so long (default: when all steps are done)")
    parser.add_argument("--device", default="auto", help="default: the first accelerator, else the CPU")
    for setting in dataclasses.fields(Settings):
        option = f"--{setting.name.replace('_', '-')}"
        parser.add_argument(option, type=type(setting.default), default=setting.default, help="default: %(default)s")
    given = vars(parser.parse_args(arguments))
    folder, minutes, device = given.pop("out"), given.pop("minutes"), given.pop("device")
    try:
        run = prepare_run(folder, Settings(**given), device=device)
        run.go_on(minutes=minutes)
    except (ValueError, RuntimeError, OSError) as error:
        parser.exit(2, f"{error}\n")
    if run.finished:
        with replacing(folder / "README.md") as temporary:
            temporary.write_text(model_card(run.settings, run.log[-1]), encoding="utf-8")
    left = "all are done" if run.finished else "the same command goes on"
    print(f"train: {run.step} of {run.settings.steps} steps in {folder}; {left}")


if __name__ == "__main__":
    main()

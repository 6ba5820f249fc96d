"""A training run in a folder: it stops at any step and goes on from there with the bits of one never stopped."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch.nn.utils import clip_grad_norm_

from fastret.embed.batching import progress_bar
from fastret.replacing import replacing

from .captions import CaptionDraws
from .learning import Captioner
from .model import new_weights

CHECKPOINT, LOG, WEIGHTS = "checkpoint.pt", "log.jsonl", "weights.safetensors"
WARMUP = 0.03  # of all steps
GRADIENT_NORM = 1.0
WEIGHT_DECAY = 0.05


@dataclass(frozen=True)
class Settings:
    """What the result depends on; a run goes on with the settings that it began with, or not at all."""

    steps: int = 3000
    batch_size: int = 16
    learning_rate: float = 1e-3
    lora_rank: int = 0
    held_out_share: float = 0.2  # as `fastret demo` splits the concepts
    seed: int = 0
    dtype: str = "bfloat16"
    evaluate_every: int = 300

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "evaluate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"train: {name} must be at least 1, got {getattr(self, name)}")
        if not 0 < self.learning_rate < math.inf:
            raise ValueError(f"train: learning_rate must be positive, got {self.learning_rate}")
        if not 0 < self.held_out_share < 1:
            raise ValueError(f"train: held_out_share must be between 0 and 1, got {self.held_out_share}")


Evaluate = Callable[[], dict[str, float]]


@dataclass
class TrainingRun:
    """Trains the new weights of `captioner` on `draws`, with everything that a later call needs in `folder`."""

    captioner: Captioner
    draws: CaptionDraws
    evaluate: Evaluate
    folder: Path
    settings: Settings
    step: int = 0
    log: list[dict[str, float]] = field(default_factory=list)
    _losses: list[float] = field(default_factory=list)  # of the steps since the last line of the log

    def __post_init__(self) -> None:
        self._weights = new_weights(self.captioner.model)
        self._optimizer = torch.optim.AdamW(self._weights.values(), weight_decay=WEIGHT_DECAY)
        self._resume()

    @property
    def finished(self) -> bool:
        return self.step == self.settings.steps

    def go_on(self, *, minutes: float | None = None, checkpoint_every: int = 50, progress: bool | None = None) -> None:
        """Train to the last step, or until the minutes are over; either way with a checkpoint at the end.

        A kill loses at most `checkpoint_every` steps. Raises ValueError where minutes or checkpoint_every is not
        positive, and where the loss is no longer finite.
        """
        if checkpoint_every < 1:
            raise ValueError(f"train: checkpoint_every must be at least 1, got {checkpoint_every}")
        if minutes is not None and not minutes > 0:
            raise ValueError(f"train: minutes must be positive, got {minutes}")
        until = math.inf if minutes is None else time.monotonic() + 60 * minutes
        bar = progress_bar(self.settings.steps, progress, done=self.step, description="train")
        with bar:
            while not self.finished and time.monotonic() < until:
                self._train_one_step()
                bar.update()
                bar.set_postfix(loss=f"{self._losses[-1]:.3f}")
                if self.finished or self.step % self.settings.evaluate_every == 0:
                    self._log()
                if self.step % checkpoint_every == 0:
                    self._save()
        self._save()

    def _train_one_step(self) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * rate(self.step, self.settings.steps)
        loss = self.captioner.losses(self.draws.batch(self.step, self.settings.batch_size)).mean()
        if not loss.isfinite():
            raise ValueError(f"train: the loss of step {self.step} is {loss.item()}; choose a smaller learning_rate")
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        clip_grad_norm_(self._weights.values(), GRADIENT_NORM)
        self._optimizer.step()
        self.step += 1
        self._losses.append(loss.item())

    def _log(self) -> None:
        mean = sum(self._losses) / len(self._losses)
        self.log.append({"step": self.step, "caption loss, training": mean, **self.evaluate()})
        self._losses.clear()

    def _save(self) -> None:
        state = {
            "settings": dataclasses.asdict(self.settings),
            "step": self.step,
            "log": self.log,
            "losses": self._losses,
            "weights": {name: weight.detach() for name, weight in self._weights.items()},
            "optimizer": self._optimizer.state_dict(),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.folder / CHECKPOINT) as temporary:
            torch.save(state, temporary)
        with replacing(self.folder / LOG) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in self.log), encoding="utf-8")
        with replacing(self.folder / WEIGHTS) as temporary:
            temporary.write_bytes(save({name: weight.detach().cpu() for name, weight in self._weights.items()}))

    def _resume(self) -> None:
        """Raises ValueError where the folder holds a run with other settings, or a file that is no checkpoint."""
        file = self.folder / CHECKPOINT
        if not file.exists():
            return
        try:
            state: dict[str, Any] = torch.load(file, map_location=self.captioner.device, weights_only=True)
            begun = state["settings"]
        except Exception as error:  # torch raises whatever the damage leads it to
            raise ValueError(f"train: {file} is no checkpoint of this program: {type(error).__name__}") from error
        for name, value in dataclasses.asdict(self.settings).items():
            if begun.get(name) != value:
                raise ValueError(
                    f"train: {self.folder} holds a run with {name} {begun.get(name)}, got {value}; choose another"
                )
        self.captioner.model.load_state_dict(state["weights"], strict=False)
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self.log, self._losses = state["step"], state["log"], state["losses"]


def rate(step: int, steps: int) -> float:
    """The share of the learning rate at a step: up in a straight line, then down along a cosine."""
    warmup = max(1, round(WARMUP * steps))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

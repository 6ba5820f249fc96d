"""A loaded checkpoint on its device, and the precision it runs in."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import huggingface_hub.utils
import torch
import transformers
from torch import Tensor

from .sources import WHAT_WORKS, Source

# Parts that no embedding passes through, so that a checkpoint may lack them: BERT's pooler, the vocabulary head.
NEVER_RUN = ("pooler.", "lm_head.")


@dataclass(frozen=True)
class Backbone:
    """A model in evaluation mode, where it runs, and the dtype of its matrix products."""

    model: Any
    device: torch.device
    dtype: torch.dtype

    @contextmanager
    def inference(self) -> Iterator[None]:
        """No gradients; mixed precision where the weights are float32 and `dtype` is shorter."""
        mixed = self.model.dtype == torch.float32 and self.dtype != torch.float32
        with torch.inference_mode(), torch.autocast(self.device.type, dtype=self.dtype, enabled=mixed):
            yield

    def place(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The tensors of `inputs` on the model's device, floating ones in the dtype of its weights."""
        return {
            key: value.to(self.device, self.model.dtype if value.is_floating_point() else None)
            if isinstance(value, Tensor)
            else value
            for key, value in inputs.items()
        }


def load_backbone(source: Source, config: Any, auto_class: Any, *, dtype: str | torch.dtype, device: str) -> Backbone:
    """Load the weights of `source` with a transformers auto class.

    `dtype="auto"` runs in the checkpoint's own dtype (float16 as float32 on a CPU, which has no float16 arithmetic).
    A shorter dtype than the weights' float32 keeps the weights and runs mixed precision.
    Raises ValueError where weights that the embeddings depend on are missing: transformers would make them up.
    """
    chosen_device, requested = resolve_device(device), parse_dtype(dtype)
    with explained(source), quiet():
        model, info = auto_class.from_pretrained(
            source.path,
            config=config,
            dtype=torch.float32 if source.gguf_file else "auto",
            output_loading_info=True,
            **source.arguments,
            **source.gguf_arguments,
        )
    missing = sorted(key for key in info["missing_keys"] if not key.startswith(NEVER_RUN))
    if missing:
        raise ValueError(
            f"load_encoder: the weights of {source.name} lack {len(missing)} of the tensors that "
            f"{type(model).__name__} needs, such as {missing[0]}"
        )
    float16_on_cpu = model.dtype == torch.float16 and chosen_device.type == "cpu"
    compute = requested or (torch.float32 if float16_on_cpu else model.dtype)
    if not (model.dtype == torch.float32 and compute != torch.float32):
        model = model.to(compute)
    return Backbone(model.to(chosen_device).eval(), chosen_device, compute)


def resolve_device(device: str) -> torch.device:
    """ "auto" is the first accelerator that torch can use, else the CPU."""
    if device != "auto":
        try:
            return torch.empty(0, device=device).device
        # torch raises AssertionError where it was built without the device.
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise ValueError(
                f"load_encoder: device must be auto or a device that torch can use here, such as cpu or cuda:0, "
                f"got {device!r}: {_first_sentence(error)}"
            ) from error
    if torch.accelerator.is_available():
        return torch.accelerator.current_accelerator() or torch.device("cpu")
    return torch.device("cpu")


def parse_dtype(dtype: str | torch.dtype) -> torch.dtype | None:
    """The dtype that was asked for; None for "auto"."""
    names = {"auto": None, "float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    name = str(dtype).removeprefix("torch.")
    if name not in names:
        raise ValueError(f"load_encoder: dtype must be {', '.join(names)}, got {dtype!r}")
    return names[name]


@contextmanager
def explained(source: Source) -> Iterator[None]:
    """Turn what transformers raises while loading into one sentence that says what was tried and what would work."""
    try:
        yield
    except ImportError as error:
        package = _missing_package(error)
        remedy = f"{package}; run: pip install {package}" if package else _first_sentence(error)
        raise OSError(f"load_encoder: {source.name} needs a package that is missing: {remedy}") from error
    except Exception as error:
        if source.is_local:
            raise ValueError(f"load_encoder: {source.name} cannot be loaded: {_first_sentence(error)}") from error
        raise OSError(
            f"load_encoder: {source.name} is no folder here, and the Hugging Face hub did not give it "
            f"({_first_sentence(error)}); {WHAT_WORKS}"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' notices and bars off stderr: what matters of them is raised, the rest is noise."""
    logging: Any = transformers.utils.logging
    verbosity, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    hub_logging: Any = huggingface_hub.utils.logging
    hub_verbosity = hub_logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    hub_logging.set_verbosity_error()
    try:
        # The GGUF reader draws a bar that no setting turns off.
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
        hub_logging.set_verbosity(hub_verbosity)
        if bar:
            logging.enable_progress_bar()


def _missing_package(error: ImportError) -> str:
    """What pip calls the package that Python did not find or transformers asks for; "" where the error names none."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        module = error.name.partition(".")[0]
        return {"google": "protobuf", "PIL": "pillow"}.get(module, module)
    text = str(error)
    named = re.search(r"pip install ([a-z][\w-]*)", text) or re.search(r"requires the ([\w-]+) library", text)
    return named[1].lower() if named else ""


def _first_sentence(error: BaseException) -> str:
    """Without its full stop; transformers breaks sentences over several lines."""
    text = " ".join(str(error).split())
    return re.split(r"(?<=[.!?])\s", text)[0].rstrip(".") if text else type(error).__name__

"""The models of a study: each is looked at before the first one embeds anything, which may take hours."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastret.embed import Encoder


@dataclass(frozen=True)
class Model:
    """A model that was found and not loaded yet, with the options of `load_encoder` that it takes."""

    name: str
    inputs: frozenset[str]
    source: str | Encoder
    options: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> Encoder:
        """Raises ValueError or OSError as `load_encoder` does."""
        from fastret.embed import load_encoder

        return load_encoder(self.source, **self.options) if isinstance(self.source, str) else self.source


def find_models(
    models: Sequence[str | os.PathLike[str] | Encoder], options: Mapping[str, Any]
) -> tuple[list[Model], list[str]]:
    """The models, and remarks on options that do not apply to one of them.

    An option that only some models take is left out for the others; one that none takes stays, to be refused.
    Raises ValueError or OSError as `load_encoder` does, for a model that is not there or not supported, and for a
    pooling or a prompt that is none.
    """
    from fastret.embed.loading import INPUTS, model_kind
    from fastret.embed.pooling import check_pooling
    from fastret.embed.prompts import resolve_prompt

    # The first model may not take these, and embed for hours before the second one refuses them.
    resolve_prompt(options.get("prompt"))
    if options.get("pooling") is not None:
        check_pooling(options["pooling"])
    kinds = {os.fspath(m): model_kind(os.fspath(m)) for m in models if isinstance(m, (str, os.PathLike))}
    all_dual = set(kinds.values()) == {"dual"}
    found, remarks = [], []
    for model in models:
        if not isinstance(model, (str, os.PathLike)):
            found.append(Model(model.name, model.inputs, model))
            continue
        name = os.fspath(model)
        refused = _refused_by_dual_encoders(options) if kinds[name] == "dual" and not all_dual else []
        taken = {option: value for option, value in options.items() if option not in refused}
        found.append(Model(name, INPUTS[kinds[name]], name, taken))
        if refused:
            remarks.append(f"{name} is a dual encoder; left out for it: {', '.join(refused)}")
    return found, remarks


def _refused_by_dual_encoders(options: Mapping[str, Any]) -> list[str]:
    """They pool by themselves and follow no instruction; a template such as "a photo of {}" they take."""
    prompt = options.get("prompt")
    return [
        *(["pooling"] if options.get("pooling") is not None else []),
        *(["prompt"] if prompt and "{}" not in prompt else []),
    ]

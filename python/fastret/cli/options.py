"""The options that several commands have, with one wording."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, TypeAlias

import typer


class MetricName(str, Enum):
    cosine = "cosine"
    ip = "ip"
    l2 = "l2"


Split: TypeAlias = Annotated[
    str | None, typer.Option("--split", help="Split of the data. Default: test, or the only one.")
]
Pooling: TypeAlias = Annotated[
    str | None, typer.Option("--pooling", help="last, mean, eos or cls. Default: the model's own.")
]
Prompt: TypeAlias = Annotated[
    str | None, typer.Option("--prompt", help="A preset (summary, e5v), a template with {}, or an instruction.")
]
BatchSize: TypeAlias = Annotated[int, typer.Option("--batch-size", min=1, help="Items embedded at once.")]
Dtype: TypeAlias = Annotated[str, typer.Option("--dtype", help="float32, bfloat16, float16 or auto: the checkpoint's.")]
Device: TypeAlias = Annotated[str, typer.Option("--device", help="cpu, cuda ... or auto: the first accelerator.")]
SkipBad: TypeAlias = Annotated[bool, typer.Option("--skip-bad", help="Leave bad records out and count them.")]

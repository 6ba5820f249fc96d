from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from killed_run import DIM, IDS, ROWS, SHARD_ROWS, TEXTS, HashingEncoder
from PIL import Image

from fastret.embed.store import EmbeddingStore, open_store, write_store

SCRIPT = Path(__file__).parent / "killed_run.py"


def write(path: Path, encoder: HashingEncoder | None = None, **changes: object) -> EmbeddingStore:
    arguments = {"ids": IDS, "texts": TEXTS, "batch_size": 4, "shard_rows": SHARD_ROWS, "progress": False} | changes
    return write_store(path, encoder or HashingEncoder(), **arguments)  # type: ignore[arg-type]


def run(path: Path, way: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SCRIPT), str(path), way]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_a_store_gives_back_ids_and_vectors_in_order(tmp_path: Path) -> None:
    store = write(tmp_path / "store")
    assert store.ids == IDS and len(store) == ROWS
    assert [tuple(shard.shape) for shard in store.shards] == [(16, DIM), (16, DIM), (16, DIM), (2, DIM)]
    assert store.embeddings.equal(HashingEncoder().encode_texts(TEXTS))
    assert open_store(tmp_path / "store", verify=True).embeddings.equal(store.embeddings)


def test_one_shard_is_the_embeddings_without_a_copy(tmp_path: Path) -> None:
    store = write(tmp_path / "store", shard_rows=ROWS)
    assert store.embeddings.data_ptr() == store.shards[0].data_ptr()


def test_shards_are_mapped_and_not_read(tmp_path: Path) -> None:
    """32 MB that nobody touches take next to no memory."""
    rows = 1 << 15

    class Wide(HashingEncoder):
        dim = 256

        def encode_images(self, images: object, **_: object) -> torch.Tensor:  # type: ignore[override]
            return torch.ones(rows, 256)

    blank = Image.new("1", (1, 1))
    write_store(tmp_path / "store", Wide(), list(map(str, range(rows))), images=[blank] * rows, shard_rows=rows)

    def resident_kib() -> int:
        status = Path("/proc/self/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0])

    before = resident_kib()
    shards = open_store(tmp_path / "store").shards
    assert resident_kib() - before < 16 * 1024
    assert shards[0].sum() == rows * 256


def test_the_manifest_says_what_the_vectors_are(tmp_path: Path) -> None:
    write(tmp_path / "store", HashingEncoder(prompt="summary"), dtype=torch.bfloat16)
    manifest = json.loads((tmp_path / "store/manifest.json").read_text())
    assert manifest["schema"] == "fastret.embeddings/1"
    assert manifest["model"] == HashingEncoder(prompt="summary").describe()
    assert {key: manifest[key] for key in ("kind", "dtype", "dim", "count", "shard_rows")} == {
        "kind": "text", "dtype": "bfloat16", "dim": DIM, "count": ROWS, "shard_rows": SHARD_ROWS,
    }  # fmt: skip
    assert [shard["rows"] for shard in manifest["shards"]] == [16, 16, 16, 2]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_vectors_are_kept_in_the_dtype_asked_for(dtype: torch.dtype, tmp_path: Path) -> None:
    store = write(tmp_path / "store", dtype=dtype)
    assert store.embeddings.dtype == dtype
    assert store.embeddings.equal(HashingEncoder().encode_texts(TEXTS).to(dtype))


def test_rows_may_be_texts_images_and_pairs(tmp_path: Path) -> None:
    image = Image.new("RGB", (2, 2))
    store = write(tmp_path / "store", ids=["t", "i", "p"], texts=["a", None, "b"], images=[None, image, image])
    assert store.manifest.kind == "mixed"
    expected = torch.stack([HashingEncoder().encode_texts(["a"])[0], -torch.ones(DIM), torch.zeros(DIM)])
    assert store.embeddings.equal(expected)


def test_no_rows_make_an_empty_store(tmp_path: Path) -> None:
    store = write(tmp_path / "store", ids=[], texts=[])
    assert store.embeddings.shape == (0, DIM) and store.ids == []


# A whole run makes 15 batches of 4, and 10 flushes: ids, a first manifest, then 4 times a shard and a manifest.
@pytest.mark.parametrize(
    ("way", "finished"),
    [("batch:1", 0), ("batch:6", 1), ("batch:13", 3), ("flush:1", 0), ("flush:2", 0), ("flush:5", 1), ("flush:6", 1)],
)
def test_a_killed_run_goes_on_and_gives_the_same_bytes(way: str, finished: int, tmp_path: Path) -> None:
    write(tmp_path / "whole")
    killed = run(tmp_path / "store", way)
    assert killed.returncode == 9, killed.stderr
    with pytest.raises((ValueError, FileNotFoundError), match=r"is unfinished, with|is not an embedding store"):
        open_store(tmp_path / "store")
    before = {file: file.stat().st_ino for file in (tmp_path / "store").glob("embeddings-*")}
    write(tmp_path / "store")
    assert files(tmp_path / "store") == files(tmp_path / "whole")
    kept = [file for file, inode in before.items() if file.stat().st_ino == inode]
    assert len(kept) == finished


def test_a_full_disk_is_named_and_the_run_goes_on_when_there_is_room(tmp_path: Path) -> None:
    write(tmp_path / "whole")
    sizes = {name: len(content) for name, content in files(tmp_path / "whole").items()}
    ended = run(tmp_path / "store", f"disk:{sizes['ids.json'] - 1}")
    assert re.fullmatch(
        r"write_store: .*/ids\.json could not be written \(File too large\); what was finished before it is whole, and "
        r"the same run goes on from there\n",
        ended.stdout,
    ), ended
    assert [file.name for file in (tmp_path / "store").iterdir()] == []
    write(tmp_path / "store")
    assert files(tmp_path / "store") == files(tmp_path / "whole")


def test_a_disk_that_fills_up_in_a_shard_leaves_the_finished_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "whole")
    fsync, calls = os.fsync, [0]

    def full_at_the_seventh_file(descriptor: int) -> None:
        calls[0] += 1
        if calls[0] == 2 * 7 - 1:  # each file and then its folder
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full_at_the_seventh_file)
    with pytest.raises(
        OSError, match=r"embeddings-00002\.safetensors could not be written \(No space left on device\)"
    ):
        write(tmp_path / "store")
    manifest = json.loads((tmp_path / "store/manifest.json").read_text())
    assert [shard["file"] for shard in manifest["shards"]] == [
        "embeddings-00000.safetensors",
        "embeddings-00001.safetensors",
    ]
    write(tmp_path / "store")
    assert files(tmp_path / "store") == files(tmp_path / "whole")


def test_a_finished_store_is_opened_and_nothing_is_computed(tmp_path: Path) -> None:
    write(tmp_path / "store")

    def never() -> None:
        raise AssertionError("embedded again")

    assert write(tmp_path / "store", HashingEncoder(never)).ids == IDS


def test_a_deleted_shard_is_made_again(tmp_path: Path) -> None:
    write(tmp_path / "store")
    before = files(tmp_path / "store")
    (tmp_path / "store/embeddings-00001.safetensors").unlink()
    with pytest.raises(ValueError, match=r"the shard .*embeddings-00001\.safetensors is missing"):
        open_store(tmp_path / "store")
    write(tmp_path / "store")
    assert files(tmp_path / "store") == before


@pytest.mark.parametrize("file", ["embeddings-00000.safetensors", "embeddings-00003.safetensors"])
def test_a_truncated_shard_is_named_on_open(file: str, tmp_path: Path) -> None:
    write(tmp_path / "store")
    content = (tmp_path / "store" / file).read_bytes()
    (tmp_path / "store" / file).write_bytes(content[:-1])
    sentence = (
        f"the shard .*{re.escape(file)} is damaged: it has {len(content) - 1} bytes and should have {len(content)}"
    )
    with pytest.raises(ValueError, match=sentence):
        open_store(tmp_path / "store")


@pytest.mark.parametrize("position", [0, 20, -1])
def test_an_altered_shard_is_named_by_the_full_check_and_never_built_upon(position: int, tmp_path: Path) -> None:
    write(tmp_path / "store")
    file = tmp_path / "store/embeddings-00001.safetensors"
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"the shard .*embeddings-00001\.safetensors (was altered|is damaged)"):
        open_store(tmp_path / "store", verify=True)
    with pytest.raises(ValueError, match=r"the shard .*embeddings-00001\.safetensors (was altered|is damaged)"):
        write(tmp_path / "store")


def test_altered_ids_are_named(tmp_path: Path) -> None:
    write(tmp_path / "store")
    file = tmp_path / "store/ids.json"
    file.write_text(file.read_text().replace("item 3", "item 4"))
    with pytest.raises(ValueError, match=r"ids\.json was altered"):
        open_store(tmp_path / "store")
    file.unlink()
    with pytest.raises(ValueError, match=r"ids\.json is missing"):
        open_store(tmp_path / "store")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", r"manifest\.json is damaged: JSONDecodeError"),
        ("[]", r"manifest\.json is damaged: TypeError|AttributeError"),
        ('{"shards": []}', r"manifest\.json is damaged: KeyError: 'schema'"),
        ('{"schema": "fastret.embeddings/1", "shards": []}', r"manifest\.json was altered: its sha256 is not that of"),
        ('{"schema": "fastret.embeddings/9"}', r"has schema 'fastret\.embeddings/9', .* reads 'fastret\.embeddings/1'"),
    ],
)
def test_a_damaged_manifest_is_named(content: str, sentence: str, tmp_path: Path) -> None:
    write(tmp_path / "store")
    (tmp_path / "store/manifest.json").write_text(content)
    with pytest.raises(ValueError, match=sentence):
        open_store(tmp_path / "store")


def test_a_manifest_with_any_bit_flipped_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "store", ids=IDS[:2], texts=TEXTS[:2])
    file = tmp_path / "store/manifest.json"
    content = file.read_bytes()
    for position in range(len(content)):
        file.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(ValueError, match=r"manifest\.json"):
            open_store(tmp_path / "store")
    file.write_bytes(content)
    open_store(tmp_path / "store")


def test_a_folder_that_is_no_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"is not an embedding store: it has no manifest\.json"):
        open_store(tmp_path)
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(ValueError, match="holds other files and is no store; choose another folder"):
        write(tmp_path)
    with pytest.raises(ValueError, match="is a file; a store is a folder"):
        write(tmp_path / "thesis.tex")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"encoder": HashingEncoder(prompt="e5v")}, "was begun with prompt '', and this run has 'e5v'; choose another"),
        ({"dtype": torch.float16}, "was begun with dtype 'float32', and this run has 'float16'"),
        ({"shard_rows": 8}, "was begun with shard_rows 16, and this run has 8"),
        ({"ids": IDS[::-1]}, "was begun with other ids than this run has"),
        ({"texts": TEXTS[::-1]}, "was begun with other inputs than this run has"),
        ({"ids": IDS[1:], "texts": TEXTS[1:]}, "was begun with count 50, and this run has 49"),
    ],
)
def test_a_run_with_other_settings_does_not_go_on(changes: dict[str, object], sentence: str, tmp_path: Path) -> None:
    run(tmp_path / "store", "batch:6")
    with pytest.raises(ValueError, match=sentence):
        write(tmp_path / "store", **changes)  # type: ignore[arg-type]


def test_images_of_equal_size_are_other_inputs(tmp_path: Path) -> None:
    """As a file written anew with as many bytes, as bytes, and as pixels."""
    red, blue = (Image.new("RGB", (2, 2), colour) for colour in ("red", "blue"))
    paletted, repainted = Image.new("P", (2, 2)), Image.new("P", (2, 2))
    paletted.putpalette([255, 0, 0])
    repainted.putpalette([0, 0, 255])
    file = tmp_path / "a.bmp"
    red.save(file)
    status, red_bytes = file.stat(), file.read_bytes()
    write(tmp_path / "file", ids=["a"], texts=None, images=[file])
    blue.save(file)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    blue_bytes = file.read_bytes()
    assert len(blue_bytes) == len(red_bytes)
    with pytest.raises(ValueError, match="was begun with other inputs than this run has"):
        write(tmp_path / "file", ids=["a"], texts=None, images=[file])
    pairs = {"bytes": (red_bytes, blue_bytes), "pixels": (red, blue), "palette": (paletted, repainted)}
    for name, (before, after) in pairs.items():
        write(tmp_path / name, ids=["a"], texts=None, images=[before])
        with pytest.raises(ValueError, match="was begun with other inputs than this run has"):
            write(tmp_path / name, ids=["a"], texts=None, images=[after])


def test_image_files_that_moved_are_the_same_inputs(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    write(tmp_path / "store", ids=["a"], texts=None, images=[tmp_path / "a.png"])
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "a.png").rename(tmp_path / "elsewhere/b.png")
    os.utime(moved, (0, 0))
    assert write(tmp_path / "store", ids=["a"], texts=None, images=[moved]).ids == ["a"]


def test_an_image_file_that_is_missing_is_named_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no file .*/none\.png"):
        write(tmp_path / "store", ids=["a"], texts=None, images=[tmp_path / "none.png"])
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ids": ["a"] * ROWS}, "write_store: ids must be distinct, got 'a' twice"),
        ({"ids": IDS[1:]}, "write_store: ids and texts must be as many, got 49 and 50"),
        ({"texts": None}, "write_store: give texts, images, or both for pairs"),
        ({"texts": [*TEXTS[1:], None]}, "write_store: 'item 49' has neither a text nor an image"),
        ({"dtype": torch.int8}, r"write_store: dtype must be float32, float16 or bfloat16, got torch\.int8"),
        ({"shard_rows": 0}, "write_store: shard_rows must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(
    changes: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=sentence):
        write(tmp_path / "store", **changes)
    assert not (tmp_path / "store").exists()


def test_a_kind_that_the_model_does_not_take_is_refused(tmp_path: Path) -> None:
    encoder = HashingEncoder()
    encoder.inputs = frozenset({"text"})
    with pytest.raises(ValueError, match="write_store: hashing takes text inputs, got image"):
        write(tmp_path / "store", encoder, texts=None, images=[Image.new("RGB", (1, 1))] * ROWS)


def test_a_kill_loses_at_most_1024_rows_unless_told_otherwise(tmp_path: Path) -> None:
    texts = ["x"] * 1025
    store = write_store(tmp_path / "store", HashingEncoder(), list(map(str, range(1025))), texts=texts, progress=False)
    assert [len(shard) for shard in store.shards] == [1024, 1]


def test_a_bar_says_what_is_embedded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "store", progress=True, description="captions")
    assert "captions: 100%" in capsys.readouterr().err


def test_a_bar_that_goes_on_counts_what_was_done_before(tmp_path: Path) -> None:
    run(tmp_path / "store", "batch:6")
    finished: list[int] = []
    write(tmp_path / "store", progress=finished.append)
    assert sum(finished) == ROWS - SHARD_ROWS

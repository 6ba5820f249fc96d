"""fastret embed, as a user calls it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from fastret.cli import embed as command
from fastret.embed import load_encoder
from fastret.embed.store import open_store

TinyModel = Callable[[str], Path]

app = typer.Typer()
app.callback()(lambda: None)
command.register(app)


def invoke(*arguments: object) -> str:
    """What the command prints on stdout; its error is raised here, as the program's main catches it there."""
    result = CliRunner().invoke(app, ["embed", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def photos(tmp_path: Path, images: list[Image.Image]) -> Path:
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for name, image in zip(("a.png", "b.JPG", "below/c.png"), images, strict=False):
        image.save(folder / name)
    return folder


def test_a_folder_of_images_becomes_a_store(photos: Path, tiny_model: TinyModel, tmp_path: Path) -> None:
    printed = invoke("--data", photos, "--model", tiny_model("clip"), "--out", tmp_path / "store")
    assert f"{tmp_path}/store: 3 embeddings of 16 dimensions" in printed
    store = open_store(tmp_path / "store", verify=True)
    assert store.ids == ["a.png", "b.JPG", "below/c.png"]
    expected = load_encoder(tiny_model("clip")).encode_images([photos / name for name in store.ids])
    assert store.embeddings.equal(expected)


def test_lines_of_text_become_a_store_and_json_is_all_that_is_printed(tiny_model: TinyModel, tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text("a red apple\n\ntwo dogs\n")
    arguments = ("--data", tmp_path / "captions.txt", "--model", tiny_model("llama"), "--out", tmp_path / "store")
    with pytest.raises(ValueError, match=r"captions\.txt line 2: the text must not be empty"):
        invoke(*arguments)
    printed = json.loads(invoke(*arguments, "--skip-bad", "--prompt", "e5v", "--pooling", "mean", "--json"))
    assert printed["count"] == 2 and printed["dim"] == 32 and printed["kind"] == "text"
    assert printed["skipped"] == {"empty text": 1}
    assert printed["model"]["prompt"] == "e5v" and printed["model"]["pooling"] == "mean"
    assert open_store(tmp_path / "store").ids == ["1", "3"]


@pytest.mark.parametrize(("kind", "ids"), [("text", ["x", "y"]), ("image", ["x", "z"]), ("pair", ["x"])])
def test_records_give_the_kind_that_is_asked_for(
    kind: str, ids: list[str], photos: Path, tiny_model: TinyModel, tmp_path: Path
) -> None:
    records = [{"id": "x", "text": "dog", "image": "a.png"}, {"id": "y", "text": "cat"}, {"id": "z", "image": "b.JPG"}]
    (photos / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    arguments = ("--data", photos / "records.jsonl", "--kind", kind, "--model", tiny_model("qwen2_vl"))
    with pytest.raises(ValueError, match=f"records.jsonl line ., id '.': lacks what --kind {kind} embeds"):
        invoke(*arguments, "--out", tmp_path / "store")
    invoke(*arguments, "--out", tmp_path / "store", "--skip-bad")
    store = open_store(tmp_path / "store")
    assert store.ids == ids and store.manifest.kind == kind


def test_sides_of_a_data_set_are_embedded(photos: Path, tiny_model: TinyModel, tmp_path: Path) -> None:
    metadata = [{"file_name": name, "text": f"photo {name}"} for name in ("a.png", "b.JPG")]
    (photos / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metadata))
    model = tiny_model("clip")
    invoke("--data", photos, "--kind", "image", "--model", model, "--out", tmp_path / "images")
    invoke("--data", photos, "--kind", "text", "--model", model, "--out", tmp_path / "texts")
    assert open_store(tmp_path / "images").ids == ["a.png", "b.JPG"]
    assert open_store(tmp_path / "texts").ids == ["a.png#0", "b.JPG#0"]
    with pytest.raises(ValueError, match="--kind pair needs pair items throughout, got image items"):
        invoke("--data", photos, "--kind", "pair", "--model", model, "--out", tmp_path / "pairs")


def test_queries_of_a_beir_folder_are_embedded(tiny_model: TinyModel, tmp_path: Path) -> None:
    beir = tmp_path / "beir"
    (beir / "qrels").mkdir(parents=True)
    (beir / "corpus.jsonl").write_text('{"_id": "d1", "title": "", "text": "dogs run"}\n')
    (beir / "queries.jsonl").write_text('{"_id": "q1", "text": "dog"}\n')
    (beir / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    arguments = ("--data", beir, "--kind", "text", "--model", tiny_model("bert"))
    invoke(*arguments, "--out", tmp_path / "corpus")
    invoke(*arguments, "--queries", "--out", tmp_path / "queries")
    assert open_store(tmp_path / "corpus").ids == ["d1"]
    assert open_store(tmp_path / "queries").ids == ["q1"]


def test_a_bad_image_is_named_or_left_out_and_counted(photos: Path, tiny_model: TinyModel, tmp_path: Path) -> None:
    (photos / "b.JPG").write_bytes(b"no image")
    arguments = ("--data", photos, "--model", tiny_model("clip"), "--out", tmp_path / "store")
    with pytest.raises(ValueError, match=r"b\.JPG: the image does not decode"):
        invoke(*arguments)
    assert not (tmp_path / "store").exists()
    assert "left out: 1 (image does not decode)" in invoke(*arguments, "--skip-bad")
    assert open_store(tmp_path / "store").ids == ["a.png", "below/c.png"]


def test_an_image_that_the_model_refuses_is_left_out_and_counted(
    photos: Path, tiny_model: TinyModel, tmp_path: Path
) -> None:
    Image.new("RGB", (1, 400)).save(photos / "thread.png")
    arguments = ("--data", photos, "--model", tiny_model("qwen2_vl"), "--out")
    with pytest.raises(ValueError, match=r"the model does not take the image .*/thread\.png of 1 x 400 pixels"):
        invoke(*arguments, tmp_path / "stopped")
    assert "left out: 1 (image that the model does not take)" in invoke(*arguments, tmp_path / "store", "--skip-bad")
    assert open_store(tmp_path / "store").ids == ["a.png", "b.JPG", "below/c.png"]


def test_a_kind_that_the_model_does_not_take_is_refused(photos: Path, tiny_model: TinyModel, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="embeds text inputs, not image"):
        invoke("--data", photos, "--model", tiny_model("bert"), "--out", tmp_path / "store")
    with pytest.raises(ValueError, match="no known data set was found"):
        shutil.rmtree(photos)
        photos.mkdir()
        invoke("--data", photos, "--model", tiny_model("bert"), "--out", tmp_path / "store")


def test_wrong_usage_exits_with_2() -> None:
    assert CliRunner().invoke(app, ["embed", "--data", "x"]).exit_code == 2
    assert CliRunner().invoke(app, ["embed", "--data", "x", "--model", "m", "--out", "o", "--kind", "z"]).exit_code == 2
    help_text = CliRunner().invoke(app, ["embed", "--help"]).stdout
    assert "Examples" in help_text and "fastret embed --data photos" in help_text

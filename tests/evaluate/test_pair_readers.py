"""Image folders, Karpathy JSON and parquet: images with captions."""

from __future__ import annotations

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fastret.evaluate import read_dataset


def fails(path, task="t2i", **options):
    with pytest.raises(ValueError) as raised:
        read_dataset(path, task, **options)
    return str(raised.value)


def test_captions_find_their_image(colour_folder):
    dataset = read_dataset(colour_folder, "t2i")
    assert dataset.name == "squares" and dataset.task == "t2i"
    assert dataset.queries.ids[:2] == ["images/red.png#0", "images/red.png#1"]
    assert dataset.queries.texts[:2] == ["a square in red", "plain red"]
    assert dataset.candidates.ids[0] == "images/red.png"
    assert dataset.candidates.images[0] == colour_folder / "images/red.png"
    assert dataset.qrels["images/red.png#1"] == {"images/red.png": 1}
    assert not dataset.exclude_self and dataset.skipped == {}


def test_an_image_finds_all_its_captions(colour_folder):
    dataset = read_dataset(colour_folder, "i2t")
    assert dataset.qrels["images/red.png"] == {"images/red.png#0": 1, "images/red.png#1": 1}
    assert len(dataset.queries) == 6 and len(dataset.candidates) == 12


def test_captions_find_the_captions_of_the_same_image(colour_folder):
    dataset = read_dataset(colour_folder, "t2t")
    assert dataset.exclude_self
    assert dataset.qrels["images/red.png#0"] == {"images/red.png#1": 1}


def test_a_mixed_pool_holds_images_and_captions(colour_folder):
    dataset = read_dataset(colour_folder, "t2it")
    assert dataset.exclude_self
    assert sorted(set(dataset.candidates.kinds())) == ["image", "text"] and len(dataset.candidates) == 18
    assert dataset.qrels["images/red.png#0"] == {"images/red.png": 1, "images/red.png#1": 1}
    from_images = read_dataset(colour_folder, "i2it")
    assert from_images.exclude_self
    assert from_images.qrels["images/red.png"] == {"images/red.png#0": 1, "images/red.png#1": 1}


def test_images_of_a_label_find_each_other(tmp_path, write_jsonl, square):
    colours = ["red", "green", "blue"]
    for colour in colours:
        square(tmp_path / f"{colour}.png", colour)
    labels = [{"file_name": f"{c}.png", "label": label} for c, label in zip(colours, [1, 1, 0], strict=True)]
    write_jsonl(tmp_path / "metadata.jsonl", labels)
    dataset = read_dataset(tmp_path, "i2i")
    assert dataset.exclude_self
    assert dataset.qrels["red.png"] == {"red.png": 1, "green.png": 1}


def test_tasks_that_the_data_do_not_give(colour_folder, tmp_path, write_jsonl, square):
    assert fails(colour_folder, "i2i") == f"{colour_folder}: task i2i needs a `label` for the images, got none"
    assert fails(colour_folder, "it2i") == (
        f"{colour_folder}: image-caption pairs give the tasks t2i, i2t, i2i, t2t, t2it and i2it, got it2i; "
        "queries of both kinds need a folder with queries.jsonl and corpus.jsonl"
    )
    assert re.match(r"task: a name is <queries>2<candidates> .*, got 'x2y'$", fails(colour_folder, "x2y"))
    folder = tmp_path / "single"
    square(folder / "red.png", "red")
    write_jsonl(folder / "metadata.jsonl", [{"file_name": "red.png", "text": "red"}])
    assert fails(folder, "t2t") == f"{folder}: task t2t needs images with several captions, got one caption per image"


@pytest.fixture
def bad_folder(tmp_path, write_jsonl, square):
    """Every kind of bad record, one line each, after a good first line."""
    folder = tmp_path / "bad"
    square(folder / "red.png", "red")
    square(folder / "blue.png", "blue")
    square(folder / "grey.jpg", "grey")
    Image.effect_noise((64, 64), 80).save(folder / "cut.jpg")
    data = (folder / "cut.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(data[: len(data) * 9 // 10])
    (folder / "no.png").write_text("not an image")
    lines = [
        {"file_name": "red.png", "text": "red"},
        "{broken",
        [1],
        {"text": "no file name"},
        {"file_name": "red.png", "text": "red"},
        {"file_name": "gone.png", "text": "gone"},
        {"file_name": "blue.png", "text": "  "},
        {"file_name": "grey.jpg"},
        {"file_name": "cut.jpg", "text": "cut"},
        {"file_name": "no.png", "captions": ["no", 3]},
    ]
    return folder, write_jsonl(folder / "metadata.jsonl", lines), lines


def test_skip_bad_goes_on_and_counts(bad_folder):
    folder, _, _ = bad_folder
    dataset = read_dataset(folder, "t2i", skip_bad=True)
    assert dataset.candidates.ids == ["red.png"] and dataset.queries.texts == ["red"]
    assert dataset.skipped == {
        "malformed record": 5,  # broken JSON, a list, no file name, no caption, a caption that is a number
        "duplicate id": 1,
        "image file not found": 1,
        "empty text": 1,
        "image does not decode": 2,
    }


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (2, "{metadata} line 2: not valid JSON: Expecting property name enclosed in double quotes"),
        (3, "{metadata} line 2: must be a JSON object, got list"),
        (4, "{metadata} line 2: file_name must be a path, got None"),
        (5, "{metadata} line 2, id 'red.png': the id was used before, at {metadata} line 1"),
        (6, "{metadata} line 2, id 'gone.png': there is no image file {folder}/gone.png"),
        (7, "{metadata} line 2, id 'blue.png': text must not be empty"),
        (8, "{metadata} line 2, id 'grey.jpg': must have one of caption, captions, text, texts or a label"),
        (9, "{metadata} line 2, id 'cut.jpg': the image does not decode: image file is truncated"),
        (10, "{metadata} line 2, id 'no.png': captions must be text, got int"),
    ],
)
def test_a_bad_record_is_named_by_file_line_and_id(bad_folder, write_jsonl, line, sentence):
    folder, metadata, lines = bad_folder
    write_jsonl(metadata, [lines[0], lines[line - 1]])
    assert fails(folder).startswith(sentence.format(metadata=metadata, folder=folder))


def test_records_of_one_image_are_joined(tmp_path, write_jsonl, square):
    data = square(tmp_path / "red.png", "red").read_bytes()
    other = square(tmp_path / "blue.png", "blue").read_bytes()
    metadata = write_jsonl(
        tmp_path / "metadata.jsonl",
        [
            {"file_name": "red.png", "text": "red"},
            {"file_name": "blue.png", "text": "blue"},
            {"file_name": "red.png", "text": "so red"},
        ],
    )
    table = tmp_path / "parquet" / "test.parquet"
    table.parent.mkdir()
    images = [{"bytes": content, "path": name} for content, name in ((data, "red.png"), (other, "blue.png"))]
    rows = [
        {"image": images[0], "caption": "red", "label": 1},
        {"image": images[1], "caption": "blue", "label": 0},
        {"image": images[0], "caption": "so red", "label": 1},
    ]
    pq.write_table(pa.Table.from_pylist(rows), table)
    for path in (metadata, table):
        dataset = read_dataset(path, "i2t")
        assert dataset.queries.ids == ["red.png", "blue.png"]
        assert dataset.qrels["red.png"] == {"red.png#0": 1, "red.png#1": 1}
        assert dataset.candidates.texts == ["red", "so red", "blue"]
    for change in ({"image": {"bytes": other, "path": "red.png"}}, {"label": 2}):  # another image, another label
        pq.write_table(pa.Table.from_pylist([rows[0], rows[1], {**rows[2], **change}]), table)
        assert fails(table) == f"{table} row 3, id 'red.png': the id was used before, at {table} row 1"


def test_an_image_that_is_no_image_is_named(bad_folder, write_jsonl):
    folder, metadata, _ = bad_folder
    write_jsonl(metadata, [{"file_name": "no.png", "text": "no"}])
    assert fails(folder).startswith(f"{metadata} line 1, id 'no.png': the image does not decode: cannot identify")


def test_nothing_left_is_an_error_even_when_skipping(tmp_path, write_jsonl):
    write_jsonl(tmp_path / "metadata.jsonl", [])
    expected = f"{tmp_path}: must hold at least one image with a caption or a label, got none"
    assert fails(tmp_path) == expected
    assert fails(tmp_path, skip_bad=True) == expected


def test_a_path_that_holds_nothing_known(tmp_path):
    assert fails(tmp_path / "none") == f"{tmp_path}/none: there is no such file or folder"
    assert fails(tmp_path).startswith(f"{tmp_path}: no known data set was found; looked for metadata.jsonl")


def test_splits_of_an_image_folder(tmp_path, write_jsonl, square):
    for split, colour in (("train", "red"), ("test", "blue")):
        square(tmp_path / split / "a.png", colour)
        write_jsonl(tmp_path / split / "metadata.jsonl", [{"file_name": "a.png", "text": colour}])
    assert read_dataset(tmp_path, "t2i").queries.texts == ["blue"]
    assert read_dataset(tmp_path, "t2i", split="train").queries.texts == ["red"]
    assert fails(tmp_path, split="val") == f"{tmp_path}: the split must be one of those there (test, train), got 'val'"


@pytest.fixture
def karpathy(tmp_path, square):
    def entry(colour, split, sentences, **more):
        return {"filename": f"{colour}.png", "split": split, "sentences": [{"raw": s} for s in sentences], **more}

    square(tmp_path / "images" / "red.png", "red")
    square(tmp_path / "val2014" / "blue.png", "blue")
    square(tmp_path / "green.png", "green")
    images = [
        entry("red", "test", ["red one", "red two"]),
        entry("blue", "test", ["blue"], filepath="val2014"),
        entry("green", "train", ["green"]),
    ]
    file = tmp_path / "dataset_tiny.json"
    file.write_text(json.dumps({"images": images, "dataset": "tiny"}))
    return file, images


def test_karpathy_split_and_captions(karpathy):
    file, _ = karpathy
    for path in (file, file.parent):
        dataset = read_dataset(path, "i2t")
        assert dataset.qrels == {"red.png": {"red.png#0": 1, "red.png#1": 1}, "blue.png": {"blue.png#0": 1}}
    assert read_dataset(file, "t2i", split="train").queries.texts == ["green"]
    assert read_dataset(file, "t2i").name == "dataset_tiny"


def test_karpathy_faults(karpathy):
    file, images = karpathy
    assert fails(file, split="val") == f"{file}: the split must be one of those there (test, train), got 'val'"
    bad = [
        {"filename": "gone.png", "split": "test", "sentences": [{"raw": "gone"}]},
        {"split": "test"},
        {"filename": "green.png", "split": "test", "sentences": []},
        {"filename": "green.png", "split": "test", "sentences": 5},
        images[0],
    ]
    sentences = [
        f"{file} images[1], id 'gone.png': there is no such image file in {file.parent} or {file.parent}/images",
        f"{file} images[1]: filename must be a path, got None",
        f"{file} images[1], id 'green.png': must have sentences",
        f"{file} images[1], id 'green.png': sentences must be a list, got int",
        f"{file} images[1], id 'red.png': the id was used before, at {file} images[0]",
    ]
    for entry, sentence in zip(bad, sentences, strict=True):
        file.write_text(json.dumps({"images": [images[0], entry]}))
        assert fails(file) == sentence
    file.write_text(json.dumps({"images": [images[0], *bad]}))
    skipped = read_dataset(file, "t2i", skip_bad=True).skipped
    assert skipped == {"image file not found": 1, "malformed record": 3, "duplicate id": 1}
    file.write_text("[]")
    assert fails(file).startswith(f"{file}: must be a JSON object with `images`, got none: TypeError")
    file.write_text('{"images": [1]}')
    assert fails(file) == f"{file}: `images` must be a list of JSON objects"


def test_parquet_of_images_as_hugging_face_stores_them(tmp_path, square):
    encoded = {c: square(tmp_path / "png" / f"{c}.png", c).read_bytes() for c in ("red", "blue")}
    rows = [{"image": {"bytes": data, "path": f"{c}.png"}, "caption": [c, f"so {c}"]} for c, data in encoded.items()]
    (tmp_path / "set" / "data").mkdir(parents=True)
    file = tmp_path / "set" / "data" / "test-00000-of-00001.parquet"
    pq.write_table(pa.Table.from_pylist(rows), file)
    for path in (tmp_path / "set", file):
        dataset = read_dataset(path, "t2i")
        assert dataset.candidates.ids == ["red.png", "blue.png"]
        assert dataset.candidates.images[0] == encoded["red"]
        assert dataset.qrels["blue.png#1"] == {"blue.png": 1}


def test_parquet_faults(tmp_path, square):
    data = square(tmp_path / "red.png", "red").read_bytes()
    file = tmp_path / "test.parquet"
    rows = [
        {"id": "a", "image": data, "text": "red"},
        {"id": "b", "image": data[:40], "text": "cut"},
        {"id": "c", "image": None, "text": "none"},
        {"id": "a", "image": data, "text": "red"},
        {"id": "d", "image": data, "text": ""},
        {"id": "e", "image": data, "text": None},
    ]
    sentences = [
        f"{file} row 2, id 'b': the image does not decode: ",
        f"{file} row 2, id 'c': must have an image",
        f"{file} row 2, id 'a': the id was used before, at {file} row 1",
        f"{file} row 2, id 'd': text must not be empty",
        f"{file} row 2, id 'e': must have one of caption, captions, text, texts or a label",
    ]
    for row, sentence in zip(rows[1:], sentences, strict=True):
        pq.write_table(pa.Table.from_pylist([rows[0], row]), file)
        assert fails(file).startswith(sentence)
    pq.write_table(pa.Table.from_pylist(rows), file)
    dataset = read_dataset(file, "t2i", skip_bad=True)
    assert dataset.candidates.ids == ["a"] and sum(dataset.skipped.values()) == 5
    file.write_bytes(b"PAR1 and then nothing")
    assert fails(file).startswith(f"{file}: not a parquet file that can be read: ")

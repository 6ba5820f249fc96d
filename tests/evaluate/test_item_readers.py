"""BEIR folders and plain embeddings: data with their own queries, candidates and relevance."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from fastret.evaluate import read_dataset

CORPUS = [
    {"_id": "d1", "title": "Cats", "text": "purr"},
    {"_id": "d2", "title": "", "text": "dogs bark"},
    {"_id": 3, "text": "birds sing"},
]
QUERIES = [
    {"_id": "q1", "text": "purring"},
    {"_id": "q2", "text": "singing"},
    {"_id": "q3", "text": "of another split"},
]
HEADER = "query-id\tcorpus-id\tscore\n"


def fails(path, task="t2t", **options):
    with pytest.raises(ValueError) as raised:
        read_dataset(path, task, **options)
    return str(raised.value)


@pytest.fixture
def beir(tmp_path, write_jsonl):
    write_jsonl(tmp_path / "corpus.jsonl", CORPUS)
    write_jsonl(tmp_path / "queries.jsonl", QUERIES)
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text(HEADER + "q1\td1\t2\nq1\td2\t0\nq2\t3\t1\n")
    (tmp_path / "qrels" / "dev.tsv").write_text(HEADER + "q3\td2\t1\n")
    return tmp_path


def test_beir_reads_the_queries_of_the_split(beir):
    dataset = read_dataset(beir, "t2t")
    assert dataset.queries.ids == ["q1", "q2"]
    assert dataset.candidates.ids == ["d1", "d2", "3"]
    assert dataset.candidates.texts == ["Cats purr", "dogs bark", "birds sing"]
    assert dataset.qrels == {"q1": {"d1": 2, "d2": 0}, "q2": {"3": 1}}
    assert not dataset.exclude_self
    assert read_dataset(beir, "t2t", split="dev").queries.ids == ["q3"]
    assert fails(beir, split="train") == f"{beir}/qrels: the split must be one of those there (dev, test), got 'train'"


def test_beir_as_parquet_folders(beir, tmp_path):
    folder = tmp_path / "parquet"
    qrels = [{"query-id": "q1", "corpus-id": "d1", "score": 1.0}]
    tables = {"corpus/test-00000-of-00001": CORPUS[:2], "queries/test-00000-of-00001": QUERIES, "qrels/test": qrels}
    for name, rows in tables.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    dataset = read_dataset(folder, "t2t")
    assert dataset.qrels == {"q1": {"d1": 1}} and dataset.candidates.texts == ["Cats purr", "dogs bark"]


def test_items_with_images_serve_every_kind_of_task(tmp_path, write_jsonl, square):
    square(tmp_path / "red.png", "red")
    write_jsonl(tmp_path / "corpus.jsonl", [{"_id": "a", "image": "red.png"}, {"_id": "b", "text": "blue"}])
    write_jsonl(tmp_path / "queries.jsonl", [{"_id": "q", "text": "red", "image": "red.png"}])
    (tmp_path / "qrels.tsv").write_text("q\ta\t1\n")
    dataset = read_dataset(tmp_path, "it2it")
    assert dataset.queries.kinds() == ["pair"] and dataset.candidates.kinds() == ["image", "text"]
    assert read_dataset(tmp_path, "t2it").queries.kinds() == ["text"]
    assert read_dataset(tmp_path, "i2it").queries.kinds() == ["image"]
    corpus = tmp_path / "corpus.jsonl"
    assert fails(tmp_path, "t2i") == f"{corpus} line 2, id 'b': task t2i needs an image here, got only a text"
    assert fails(tmp_path, "i2t") == f"{corpus} line 1, id 'a': task i2t needs a text here, got only an image"
    skipping = read_dataset(tmp_path, "t2i", skip_bad=True)
    assert skipping.candidates.ids == ["a"] and skipping.skipped == {"input that the task needs is missing": 1}


def test_queries_that_are_candidates_do_not_find_themselves(beir, write_jsonl):
    write_jsonl(beir / "queries.jsonl", CORPUS[:2])
    (beir / "qrels" / "test.tsv").write_text("d1\td2\t1\nd2\t3\t1\n")
    assert read_dataset(beir, "t2t").exclude_self
    (beir / "qrels" / "test.tsv").write_text("d1\td1\t1\nd2\t3\t1\n")
    assert not read_dataset(beir, "t2t").exclude_self
    # Both sides numbered alike, and other texts: these are no self-matches.
    (beir / "qrels" / "test.tsv").write_text("d1\td2\t1\nd2\t3\t1\n")
    write_jsonl(beir / "queries.jsonl", [{"_id": "d1", "text": "another"}, {"_id": "d2", "text": "text"}])
    assert not read_dataset(beir, "t2t").exclude_self


def test_beir_faults_name_file_line_and_id(beir, write_jsonl):
    corpus, qrels = beir / "corpus.jsonl", beir / "qrels" / "test.tsv"
    for record, sentence in [
        ({"text": "no id"}, f"{corpus} line 4: must have an _id"),
        ({"_id": "d1", "text": "x"}, f"{corpus} line 4, id 'd1': the id was used before, at {corpus} line 1"),
        ({"_id": "e", "text": " "}, f"{corpus} line 4, id 'e': text must not be empty where there is no image"),
        ({"_id": "e", "image": "x.png"}, f"{corpus} line 4, id 'e': there is no image file {beir}/x.png"),
        ({"_id": "e", "image": 3}, f"{corpus} line 4, id 'e': image must be a path or bytes, got int"),
    ]:
        write_jsonl(corpus, [*CORPUS, record])
        assert fails(beir) == sentence
        assert sum(read_dataset(beir, "t2t", skip_bad=True).skipped.values()) == 1
    write_jsonl(corpus, CORPUS)
    for line, sentence in [
        ("q9\td1\t1", f"{qrels} line 2: the qrel names the query 'q9', which is not among the queries"),
        ("q1\td9\t1", f"{qrels} line 2: the qrel names the candidate 'd9', which is not among the candidates"),
        ("q1\td1\t0.5", f"{qrels} line 2: must be query, candidate and an integer grade "
                        "(TREC: query 0 candidate grade), got 'q1\\td1\\t0.5'"),
    ]:  # fmt: skip
        qrels.write_text(f"{HEADER}{line}\nq1\td1\t1\n")
        assert fails(beir) == sentence
        skipping = read_dataset(beir, "t2t", skip_bad=True)
        assert skipping.qrels == {"q1": {"d1": 1}} and sum(skipping.skipped.values()) == 1


def test_a_qrel_that_contradicts_an_earlier_one_is_named(beir):
    qrels = beir / "qrels" / "test.tsv"
    qrels.write_text(f"{HEADER}q1\td1\t2\nq1\td1\t2\nq1\td1\t0\n")
    assert fails(beir) == f"{qrels} line 4: the qrel of query 'q1' and candidate 'd1' has the grade 0, an earlier one 2"
    skipping = read_dataset(beir, "t2t", skip_bad=True)
    assert skipping.qrels == {"q1": {"d1": 2}}
    assert skipping.skipped == {"qrel contradicting an earlier one": 1}


def test_beir_without_parts(beir):
    qrels = beir / "qrels" / "test.tsv"
    qrels.write_text(HEADER)
    assert fails(beir) == f"{beir}: must hold queries with qrels, and candidates, got 0 and 3"
    for file in (beir / "qrels").iterdir():
        file.unlink()
    assert fails(beir) == f"{beir}: must hold qrels/<split>.tsv, got none"
    (beir / "queries.jsonl").unlink()
    assert fails(beir) == f"{beir}: must hold queries.jsonl beside corpus.jsonl, got none"


def test_plain_embeddings_pair_up_by_row_without_qrels(tmp_path):
    np.save(tmp_path / "queries.npy", np.eye(3))
    save_file({"anything": torch.eye(3, dtype=torch.bfloat16)}, tmp_path / "candidates.safetensors")
    dataset = read_dataset(tmp_path, "t2i")
    queries, candidates = dataset.embeddings
    assert queries.dtype == torch.float32 and candidates.dtype == torch.bfloat16
    assert dataset.qrels == {"0": {"0": 1}, "1": {"1": 1}, "2": {"2": 1}}
    assert not dataset.exclude_self


def test_plain_embeddings_with_ids_and_trec_qrels(tmp_path):
    save_file({"queries": torch.eye(2, 3), "candidates": torch.eye(3)}, tmp_path / "embeddings.safetensors")
    (tmp_path / "queries.ids.txt").write_text("q one\nq2\n")
    (tmp_path / "qrels.txt").write_text("q2 0 1 3\nq2 0 2 0\n")
    dataset = read_dataset(tmp_path, "t2t")
    assert dataset.queries.ids == ["q one", "q2"]
    assert dataset.qrels == {"q2": {"1": 3, "2": 0}}
    (tmp_path / "qrels.tsv").write_text("q one\t2\t1\n")
    assert read_dataset(tmp_path, "t2t").qrels == {"q one": {"2": 1}}


@pytest.mark.parametrize("dtype", [">f2", ">f4", ">f8"])
def test_embeddings_of_the_other_byte_order_are_the_same_embeddings(tmp_path, dtype):
    values = np.arange(12).reshape(4, 3)
    for name in ("queries", "candidates"):
        np.save(tmp_path / f"{name}.npy", values.astype(dtype))
    queries, _ = read_dataset(tmp_path, "t2t").embeddings
    assert queries.dtype == torch.float32 and queries.tolist() == values.tolist()


def test_plain_embeddings_faults(tmp_path):
    queries, candidates = tmp_path / "queries.npy", tmp_path / "candidates.npy"
    np.save(queries, np.eye(3, dtype=np.float32))
    assert fails(tmp_path) == f"{tmp_path}: must hold candidates.npy or candidates.safetensors, got neither"
    for array, sentence in [
        (np.eye(3, 4, dtype=np.float32), f"{tmp_path}: queries and candidates must share D, got [3, 3] and [3, 4]"),
        (np.eye(4, 3), f"{tmp_path}: without qrels.tsv there must be as many queries as candidates, got 3 and 4"),
        (np.eye(3, dtype=np.int64), f"{candidates}: must hold a float matrix [n, D], got int64 [3, 3]"),
        (np.zeros(3, dtype=np.float32), f"{candidates}: must hold a float matrix [n, D], got float32 [3]"),
        (np.array([["a"]]), f"{candidates}: must hold a float matrix [n, D], got <U1 [1, 1]"),
    ]:
        np.save(candidates, array)
        assert fails(tmp_path) == sentence
    candidates.write_bytes(b"\x93NUMPY\x01\x00")
    assert fails(tmp_path).startswith(f"{candidates}: not an .npy file that can be read: ")
    candidates.unlink()
    (tmp_path / "candidates.safetensors").write_bytes(b"short")
    assert fails(tmp_path).startswith(f"{tmp_path}/candidates.safetensors: not a .safetensors file that can be read: ")
    save_file({"a": torch.eye(3), "b": torch.eye(3)}, tmp_path / "candidates.safetensors")
    assert fails(tmp_path) == (
        f"{tmp_path}/candidates.safetensors: must hold a tensor called 'candidates', got ['a', 'b']"
    )
    save_file({"a": torch.eye(3)}, tmp_path / "candidates.safetensors")
    ids = tmp_path / "candidates.ids.txt"
    ids.write_text("a\nb\n")
    assert fails(tmp_path) == f"{ids}: must have an id for each of the 3 embeddings, got 2"
    ids.write_text("a\nb\na\n")
    assert fails(tmp_path) == f"{ids} line 3, id 'a': the id was used before, at {ids} line 1"
    ids.unlink()
    assert fails(tmp_path, split="test") == f"{tmp_path}: plain embeddings have no splits, got split='test'"

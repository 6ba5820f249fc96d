"""fastret search: every kind of file in, every form of the result out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from click.testing import Result
from safetensors.torch import save_file
from typer.testing import CliRunner

import fastret
import fastret.embed
from fastret import faiss
from fastret.cli import search as command
from fastret.embed.store import write_store

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.callback()(lambda: None)  # keeps `search` a command of its own
    command.register(app)
    return lambda *arguments: CliRunner().invoke(app, ["search", *map(str, arguments)])


class LetterEncoder:
    """A text's embedding says which of the letters a to d it has."""

    name, dim, inputs = "letters", 4, frozenset({"text"})

    def encode_texts(self, texts: list[str], **_: object) -> torch.Tensor:
        return torch.tensor([[float(letter in text) for letter in "abcd"] for text in texts])

    def describe(self) -> dict[str, str]:
        return {"model": "letters"}


@pytest.fixture
def keys() -> torch.Tensor:
    return torch.randn(30, 4, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    np.save(tmp_path / "queries.npy", np.random.default_rng(1).standard_normal((3, 4), dtype=np.float32))
    return tmp_path / "queries.npy"


def rows_of(output: str) -> list[list[str]]:
    header, *lines = output.splitlines()
    assert header.split("\t") == ["query", "rank", "id", "score"]
    return [line.split("\t") for line in lines]


def write_npy(path: Path, keys: torch.Tensor) -> None:
    with path.open("wb") as file:
        np.save(file, keys.numpy())


def write_float64_npy(path: Path, keys: torch.Tensor) -> None:
    write_npy(path, keys.double())


def write_safetensors(path: Path, keys: torch.Tensor) -> None:
    save_file({"anything": keys}, path)


def write_embeddings_beside_others(path: Path, keys: torch.Tensor) -> None:
    save_file({"embeddings": keys, "scale": torch.ones(1)}, path)


def write_flat_index(path: Path, keys: torch.Tensor) -> None:
    index = fastret.FlatIndex(4, "cosine")
    index.add(keys)
    index.save(path)


@pytest.mark.parametrize(
    "write",
    [write_npy, write_float64_npy, write_safetensors, write_embeddings_beside_others, write_flat_index],
)
def test_every_kind_of_key_file_gives_the_neighbours_of_fastret_search(
    write: Callable[[Path, torch.Tensor], None], tmp_path: Path, run: Run, keys: torch.Tensor, queries: Path
) -> None:
    write(tmp_path / "keys", keys)
    result = run("--keys", tmp_path / "keys", "--queries", queries, "-k", 5)
    assert result.exit_code == 0
    scores, ids = fastret.search(np.load(queries), keys.numpy(), 5, "cosine")
    expected = [
        [str(query), str(rank + 1), str(ids[query, rank]), f"{scores[query, rank]:.6f}"]
        for query in range(3)
        for rank in range(5)
    ]
    assert rows_of(result.stdout) == expected


@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
def test_the_metric_is_the_one_asked_for(
    metric: str, tmp_path: Path, run: Run, keys: torch.Tensor, queries: Path
) -> None:
    write_npy(tmp_path / "keys", keys)
    result = run("--keys", tmp_path / "keys", "--queries", queries, "--metric", metric, "--json")
    scores, ids = fastret.search(np.load(queries), keys.numpy(), 10, metric)
    answer = json.loads(result.stdout)
    assert answer["metric"] == metric
    for query, found in enumerate(answer["results"]):
        assert found["query"] == str(query)
        assert [neighbour["id"] for neighbour in found["neighbours"]] == [str(i) for i in ids[query]]
        assert [neighbour["score"] for neighbour in found["neighbours"]] == scores[query].tolist()


@pytest.mark.parametrize(("make", "metric"), [(faiss.IndexFlatIP, "ip"), (faiss.IndexFlatL2, "l2")])
def test_a_faiss_file_is_searched_by_its_own_metric(
    make: type[faiss.IndexFlat], metric: str, tmp_path: Path, run: Run, keys: torch.Tensor, queries: Path
) -> None:
    index = make(4)
    index.add(keys)
    faiss.write_index(index, tmp_path / "keys.index")
    answer = json.loads(run("--keys", tmp_path / "keys.index", "--queries", queries, "-k", 1, "--json").stdout)
    _, ids = index.search(np.load(queries), 1)
    assert answer["metric"] == metric
    assert [int(found["neighbours"][0]["id"]) for found in answer["results"]] == ids[:, 0].tolist()


def test_a_packed_index_file_is_searched_where_it_lies(tmp_path: Path, run: Run) -> None:
    keys = torch.randn(300, 40, generator=torch.Generator().manual_seed(2))
    index = fastret.FlatIndex(40, "cosine")
    index.add(keys, torch.arange(300) + 1000)
    index.pack()
    index.save(tmp_path / "index")
    np.save(tmp_path / "queries.npy", keys[:5].numpy())
    arguments = ("--keys", tmp_path / "index", "--queries", tmp_path / "queries.npy", "-k", 3, "--json")
    results = [json.loads(run(*arguments, *options).stdout)["results"] for options in ((), ("--mmap",))]
    assert results[0] == results[1]
    assert [result["neighbours"][0]["id"] for result in results[0]] == ["1000", "1001", "1002", "1003", "1004"]


def test_mmap_goes_with_an_index_file(tmp_path: Path, run: Run, queries: Path) -> None:
    result = run("--keys", queries, "--queries", queries, "--mmap")
    assert result.exit_code == 2
    assert "--mmap goes with an index file of fastret" in " ".join(result.stderr.split())


def test_own_ids_of_an_index_file_come_out(tmp_path: Path, run: Run, keys: torch.Tensor, queries: Path) -> None:
    index = fastret.FlatIndex(4, "l2")
    index.add(keys, torch.arange(30) * 100 + 7)
    index.save(tmp_path / "index")
    out = tmp_path / "found.npz"
    assert run("--keys", tmp_path / "index", "--queries", queries, "-k", 40, "--out", out).exit_code == 0
    scores, ids = index.search(np.load(queries), 40)
    with np.load(out) as found:
        np.testing.assert_array_equal(found["ids"], ids)
        np.testing.assert_array_equal(found["scores"], scores)
        assert found["query_names"].tolist() == ["0", "1", "2"]
        assert "key_names" not in found
    assert (ids[:, 30:] == -1).all()


def test_words_are_searched_in_a_store_and_names_come_out(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_store(tmp_path / "store", LetterEncoder(), ["first", "second"], texts=["ab", "cd"], progress=False)
    monkeypatch.setattr(fastret.embed, "load_encoder", lambda name, **_: LetterEncoder())
    result = run("--keys", tmp_path / "store", "--text", "b", "--text", "cde", "--model", "letters", "-k", 1)
    assert rows_of(result.stdout) == [["b", "1", "first", "0.707107"], ["cde", "1", "second", "1.000000"]]
    out = tmp_path / "found.npz"
    run("--keys", tmp_path / "store", "--text", "b", "--model", "letters", "-k", 1, "--out", out)
    with np.load(out) as found:
        assert found["key_names"].tolist() == ["first", "second"]
        assert found["query_names"].tolist() == ["b"]


def test_a_store_that_was_altered_is_not_searched(tmp_path: Path, run: Run, queries: Path) -> None:
    write_store(tmp_path / "store", LetterEncoder(), ["first", "second"], texts=["ab", "cd"], progress=False)
    shard = tmp_path / "store" / "embeddings-00000.safetensors"
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    result = run("--keys", tmp_path / "store", "--queries", queries)
    assert isinstance(result.exception, ValueError)
    assert str(result.exception).startswith(f"open_store: the shard {shard} was altered")


class ModelOfAStore(LetterEncoder):
    def __init__(self, family: str = "letters", pooling: str = "last") -> None:
        self.family, self.pooling = family, pooling

    def describe(self) -> dict[str, str]:
        facts = {"model": "a/b", "family": self.family, "revision": "abc", "prompt": "summary", "dtype": "float32"}
        return facts | {"pooling": self.pooling}


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, object]]]:
    """What load_encoder was asked for; the model "other" is of another family."""
    calls: list[tuple[str, dict[str, object]]] = []

    def load_encoder(name: str, **options: object) -> ModelOfAStore:
        calls.append((name, options))
        return ModelOfAStore(family=name if name == "other" else "letters")

    monkeypatch.setattr(fastret.embed, "load_encoder", load_encoder)
    return calls


def test_words_are_embedded_as_the_store_was_made(
    tmp_path: Path, run: Run, loaded: list[tuple[str, dict[str, object]]]
) -> None:
    for store, pooling in (("last", "last"), ("dual", "model")):
        write_store(tmp_path / store, ModelOfAStore(pooling=pooling), ["x"], texts=["ab"], progress=False)
    assert run("--keys", tmp_path / "last", "--text", "a").exit_code == 0
    as_made = {"pooling": "last", "prompt": "summary", "dtype": "float32", "revision": "abc"}
    assert loaded.pop() == ("a/b", as_made)
    run("--keys", tmp_path / "dual", "--text", "a")  # a dual encoder takes no pooling
    assert loaded.pop() == ("a/b", {name: value for name, value in as_made.items() if name != "pooling"})
    run("--keys", tmp_path / "last", "--text", "a", "--model", "folder", "--prompt", "query: {}", "--device", "cpu")
    expected = {"pooling": "last", "prompt": "query: {}", "dtype": "float32", "device": "cpu"}
    assert loaded.pop() == ("folder", expected)


def test_words_of_another_model_are_refused(
    tmp_path: Path, run: Run, loaded: list[tuple[str, dict[str, object]]]
) -> None:
    write_store(tmp_path / "store", ModelOfAStore(), ["x"], texts=["ab"], progress=False)
    result = run("--keys", tmp_path / "store", "--text", "a", "--model", "other")
    assert isinstance(result.exception, ValueError)
    assert str(result.exception) == (
        "queries must be embedded by the model that made the store of keys, a/b of family 'letters', "
        "got a/b of family 'other'"
    )
    write_store(tmp_path / "other", ModelOfAStore("other"), ["x"], texts=["ab"], progress=False)
    result = run("--keys", tmp_path / "store", "--queries", tmp_path / "other")
    assert isinstance(result.exception, ValueError) and "got a/b of family 'other'" in str(result.exception)
    write_store(tmp_path / "queries", ModelOfAStore(pooling="mean"), ["x"], texts=["ab"], progress=False)
    assert run("--keys", tmp_path / "store", "--queries", tmp_path / "queries").exit_code == 0


def test_words_for_plain_keys_take_the_options_of_a_model(
    tmp_path: Path, run: Run, keys: torch.Tensor, loaded: list[tuple[str, dict[str, object]]]
) -> None:
    write_npy(tmp_path / "keys", keys)
    options = {"pooling": "mean", "prompt": "query: {}", "dtype": "bfloat16", "device": "cpu"}
    arguments = [argument for name, value in options.items() for argument in (f"--{name}", value)]
    result = run("--keys", tmp_path / "keys", "--text", "a", "--model", "m", "--k", 3, *arguments)
    assert len(rows_of(result.stdout)) == 3
    assert loaded == [("m", options)]


def test_a_trec_run_ranks_larger_scores_first(tmp_path: Path, run: Run, keys: torch.Tensor, queries: Path) -> None:
    write_npy(tmp_path / "keys", keys)
    out = tmp_path / "run.trec"
    result = run("--keys", tmp_path / "keys", "--queries", queries, "--metric", "l2", "-k", 4, "--out", out)
    assert result.stdout == f"written: {out} (queries: 3, keys: 30)\n"
    scores, ids = fastret.search(np.load(queries), keys.numpy(), 4, "l2")
    lines = [line.split() for line in out.read_text().splitlines()]
    assert [(line[0], line[1], line[3], line[5]) for line in lines] == [
        (str(query), "Q0", str(rank), "fastret") for query in range(3) for rank in range(1, 5)
    ]
    assert [int(line[2]) for line in lines] == ids.ravel().tolist()
    np.testing.assert_array_equal(np.float32([line[4] for line in lines]), -scores.ravel())


def test_json_on_disk_is_json_on_the_terminal(tmp_path: Path, run: Run, keys: torch.Tensor, queries: Path) -> None:
    write_npy(tmp_path / "keys", keys)
    out = tmp_path / "found.json"
    result = run("--keys", tmp_path / "keys", "--queries", queries, "--out", out, "--json")
    assert json.loads(out.read_text()) == json.loads(result.stdout)


def test_json_writes_an_infinite_score_as_null(tmp_path: Path, run: Run) -> None:
    np.save(tmp_path / "keys.npy", np.array([[np.inf], [1.0]], dtype=np.float32))
    np.save(tmp_path / "queries.npy", np.ones((1, 1), dtype=np.float32))
    result = run("--keys", tmp_path / "keys.npy", "--queries", tmp_path / "queries.npy", "--metric", "ip", "--json")
    assert [found["score"] for found in json.loads(result.stdout)["results"][0]["neighbours"]] == [None, 1.0]


def test_no_key_and_no_query_are_answered(tmp_path: Path, run: Run, queries: Path) -> None:
    np.save(tmp_path / "none.npy", np.empty((0, 4), dtype=np.float32))
    assert rows_of(run("--keys", tmp_path / "none.npy", "--queries", queries).stdout) == []
    assert rows_of(run("--keys", queries, "--queries", tmp_path / "none.npy").stdout) == []


def test_help_ends_with_examples(run: Run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert result.stdout.index("Examples") > result.stdout.index("--json")
    assert "--keys keys.npy" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--keys", "keys.npy"],
        ["--keys", "keys.npy", "--text", "words"],
        ["--keys", "keys.npy", "--queries", "q.npy", "--text", "words", "--model", "minilm"],
        ["--keys", "keys.npy", "--queries", "q.npy", "--model", "minilm"],
        ["--keys", "keys.npy", "--queries", "q.npy", "--prompt", "summary"],
        ["--keys", "keys.npy", "--queries", "q.npy", "-k", "0"],
        ["--keys", "keys.npy", "--queries", "q.npy", "--metric", "dot"],
        ["--keys", "keys.npy", "--queries", "q.npy", "--out", "found.csv"],
        ["--queries", "q.npy"],
    ],
)
def test_bad_usage_exits_with_2_before_any_file_is_read(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "Usage" in result.stderr


def test_what_cannot_be_searched_is_named(tmp_path: Path, run: Run, queries: Path) -> None:
    def sentence(name: str, *more: object) -> str:
        result = run("--keys", tmp_path / name, "--queries", queries, *more)
        assert isinstance(result.exception, (ValueError, OSError, RuntimeError))
        return str(result.exception).replace(str(tmp_path) + "/", "")

    assert "No such file or directory: 'missing'" in sentence("missing")

    (tmp_path / "words").write_text("these are no vectors")
    assert sentence("words") == ("words: must be .npy, .safetensors, a store, or an index file of fastret or FAISS")

    (tmp_path / "hnsw.faiss").write_bytes(b"IHNf" + bytes(40))
    assert sentence("hnsw.faiss") == (
        "read_index: hnsw.faiss was truncated, altered or is no index: it ends at byte 44, 1 more are promised"
    )

    (tmp_path / "empty").mkdir()
    assert "empty is not an embedding store" in sentence("empty")

    np.save(tmp_path / "integers.npy", np.ones((3, 4), dtype=np.int64))
    assert sentence("integers.npy") == "integers.npy: must hold a float matrix [n, D], got int64 [3, 4]"

    (tmp_path / "cut.npy").write_bytes(queries.read_bytes()[:-4])
    assert sentence("cut.npy").startswith("cut.npy: not an .npy file that can be read: ")

    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    assert sentence("objects.npy").startswith("objects.npy: not an .npy file that can be read: ")

    save_file({"a": torch.ones(1, 4), "b": torch.ones(1, 4)}, tmp_path / "two.safetensors")
    assert sentence("two.safetensors") == "two.safetensors: must hold a tensor called 'embeddings', got ['a', 'b']"

    save_file({"a": torch.ones(4)}, tmp_path / "flat.safetensors")
    assert sentence("flat.safetensors") == "flat.safetensors: must hold a float matrix [n, D], got float32 [4]"

    np.save(tmp_path / "wide.npy", np.ones((3, 5), dtype=np.float32))
    assert sentence("wide.npy") == "search: queries and keys must share D, got [3, 4] and [3, 5]"

    write_flat_index(tmp_path / "index", torch.ones(2, 4))
    assert sentence("index", "--metric", "ip") == "--metric ip was asked for, the index was built for cosine"


def test_a_name_with_blanks_is_no_trec_name(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "keys.npy", np.eye(4, dtype=np.float32))
    monkeypatch.setattr(fastret.embed, "load_encoder", lambda name, **_: LetterEncoder())
    out = tmp_path / "run.trec"
    result = run("--keys", tmp_path / "keys.npy", "--text", "a b", "--model", "letters", "--out", out)
    assert str(result.exception).startswith("a TREC run has no room for blanks in names, got 'a b' and")
    assert not out.exists()

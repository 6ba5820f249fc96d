"""From a folder of images to results on disk, with an encoder whose answers are known."""

from __future__ import annotations

import csv
import io
import json
import math

import numpy as np
import pytest
import pytrec_eval
import torch
from PIL import Image
from rich.console import Console

import fastret
from fastret.evaluate import (
    Collection,
    Dataset,
    compare,
    compare_all,
    comparisons_table,
    embed_collection,
    evaluate_embeddings,
    evaluate_encoder,
    read_dataset,
    results_table,
    run_study,
    write_results,
)


def plain_dataset(queries, candidates, qrels, **more):
    def side(n):
        return Collection([str(i) for i in range(n)], [None] * n, [None] * n)

    return Dataset("plain", "t2t", side(queries), side(candidates), qrels, **more)


def test_a_study_of_two_models_and_two_tasks(colour_folder, colour_encoder, tmp_path):
    good, bad = colour_encoder("good"), colour_encoder("org/off by one", shift=1)
    study = run_study(colour_folder, [good, bad], ["t2i", "i2t"], ks=(1, 3), progress=False)
    assert [(e.model, e.task) for e in study.evaluations] == [
        ("good", "t2i"), ("org/off by one", "t2i"), ("good", "i2t"), ("org/off by one", "i2t"),
    ]  # fmt: skip
    assert study.evaluations[0].metrics["recall@1"] == study.evaluations[0].metrics["mrr"] == 1
    assert study.evaluations[1].metrics["recall@1"] == 0
    assert study.evaluations[2].metrics["recall@1"] == 0.5 and study.evaluations[2].metrics["hit@1"] == 1
    # Images and captions are embedded once for both tasks.
    assert good.calls == [("texts", 12), ("images", 6)]
    recall = next(c for c in study.comparisons if c.task == "t2i" and c.measure == "recall@1")
    assert (recall.value_a, recall.value_b, recall.difference, recall.interval) == (1, 0, 1, (1, 1))
    assert recall.p_value == recall.p_value_holm == pytest.approx(2 / 2**12)

    written = write_results(tmp_path / "out", study.evaluations, study.comparisons)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results == json.loads(json.dumps(written))
    assert results["schema_version"] == 1 and results["fastret"] == fastret.build_info()
    entry = results["evaluations"][1]
    assert entry["dataset"] == {
        "name": "squares", "queries": 12, "candidates": 6, "queries_evaluated": 12, "queries_without_relevant": 0,
        "relevant_pairs": 12, "exclude_self": False, "skipped": {},
        "queries_not_finite": 0, "candidates_not_finite": 0,
    }  # fmt: skip
    assert entry["model_description"] == {"model": "org/off by one", "shift": "1"}
    assert set(entry["timings"]) == {"embed_s", "search_s", "rank_s", "statistics_s"}
    assert set(results["comparisons"][0]) == {
        "model_a", "model_b", "task", "measure", "value_a", "value_b", "difference", "low", "high", "p_value",
        "p_value_holm", "queries", "seed",
    }  # fmt: skip
    assert entry["files"] == {"run": "runs/org-off-by-one.t2i.trec", "per_query": "per_query/org-off-by-one.t2i.csv"}
    for name in ("run", "per_query"):
        assert (tmp_path / "out" / entry["files"][name]).stat().st_size > 0
    assert not list((tmp_path / "out").rglob("*.tmp"))


def test_trec_run_and_per_query_csv_agree_with_the_metrics(tmp_path):
    torch.manual_seed(0)
    dataset = plain_dataset(30, 80, {str(q): {str(q): 2, str(q + 30): 1} for q in range(0, 30, 2)})
    evaluation = evaluate_embeddings(
        torch.randn(30, 8), torch.randn(80, 8), dataset, model="a model", metric="l2", ks=(1, 5)
    )
    assert evaluation.dataset["queries_evaluated"] == evaluation.dataset["queries_without_relevant"] == 15
    files = write_results(tmp_path, [evaluation])["evaluations"][0]["files"]
    run: dict[str, dict[str, float]] = {}
    lines = (tmp_path / files["run"]).read_text().splitlines()
    for query, q0, candidate, rank, score, tag in map(str.split, lines):
        assert (q0, tag) == ("Q0", "a%20model")
        run.setdefault(query, {})[candidate] = float(score)
        assert int(rank) == len(run[query])
    assert len(lines) == 15 * 80
    oracle = pytrec_eval.RelevanceEvaluator(dataset.qrels, {"recall_5", "ndcg_cut_5", "map", "recip_rank"}).evaluate(
        run
    )
    names = {"recall@5": "recall_5", "ndcg@5": "ndcg_cut_5", "map": "map", "mrr": "recip_rank"}
    for name, trec_name in names.items():
        assert evaluation.metrics[name] == pytest.approx(np.mean([oracle[q][trec_name] for q in oracle])), name
        low, high = evaluation.intervals[name]
        assert low <= evaluation.metrics[name] <= high
    with (tmp_path / files["per_query"]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["query_id"] for row in rows] == evaluation.query_ids == [str(q) for q in range(0, 30, 2)]
    assert np.mean([float(row["recall@5"]) for row in rows]) == evaluation.metrics["recall@5"]
    assert {row["relevant_candidates"] for row in rows} == {"2"}


def test_all_equal_scores_rank_by_position_and_are_reported_as_ties():
    dataset = plain_dataset(4, 4, {str(i): {str(i): 1} for i in range(4)})
    evaluation = evaluate_embeddings(torch.ones(4, 2), torch.ones(4, 2), dataset, model="flat", ks=(1, 4))
    assert evaluation.per_query["first_rank"].tolist() == [1, 2, 3, 4]
    assert evaluation.per_query["first_rank_optimistic"].tolist() == [1] * 4
    assert evaluation.per_query["first_rank_pessimistic"].tolist() == [4] * 4
    assert evaluation.per_query["tied_candidates"].tolist() == [3] * 4
    assert evaluation.tie_dependent_share == 1
    assert evaluation.metrics["recall@1"] == 0.25 and evaluation.metrics["recall@4"] == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_query_itself_is_left_out_of_run_and_ranks(dtype):
    torch.manual_seed(1)
    embeddings = torch.randn(20, 6).to(dtype)
    qrels = {str(i): {str(i ^ 1): 1} for i in range(20)}
    dataset = plain_dataset(20, 20, qrels, exclude_self=True)
    evaluation = evaluate_embeddings(embeddings, embeddings, dataset, model="m")
    for query in range(20):
        found = [candidate for candidate, _ in evaluation.run.of_query(query)]
        assert len(found) == 19 and str(query) not in found
        assert found.index(str(query ^ 1)) + 1 == evaluation.per_query["first_rank"][query]
    including = evaluate_embeddings(embeddings, embeddings, plain_dataset(20, 20, qrels), model="m")
    assert (including.per_query["first_rank"] == evaluation.per_query["first_rank"] + 1).all()


def test_nan_embeddings_are_never_retrieved_and_results_stay_json(tmp_path):
    candidates = torch.eye(3)
    candidates[0] = torch.nan
    dataset = plain_dataset(3, 3, {str(i): {str(i): 1} for i in range(3)})
    evaluation = evaluate_embeddings(torch.eye(3), candidates, dataset, model="m", ks=(1,))
    assert evaluation.metrics["recall@1"] == pytest.approx(2 / 3)
    assert math.isinf(evaluation.metrics["mean_rank"]) and evaluation.metrics["median_rank"] == 1
    write_results(tmp_path, [evaluation])
    metrics = json.loads((tmp_path / "results.json").read_text())["evaluations"][0]["metrics"]
    assert metrics["mean_rank"] == {"value": None, "low": None, "high": None}


def test_embeddings_that_are_not_finite_are_counted_and_remarked_on(tmp_path):
    queries, candidates = np.eye(4, dtype=np.float32), np.eye(4, dtype=np.float32)
    queries[0, 1], candidates[1, 2], candidates[2, 3] = np.inf, np.nan, -np.inf
    np.save(tmp_path / "queries.npy", queries)
    np.save(tmp_path / "candidates.npy", candidates)
    study = run_study(tmp_path)
    facts = study.evaluations[0].dataset
    assert (facts["queries_not_finite"], facts["candidates_not_finite"]) == (1, 2)
    name = f"{tmp_path.name}, embeddings, {tmp_path.name}"
    assert f"{name}: NaN or infinity in the embeddings of 1 query and 2 candidates" in study.remarks()


def test_numpy_embeddings_are_evaluated_and_other_kinds_and_dtypes_named():
    dataset = plain_dataset(3, 3, {str(i): {str(i): 1} for i in range(3)})
    embeddings = np.eye(3, dtype=np.float32)
    assert evaluate_embeddings(embeddings, embeddings, dataset, model="m").metrics["recall@1"] == 1
    for queries, candidates, sentence in (
        (embeddings, embeddings.astype(np.float64), "candidate_embeddings must be float32, .* got float64"),
        (embeddings.astype(np.int64), embeddings, "query_embeddings must be float32, .* got int64"),
        (embeddings.tolist(), embeddings, "query_embeddings must be a torch tensor, .* got list"),
    ):
        with pytest.raises(TypeError, match=f"^evaluate_embeddings: {sentence}$"):
            evaluate_embeddings(queries, candidates, dataset, model="m")


def test_equal_model_names_get_files_of_their_own(tmp_path):
    dataset = plain_dataset(2, 2, {"0": {"0": 1}, "1": {"1": 1}})
    evaluation = evaluate_embeddings(torch.eye(2), torch.eye(2), dataset, model="a/b")
    entries = write_results(tmp_path, [evaluation, evaluation])["evaluations"]
    assert [entry["files"]["run"] for entry in entries] == ["runs/a-b.t2t.trec", "runs/a-b.t2t.2.trec"]


def test_a_failed_write_leaves_the_old_results(tmp_path, monkeypatch):
    dataset = plain_dataset(2, 2, {"0": {"0": 1}, "1": {"1": 1}})
    evaluation = evaluate_embeddings(torch.eye(2), torch.eye(2), dataset, model="m")
    write_results(tmp_path, [evaluation])
    before = (tmp_path / "results.json").read_bytes()

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write_results(tmp_path, [evaluation, evaluation])
    assert (tmp_path / "results.json").read_bytes() == before
    assert not list(tmp_path.rglob("*.tmp"))


def test_shapes_that_do_not_fit_the_data_set():
    dataset = plain_dataset(2, 3, {"0": {"0": 1}})
    with pytest.raises(
        ValueError, match=r"^evaluate_embeddings: embeddings must be matrices that share D, got \[2, 4\] and \[3, 5\]$"
    ):
        evaluate_embeddings(torch.ones(2, 4), torch.ones(3, 5), dataset, model="m")
    with pytest.raises(
        ValueError, match=r"plain has 2 queries and 3 candidates, got embeddings \[3, 4\] and \[3, 4\]$"
    ):
        evaluate_embeddings(torch.ones(3, 4), torch.ones(3, 4), dataset, model="m")
    with pytest.raises(ValueError, match=r"^evaluate: metric must be one of ip, cosine, l2, got 'dot'$"):
        evaluate_embeddings(torch.ones(2, 4), torch.ones(3, 4), dataset, model="m", metric="dot")


def test_compare_refuses_other_queries_and_medians():
    first = evaluate_embeddings(torch.eye(2), torch.eye(2), plain_dataset(2, 2, {"0": {"0": 1}}), model="a")
    other = evaluate_embeddings(torch.eye(2), torch.eye(2), plain_dataset(2, 2, {"1": {"1": 1}}), model="b")
    with pytest.raises(ValueError, match=r"^compare: both evaluations must be of the same queries and task, got a on"):
        compare(first, other)
    with pytest.raises(ValueError, match=r"^compare: the measure must be a mean over queries, got 'median_rank'$"):
        compare(first, first, "median_rank")


def test_three_models_are_compared_with_holm_correction():
    rng = np.random.default_rng(0)
    dataset = plain_dataset(60, 60, {str(i): {str(i): 1} for i in range(60)})
    target = torch.from_numpy(rng.standard_normal((60, 8)).astype(np.float32))
    evaluations = []
    for noise in (0.1, 1.0, 1.2):
        queries = target + noise * torch.from_numpy(rng.standard_normal((60, 8)).astype(np.float32))
        evaluations.append(evaluate_embeddings(queries, target, dataset, model=f"noise {noise}"))
    family = compare_all(evaluations, ["mrr"])
    assert [(c.model_a, c.model_b) for c in family] == [
        ("noise 0.1", "noise 1.0"), ("noise 0.1", "noise 1.2"), ("noise 1.0", "noise 1.2"),
    ]  # fmt: skip
    assert all(c.p_value <= c.p_value_holm <= 3 * c.p_value + 1e-12 for c in family)
    assert family[0].p_value_holm < 0.01 < family[2].p_value_holm
    for c in family:
        assert c.difference == pytest.approx(c.value_a - c.value_b)
        assert c.interval[0] <= c.difference <= c.interval[1]


def test_items_are_embedded_as_what_they_carry_and_in_order(colour_encoder, tmp_path, square):
    encoded = square(tmp_path / "red.png", "red").read_bytes()
    blue = Image.open(square(tmp_path / "blue.png", "blue"))
    collection = Collection(["a", "b", "c", "d"], ["in green", None, "in red", None], [None, encoded, blue, blue])
    encoder = colour_encoder()
    embeddings = embed_collection(encoder, collection, progress=False)
    assert embeddings.tolist() == [[10, 250, 10], [250, 10, 10], [260, 20, 260], [10, 10, 250]]
    assert encoder.calls[:2] == [("texts", 1), ("images", 2)]


def test_a_model_that_lacks_an_input_gets_one_sentence(colour_folder, colour_encoder):
    text_only = colour_encoder("texts-only", inputs=("text",))
    dataset = read_dataset(colour_folder, "t2i")
    sentence = (
        r"^embed_collection: the task needs a model that takes images \(item 'images/red.png'\), "
        r"got texts-only, which takes texts$"
    )
    with pytest.raises(ValueError, match=sentence):
        evaluate_encoder(text_only, dataset)
    with pytest.raises(ValueError, match=sentence):
        run_study(colour_folder, [text_only], ["t2i"])
    assert text_only.calls == []  # before any work
    with pytest.raises(ValueError, match=r"items must have a text or an image, got none for '0'$"):
        embed_collection(text_only, plain_dataset(1, 1, {}).queries)


def test_mixed_candidates_end_to_end(colour_folder, colour_encoder):
    evaluation = evaluate_encoder(colour_encoder(), read_dataset(colour_folder, "t2it"), progress=False, ks=(2,))
    assert evaluation.metrics["recall@2"] == 1  # the image and the other caption, the query itself left out
    assert len(list(evaluation.run.of_query(0))) == 17


def test_the_cache_saves_embedding_again(colour_folder, colour_encoder, tmp_path):
    arguments = {"tasks": ["t2i"], "cache": tmp_path / "cache", "progress": False}
    first, second, other = colour_encoder("m"), colour_encoder("m"), colour_encoder("m", shift=1)
    before = run_study(colour_folder, [first], **arguments).evaluations[0]
    after = run_study(colour_folder, [second], **arguments).evaluations[0]
    assert first.calls and second.calls == []
    assert before.metrics == after.metrics
    # Another describe() is another entry, and so is an edited caption.
    assert run_study(colour_folder, [other], **arguments).evaluations[0].metrics["recall@1"] == 0
    metadata = colour_folder / "metadata.jsonl"
    metadata.write_text(metadata.read_text().replace("plain red", "plain blue"))
    third = colour_encoder("m")
    run_study(colour_folder, [third], **arguments)
    assert third.calls == [("texts", 12)]


def refuse_wide(images, return_tensors):
    """An image processor that takes squares of 8 x 8 only."""
    if images[0].width > 8:
        raise ValueError("it is too wide")


@pytest.mark.parametrize("task", ["t2i", "i2t", "t2it"])
def test_an_image_that_one_model_refuses_is_left_out_for_all_of_them(colour_folder, colour_encoder, task):
    Image.new("RGB", (16, 8), (10, 10, 250)).save(colour_folder / "images" / "blue.png")
    picky, other = colour_encoder("picky"), colour_encoder("other")
    picky.image_processor = refuse_wide
    study = run_study(colour_folder, [other, picky], [task], skip_bad=True, progress=False)
    for evaluation in study.evaluations:
        assert evaluation.dataset["skipped"] == {"image that the model does not take": 1}
        assert not any("blue" in id_ for id_ in [*evaluation.query_ids, *evaluation.run.candidate_ids])
    assert f"squares, {task}: 1 record left out: image that the model does not take" in study.remarks()
    assert dict(other.calls)["images"] == 5
    without_images = run_study(colour_folder, [picky], ["t2t"], skip_bad=True, progress=False)
    assert without_images.evaluations[0].dataset["skipped"] == {}


def test_items_whose_image_a_model_refuses_are_left_out(tmp_path, write_jsonl, square, colour_encoder):
    square(tmp_path / "red.png", "red")
    Image.new("RGB", (16, 8)).save(tmp_path / "wide.png")
    write_jsonl(tmp_path / "corpus.jsonl", [{"_id": "a", "image": "red.png"}, {"_id": "b", "image": "wide.png"}])
    write_jsonl(tmp_path / "queries.jsonl", [{"_id": "q", "text": "red"}])
    (tmp_path / "qrels.tsv").write_text("q\ta\t1\nq\tb\t1\n")
    encoder = colour_encoder()
    encoder.image_processor = refuse_wide
    (evaluation,) = run_study(tmp_path, [encoder], ["t2i"], skip_bad=True, progress=False).evaluations
    assert evaluation.run.candidate_ids == ["a"] and evaluation.dataset["relevant_pairs"] == 1
    Image.new("RGB", (16, 8)).save(tmp_path / "red.png")
    with pytest.raises(ValueError, match=r"must hold queries with qrels, and candidates, got 1 and 0$"):
        run_study(tmp_path, [encoder], ["t2i"], skip_bad=True, progress=False)


def test_the_bar_of_a_cached_embedding_says_what_is_embedded(colour_folder, colour_encoder, tmp_path, capsys):
    run_study(colour_folder, [colour_encoder("m")], ["t2i"], cache=tmp_path / "cache", progress=True)
    bars = capsys.readouterr().err
    assert "m t2i queries" in bars and "m t2i candidates" in bars


def test_a_study_that_cannot_be(colour_folder, colour_encoder, tmp_path):
    for models, tasks, counts in (([], ["t2i"], "0 and 1"), ([colour_encoder()], [], "1 and 0")):
        sentence = rf"^run_study: squares holds texts or images, .* at least one model and one task, got {counts}$"
        with pytest.raises(ValueError, match=sentence):
            run_study(colour_folder, models, tasks)
    for wrong, sentence in (
        ({"ks": [0]}, r"^evaluate: the cut-offs k must be integers of at least 1, got \[0\]$"),
        ({"ks": [1.5]}, r"^evaluate: the cut-offs k must be integers of at least 1, got \[1.5\]$"),
        ({"ks": "a"}, r"^evaluate: the cut-offs k must be integers of at least 1, got 'a'$"),
        ({"ks": 5}, r"^evaluate: the cut-offs k must be integers of at least 1, got 5$"),
        ({"metric": "dot"}, r"^evaluate: metric must be one of ip, cosine, l2, got 'dot'$"),
    ):
        encoder = colour_encoder()
        with pytest.raises(ValueError, match=sentence):
            run_study(colour_folder, [encoder], ["t2i"], **wrong)
        assert encoder.calls == []
    np.save(tmp_path / "queries.npy", np.eye(2))
    np.save(tmp_path / "candidates.npy", np.eye(2))
    with pytest.raises(ValueError, match=r"^run_study: .* holds embeddings already, so it takes no models, got 1$"):
        run_study(tmp_path, [colour_encoder()])


def test_plain_embeddings_need_neither_model_nor_task(tmp_path):
    np.save(tmp_path / "queries.npy", np.eye(4)[:3])
    np.save(tmp_path / "candidates.npy", np.eye(4))
    (tmp_path / "qrels.tsv").write_text("0\t0\t1\n1\t3\t1\n")
    study = run_study(tmp_path, ks=(1,))
    (evaluation,) = study.evaluations
    assert (evaluation.model, evaluation.task, study.comparisons) == (tmp_path.name, "embeddings", [])
    assert evaluation.metrics["recall@1"] == 0.5
    assert study.remarks()[1].endswith("embeddings: 1 query without relevant candidates left out")
    assert run_study(tmp_path, tasks=["t2i"]).evaluations[0].task == "t2i"


def test_exclude_self_can_be_chosen(colour_folder, colour_encoder):
    def first_ranks(**options):
        study = run_study(colour_folder, [colour_encoder()], ["t2t"], progress=False, **options)
        return study.evaluations[0].per_query["first_rank"].tolist()

    assert first_ranks() == first_ranks(exclude_self=True) == [1.0] * 12
    assert (
        first_ranks(exclude_self=False) == [2.0, 1.0] * 6
    )  # the query ties with its sibling; the smaller row is first


def test_a_name_that_looks_like_markup_is_a_name(colour_folder, colour_encoder):
    names = ("models/z[/y]", "[red]a[/red]")
    study = run_study(colour_folder, [colour_encoder(name) for name in names], ["t2i"], progress=False)
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(results_table(study.evaluations))
    console.print(comparisons_table(study.comparisons))
    text = console.export_text()
    table = text.partition("difference")[0]
    assert names[0] in table and names[1] in table and f"{names[0]} - {names[1]}" in text


def test_tables_name_every_model_and_metric(colour_folder, colour_encoder):
    study = run_study(colour_folder, [colour_encoder("one"), colour_encoder("two", shift=1)], ["i2t"], progress=False)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(results_table(study.evaluations))
    console.print(comparisons_table(study.comparisons))
    text = console.export_text()
    for word in ("one", "two", "recall@1", "hit@10", "map", "i2t", "one - two", "+50.0"):
        assert word in text, word
    assert study.remarks()[0] == "squares, i2t: 6 queries, 12 candidates"
    assert any("first relevant ranks depend on how ties are broken" in remark for remark in study.remarks())

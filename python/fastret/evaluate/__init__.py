"""Retrieval evaluation: data set readers, exact tie-aware metrics, intervals, paired tests and result files.

    dataset = read_dataset("path/to/imagefolder", task="t2i")
    evaluation = evaluate_encoder(load_encoder("openai/clip-vit-base-patch32"), dataset)
    write_results("runs/first", [evaluation])

`run_study` does all of it for several models and tasks, as the command `fastret evaluate` does.
"""

from __future__ import annotations

from .comparison import Comparison, compare, compare_all
from .dataset import Collection, Dataset
from .encoding import embed_collection
from .evaluation import Evaluation, evaluate_embeddings
from .postprocess import Centring, ReAlign
from .readers import read_dataset
from .results import results_dict, write_results
from .study import Study, evaluate_encoder, run_study
from .table import comparisons_table, results_table

__all__ = [
    "Centring",
    "Collection",
    "Comparison",
    "Dataset",
    "Evaluation",
    "ReAlign",
    "Study",
    "compare",
    "compare_all",
    "comparisons_table",
    "embed_collection",
    "evaluate_embeddings",
    "evaluate_encoder",
    "read_dataset",
    "results_dict",
    "results_table",
    "run_study",
    "write_results",
]

"""sentence-transformers: hard negatives, and semantic search over quantized embeddings, of a small random model."""

from __future__ import annotations

import json

import faiss
import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from sentence_transformers.util import mine_hard_negatives
from sentence_transformers.util.quantization import quantize_embeddings, semantic_search_faiss
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

random = np.random.default_rng(0)
words = [f"word{i}" for i in range(200)]
tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(["[UNK]", *words])}, unk_token="[UNK]"))
tokenizer.pre_tokenizer = Whitespace()
weights = random.standard_normal((len(words) + 1, 32)).astype(np.float32)
model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu")
torch.set_num_threads(1)

texts = [" ".join(random.choice(words, 8)) for _ in range(120)]
pairs = Dataset.from_dict({"query": [" ".join(text.split()[:5]) for text in texts], "answer": texts})
answers: dict[str, object] = {"faiss": faiss.__version__}
for name, options in {
    "plain": {"num_negatives": 3},
    "margins": {"num_negatives": 2, "range_min": 2, "range_max": 40, "relative_margin": 0.05, "max_score": 0.9},
    "scores": {"num_negatives": 4, "output_format": "n-tuple", "output_scores": True, "faiss_batch_size": 50},
}.items():
    mined = mine_hard_negatives(pairs, model, use_faiss=True, verbose=False, **options)
    answers[name] = mined.to_dict()

embeddings = model.encode(texts, normalize_embeddings=True)
queries = model.encode(pairs["query"], normalize_embeddings=True)
for precision in ("float32", "uint8", "ubinary"):
    corpus = quantize_embeddings(embeddings, precision=precision, calibration_embeddings=embeddings)
    for exact in (True, False) if precision != "ubinary" else (True,):
        found, _ = semantic_search_faiss(
            queries,
            corpus_embeddings=corpus,
            corpus_precision=precision,
            top_k=5,
            calibration_embeddings=embeddings,
            rescore=precision != "float32",
            exact=exact,
        )
        answers[f"{precision}, exact={exact}"] = found

print(json.dumps(answers))

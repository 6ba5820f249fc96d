"""contrib.ivf_tools and contrib.ondisk beside FAISS's."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastret.faiss as ours
from fastret.faiss.contrib import ivf_tools, ondisk

theirs = pytest.importorskip("faiss")
MODULES = (
    (ours, ivf_tools, ondisk),
    (theirs, importlib.import_module("faiss.contrib.ivf_tools"), importlib.import_module("faiss.contrib.ondisk")),
)
D, NLIST = 8, 6


def vectors(n: int = 300) -> np.ndarray:
    return np.random.default_rng(2).standard_normal((n, D), dtype=np.float32)


def trained(module: Any) -> Any:
    index = module.IndexIVFFlat(module.IndexFlatL2(D), D, NLIST)
    index.cp.min_points_per_centroid = 1
    index.train(vectors())
    index.nprobe = 2
    return index


def same(answers: list[tuple[np.ndarray, ...]]) -> None:
    for mine, wanted in zip(*answers, strict=True):
        assert np.allclose(mine, wanted, rtol=1e-5, atol=1e-5)


def test_lists_are_chosen_by_the_caller() -> None:
    chosen = np.random.default_rng(0).integers(0, NLIST, 300)
    ids = np.arange(300) + 50  # FAISS's function does not keep it alive
    found, in_range = [], []
    for module, tools, _ in MODULES:
        index = trained(module)
        tools.add_preassigned(index, vectors(), chosen, ids)
        assert [index.get_list_size(i) for i in range(NLIST)] == np.bincount(chosen, minlength=NLIST).tolist()
        lists = np.tile(np.array([[1, 4]]), (20, 1))
        found.append(tools.search_preassigned(index, vectors(20), 5, lists))
        in_range.append(tools.range_search_preassigned(index, vectors(20), 6.0, lists)[:1])
    same(found)
    same(in_range)
    with pytest.raises(AssertionError, match=r"a must be \[300\], got \[4\]"):
        ivf_tools.add_preassigned(trained(ours), vectors(), chosen[:4])


def test_quantizers_are_replaced_and_lists_permuted() -> None:
    found = []
    for module, tools, _ in MODULES:
        index = trained(module)
        index.add(vectors())
        wanted = index.search(vectors(), 4)
        old = tools.replace_ivf_quantizer(index, module.IndexFlatL2(D))
        assert old.ntotal == index.quantizer.ntotal == NLIST
        tools.sort_invlists_by_size(index)
        sizes = [index.get_list_size(i) for i in range(NLIST)]
        assert sizes == sorted(sizes)
        found.append(index.search(vectors(), 4))
        same([found[-1], wanted])
    same(found)
    with pytest.raises(AssertionError, match="perm must be a permutation of 6"):
        ivf_tools.permute_invlists(trained(ours), np.zeros(6, np.int64))


@pytest.mark.parametrize("shift_ids", [False, True])
def test_shards_are_merged_on_disk(shift_ids: bool, tmp_path: Path) -> None:
    found = []
    for number, (module, _, tools) in enumerate(MODULES):
        names = []
        for shard in range(3):
            index = trained(module)
            index.add(vectors()[100 * shard : 100 * (shard + 1)])
            names.append(str(tmp_path / f"{number}-{shard}"))
            module.write_index(index, names[-1])
        index = trained(module)
        tools.merge_ondisk(index, names, str(tmp_path / f"{number}.ivfdata"), shift_ids)
        assert index.ntotal == 300
        found.append(index.search(vectors(), 4))
    same([answers[:1] for answers in found])
    if shift_ids:
        assert np.array_equal(found[0][1][:, 0], np.arange(300))

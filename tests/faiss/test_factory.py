"""index_factory beside faiss-cpu: for every description an index of the same classes and fields."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")

DIM = 16
DESCRIPTIONS = """
    Flat IDMap,Flat Flat,IDMap IDMap2,Flat Flat,IDMap2 IDMap,IDMap2,Flat PCA8,Flat PCAR8,Flat PCAW8,Flat
    PCAWR8,Flat PCA12,OPQ4_8,Flat L2norm,PCA8,Flat L2Norm,Flat PCA8,PCA4,Flat OPQ4_8,Flat OPQ4,PQ4 RR,Flat
    RR8,Flat ITQ,Flat ITQ8,LSH Pad32,Flat Pad8,Flat LSH LSHr LSHrt LSHt LSH32rt SQ8 SQ6 SQ4 SQfp16 SQbf16
    SQ8_direct SQ8_direct_signed PQ4 PQ4x4 PQ4np PQ4x4np PQ4x6 PQ4x12 PQ4x4fs PQ4x4fs_64 HNSW HNSW8 HNSW8,Flat
    HNSW8_Flat HNSW8_SQ8 HNSW8,SQfp16 HNSW8_PQ4np HNSW8,PQ4x6 IVF16,Flat IVF1k,Flat IVF1M,Flat IVF16_HNSW,Flat
    IVF16_HNSW8,Flat IVF16(Flat),Flat IVF16(HNSW8,Flat),Flat IVF16(PCA4,Flat),Flat IVF16(IVF4,Flat),SQ8
    IVF16(IVF4(HNSW8),SQ8),Flat IVF16,SQ8 IVF16,SQ4 IVF16,SQfp16 IVF16,SQ8_direct IVF16,PQ4 IVF16,PQ4x4
    IVF16,PQ4np IVF16,PQ4x6np IVF16,PQ4x4fs IVF16,PQ4x4fsr IVF16,PQ4x4fs_64 IVF16(Flat),PQ4 Flat,RFlat
    SQ8,Refine(Flat) SQ8,Refine(SQfp16),IDMap IVF16,PQ4,RFlat IVF16,PQ4,Refine(SQ8) SQ8,RFlat,IDMap2
    PCA8,IVF4,SQ8 OPQ4_8,IVF4,PQ4 PCA8,SQ8,RFlat IDMap,IVF4,Flat IVF4,Flat,IDMap IDMap,PCA8,Flat PCA8,IDMap,Flat
    PCAR8,IVF16(HNSW8),SQ4 OPQ4_8,IVF16_HNSW8,PQ4x4fsr,RFlat HNSW8,Flat,RFlat Flat,Refine(PQ4x4fs)
"""
SIMILARITIES = """
    Flat SQ8 PQ4 PQ4x4fs HNSW8 HNSW8_SQ8 IVF16,Flat IVF16_HNSW8,SQ8 IVF16,PQ4 IVF16,PQ4x4fs PCA8,Flat,RFlat
"""
BAD = """
    foo flat LSH32 FlatL2 Flat,Flat IDMap PCA8 PQ PQ4x4fsr SQ3 SQ4bit IVF16 IVF16, IVF16,foo IVF16,SQ3 IVF16,LSH
    HNSW8,foo HNSW32,SQ8,Flat (Flat) Refine(Flat) IVF16(Flat,SQ8 IVF16(foo),Flat IVF16)Flat( BFlat PQ5 IVF16,PQ5
"""
FIELDS = """
    d metric_type is_trained ntotal nlist nprobe own_fields quantizer_trains_alone do_polysemous_training
    by_residual code_size k_factor bbs nbits rotate_data train_thresholds d_in d_out eigen_power random_rotation
    do_pca M max_codes
"""
PARTS = {"quantizer", "storage", "index", "base_index", "refine_index"}


def described(module: Any, thing: Any) -> dict[str, Any]:
    """The class and fields of an index or transform, and of all that it is made of."""
    fields = {name: getattr(thing, name) for name in FIELDS.split() if hasattr(thing, name)}
    for name in PARTS:
        if isinstance(getattr(thing, name, None), module.Index):
            fields[name] = described(module, module.downcast_index(getattr(thing, name)))
    if hasattr(thing, "chain"):
        chain = [module.downcast_VectorTransform(thing.chain.at(i)) for i in range(thing.chain.size())]
        fields["chain"] = [described(module, transform) for transform in chain]
    for name, of in (("pq", ("M", "nbits", "dsub")), ("sq", ("qtype", "code_size")), ("cp", ("spherical", "niter"))):
        if getattr(thing, name, None) is not None:
            fields[name] = {field: getattr(getattr(thing, name), field) for field in of}
    if isinstance(alone := fields.get("quantizer_trains_alone"), str):  # a char of C
        fields["quantizer_trains_alone"] = ord(alone)
    if hasattr(thing, "hnsw"):
        fields["hnsw"] = (thing.hnsw.efSearch, thing.hnsw.efConstruction, thing.hnsw.nb_neighbors(0))
    return {"class": type(thing).__name__, **fields}


@pytest.mark.parametrize("description", DESCRIPTIONS.split())
def test_a_description_makes_the_index_that_faiss_makes(description: str) -> None:
    index, reference = (module.index_factory(DIM, description) for module in (ours, theirs))
    assert described(ours, index) == described(theirs, reference)


@pytest.mark.parametrize("description", SIMILARITIES.split())
def test_the_metric_reaches_every_part(description: str) -> None:
    index, reference = (
        module.index_factory(DIM, description, module.METRIC_INNER_PRODUCT) for module in (ours, theirs)
    )
    assert described(ours, index) == described(theirs, reference)


@pytest.mark.parametrize("description", BAD.split())
def test_what_describes_no_index_is_a_runtime_error(description: str) -> None:
    for module in (theirs, ours):
        with pytest.raises(RuntimeError):
            module.index_factory(DIM, description)


def test_errors_say_which_part_describes_no_index() -> None:
    with pytest.raises(RuntimeError, match=r"^index_factory: 'IVF16,foo' describes no index$"):
        ours.index_factory(DIM, "PCA8,IVF16,foo,RFlat")
    with pytest.raises(RuntimeError, match=r"^index_factory: 'foo' in 'HNSW8,foo' is nothing that a graph holds$"):
        ours.index_factory(DIM, "HNSW8,foo")
    with pytest.raises(RuntimeError, match=r"^index_factory: 'LSH' is for METRIC_L2, got 0$"):
        ours.index_factory(DIM, "LSH", ours.METRIC_INNER_PRODUCT)
    with pytest.raises(TypeError, match=r"^index_factory: description must be a str, got int$"):
        ours.index_factory(DIM, 3)


@pytest.mark.parametrize("description", ["NSG16", "RQ2x8", "LSQ2x4", "IVF16,RQ2x8", "IVF16,RaBitQ", "ZnLattice2x4_4"])
def test_kinds_that_are_not_here_are_named(description: str) -> None:
    assert theirs.index_factory(DIM, description).d == DIM
    with pytest.raises(RuntimeError, match=r"^index_factory: fastret.faiss has no Index\w+: .*real faiss"):
        ours.index_factory(DIM, description)


def test_an_index_from_the_factory_searches() -> None:
    x = np.random.default_rng(0).random((700, DIM), dtype=np.float32)
    index = ours.index_factory(DIM, "PCA8,IVF4,Flat,RFlat")
    index.train(x)
    index.add(x)
    assert (index.search(x[:50], 1)[1].ravel() == np.arange(50)).mean() > 0.9

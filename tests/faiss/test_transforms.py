"""Vector transforms beside those of faiss-cpu: the same matrices, vectors and files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")


@pytest.fixture
def vectors(generator: np.random.Generator) -> np.ndarray:
    """[300, 12], each dimension with a variance of its own."""
    spread = np.arange(1, 13, dtype=np.float32) ** 0.8
    return generator.standard_normal((300, 12), dtype=np.float32) * spread + 3


def pair(make: Callable[[ModuleType], Any], train: np.ndarray | None = None) -> tuple[Any, Any]:
    transforms = [make(module) for module in (ours, theirs)]
    if train is not None:
        for transform in transforms:
            transform.train(train)
    return transforms[0], transforms[1]


def matrix(module: ModuleType, transform: Any, name: str = "A") -> np.ndarray:
    values: np.ndarray = module.vector_to_array(getattr(transform, name))
    return values


def assert_same(answer: Any, reference: Any, scale: float = 1.0) -> None:
    np.testing.assert_allclose(answer, reference, rtol=1e-5, atol=4e-6 * scale, strict=True)


MAKERS: dict[str, Callable[[ModuleType], Any]] = {
    "rotation": lambda faiss: faiss.RandomRotationMatrix(12, 12),
    "rotation to fewer": lambda faiss: faiss.RandomRotationMatrix(12, 5),
    "rotation to more": lambda faiss: faiss.RandomRotationMatrix(12, 20),
    "normalization": lambda faiss: faiss.NormalizationTransform(12),
    "centering": lambda faiss: faiss.CenteringTransform(12),
    "remap to more": lambda faiss: faiss.RemapDimensionsTransform(12, 17),
    "remap to more, in front": lambda faiss: faiss.RemapDimensionsTransform(12, 17, False),
    "remap to fewer": lambda faiss: faiss.RemapDimensionsTransform(12, 5),
    "remap to fewer, in front": lambda faiss: faiss.RemapDimensionsTransform(12, 5, False),
    "Hadamard": lambda faiss: faiss.HadamardRotation(12, 9),
}


@pytest.mark.parametrize("name", MAKERS)
def test_transforms_give_the_vectors_of_faiss(name: str, vectors: np.ndarray) -> None:
    transform, reference = pair(MAKERS[name], vectors)
    assert (transform.d_in, transform.d_out, transform.is_trained) == (reference.d_in, reference.d_out, True)
    transformed = transform.apply(vectors)
    assert_same(transformed, reference.apply(vectors), 20)
    np.testing.assert_array_equal(transformed, transform.apply_py(vectors))
    if name != "Hadamard":
        assert_same(transform.reverse_transform(transformed), reference.reverse_transform(transformed), 20)


def test_a_hadamard_rotation_of_a_power_of_two_goes_back(vectors: np.ndarray) -> None:
    transform, reference = pair(lambda faiss: faiss.HadamardRotation(8, 4))
    rotated = transform.apply(vectors[:, :8])
    np.testing.assert_array_equal(rotated, reference.apply(vectors[:, :8]))
    np.testing.assert_array_equal(transform.reverse_transform(rotated), reference.reverse_transform(rotated))
    np.testing.assert_allclose(transform.reverse_transform(rotated), vectors[:, :8], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", [1, 5, 12345])
def test_rotations_are_those_of_the_seed(seed: int) -> None:
    transform, reference = pair(lambda faiss: faiss.RandomRotationMatrix(40, 33))
    for one in (transform, reference):
        one.init(seed)
        assert one.is_orthonormal
    assert_same(matrix(ours, transform), matrix(theirs, reference))


@pytest.mark.parametrize(
    ("arguments", "fields"),
    [
        ((12, 12), {}),
        ((12, 5), {}),
        ((12, 5, -0.5), {}),
        ((12, 5, -0.5), {"epsilon": 1000.0}),
        ((12, 6, -0.25, True), {}),
        ((12, 4, 0.0, True), {}),
        ((12, 6), {"balanced_bins": 3}),
        ((12, 12), {"max_points_per_d": 10}),
    ],
)
@pytest.mark.parametrize("few", [False, True])
def test_principal_components_are_those_of_faiss_up_to_signs(
    arguments: tuple[Any, ...], fields: dict[str, Any], few: bool, vectors: np.ndarray
) -> None:
    training = vectors[:8] if few and arguments[1] < 8 else vectors
    transform, reference = pair(lambda faiss: faiss.PCAMatrix(*arguments))
    for one in (transform, reference):
        for name, value in fields.items():
            setattr(one, name, value)
        one.train(training)
    assert transform.is_orthonormal == reference.is_orthonormal
    assert_same(matrix(ours, transform, "mean"), matrix(theirs, reference, "mean"))
    variances = matrix(theirs, reference, "eigenvalues")
    # FAISS sums squares in float32 and subtracts the mean's.
    np.testing.assert_allclose(matrix(ours, transform, "eigenvalues"), variances, rtol=1e-4, atol=1e-5 * variances[0])
    answer, expected = transform.apply(vectors), reference.apply(vectors)
    if transform.random_rotation:  # of axes with other signs, which inner products do not show
        answer, expected = answer @ answer.T, expected @ expected.T
    np.testing.assert_allclose(np.abs(answer), np.abs(expected), rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_the_entry_of_an_axis_that_is_furthest_from_zero_is_positive(vectors: np.ndarray) -> None:
    axes = matrix(ours, pair(lambda faiss: faiss.PCAMatrix(12, 12), vectors)[0]).reshape(12, 12)
    assert (axes.max(1) == np.abs(axes).max(1)).all()


def test_components_are_copied_and_prepared_again(vectors: np.ndarray) -> None:
    trained, _ = pair(lambda faiss: faiss.PCAMatrix(12, 12), vectors)
    copied = ours.PCAMatrix(12, 4, -0.5)
    copied.copy_from(trained)
    whitened = copied.apply(vectors)
    np.testing.assert_allclose(whitened.T @ whitened, np.eye(4), atol=1e-4)
    copied.eigen_power = 0.0
    copied.prepare_Ab()
    np.testing.assert_array_equal(copied.apply(vectors), trained.apply(vectors)[:, :4])


@pytest.mark.parametrize(("d2", "niter"), [(-1, 1), (-1, 4), (8, 2), (16, 2)])
def test_optimized_rotations_are_those_of_faiss(d2: int, niter: int, generator: np.random.Generator) -> None:
    vectors = (generator.standard_normal((400, 12)) @ generator.standard_normal((12, 12))).astype(np.float32)

    def make(faiss: ModuleType) -> Any:
        opq = faiss.OPQMatrix(12, 4, d2)
        opq.niter = niter
        opq.pq = faiss.ProductQuantizer(opq.d_out, 4, 3)
        return opq

    transform, reference = pair(make, vectors)
    assert transform.is_orthonormal
    # Rounding carries a few of the 400 vectors over the border of two clusters: a share of the rotation.
    np.testing.assert_allclose(matrix(ours, transform), matrix(theirs, reference), rtol=0, atol=5e-3)
    rotated = transform.apply(vectors)
    if niter == 4:
        plain = ours.ProductQuantizer(12, 4, 3)
        plain.train(vectors)
        lost, lost_before = (
            np.square(pq.decode(pq.compute_codes(x)) - x).sum() for pq, x in ((transform.pq, rotated), (plain, vectors))
        )
        assert lost < lost_before


@pytest.mark.parametrize(("d_out", "do_pca"), [(12, False), (6, True)])
def test_rotations_for_signs_lose_no_more_than_those_of_faiss(d_out: int, do_pca: bool, vectors: np.ndarray) -> None:
    lost = []
    for transform in pair(lambda faiss: faiss.ITQTransform(12, d_out, do_pca)):
        transform.itq.max_iter = 15
        transform.train(vectors)
        rotated = transform.apply(vectors)
        lost.append(np.square(np.abs(rotated) - np.abs(rotated).mean()).sum())
    assert lost[0] <= lost[1]


@pytest.mark.parametrize("faiss", [ours, theirs], ids=["ours", "theirs"])
def test_a_linear_transform_takes_a_matrix(faiss: ModuleType, vectors: np.ndarray) -> None:
    transform = faiss.LinearTransform(12, 3, True)
    rows = np.linalg.qr(np.arange(36.0).reshape(12, 3) ** 2 % 7)[0].T.astype(np.float32)
    faiss.copy_array_to_vector(rows.ravel(), transform.A)
    faiss.copy_array_to_vector(np.float32([1, 2, 3]), transform.b)
    transform.is_trained = True
    transformed = transform.apply(vectors)
    np.testing.assert_allclose(transformed, vectors @ rows.T + [1, 2, 3], rtol=1e-5, atol=1e-4)
    with pytest.raises(RuntimeError):
        transform.reverse_transform(transformed)
    transform.set_is_orthonormal()
    assert transform.is_orthonormal
    expected = (transformed - np.float32([1, 2, 3])) @ rows
    np.testing.assert_allclose(transform.reverse_transform(transformed), expected, rtol=1e-5, atol=1e-4)
    behind = np.empty((300, 12), dtype=np.float32)
    transform.transform_transpose(300, faiss.swig_ptr(transformed), faiss.swig_ptr(behind))
    np.testing.assert_allclose(behind, expected, rtol=1e-5, atol=1e-4)
    faiss.copy_array_to_vector((rows * 2).ravel(), transform.A)
    transform.set_is_orthonormal()
    assert not transform.is_orthonormal


def test_products_do_not_depend_on_the_batch(generator: np.random.Generator) -> None:
    transform = ours.RandomRotationMatrix(300, 70)
    transform.init(3)
    vectors = generator.standard_normal((130, 300), dtype=np.float32)
    one_by_one = np.concatenate([transform.apply(vectors[i : i + 1]) for i in range(130)])
    np.testing.assert_array_equal(transform.apply(vectors), one_by_one)


def test_transforms_take_tensors_and_nothing(vectors: np.ndarray) -> None:
    transform = ours.CenteringTransform(12)
    transform.train(torch.from_numpy(vectors).double())
    answer = transform.apply(torch.from_numpy(vectors).half())
    assert isinstance(answer, torch.Tensor)
    assert answer.dtype == torch.float32
    for make in MAKERS.values():
        transform = make(ours)
        transform.train(vectors)
        assert transform.apply(vectors[:0]).shape == (0, transform.d_out)


@pytest.mark.parametrize("faiss", [ours, theirs], ids=["ours", "theirs"])
def test_a_map_of_dimensions_is_taken_from_a_pointer(faiss: ModuleType) -> None:
    places = np.array([1, -1, 0], dtype=np.int32)
    transform = faiss.RemapDimensionsTransform(2, 3, faiss.swig_ptr(places))
    np.testing.assert_array_equal(transform.apply(np.float32([[5, 6]])), [[6, 0, 5]])
    with pytest.raises(RuntimeError):
        faiss.RemapDimensionsTransform(1, 3, faiss.swig_ptr(places))


@pytest.mark.parametrize("faiss", [ours, theirs], ids=["ours", "theirs"])
def test_identical_transforms_are_told_from_others(faiss: ModuleType, vectors: np.ndarray) -> None:
    for make in MAKERS.values():
        one, same = make(faiss), make(faiss)
        for transform in (one, same):
            transform.train(vectors)
        one.check_identical(same)
    rotations = [faiss.RandomRotationMatrix(12, 5) for _ in range(2)]
    for seed, rotation in enumerate(rotations):
        rotation.init(seed)
    with pytest.raises(RuntimeError):
        rotations[0].check_identical(rotations[1])


FILES = {
    **MAKERS,
    "linear": lambda faiss: faiss.LinearTransform(12, 3),
    "PCA": lambda faiss: faiss.PCAMatrix(12, 5, -0.5, False),
    "ITQ matrix": lambda faiss: faiss.ITQMatrix(12),
    "ITQ": lambda faiss: faiss.ITQTransform(12, 6, True),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("trained", [True, False])
def test_files_go_both_ways(name: str, trained: bool, vectors: np.ndarray, tmp_path: Path) -> None:
    transform, reference = pair(FILES[name], vectors if trained and name != "linear" else None)
    theirs.write_VectorTransform(reference, str(tmp_path / "theirs"))
    read = ours.read_VectorTransform(tmp_path / "theirs")
    assert type(read).__name__ == type(reference).__name__
    ours.write_VectorTransform(read, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "theirs").read_bytes()
    ours.write_VectorTransform(transform, tmp_path / "ours")
    if not trained and name in ("centering", "ITQ"):
        return  # FAISS writes these and refuses to read them
    owner = theirs.read_VectorTransform(str(tmp_path / "ours"))
    back = theirs.downcast_VectorTransform(owner)
    assert (type(back), back.is_trained) == (type(reference), transform.is_trained)
    if transform.is_trained:
        assert_same(back.apply(vectors), transform.apply(vectors), 20)
        assert_same(read.apply(vectors), reference.apply(vectors), 20)


def test_older_files_of_components_are_read(vectors: np.ndarray, tmp_path: Path) -> None:
    transform, _ = pair(lambda faiss: faiss.PCAMatrix(12, 5), vectors)
    ours.write_VectorTransform(transform, tmp_path / "file")
    data = (tmp_path / "file").read_bytes()
    power, rotation, rest = data[4:8], data[12:13], data[17:]
    for older in (b"PcAm" + power + rotation + bytes(4) + rest, b"PCAm" + power + rotation + rest):
        (tmp_path / "older").write_bytes(older)
        reference = theirs.read_VectorTransform(str(tmp_path / "older"))
        assert_same(ours.read_VectorTransform(tmp_path / "older").apply(vectors), reference.apply(vectors), 20)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (
            lambda x: ours.PCAMatrix(12, 4).apply(x),
            RuntimeError,
            "PCAMatrix.apply: the transform is not trained; call train first",
        ),
        (
            lambda x: ours.PCAMatrix(12, 4).train(x[:2]),
            RuntimeError,
            "PCAMatrix.train: 2 vectors of 12 dimensions have 2 axes, d_out is 4",
        ),
        (
            lambda x: ours.PCAMatrix(12, 13).train(x),
            RuntimeError,
            "PCAMatrix.train: 300 vectors of 12 dimensions have 12 axes, d_out is 13",
        ),
        (
            lambda x: ours.CenteringTransform(12).train(x[:0]),
            RuntimeError,
            "CenteringTransform.train: there must be vectors to learn from, got none",
        ),
        (
            lambda x: ours.CenteringTransform(11).train(x),
            AssertionError,
            r"CenteringTransform.train: vectors must be \[n, 11\], got \[300, 12\]",
        ),
        (
            lambda x: ours.NormalizationTransform(12, 1.0).apply(x),
            RuntimeError,
            "NormalizationTransform.apply: norm must be 2, got 1.0",
        ),
        (
            lambda x: [transform.train(x) for transform in [ours.ITQTransform(12, 12)] * 2],
            RuntimeError,
            "ITQTransform.train: the transform is trained already",
        ),
        (
            lambda x: ours.ITQTransform(12, 5),
            RuntimeError,
            "ITQTransform: without do_pca d_out must be d_in, got 12 and 5",
        ),
        (
            lambda x: ours.HadamardRotation(12).reverse_transform(np.ones((1, 16))),
            RuntimeError,
            "HadamardRotation.reverse_transform: d must be a power of two, got 12",
        ),
        (
            lambda x: setattr(ours.PCAMatrix(12, 4), "eigen_pover", 1),
            AttributeError,
            "'PCAMatrix' object has no attribute 'eigen_pover'",
        ),
    ],
)
def test_transforms_refuse_in_one_sentence(
    call: Callable[[np.ndarray], object], error: type, sentence: str, vectors: np.ndarray
) -> None:
    with pytest.raises(error, match=f"^{sentence}$"):
        call(vectors)


def test_a_file_that_contradicts_itself_is_refused(vectors: np.ndarray, tmp_path: Path) -> None:
    transform, _ = pair(MAKERS["centering"], vectors)
    ours.write_VectorTransform(transform, tmp_path / "file")
    data = bytearray((tmp_path / "file").read_bytes())
    data[-9] = 13  # d_in
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(RuntimeError, match=r"^read_index: .* with 12 numbers where 13 must be$"):
        ours.read_VectorTransform(tmp_path / "file")

"""BitstringReader and BitstringWriter beside those of faiss-cpu."""

from __future__ import annotations

import numpy as np
import pytest

import fastret.faiss as ours

theirs = pytest.importorskip("faiss")


def test_numbers_of_any_width_go_in_and_come_out(generator: np.random.Generator) -> None:
    widths = generator.integers(1, 40, 30).tolist()
    numbers = [int(generator.integers(0, 1 << width)) for width in widths]
    size = (sum(widths) + 7) // 8
    codes = [np.full(size, 255, np.uint8) for _ in range(2)]
    for module, code in zip((ours, theirs), codes, strict=True):
        writer = module.BitstringWriter(module.swig_ptr(code), size)
        for number, width in zip(numbers, widths, strict=True):
            writer.write(number, width)
        assert writer.i == sum(widths)
    np.testing.assert_array_equal(*codes)
    reader = ours.BitstringReader(ours.swig_ptr(codes[1]), size)
    assert [reader.read(width) for width in widths] == numbers
    assert (reader.i, reader.code_size) == (sum(widths), size)


def test_nothing_is_read_or_written_behind_the_end() -> None:
    code = np.zeros(3, np.uint8)
    reader = ours.BitstringReader(ours.swig_ptr(code), 3)
    reader.read(20)
    with pytest.raises(RuntimeError, match="BitstringReader: 5 bits behind 20 of 24"):
        reader.read(5)
    with pytest.raises(RuntimeError, match="BitstringWriter: 25 bits behind 0 of 24"):
        ours.BitstringWriter(ours.swig_ptr(code), 3).write(1, 25)
    with pytest.raises(ValueError, match="BitstringReader: 4 bytes of 3 were asked for behind a pointer"):
        ours.BitstringReader(ours.swig_ptr(code), 4)
    with pytest.raises(TypeError, match="BitstringReader: a pointer is needed, got ndarray"):
        ours.BitstringReader(code, 3)  # type: ignore[arg-type]

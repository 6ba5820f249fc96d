"""What is known of a model before it is loaded."""

from __future__ import annotations

import json

import pytest

from fastret.embed.dual import DualEncoder
from fastret.embed.loading import INPUTS
from fastret.embed.mllm import MultimodalEncoder
from fastret.embed.text import TextEncoder
from fastret.evaluate.models import find_models


def test_inputs_by_kind_are_those_of_the_encoders():
    assert {
        "dual": DualEncoder.inputs,
        "multimodal": MultimodalEncoder.inputs,
        "text": TextEncoder.inputs,
    } == INPUTS


@pytest.mark.parametrize(("model_type", "kind"), [("clip", "dual"), ("qwen2_vl", "multimodal"), ("bert", "text")])
def test_a_configuration_is_enough_to_know_a_model(tmp_path, model_type, kind):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    options = {"pooling": "mean", "prompt": "summary", "dtype": "auto"}
    (model, *_), remarks = find_models([tmp_path, tmp_path], options)
    assert (model.name, model.inputs) == (str(tmp_path), INPUTS[kind])
    assert model.options == options and remarks == []  # one kind of model alone: nothing is left out


@pytest.mark.parametrize("options", [{"pooling": "max"}, {"prompt": "sumary"}])
def test_an_option_that_no_model_knows_is_refused_before_any_is_loaded(tmp_path, options):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(ValueError, match=r"^load_encoder: (pooling|prompt) must be .*, got '(max|sumary)'$"):
        find_models([tmp_path], options)


def test_a_model_that_is_not_there_or_not_supported_is_named(tmp_path):
    with pytest.raises(OSError, match=r"^load_encoder: there is no model at no/such/folder;"):
        find_models(["no/such/folder"], {})
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "t5"}))
    with pytest.raises(ValueError, match=r"has the unsupported architecture 't5'"):
        find_models([tmp_path], {})

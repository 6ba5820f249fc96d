"""The vision-language model with random weights: a tiny language model behind the real architecture of the tower."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from fastret.demo.emoji import Emoji, distinct_keywords, thumbnails
from fastret.demo.pictures import ConceptSplit, split_concepts
from fastret.demo.vision_language import build_model, build_processor, load_model, save_model, training_run
from fastret.demo.vision_language import model as model_module
from fastret.demo.vision_language.captions import REQUEST, CaptionDraws, name_of, whole_captions
from fastret.demo.vision_language.learning import NAME_TOKENS, Captioner, evaluate
from fastret.demo.vision_language.model import new_weights
from fastret.demo.vision_language.model_card import model_card
from fastret.demo.vision_language.pictures import VIEWS, PictureCells, picture_cells, picture_views, see
from fastret.demo.vision_language.processor import user_turn
from fastret.demo.vision_language.train import captioning_run, main
from fastret.demo.vision_language.training_run import CHECKPOINT, LOG, WEIGHTS, Settings, TrainingRun
from fastret.demo.vision_language.vision_tower import EfficientNetLiteConfig, EfficientNetLiteModel
from fastret.embed import load_encoder

pytest.importorskip("efficientnet_lite_pytorch")

IMAGE_PX, DIM = 64, 32
SETTINGS = Settings(steps=6, batch_size=4, learning_rate=1e-2, dtype="float32", evaluate_every=4)


def tiny_tokenizer(*special: str) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        ["user assistant what does this show? red heart love"],
        trainers.BpeTrainer(
            special_tokens=["<|im_start|>", "<|im_end|>", *special],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        model_max_length=512,
    )


@functools.cache  # frozen: the models can share it
def tiny_tower() -> EfficientNetLiteModel:
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        tower = EfficientNetLiteModel(EfficientNetLiteConfig(image_size=IMAGE_PX)).train()
        # Without the statistics of some batch, random layers make everything zero.
        for module in tower.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None
        tower(torch.randn(32, 3, IMAGE_PX, IMAGE_PX))
        return tower.eval()


def tiny_language() -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    tokenizer = tiny_tokenizer("<empty_output>")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=DIM,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.3,  # at the usual 0.02 the tiny model says the same whatever it sees
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        return LlamaForCausalLM(config).eval(), tokenizer


@pytest.fixture(autouse=True)
def tiny_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "load_language", tiny_language)
    monkeypatch.setattr(model_module, "load_vision_tower", tiny_tower)


@pytest.fixture(scope="module")
def split(few_emoji: list[Emoji]) -> ConceptSplit:
    return split_concepts([one for one in few_emoji if one.base == one.id][:20], 0.3, seed=0)


@pytest.fixture(scope="module")
def pictures(split: ConceptSplit, tmp_path_factory: pytest.TempPathFactory) -> PictureCells:
    tower, processor = tiny_tower(), build_processor(tiny_language()[1], IMAGE_PX)
    views = picture_views(split.trained) | picture_views(split.held_out, VIEWS[:1])
    return picture_cells(views, tower, processor.image_processor, tmp_path_factory.mktemp("features") / "cells")


@pytest.fixture
def captioner(pictures: PictureCells) -> Captioner:
    return make_captioner(pictures)


def make_captioner(pictures: PictureCells, lora_rank: int = 0) -> Captioner:
    language, tokenizer = tiny_language()
    processor = build_processor(tokenizer, IMAGE_PX)
    model = build_model(tiny_tower(), language, processor, lora_rank=lora_rank)
    return Captioner(model, processor, pictures, torch.float32)


@pytest.fixture
def make_run(pictures: PictureCells, split: ConceptSplit) -> Callable[..., TrainingRun]:
    """A new process, as far as the run can tell: every part is built anew."""

    def make(folder: Path, settings: Settings = SETTINGS) -> TrainingRun:
        return captioning_run(make_captioner(pictures, settings.lora_rank), split, folder, settings)

    return make


def parameters(run: TrainingRun) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in run.captioner.model.state_dict().items()}


def logits_of(model: torch.nn.Module, processor: object, image: Image.Image) -> Tensor:
    inputs = processor(text=[user_turn(processor, REQUEST)], images=[[image]], return_tensors="pt")  # type: ignore[operator]
    with torch.inference_mode():
        logits: Tensor = model(**inputs).logits
    return logits


# Captions


def test_a_batch_depends_on_seed_and_step_alone(split: ConceptSplit) -> None:
    one, other = CaptionDraws(split.trained, seed=3), CaptionDraws(split.trained, seed=3)
    one.batch(0, 8)
    assert one.batch(5, 8) == other.batch(5, 8)
    assert one.batch(5, 8) != one.batch(6, 8)
    assert one.batch(5, 8) != CaptionDraws(split.trained, seed=4).batch(5, 8)


def test_no_unseen_concept_is_drawn(split: ConceptSplit) -> None:
    draws = CaptionDraws(split.trained, seed=0)
    drawn = {one.picture.split("/")[1] for step in range(60) for one in draws.batch(step, 16)}
    assert drawn == {one.id for one in split.trained}


def test_a_caption_is_the_name_and_a_line_of_keywords(split: ConceptSplit) -> None:
    by_id = {one.id: one for one in split.trained}
    for drawn in CaptionDraws(split.trained, seed=0).batch(0, 32):
        emoji = by_id[drawn.picture.split("/")[1]]
        _, _, keywords = drawn.caption.partition("\n")
        assert name_of(drawn.caption) == emoji.label
        assert not keywords or set(keywords.split(", ")) <= set(distinct_keywords(emoji))


def test_measured_captions_leave_out_near_duplicates(few_emoji: list[Emoji]) -> None:
    measured = {one.picture.split("/")[1] for one in whole_captions(few_emoji, "noto")}
    assert measured == {one.id for one in few_emoji if one.base == one.id and "noto" in one.vendors}


def test_no_emoji_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^CaptionDraws: at least one emoji must be given, got none$"):
        CaptionDraws([], seed=0)


# Pictures


def test_the_first_view_is_the_picture_itself() -> None:
    image = next(iter(thumbnails("noto").values()))
    assert see(image, *VIEWS[0]).tobytes() == image.tobytes()


def test_a_smaller_view_has_a_white_border_and_the_picture_in_the_middle() -> None:
    shown = see(Image.new("RGB", (64, 64), "black"), 0.5, 0.0, 0.0)
    assert shown.getpixel((8, 32)) == (255, 255, 255)
    assert shown.getpixel((32, 32)) == (0, 0, 0)


def test_cached_cells_are_what_the_model_sees(captioner: Captioner, split: ConceptSplit) -> None:
    one = split.trained[0]
    image = thumbnails("noto")[one.id]
    pixels = captioner.processor.image_processor(images=[image], return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        cells = captioner.model.model.vision_tower(pixels).last_hidden_state
    assert cells.shape == (1, 4, 1280)
    # They are kept as float16.
    torch.testing.assert_close(captioner.pictures.of([f"noto/{one.id}/0"]), cells.half().float(), rtol=2e-3, atol=1e-5)


# Model


def test_the_projector_has_gradients_and_nothing_else(captioner: Captioner, split: ConceptSplit) -> None:
    captioner.losses(CaptionDraws(split.trained, seed=0).batch(0, 4)).mean().backward()
    for name, parameter in captioner.model.named_parameters():
        if ".multi_modal_projector." in name:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
        else:
            assert parameter.grad is None and not parameter.requires_grad, name


def test_the_loss_is_that_of_transformers_on_the_same_caption(captioner: Captioner, split: ConceptSplit) -> None:
    one = whole_captions(split.held_out, "noto")[0]
    image = thumbnails("noto")[one.picture.split("/")[1]]
    turn = user_turn(captioner.processor, REQUEST)
    inputs = captioner.processor(text=[turn + one.caption + "<|im_end|>"], images=[[image]], return_tensors="pt")
    prefix = captioner.processor(text=[turn], images=[[image]], return_tensors="pt").input_ids.shape[1]
    labels = inputs.input_ids.clone()
    labels[:, :prefix] = -100
    with torch.inference_mode():
        expected = captioner.model(**inputs, labels=labels).loss.item()
        # Beside a longer caption it is padded, which must not count.
        batch = [one, replace(one, caption=one.caption + " and a much longer end")]
        losses = captioner.losses(batch)[: labels.shape[1] - prefix]
    assert losses.mean().item() == pytest.approx(expected, rel=1e-4)  # float16 features


def test_training_changes_the_projector_alone(make_run: Callable[..., TrainingRun], tmp_path: Path) -> None:
    run = make_run(tmp_path)
    before = parameters(run)
    run.go_on()
    changed = {name for name, tensor in parameters(run).items() if not torch.equal(tensor, before[name])}
    assert changed == set(new_weights(run.captioner.model))
    assert all(".multi_modal_projector." in name for name in changed)


def test_the_loss_falls(make_run: Callable[..., TrainingRun], tmp_path: Path) -> None:
    run = make_run(tmp_path, replace(SETTINGS, steps=40, batch_size=8, evaluate_every=10))
    run.go_on()
    losses = [line["caption loss, training"] for line in run.log]
    assert losses[-1] < losses[0] - 0.1


def test_generation_stops_at_the_end_token(captioner: Captioner, split: ConceptSplit) -> None:
    captioned = whole_captions(split.held_out, "noto")[:3]
    tokenizer = captioner.processor.tokenizer
    head = captioner.model.lm_head
    captioner.model.lm_head = favourite = copy.deepcopy(head)
    # A head that knows one word, and then the same for the end token.
    for token, names in (
        (tokenizer.convert_tokens_to_ids("a"), ["a" * NAME_TOKENS] * 3),
        (tokenizer.eos_token_id, [""] * 3),
    ):
        with torch.no_grad():
            favourite.weight.zero_()
        favourite.bias = torch.nn.Parameter(torch.nn.functional.one_hot(torch.tensor(token), len(tokenizer)).float())
        assert captioner.names(captioned, batch_size=2) == names


def test_generate_takes_what_the_processor_makes(captioner: Captioner, split: ConceptSplit) -> None:
    image = thumbnails("noto")[split.held_out[0].id]
    inputs = captioner.processor(text=[user_turn(captioner.processor, REQUEST)], images=[[image]], return_tensors="pt")
    written = captioner.model.generate(**inputs, max_new_tokens=5, do_sample=False)
    assert inputs.input_ids.shape[1] < written.shape[1] <= inputs.input_ids.shape[1] + 5


def test_evaluation_measures_both_sides(captioner: Captioner, split: ConceptSplit) -> None:
    seen, unseen = whole_captions(split.trained, "noto")[:4], whole_captions(split.held_out, "noto")
    measured = evaluate(captioner, seen, unseen, batch_size=3)
    assert measured["caption loss, unseen"] == pytest.approx(captioner.caption_loss(unseen, 100), rel=1e-5)
    assert measured["caption loss, unseen"] != measured["caption loss, unseen, other picture"]
    assert measured["exact name, unseen"] == 0


# Low-rank adapters


def test_adapters_start_as_no_change_and_have_gradients(pictures: PictureCells, split: ConceptSplit) -> None:
    pytest.importorskip("peft")
    plain, adapted = make_captioner(pictures), make_captioner(pictures, lora_rank=2)
    batch = CaptionDraws(split.trained, seed=0).batch(0, 4)
    loss = adapted.losses(batch)
    torch.testing.assert_close(loss, plain.losses(batch))
    loss.mean().backward()
    trained = new_weights(adapted.model)
    assert any(".lora_B." in name and tensor.grad.abs().sum() > 0 for name, tensor in trained.items())  # type: ignore[union-attr]


# Files


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_a_trained_model_is_the_same_after_saving_and_loading(
    lora_rank: int, make_run: Callable[..., TrainingRun], split: ConceptSplit, tmp_path: Path
) -> None:
    if lora_rank:
        pytest.importorskip("peft")
    run = make_run(tmp_path, replace(SETTINGS, lora_rank=lora_rank))
    run.go_on()
    image = thumbnails("noto")[split.held_out[0].id]
    expected = logits_of(run.captioner.model, run.captioner.processor, image)
    model, processor = load_model(tmp_path / WEIGHTS)
    assert not any("lora" in name for name in model.state_dict())
    torch.testing.assert_close(logits_of(model, processor, image), expected, rtol=1e-4, atol=1e-5)


def test_load_encoder_embeds_texts_images_and_pairs(captioner: Captioner, split: ConceptSplit, tmp_path: Path) -> None:
    save_model(captioner.model, captioner.processor, tmp_path / "model")
    encoder = load_encoder(tmp_path / "model", device="cpu")
    images = [thumbnails("noto")[one.id] for one in split.held_out[:3]]
    texts = [one.label for one in split.held_out[:3]]
    embedded = [encoder.encode_texts(texts), encoder.encode_images(images), encoder.encode_pairs(images, texts)]
    assert [tuple(tensor.shape) for tensor in embedded] == [(3, DIM)] * 3
    assert all(tensor.isfinite().all() and (tensor[0] - tensor[1]).abs().max() > 1e-4 for tensor in embedded)


def test_the_encoder_runs_the_model_that_was_saved(captioner: Captioner, split: ConceptSplit, tmp_path: Path) -> None:
    save_model(captioner.model, captioner.processor, tmp_path / "model")
    image = thumbnails("noto")[split.held_out[0].id]
    embedding = load_encoder(tmp_path / "model", prompt=f"{{}}{REQUEST}", device="cpu").encode_images([image])
    captioner_logits = logits_of(captioner.model, captioner.processor, image)[:, -1]
    # The loaded convolutions add in the order of another memory format.
    torch.testing.assert_close(captioner.model.lm_head(embedding), captioner_logits, rtol=1e-4, atol=1e-3)


def test_a_folder_that_is_there_is_not_written_to(captioner: Captioner, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match=rf"^save_model: {tmp_path} is there already; choose another folder$"):
        save_model(captioner.model, captioner.processor, tmp_path)


def test_weights_of_another_model_are_refused(captioner: Captioner, tmp_path: Path) -> None:
    weights = {name: tensor.detach()[..., :8].clone() for name, tensor in new_weights(captioner.model).items()}
    save_file(weights, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match=r"^load_model: .* must hold the projector and adapters of this model"):
        load_model(tmp_path / "weights.safetensors")


# Runs


def test_a_run_that_was_stopped_ends_with_the_bits_of_one_that_was_not(
    make_run: Callable[..., TrainingRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_run(tmp_path / "whole")
    whole.go_on()
    stopped = make_run(tmp_path / "stopped")
    # Each call is over after one step, in the middle of an interval of the log as well.
    monkeypatch.setattr(training_run.time, "monotonic", iter(range(1000)).__next__)
    while not stopped.finished:
        before = stopped.step
        stopped.go_on(minutes=1.5 / 60)
        assert stopped.step == before + 1
        stopped = make_run(tmp_path / "stopped")
    assert stopped.finished and whole.finished
    for file in (WEIGHTS, LOG):
        assert (tmp_path / "stopped" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_a_kill_loses_the_steps_since_the_checkpoint_and_nothing_else(
    make_run: Callable[..., TrainingRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_run(tmp_path / "whole").go_on()
    killed = make_run(tmp_path / "killed")
    one_step = TrainingRun._train_one_step

    def killed_at_five(self: TrainingRun) -> None:
        one_step(self)
        if self.step == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainingRun, "_train_one_step", killed_at_five)
    with pytest.raises(KeyboardInterrupt):
        killed.go_on(checkpoint_every=2)
    monkeypatch.setattr(TrainingRun, "_train_one_step", one_step)
    again = make_run(tmp_path / "killed")
    assert again.step == 4
    again.go_on()
    for file in (WEIGHTS, LOG):
        assert (tmp_path / "killed" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()


def test_minutes_end_a_run_with_a_checkpoint(make_run: Callable[..., TrainingRun], tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.go_on(minutes=1e-9)
    assert not run.finished
    assert set(load_file(tmp_path / WEIGHTS)) == set(new_weights(run.captioner.model))


def test_a_finished_run_is_left_as_it_is(make_run: Callable[..., TrainingRun], tmp_path: Path) -> None:
    make_run(tmp_path).go_on()
    weights = (tmp_path / WEIGHTS).read_bytes()
    again = make_run(tmp_path)
    again.go_on()
    assert (tmp_path / WEIGHTS).read_bytes() == weights and len(again.log) == 2


def test_a_run_with_other_settings_is_refused(make_run: Callable[..., TrainingRun], tmp_path: Path) -> None:
    make_run(tmp_path).go_on(minutes=1e-9)
    with pytest.raises(ValueError, match=r"^train: .* holds a run with batch_size 4, got 5; choose another$"):
        make_run(tmp_path, replace(SETTINGS, batch_size=5))


def test_a_damaged_checkpoint_is_named(make_run: Callable[..., TrainingRun], tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match=rf"^train: {tmp_path / CHECKPOINT} is no checkpoint of this program: "):
        make_run(tmp_path)


def test_a_loss_that_is_not_finite_ends_the_run(make_run: Callable[..., TrainingRun], tmp_path: Path) -> None:
    run = make_run(tmp_path)
    with torch.no_grad():
        next(iter(new_weights(run.captioner.model).values())).fill_(torch.nan)
    with pytest.raises(ValueError, match=r"^train: the loss of step 0 is nan; choose a smaller learning_rate$"):
        run.go_on()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps": 0}, "train: steps must be at least 1, got 0"),
        ({"batch_size": -1}, "train: batch_size must be at least 1, got -1"),
        ({"evaluate_every": 0}, "train: evaluate_every must be at least 1, got 0"),
        ({"learning_rate": float("nan")}, "train: learning_rate must be positive, got nan"),
        ({"held_out_share": 1.0}, "train: held_out_share must be between 0 and 1, got 1.0"),
    ],
)
def test_bad_settings_are_refused_in_one_sentence(changes: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        replace(SETTINGS, **changes)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"minutes": 0.0}, "train: minutes must be positive, got 0.0"),
        ({"checkpoint_every": 0}, "train: checkpoint_every must be at least 1, got 0"),
    ],
)
def test_bad_options_of_a_run_are_refused(
    options: dict[str, float], sentence: str, make_run: Callable[..., TrainingRun], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        make_run(tmp_path).go_on(**options)


def test_a_negative_rank_is_refused() -> None:
    language, tokenizer = tiny_language()
    with pytest.raises(ValueError, match=r"^build_model: lora_rank must not be negative, got -1$"):
        build_model(tiny_tower(), language, build_processor(tokenizer, IMAGE_PX), lora_rank=-1)


def test_a_tokenizer_without_a_token_for_images_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^build_processor: the tokenizer must have the token <image> or "):
        build_processor(tiny_tokenizer(), IMAGE_PX)


def test_the_command_refuses_bad_settings_on_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--out", str(tmp_path), "--steps", "0"])
    assert exit_.value.code == 2
    assert capsys.readouterr().err == "train: steps must be at least 1, got 0\n"


def test_the_model_card_gives_settings_and_results() -> None:
    card = model_card(SETTINGS, {"step": 6, "caption loss, unseen": 3.25})
    assert '"batch_size": 4' in card and "| caption loss, unseen | 3.25 |" in card and "frozen" in card
    assert "rank 2" in model_card(replace(SETTINGS, lora_rank=2), {"step": 6})

from __future__ import annotations

import pytest
import torch

from fastret.embed.pooling import POOLINGS, check_pooling, pool
from fastret.embed.prompts import resolve_prompt


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_padding_on_either_side_changes_nothing(pooling: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(3, 5, 7, generator=generator).to(dtype)
    garbage = torch.full((3, 4, 7), 1e6, dtype=dtype)
    real, padding = torch.ones(3, 5, dtype=torch.int64), torch.zeros(3, 4, dtype=torch.int64)
    expected = pool(states, real, pooling)
    assert expected.dtype == torch.float32
    torch.testing.assert_close(pool(torch.cat([states, garbage], 1), torch.cat([real, padding], 1), pooling), expected)
    torch.testing.assert_close(pool(torch.cat([garbage, states], 1), torch.cat([padding, real], 1), pooling), expected)


def test_each_pooling_takes_what_its_name_says() -> None:
    states = torch.arange(12.0).reshape(1, 4, 3)
    mask = torch.tensor([[0, 1, 1, 0]])
    assert pool(states, mask, "cls").tolist() == [[3, 4, 5]]
    assert pool(states, mask, "last").tolist() == [[6, 7, 8]]
    assert pool(states, mask, "eos").tolist() == [[6, 7, 8]]
    assert pool(states, mask, "mean").tolist() == [[4.5, 5.5, 6.5]]


def test_an_unknown_pooling_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"pooling must be one of last, mean, eos, cls, got 'max'"):
        check_pooling("max")


@pytest.mark.parametrize(
    ("prompt", "text", "image"),
    [
        (None, "{}", "{}"),
        ("", "{}", "{}"),
        (
            "summary",
            "{}\nSummarize the above sentence in one word: ",
            "{}\nSummarize the above image in one word: ",
        ),
        ("e5v", "{}\nSummary above sentence in one word: ", "{}\nSummary above image in one word: "),
        ("query: {}", "query: {}", "query: {}"),
        ("\nSay it in one word: ", "{}\nSay it in one word: ", "{}\nSay it in one word: "),
    ],
)
def test_a_prompt_is_a_preset_a_template_or_an_instruction(prompt: str | None, text: str, image: str) -> None:
    resolved = resolve_prompt(prompt)
    assert (resolved.text, resolved.image) == (text, image)


def test_a_misspelt_preset_is_not_taken_for_an_instruction() -> None:
    with pytest.raises(ValueError, match=r"prompt must be a preset \(summary, e5v\), .* got 'sumary'"):
        resolve_prompt("sumary")

"""Prompts: what is said to a generative model around the text or image, so that its next token sums it up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Prompt:
    """One template for each kind of input; `{}` stands for the text, the image, or the image and its text."""

    name: str
    text: str = "{}"
    image: str = "{}"
    pair: str = "{}"


PRESETS = {
    preset.name: preset
    for preset in (
        # "Summarize ... in one word" over an unmodified MLLM: the generated word's hidden state is the embedding.
        Prompt(
            "summary",
            text="{}\nSummarize the above sentence in one word: ",
            image="{}\nSummarize the above image in one word: ",
            pair="{}\nSummarize the above image and sentence in one word: ",
        ),
        # E5-V (Jiang et al., 2024, arXiv:2407.12580), the wording that its checkpoints were trained with.
        Prompt(
            "e5v",
            text="{}\nSummary above sentence in one word: ",
            image="{}\nSummary above image in one word: ",
            pair="{}\nSummary above image and sentence in one word: ",
        ),
    )
}


def resolve_prompt(prompt: str | None) -> Prompt:
    """The templates that `prompt` means: a preset's name, a template holding `{}`, or an instruction.

    An instruction without `{}` is put after the content on a line of its own; None and "" add nothing.

    >>> resolve_prompt("query: {}").text
    'query: {}'
    >>> resolve_prompt("Describe it in one word: ").image
    '{}\\nDescribe it in one word: '

    Raises ValueError where a single word is not a preset: more likely a misspelt name than an instruction.
    """
    if not prompt:
        return Prompt("")
    if prompt in PRESETS:
        return PRESETS[prompt]
    if "{}" in prompt:
        return Prompt(prompt, text=prompt, image=prompt, pair=prompt)
    if not any(character.isspace() for character in prompt):
        raise ValueError(
            f"load_encoder: prompt must be a preset ({', '.join(PRESETS)}), a template with {{}} for the content, "
            f"or an instruction of several words, got {prompt!r}"
        )
    template = "{}\n" + prompt.lstrip("\n")
    return Prompt(prompt, text=template, image=template, pair=template)

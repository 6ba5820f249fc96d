"""Control tokens in a user's text: "[SEP]" or "<|im_end|>" written by a person is letters and brackets."""

from __future__ import annotations

import re
from typing import Any


class ControlTokenGuard:
    """Puts a space behind the bracket of what a tokenizer would read as a control token; other text stays as it is.

    Control tokens are the added tokens that open with a bracket: others, such as runs of spaces, are ordinary text.
    """

    def __init__(self, tokenizer: Any) -> None:
        tokens = [re.escape(token) for token in tokenizer.get_added_vocab() if token.startswith(("<", "["))]
        # Looking ahead and taking one character finds tokens that overlap, too.
        self._opening = re.compile(rf"(?=[<\[])(?={'|'.join(tokens)})." if tokens else "(?!)")

    def __call__(self, text: str) -> str:
        return self._opening.sub(r"\g<0> ", text)

"""How packed keys lie in memory, as csrc/kernels/params.h has it."""

from __future__ import annotations

PANEL_KEYS = 32  # keys side by side in a panel
KEY_FACTS = 5  # float32 per key beside its panel

"""The demo: real pretrained models on real images and texts that ship with fastret.

`run_demo` is what the command `fastret demo` runs; `fastret.demo.emoji` reads the data set.
"""

from __future__ import annotations

from .run import DemoReport, Settings, run_demo

__all__ = ["DemoReport", "Settings", "run_demo"]

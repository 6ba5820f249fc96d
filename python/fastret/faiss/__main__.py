"""Run an unmodified program with fastret.faiss in place of faiss.

usage: python -m fastret.faiss script.py [arguments]
       python -m fastret.faiss -m module [arguments]
       python -m fastret.faiss --coverage

The script or module runs as python would run it, except that `import faiss`, in it and in the libraries that it
imports, gives fastret.faiss. Processes that it starts anew do not inherit this: there, call
fastret.faiss.install() before faiss is imported. --coverage lists the names of FAISS that are here.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import TracebackType

from .alias import install


def main(arguments: list[str]) -> int:
    """Returns the exit status; that of a program which ends with sys.exit is raised as SystemExit."""
    match arguments:
        case ["-h" | "--help"]:
            print(__doc__)
        case ["--coverage"]:
            from .coverage import coverage

            print(coverage())
        case ["-m", module, *rest]:
            _prepare([module, *rest])
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case [script, *_] if not script.startswith("-"):
            if not Path(script).exists():
                print(f"python -m fastret.faiss: there is no file {script}", file=sys.stderr)
                return 2
            _prepare(arguments)
            sys.path[0] = str(Path(script).resolve().parent)  # as python does, instead of the working directory
            runpy.run_path(script, run_name="__main__")
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


def _prepare(argv: list[str]) -> None:
    install()
    sys.argv[:] = argv
    sys.excepthook = _show_without_the_runner


def _show_without_the_runner(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The traceback that python shows of the program alone."""
    runners = {__file__, runpy.run_path.__code__.co_filename, "<frozen runpy>"}
    while trace is not None and trace.tb_frame.f_code.co_filename in runners:
        trace = trace.tb_next
    sys.__excepthook__(kind, error.with_traceback(trace), trace)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

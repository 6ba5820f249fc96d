"""The typer application: it assembles the commands and turns errors into one line and an exit code."""

from __future__ import annotations

import sys
import traceback

import typer

from . import demo, embed, evaluate, info, search

app = typer.Typer(
    name="fastret",
    help="Exact, fast similarity search and retrieval evaluation over embeddings.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


@app.callback()
def _options(debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error.")) -> None:
    _State.debug = debug


class _State:
    debug = False


for command in (demo, evaluate, embed, search, info):
    command.register(app)


def main() -> None:
    """Run the command line: exit code 0, 1 (the command failed) or 2 (bad usage)."""
    try:
        app()
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        if _State.debug:
            traceback.print_exc()
        sentence = " ".join(str(error).split()) or type(error).__name__
        print(f"fastret: {sentence}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()

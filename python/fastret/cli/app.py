"""The typer application: it assembles the commands and turns errors into one line and an exit code."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import typer

from . import demo, embed, evaluate, info, mine, search

app = typer.Typer(
    name="fastret",
    help="Exact, fast similarity search and retrieval evaluation over embeddings.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from fastret import __version__

        typer.echo(f"fastret {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error. May stand behind the command, too.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Here for --help and --version; `main` looks for --debug itself."""


for command in (demo, evaluate, embed, search, mine, info):
    command.register(app)


def main() -> None:
    """Run the command line: exit code 0, 1 (the command failed) or 2 (bad usage)."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        app(args=arguments)
    # torch raises AssertionError for a device that it was built without.
    except (ValueError, TypeError, OSError, RuntimeError, ImportError, AssertionError) as error:
        if "--debug" in sys.argv:
            traceback.print_exc()
        print(f"fastret: {_sentence(error)}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _sentence(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("fastret"):
        return f"this command needs {error.name.partition('.')[0]}; pip install 'fastret[mllm]'"
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    main()

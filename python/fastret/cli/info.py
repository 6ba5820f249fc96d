"""`fastret info`: what was built and what is in use."""

from __future__ import annotations

import json

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the application."""

    @app.command(epilog="Examples: fastret info   |   fastret info --json   |   FASTRET_ISA=avx2 fastret info")
    def info(as_json: bool = typer.Option(False, "--json", help="Print one JSON object.")) -> None:
        """Show compiler, torch, instruction sets, threads and the state of the CUDA library."""
        import fastret

        facts = fastret.build_info()
        if as_json:
            print(json.dumps(facts))
            return
        width = max(map(len, facts))
        for name, value in facts.items():
            print(f"{name:{width}}  {', '.join(value) if isinstance(value, list) else value}")

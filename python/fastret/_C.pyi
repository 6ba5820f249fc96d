"""The native module. Importing it registers torch.ops.fastret.*"""

def build_info() -> dict[str, str | bool]: ...
def get_isa() -> str:
    """The instruction set in use, one of available_isas()."""

def set_isa(name: str) -> None:
    """Use an instruction set from now on. Raises ValueError for one that this machine cannot run."""

def available_isas() -> list[str]:
    """The instruction sets that this build and this machine can run, slowest first."""

def cheapest_first_pass(num_queries: int, dim: int) -> str:
    """What a search of keys that are not packed begins with: int8, int16 or float32."""

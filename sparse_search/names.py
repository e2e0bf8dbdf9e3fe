"""Names of layers."""

import re


def natural(layer: str) -> list[int | str]:
    """Sorts Dense_10 behind Dense_9: layers in the order of the forward pass."""
    parts = re.split(r"(\d+)", layer)
    return [int(part) if part.isdigit() else part for part in parts]

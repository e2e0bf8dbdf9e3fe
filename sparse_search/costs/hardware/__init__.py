"""What a network would take on machines, built or not: a file a model.

    machine = named("eie")
    costs = inference(machine, layers, 128, activations=0.4)
    seconds, joules = total(list(costs.values()))

| name | multiplies | file |
|---|---|---|
| `a100`, `h100` | all entries | `gpu` |
| `a100-2:4`, `h100-2:4` | half, where masks are 2:4 | `sparse_tensor_core` |
| `a100-block32`, … of any side | blocks that hold a weight | `block_sparse` |
| `cpu`, or a calibration's file | all entries, or the weights | `cpu` |
| `cambricon-x` | the weights | `cambricon_x` |
| `cnvlutin` | inputs that are not zero | `cnvlutin` |
| `eie`, `scnn` | the weights, with inputs that are not zero | `eie`, `scnn` |

Nothing here needs JAX, but for `calibrate`.
"""

import importlib
import re
from collections.abc import Callable
from pathlib import Path

from sparse_search.costs.hardware import (
    block_sparse,
    cambricon_x,
    cnvlutin,
    cpu,
    eie,
    gpu,
    scnn,
    sparse_tensor_core,
)
from sparse_search.costs.hardware.machine import (
    Cost,
    Hardware,
    inference,
    total,
    training_step,
)
from sparse_search.errors import UserError, one_of

__all__ = ["NAMES", "Cost", "Hardware", "inference", "named", "total", "training_step"]

NAMES: dict[str, Callable[[], Hardware]] = {
    "a100": lambda: gpu.gpu("a100"),
    "h100": lambda: gpu.gpu("h100"),
    "a100-2:4": lambda: sparse_tensor_core.sparse_tensor_core("a100"),
    "h100-2:4": lambda: sparse_tensor_core.sparse_tensor_core("h100"),
    "a100-block32": lambda: block_sparse.block_sparse("a100", 32),
    "h100-block32": lambda: block_sparse.block_sparse("h100", 32),
    "cpu": cpu.cpu,
    "cambricon-x": cambricon_x.cambricon_x,
    "cnvlutin": cnvlutin.cnvlutin,
    "eie": eie.eie,
    "scnn": scnn.scnn,
}


def named(name: str) -> Hardware:
    """A machine by its name.

    Args:
        name: one of `NAMES`, with any side of the blocks; a file that `sparse-search
            calibrate` wrote, which ends in .json; or `package.module:factory`, a
            function without arguments that gives a `Hardware`.

    Raises:
        UserError: there is no such machine, or its file or module cannot be read.
    """
    if name in NAMES:
        return NAMES[name]()
    if name.endswith(".json"):
        return cpu.cpu(cpu.read(Path(name)), name=Path(name).stem)
    blocks = re.fullmatch(rf"({'|'.join(gpu.BOARDS)})-block([1-9]\d{{0,4}})", name)
    if blocks:
        return block_sparse.block_sparse(blocks[1], int(blocks[2]))
    module, colon, attribute = name.partition(":")
    if not colon or "-" in module:
        raise one_of("--hardware", name, NAMES)
    try:
        found = getattr(importlib.import_module(module), attribute)()
    except (ImportError, AttributeError, TypeError) as error:
        raise UserError(f"--hardware {name!r} cannot be imported: {error}.") from None
    if not isinstance(found, Hardware):
        raise UserError(f"--hardware {name!r} gives no Hardware.")
    return found

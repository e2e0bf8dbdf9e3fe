"""A CPU with this package's kernels: a layer dense or compressed, whichever is faster.

Dense layers obey the roofline of float32 products. In the native kernel (`sparse.
products`) a weight costs a multiply-add over a row of the batch forward and two
backward, and the rows of inputs and outputs are brought once:

    seconds = a · nnz · places + b · (inputs + outputs) · examples

with a and b measured, forward and backward, on fully connected layers. Convolutions,
whose kernel is not measured here, and embeddings count as dense. The backward pass
makes the gradients of inputs and weights together, so that each counts half. Energy is
not known.

`sparse-search calibrate` measures these numbers; `MEASURED` are those of one machine.
"""

import json
from pathlib import Path
from typing import NamedTuple

from sparse_search.costs.hardware.machine import Batch, Cost, Hardware, Pass
from sparse_search.costs.hardware.roofline import UPDATE_BYTES, Roof
from sparse_search.errors import UserError

_BYTES = 4  # of a number in float32


class Kernel(NamedTuple):
    """What a pass of the kernel takes.

    Attributes:
        multiply_add: seconds of a weight and place.
        number: seconds of an input or output of an example.
    """

    multiply_add: float
    number: float


class Calibration(NamedTuple):
    """The speed of a CPU.

    Attributes:
        machine: in words.
        flops: of a large dense product, a second.
        bandwidth: bytes a second to and from memory, as a copy reads and writes.
        forward: the kernel's forward pass.
        backward: its backward pass, both gradients.
    """

    machine: str
    flops: float
    bandwidth: float
    forward: Kernel
    backward: Kernel


# `benchmarks/layer.py`, its table in README.md, through `calibrate.fit`: within 25 %.
MEASURED = Calibration(
    machine="two cores of an Intel Xeon at 2.5 GHz with AVX-512",
    flops=280e9,
    bandwidth=17e9,
    forward=Kernel(1.89e-11, 4.03e-10),
    backward=Kernel(2.69e-11, 5.22e-10),
)


def cpu(calibration: Calibration = MEASURED, name: str = "cpu") -> Hardware:
    """A CPU as it was measured."""
    roof = Roof(calibration.flops, calibration.bandwidth)

    def product(batch: Batch, which: Pass) -> Cost:
        size = batch.layer.size
        dense = roof.seconds(size * batch.places, _BYTES * (size + batch.numbers))
        if not _compressible(batch):
            return Cost(dense, None)
        forward = which == "forward"
        kernel = calibration.forward if forward else calibration.backward
        sparse = kernel.multiply_add * batch.layer.nnz * batch.places
        sparse += kernel.number * batch.numbers
        return Cost(min(dense, sparse if forward else sparse / 2), None)

    def update(batch: Batch) -> Cost:
        kept = batch.layer.nnz if _compressible(batch) else batch.layer.size
        return Cost(UPDATE_BYTES * kept / calibration.bandwidth, None)

    about = (
        f"CPU: {calibration.machine}, as measured ({calibration.flops / 1e9:.0f} "
        f"GFLOP/s, {calibration.bandwidth / 1e9:.0f} GB/s), each fully connected layer "
        "dense or in this package's kernel, whichever is faster"
    )
    return Hardware(name, about, product, update)


def read(file: Path) -> Calibration:
    """What `sparse-search calibrate` wrote.

    Raises:
        UserError: the file cannot be read, or is not one of those.
    """
    try:
        found = json.loads(file.read_text())
        return Calibration(
            str(found["machine"]),
            float(found["flops"]),
            float(found["bandwidth"]),
            Kernel(**{k: float(v) for k, v in found["forward"].items()}),
            Kernel(**{k: float(v) for k, v in found["backward"].items()}),
        )
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError(
            f"{file} is not what `sparse-search calibrate --out=FILE` writes."
        ) from None


def to_json(calibration: Calibration) -> str:
    """The form that `read` takes."""
    fields = calibration._asdict()
    for name in ("forward", "backward"):
        fields[name] = fields[name]._asdict()
    return json.dumps(fields, indent=1) + "\n"


def _compressible(batch: Batch) -> bool:
    return batch.layer.sparse and len(batch.layer.shape) == 2

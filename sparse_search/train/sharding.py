"""Several devices: the lanes of a group over them, or one model over all.

Several lanes: every device trains its part of them (`jax.shard_map`), with the program
that one device has for so many, and none hears of the others.

One lane: the batch is divided among the devices, and so is whatever has two axes or
more: parameters, masks, moments, each along its last axis that the devices divide.
XLA's partitioner then puts in what has to be communicated (GSPMD; Xu et al. 2021,
arXiv:2105.04663), as in fully sharded data parallelism (ZeRO; Rajbhandari et al. 2020,
arXiv:1910.02054). Along the last axis the entries of a neuron stay together, which is
what most patterns count.

Sums are rounded in another order on another number of devices, so that number belongs
to a result, as the number of lanes does.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from sparse_search.config import Config
from sparse_search.errors import UserError

_AXIS = "devices"


class Placement(NamedTuple):
    """Where the arrays of a chunk lie.

    Attributes:
        lanes: how many there are, in all.
        mesh: the devices, in a row; None is the default device.
    """

    lanes: int
    mesh: Mesh | None

    @property
    def divided(self) -> bool:
        """Whether one lane is divided among several devices."""
        return self.mesh is not None and self.lanes == 1

    @property
    def lanes_each(self) -> int:
        """The lanes of one device."""
        if self.mesh is None or self.divided:
            return self.lanes
        return self.lanes // self.mesh.size

    def spread(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """A function of `lanes_each` lanes as one of all lanes, to be jitted.

        Args:
            f: of arguments with a leading axis of lanes, and of the examples.
        """
        mesh = self.mesh
        if mesh is None:
            return f
        lanes, every = PartitionSpec(_AXIS), PartitionSpec()

        def divided(*args: Any) -> Any:
            return self._constrained(f(*args))

        def over_devices(*args: Any) -> Any:
            specs = (*[lanes] * (len(args) - 1), every)
            one = jax.shard_map(
                f, mesh=mesh, in_specs=specs, out_specs=lanes, check_vma=False
            )
            return one(*args)

        return divided if self.divided else over_devices

    def alone(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """A function of one trial, without an axis of lanes, to be jitted."""
        if not self.divided:
            return f

        def on_devices(*args: Any) -> Any:
            lane = jax.tree.map(lambda x: x[None], f(*args))
            return jax.tree.map(lambda x: x[0], self._constrained(lane))

        return on_devices

    def sharding(self, shape: tuple[int, ...]) -> NamedSharding | None:
        """Where an array lies whose first axis is over lanes.

        Of one lane: the rows of batches, [1, steps, batch], so that every device has a
        part of each batch; and the state, in which vectors are everywhere.
        """
        if self.mesh is None:
            return None
        if self.lanes > 1:
            return NamedSharding(self.mesh, PartitionSpec(_AXIS))
        fits = [
            axis
            for axis, size in enumerate(shape)
            if axis and len(shape) > 2 and size % self.mesh.size == 0
        ]
        return _along(self.mesh, len(shape), fits[-1:])

    def put(self, tree: Any) -> Any:
        """Put arrays with a first axis of lanes where they belong."""
        return self._put(tree, lambda x: self.sharding(x.shape))

    def everywhere(self, tree: Any) -> Any:
        """Put the same on every device."""
        if self.mesh is None:
            return tree
        mesh = self.mesh
        return self._put(tree, lambda x: _along(mesh, x.ndim, []))

    def _put(self, tree: Any, where: Callable[[Any], Any]) -> Any:
        if self.mesh is None:
            return jax.tree.map(jnp.asarray, tree)
        # What lies with one process goes to the devices of others by the host.
        own = np.asarray if self.mesh.is_multi_process else lambda x: x
        return jax.tree.map(lambda x: jax.device_put(own(x), where(x)), tree)

    def _constrained(self, tree: Any) -> Any:
        """Keep what a program returns where `sharding` says."""
        return jax.tree.map(
            lambda x: jax.lax.with_sharding_constraint(x, self.sharding(x.shape)), tree
        )


def _along(mesh: Mesh, axes: int, divided: list[int]) -> NamedSharding:
    parts = [_AXIS if axis in divided else None for axis in range(axes)]
    return NamedSharding(mesh, PartitionSpec(*parts))


def placement(lanes: int, devices: int) -> Placement:
    """Lanes on the first devices; of one device, on the default one.

    Raises:
        UserError: they were planned for more devices than there are, or for fewer
            than those of several processes.
    """
    there = jax.device_count()
    if devices > there or (jax.process_count() > 1 and devices < there):
        raise UserError(
            f"This was begun on {devices} devices, and JAX has {there} here; since a "
            "result depends on their number, go on where there are as many, or use "
            "another --workdir."
        )
    if devices == 1:
        return Placement(lanes, None)
    return Placement(lanes, Mesh(np.array(jax.devices()[:devices]), (_AXIS,)))


def devices(config: Config, lanes: int) -> int:
    """How many devices a config asks for.

    Args:
        config: the experiment.
        lanes: that a chunk will have; 0 where that is to be found, to fit the devices.

    Raises:
        UserError: there are not so many, or they do not divide the work.
    """
    there = jax.device_count()
    number = config.devices or there
    if number > there:
        raise UserError(
            f"config.devices={number}, but JAX has {there} here "
            f"({jax.default_backend()}); 0 takes all there are."
        )
    if jax.process_count() > 1 and number != there:
        raise UserError(
            f"config.devices={number}, but {jax.process_count()} processes train on "
            f"all their {there} devices together: set it to 0."
        )
    if number > 1 and config.representation == "compressed":
        raise UserError(
            'config.representation="compressed" is for one device, and there are '
            f'{number} by config.devices; "masked" and "auto" take several.'
        )
    if lanes == 1:
        _divides(number, "config.batch_size", config.batch_size)
    elif lanes:
        _divides(number, "config.lanes", lanes)
    return number


def _divides(devices: int, field: str, value: int) -> None:
    if value % devices:
        below = value - value % devices
        nearest = f"{below} and {below + devices}" if below else str(devices)
        raise UserError(
            f"{field}={value} cannot be divided among {devices} devices; nearest: "
            f"{nearest}."
        )

"""Networks by the names that papers use: resnet50, wrn-22-2, mobilenet_v1_0.5, gpt2."""

import re
from typing import NamedTuple

from sparse_search.costs.families import FAMILIES
from sparse_search.costs.layers import Network
from sparse_search.errors import UserError, nearest

_IMAGENET, _CIFAR, _DIGITS = (224, 224, 3), (32, 32, 3), (28, 28)


class Architecture(NamedTuple):
    """A network of a known family.

    Attributes:
        family: a name in `families.FAMILIES`.
        width: see the model of that name.
        depth: likewise.
        classes: outputs; of a text, its different tokens.
        shape: of one example.
        multiplier: of the channels of every layer; see `families`.
    """

    family: str
    width: int
    depth: int
    classes: int
    shape: tuple[int, ...]
    multiplier: float = 1.0

    def network(self) -> Network:
        """Its layers.

        Raises:
            UserError: there is no such network, or it does not take such examples.
        """
        return FAMILIES[self.family](
            self.width,
            self.depth,
            self.classes,
            self.shape,
            multiplier=self.multiplier,
        )


NAMED = {
    "mlp": Architecture("mlp", 128, 2, 10, _DIGITS),
    "lenet_300_100": Architecture("lenet_300_100", 300, 2, 10, _DIGITS),
    "lenet5": Architecture("lenet5", 20, 4, 10, _DIGITS),
    **{f"vgg{d}": Architecture("vgg", 64, d, 10, _CIFAR) for d in (11, 13, 16, 19)},
    **{
        f"resnet{d}": Architecture("resnet", 64, d, 1000, _IMAGENET)
        for d in (18, 34, 50, 101, 152)
    },
    **{
        f"resnet{d}": Architecture("cifar_resnet", 16, d, 10, _CIFAR)
        for d in (20, 32, 44, 56, 110)
    },
    "wrn-22-2": Architecture("wrn", 32, 22, 10, _CIFAR),
    "wrn-28-10": Architecture("wrn", 160, 28, 10, _CIFAR),
    "mobilenet_v1": Architecture("mobilenet_v1", 32, 13, 1000, _IMAGENET),
    "vit_tiny": Architecture("vit", 192, 12, 1000, _IMAGENET),
    "vit_small": Architecture("vit", 384, 12, 1000, _IMAGENET),
    "vit_base": Architecture("vit", 768, 12, 1000, _IMAGENET),
    "gpt2": Architecture("gpt", 768, 12, 50257, (1024,)),
    "gru": Architecture("gru", 512, 1, 256, (128,)),
    "lstm": Architecture("lstm", 512, 1, 256, (128,)),
}
# The families by the names of models, with the first of their networks above.
_FAMILIES = {
    "vgg": "vgg16",
    "resnet": "resnet50",
    "cifar_resnet": "resnet20",
    "wrn": "wrn-22-2",
    "vit": "vit_small",
    "gpt": "gpt2",
}


def by_name(name: str) -> Architecture:
    """The network of a name.

    Understood are the names in `NAMED`, those of models, `wrn-d-k` for any d and k,
    `cifar_resnetD`, and a width multiplier behind any of them, as in
    `mobilenet_v1_0.5`.

    Raises:
        UserError: there is none.
    """
    plain = name.lower()
    multiplier = 1.0
    if found := re.fullmatch(r"(.+)[_-](\d*\.\d+|1\.)", plain):
        plain, multiplier = found[1], float(found[2])
    made = _plain(plain)
    if made is None:
        names = [*NAMED, *_FAMILIES]
        raise UserError(
            f"There is no model {name!r} here; there are {', '.join(names)}, "
            f"wrn-DEPTH-K, and MODEL_0.5 with a width multiplier.{nearest(name, names)}"
        )
    if multiplier == 0:
        raise UserError(f"{name!r} has no channels: its width multiplier is 0.")
    return made._replace(multiplier=multiplier)


def _plain(name: str) -> Architecture | None:
    if found := re.fullmatch(r"wrn[-_]?(\d+)[-_](\d+)", name):
        return NAMED["wrn-22-2"]._replace(depth=int(found[1]), width=16 * int(found[2]))
    if found := re.fullmatch(r"cifar_resnet[-_]?(\d+)", name):
        return NAMED["resnet20"]._replace(depth=int(found[1]))
    for known in (name, name.replace("-", "_"), re.sub(r"[-_](?=\d)", "", name)):
        known = _FAMILIES.get(known, known)
        if known in NAMED:
            return NAMED[known]
    return None

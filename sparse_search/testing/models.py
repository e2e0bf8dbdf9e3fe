"""The contract of a model as checks: one call tests a model of yours.

    from sparse_search.testing import models

    def test_my_model():
        models.check(my_factory, example=(8, 8, 3), classes=4)

where `my_factory(width, depth, classes, **options)` returns a flax linen module, or an
nnx module in `sparse_search.models.nnx_adapter.NNX`, as it does when a config names it
as `config.model.name="package.module:my_factory"`.

A check raises an `AssertionError` that says which promise is broken. `CHECKS` lists
them one by one, for a test runner that reports them apart:

    @pytest.mark.parametrize("check", models.CHECKS)
    def test_contract(check):
        check(SUBJECT)  # testing.models.Subject(...), compiled once for all checks
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sparse_search import build, trees
from sparse_search.masks import allocations
from sparse_search.names import natural
from sparse_search.testing.model_subject import EXAMPLES, Subject
from sparse_search.testing.programs import products, used
from sparse_search.testing.sparse_state import require, same_bits
from sparse_search.train.network import make_network
from sparse_search.types import Params


def check_shapes(subject: Subject) -> None:
    """Logits for every class; parameters in float32; kernels to be made sparse."""
    params, statistics = jax.eval_shape(subject.init, 0)
    logits = jax.eval_shape(subject.network.predict, params, statistics, subject.inputs)
    begins, ends = logits.shape[0] == EXAMPLES, logits.shape[-1] == subject.classes
    require(
        len(logits.shape) > 1 and begins and ends,
        f"the output has the shape {logits.shape} for {EXAMPLES} examples and "
        f"{subject.classes} classes",
    )
    require(logits.dtype == jnp.float32, f"the output is {logits.dtype}, not float32")
    for name, leaf in trees.named_leaves(params).items():
        require(leaf.dtype == jnp.float32, f"{name} is {leaf.dtype}, not float32")
    found = [n for n, p in trees.named_leaves(params).items() if len(p.shape) > 1]
    require(
        any(allocations.is_sparse(n, (1, 1)) for n in found),
        f"no parameter is a kernel that can be sparse; with two axes there are {found}",
    )


def check_names(subject: Subject) -> None:
    """The first kernel by the order of names is the first that the network uses."""
    params, statistics = jax.eval_shape(subject.init, 0)
    order = used(subject.network.predict, params, statistics, subject.inputs)
    sparse = [name for name in order if name in subject.sparse]
    missing = [name for name in subject.sparse if name not in sparse]
    require(not missing, f"the output does not depend on {', '.join(missing)}")
    first = min(sparse, key=natural)
    require(
        first == sparse[0],
        f"{sparse[0]} is used first, but {first} is the first by name; allocations "
        "and reports know the first layer by its name",
    )


def check_init(subject: Subject) -> None:
    """A seed always gives the same parameters, and another one others."""
    begun = trees.named_leaves(subject.begun[0])
    require(same_bits(subject.init(0), subject.begun), "a seed gave two networks")
    other = trees.named_leaves(subject.init(1)[0])
    for name in subject.sparse:
        differ = not same_bits(other[name], begun[name])
        require(differ, f"{name} is the same for two seeds")
        require(bool(np.any(begun[name])), f"{name} begins with zeros")


def check_outputs(subject: Subject) -> None:
    """Finite; without noise as it is used; in training it sees batches and noise."""
    used_, learned, statistics = subject.outputs(0)
    again, other, _ = subject.outputs(1)
    for what, logits in (("used", used_), ("trained", learned)):
        finite = bool(np.all(np.isfinite(logits)))
        require(finite, f"the logits are not finite when the model is {what}")
    require(same_bits(used_, again), "a key changed the logits of a model in use")
    noisy = not same_bits(learned, other)
    remembers = bool(jax.tree.leaves(statistics))
    moved = not same_bits(statistics, subject.begun[1])
    require(not remembers or moved, "statistics do not move in training")
    differ = not np.allclose(used_, learned, 1e-6, 1e-6)
    require(
        differ or not (noisy or remembers),
        "the model computes in use what it does in training: does `__call__` take "
        "`train`?",
    )


def check_round(subject: Subject) -> None:
    """A round of RigL trains every parameter and keeps every layer's number."""
    training = subject.training
    states, metrics = training.after
    for before, after, of_round in zip(training.states, states, metrics, strict=True):
        finite = np.isfinite([of_round.train_loss, of_round.valid_loss]).all()
        require(bool(finite), "the loss of a round is not finite")
        masks = trees.named_leaves(after.train.sparse.masks)
        old = trees.named_leaves(before.train.params)
        for name, new in trees.named_leaves(after.train.params).items():
            require(
                not same_bits(old[name], new),
                f"no gradient reaches {name}: a round left it as it was (a network as "
                "narrow as this may have dead neurons; try another width)",
            )
            if name not in training.counts:
                continue
            mask, count = np.asarray(masks[name]), training.counts[name]
            require(
                int(mask.sum()) == count,
                f"a round changed the number of weights of {name} from {count} to "
                f"{int(mask.sum())}",
            )
            require(not np.any(np.asarray(new)[~mask]), f"{name} is not 0 off its mask")


def check_lanes(subject: Subject) -> None:
    """A lane does not depend on its place, nor on its neighbour."""
    training = subject.training
    exchanged = training.run(training.states, (1, 0))
    require(
        same_bits(exchanged, training.after),
        "two lanes of a vmapped round came out otherwise in the other order",
    )


def check_compiles_once(subject: Subject) -> None:
    """Shapes and types of the state do not change, so nothing is compiled twice."""
    training = subject.training
    states, _ = training.after
    training.run(states, (0, 1))
    require(training.traces == 1, f"a round was traced {training.traces} times")


def check_precision(subject: Subject) -> None:
    """In bfloat16 products are of rounded copies; all that is kept is float32."""
    half = make_network(subject.module, "bfloat16")
    params, statistics = jax.eval_shape(subject.init, 0)
    key = jax.eval_shape(lambda: jax.random.key(0))

    def learned(params: Params, key: Any, statistics: Any) -> Any:
        logits, statistics = half.learn(key, params, statistics, subject.inputs)
        return jnp.sum(logits), (logits, statistics)

    grads, rest = jax.eval_shape(
        jax.grad(learned, has_aux=True), params, key, statistics
    )
    for path, leaf in trees.named_leaves((grads, *rest)).items():
        right = leaf.dtype == jnp.float32 or not jnp.issubdtype(leaf.dtype, np.floating)
        require(right, f"in bfloat16 {path} (gradients, logits) is {leaf.dtype}")
    program = jax.make_jaxpr(learned)(params, key, statistics).jaxpr
    whole = [str(t) for t in products(program) if t != jnp.bfloat16]
    require(not whole, f"of the products in bfloat16, {len(whole)} are in {whole[:1]}")


def check_width(subject: Subject) -> None:
    """More width, more weights."""

    def size(width: int) -> int:
        made = subject.make(width, subject.depth, subject.classes, **subject.options)
        params = jax.eval_shape(
            lambda: make_network(made).init(
                jax.random.key(0), jnp.zeros_like(subject.inputs[:1])
            )
        )[0]
        return sum(
            math.prod(leaf.shape)
            for name, leaf in trees.named_leaves(params).items()
            if allocations.is_sparse(name, leaf.shape)
        )

    sizes = [size(subject.width), size(2 * subject.width)]
    require(
        sizes[0] < sizes[1],
        f"its kernels have {sizes[0]:,} entries at width {subject.width} and "
        f"{sizes[1]:,} at {2 * subject.width}; they must grow with the width",
    )


CHECKS: tuple[Callable[[Subject], None], ...] = (
    check_shapes,
    check_names,
    check_init,
    check_outputs,
    check_round,
    check_lanes,
    check_compiles_once,
    check_precision,
    check_width,
)


def check(
    make: Callable[..., Any] | str,
    example: tuple[int, ...] | jax.ShapeDtypeStruct,
    classes: int,
    *,
    width: int = 4,
    depth: int = 1,
    **options: Any,
) -> None:
    """Check everything that training relies on in a model.

    Takes some seconds, nearly all of it compilation: choose a small width and depth.

    Args:
        make: `(width, depth, classes, **options) -> module`, or its name in a config.
        example: the shape of one input, or its shape and type: whole numbers are
            tokens, below `classes`.
        classes: of the output.
        width: that it is tested at; it must take twice as much too.
        depth: likewise.
        **options: further arguments of the factory.

    Raises:
        AssertionError: a promise is broken; it says which.
        UserError: there is no model of that name.
    """
    found: Any = make
    if isinstance(make, str):
        found = build.factory("The model", make, build.MODELS)
    subject = Subject(found, example, classes, width=width, depth=depth, **options)
    for one in CHECKS:
        one(subject)

import numpy as np
from layer_by_hand import WEIGHTS, jit_rewire

from sparse_search.algorithms.mest import mest

rewire = jit_rewire(
    lambda fraction: mest(fraction, schedule="constant", gradient_weight=0.1)
)


def test_a_rewire_by_hand():
    # |θ| + 0.1 |∇| of the six weights: 1.8, 0.6 (of -0.1), 1.0 (of 0.2), 1.7,
    # 0.5 (of 0.3), 1.6. Two are dropped: 0.3 and -0.1, though 0.2 is smaller than 0.3.
    for seed in range(5):
        weights, mask, dropped, grown = rewire(fraction=0.3, seed=seed)
        assert mask.sum() == 6 and dropped == grown <= 2
        for at in ((0, 0), (1, 1), (1, 3), (2, 3)):
            assert mask[at] and weights[at] == WEIGHTS[at]


def test_growth_is_random():
    masks = {rewire(fraction=0.5, seed=seed)[1].tobytes() for seed in range(8)}
    assert len(masks) > 4


def test_without_gradients_it_keeps_what_set_keeps():
    weights, mask, _, _ = rewire(grads=np.zeros_like(WEIGHTS), fraction=0.3)
    assert mask[2, 0] and weights[2, 0] == np.float32(0.3)

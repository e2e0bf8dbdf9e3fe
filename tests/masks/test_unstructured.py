import jax
import numpy as np

from sparse_search.masks import topk
from sparse_search.masks.patterns import unstructured


def test_scores_decide_and_without_them_the_key():
    scores = np.array([[3.0, 1.0, 2.0], [9.0, 0.0, 5.0]], np.float32)
    where = np.array([[True, True, True], [False, True, True]])
    found = jax.jit(unstructured.select)(jax.random.key(0), scores, 2, where)
    assert np.asarray(found).tolist() == [[True, False, False], [False, False, True]]
    at_random = jax.jit(lambda key: unstructured.select(key, None, 2, where))
    drawn = [np.asarray(at_random(jax.random.key(seed))) for seed in range(10)]
    assert all(mask.sum() == 2 and not (mask & ~where).any() for mask in drawn)
    assert len({mask.tobytes() for mask in drawn}) > 3
    same = jax.jit(topk.select_random)(jax.random.key(0), 2, where)
    assert (drawn[0] == np.asarray(same)).all()

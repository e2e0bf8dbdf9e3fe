import functools

import jax.numpy as jnp
import pytest

from sparse_search import build, trees
from sparse_search.testing import algorithms as suite


@functools.cache
def subject(name):
    return suite.Subject(build.ALGORITHMS[name])


@pytest.mark.parametrize("check", suite.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", build.ALGORITHMS)
def test_contract(name, check):
    check(subject(name))

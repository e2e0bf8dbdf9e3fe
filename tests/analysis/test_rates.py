"""Whether the best learning rates lie within those that were tried."""

from sparse_search.analysis.rates import at_ends, caution
from sparse_search.analysis.table import read_trials


def rows(structure, nnz, accuracies, width=8):
    """A row a learning rate and seed; validation is what is chosen on."""
    return [
        {
            "structure": structure,
            "point": f"{structure} {width} {nnz} {rate}",
            "nnz": nnz,
            "width": width,
            "depth": 2,
            "seed": seed,
            "learning_rate": rate,
            "valid_accuracy": accuracy,
            "test_accuracy": 1 - accuracy,
        }
        for rate, accuracy in accuracies.items()
        for seed in (0, 1)
    ]


def found(*tables):
    return at_ends(read_trials(sum(tables, []), "accuracy"))


def test_ends_are_those_of_the_best_network_s_own_rates():
    ends = found(
        rows("a", 100, {0.01: 0.2, 0.03: 0.3, 0.1: 0.4}),
        rows("b", 100, {0.3: 0.3, 1.0: 0.2}),  # worse, with larger rates
        rows("a", 200, {0.01: 0.2, 0.03: 0.5, 0.1: 0.4}),
        rows("a", 400, {0.01: 0.9, 0.03: 0.5, 0.1: 0.4}),
        rows("a", 800, {0.03: 0.9}),  # had no choice
        rows("small_dense", 100, {0.1: 0.5, 0.01: 0.6}, width=3),
        rows("small_dense", 100, {0.1: 0.5, 0.03: 0.55, 0.001: 0.1}, width=4),
    )
    assert ends == {
        "large_sparse": {
            "smallest": [400],
            "largest": [100],
            "budgets": [100, 200, 400],
        },
        "small_dense": {"smallest": [100], "largest": [], "budgets": [100]},
    }
    assert caution(ends) == (
        "Of the learning rates that were tried the best sparse network has the "
        "smallest at 1 and the largest at 1 of 3 budgets, the best small dense network "
        "has the smallest at 1 of 1 budgets: with others it may be better."
    )


def test_nothing_is_said_where_the_best_are_within():
    table = rows("a", 100, {0.01: 0.2, 0.03: 0.3, 0.1: 0.1})
    assert caution(found(table)) == ""


def test_tables_without_learning_rates():
    table = rows("a", 100, {0.01: 0.2, 0.03: 0.3})
    for row in table:
        del row["learning_rate"]
    assert found(table)["large_sparse"]["budgets"] == []


def test_rates_that_diverged_were_tried():
    table = rows("a", 100, {0.01: 0.2, 0.03: 0.3, 0.1: 0.0})
    for row in table:
        if row["learning_rate"] == 0.1:
            row |= {"status": "diverged", "valid_accuracy": "", "test_accuracy": ""}
    assert found(table)["large_sparse"] == dict(smallest=[], largest=[], budgets=[100])


def test_equally_good_rates_say_nothing():
    table = rows("small_dense", 100, {0.01: 0.1, 0.03: 0.1, 0.1: 0.1})
    sides = found(table, rows("a", 100, {0.1: 0.3}))
    assert sides["small_dense"] == dict(smallest=[], largest=[], budgets=[100])


def test_a_best_network_without_a_rate_is_left_out():
    table = rows("a", 100, {0.01: 0.2, 0.03: 0.3})
    others = rows("a", 100, {"": 0.4})
    assert found(table, others)["large_sparse"]["budgets"] == []

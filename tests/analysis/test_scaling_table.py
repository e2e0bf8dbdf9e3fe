"""Tables of strangers: their columns, their mistakes, and what is left out."""

import math

import numpy as np
import pytest

from sparse_search.analysis.scaling_rows import at_best_learning_rates, read_rows
from sparse_search.analysis.scaling_study import study
from sparse_search.analysis.scaling_table import levels, read_table
from sparse_search.errors import UserError

GOOD = "nnz,sparsity,steps,loss\n" + "".join(
    f"{n},{s},{d},{2 + 1 / n + 10 / d}\n"
    for n in (1, 2, 4)
    for s in (0, 0.5)
    for d in (10, 20)
)


def table_of(tmp_path, text, columns=None, only=None):
    path = tmp_path / "table.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_table(read_rows(path), columns, only)


def test_a_table_is_read(tmp_path):
    table = table_of(tmp_path, GOOD)
    assert table.nnz[:4].tolist() == [1, 1, 1, 1]
    assert table.sparsity[:4].tolist() == [0, 0, 0.5, 0.5]
    assert table.data is not None and table.data[:2].tolist() == [10, 20]
    assert table.loss[0] == 4
    assert len(set(table.cell)) == 12


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", "\t"),
        lambda text: "\ufeff" + text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\n\n"),
        lambda text: text.replace("loss", '"val-loss"').replace("steps", "Tokens"),
    ],
    ids=["semicolons", "tabs", "Windows", "blank lines", "other names"],
)
def test_the_same_table_in_other_clothes(tmp_path, change):
    plain, other = (table_of(tmp_path, text) for text in (GOOD, change(GOOD)))
    for first, second in zip(plain[:5], other[:5], strict=True):
        assert np.array_equal(first, second)


def test_the_index_that_pandas_writes_is_no_line_number(tmp_path):
    head, *lines = GOOD.splitlines()
    text = "\n".join(["," + head, *(f"0,{line}" for line in lines)])
    assert np.array_equal(table_of(tmp_path, text).loss, table_of(tmp_path, GOOD).loss)
    with pytest.raises(UserError, match="Line 14: 'loss' is 'x'"):
        table_of(tmp_path, text + "\n0,4,0.5,20,x")


def test_nnz_is_size_times_density():
    rows = [{"scale": s, "density": 0.25, "loss": 1 + 1 / s} for s in (1, 2, 4, 8)]
    table = read_table(rows, {"size": "scale"})
    assert table.nnz.tolist() == [0.25, 0.5, 1, 2]
    assert table.columns["nnz"] == "scale × (1 − sparsity)"
    assert read_table(rows, {"nnz": "scale"}).nnz.tolist() == [1, 2, 4, 8]
    both = [{"nnz": s / 4, "size": s, "loss": 1 + 1 / s} for s in (1, 2, 4, 8)]
    assert read_table(both).sparsity.tolist() == [0.75] * 4


def test_a_count_of_weights_beside_a_sparsity_is_ambiguous():
    rows = [{"params": s, "loss": 1 + 1 / s} for s in (1, 2, 4)]
    assert read_table(rows).columns["nnz"] == "params"
    with pytest.raises(
        UserError, match="--columns=size=params or --columns=nnz=params"
    ):
        read_table([{**row, "sparsity": 0.5} for row in rows])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("nnz,loss\n", "has a header and no rows"),
        (b"\xff\xfe\x00\x01", "it is no UTF-8 text"),
        ('nnz,loss\n1,"3\n2,2\n', "line 3, is no CSV"),
        ("nnz,loss\n1,3\n2\n", "line 3: 1 cells for 2 columns"),
        ("nnz,loss\n1,3,4\n", "line 2: 3 cells for 2 columns; is a cell with"),
        ("nnz,loss,loss\n1,3,3\n", "the column 'loss' twice"),
        ("nnz,lss\n1,3\n", "Which column is loss?.*nnz, lss.*Did you mean 'lss'"),
        ("nzz,loss\n1,3\n", "Which column is nnz or size?.*Did you mean 'nzz'"),
        ("nnz,loss\n1,3\nfoo,2\n", "Line 3: 'nnz' is 'foo', no number"),
        ("nnz,loss\n1,3\n,2\n", "Line 3 has no 'nnz'"),
        ("nnz,loss\n1,3\n0,2\n", "'nnz' is 0, but an nnz is > 0"),
        ("nnz,loss\n1,3\ninf,2\n", "'nnz' is inf"),
        ("nnz,loss\n1,-3\n", "'loss' is -3, but a loss is > 0"),
        ("nnz,sparsity,loss\n1,50,3\n", "between 0 and 1 .a part, not percent"),
        ("nnz,sparsity,loss\n1,1,3\n", "'sparsity' is 1, but"),
        ("nnz,density,loss\n1,0,3\n", "'density' is 0, but"),
        ("nnz,size,loss\n3,2,3\n", "'nnz' is larger than 'size'"),
        ("nnz,steps,loss\n1,0,3\n", "'steps' is 0, but data is > 0"),
        ("nnz,loss\n1,3\n2,2\n", "at least three different nnz.*nnz has 2"),
        ("nnz,loss\n1,3\n2,2\n3,nan\n4,\n", "2 rows have no finite loss"),
    ],
)
def test_malformed_tables_are_a_sentence(tmp_path, text, words):
    with pytest.raises(UserError, match=f"(?s){words}"):
        table_of(tmp_path, text)


@pytest.mark.parametrize(
    ("columns", "only", "words"),
    [
        ({"loss": "los"}, {}, "no column 'los'.*Did you mean 'loss'"),
        ({"los": "loss"}, {}, "'los' is not known.*Did you mean 'loss'"),
        ({}, {"stes": ["10"]}, "'stes' is not known.*Did you mean 'steps'"),
        ({}, {"steps": ["30"]}, "'30' is not known; it is one of 10, 20"),
        ({}, {"steps": ["10"], "nnz": ["1"]}, "at least three different nnz"),
    ],
)
def test_wrong_options_are_a_sentence(tmp_path, columns, only, words):
    with pytest.raises(UserError, match=words):
        table_of(tmp_path, GOOD, columns, only)


def test_the_symbols_of_the_papers_are_names():
    rows = [{"N": n, "S": 0.5, "D": 10, "L": 1 + 1 / n, "d": 3} for n in (1, 2, 4)]
    table = read_table(rows, {"nnz": "N"})
    assert table.columns == {"nnz": "N", "sparsity": "S", "data": "D", "loss": "L"}
    assert read_table([{"N": n, "L": 1 / n} for n in (1, 2, 4)]).nnz[0] == 1
    with pytest.raises(UserError, match="Which column is loss"):
        read_table([{"N": n, "l": 12} for n in (1, 2, 4)])


def test_a_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_rows(tmp_path / "none.csv")


def test_only_keeps_the_rows_of_some_values(tmp_path):
    table = table_of(tmp_path, GOOD, only={"steps": ["20"]})
    assert table.data is not None and set(table.data) == {20}


def test_rows_without_a_result_are_counted(tmp_path):
    text = "nnz,status,loss\n1,done,3\n2,done,2\n4,done,1.5\n8,diverged,\n16,,nan\n"
    table = table_of(tmp_path, text)
    assert len(table.loss) == 3
    assert table.left_out == {"ended without a result": 1, "have no finite loss": 1}


def test_levels_are_groups_of_about_the_same():
    assert levels([1.0, 1.01, 3.0]) == pytest.approx([1.005, 3.0])
    assert levels([]) == []


def test_the_best_learning_rate_is_chosen_on_validation():
    def trial(rate, seed, valid, test, structure="wide"):
        return {
            "structure": structure,
            "point": f"{structure}-{rate}",
            "learning_rate": rate,
            "seed": seed,
            "nnz": 100,
            "density": 0.1,
            "steps": 10,
            "valid_loss": valid,
            "test_loss": test,
        }

    rows = [trial(0.1, k, 1.0, 1.5) for k in range(2)]
    rows += [trial(0.01, k, 1.2, 1.1) for k in range(2)]
    kept = at_best_learning_rates(rows)
    assert [row["test_loss"] for row in kept] == [1.5, 1.5]
    as_text = [{key: str(value) for key, value in row.items()} for row in rows]
    assert at_best_learning_rates(as_text) == kept
    other = [{"nnz": "1", "loss": "2"}]
    assert at_best_learning_rates(other) == other


def test_a_column_that_looks_like_all_entries_is_doubted():
    """Equal nnz in all families, but the table's count doubles as density halves."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "scale": n / (1 - s),
            "sparsity": s,
            "loss": (1 + 0.5 / n**0.3 * (1 - 0.3 * s)) * math.exp(0.003 * rng.normal()),
        }
        for n in (1, 4, 16, 64, 256)
        for s in (0.0, 0.5, 0.75)
    ]
    doubted = study(read_table(rows, {"nnz": "scale"})).content
    assert any("--columns=size=scale" in text for text in doubted["cannot_tell"])
    right = study(read_table(rows, {"size": "scale"})).content
    assert not any("--columns" in text for text in right["cannot_tell"])
    # The effective form is the same in both, but for the density.
    values = [
        content["forms"]["effective"]["multipliers"][0]["value"]
        for content in (doubted, right)
    ]
    assert values[0] == pytest.approx(values[1] * 0.5, rel=0.02)

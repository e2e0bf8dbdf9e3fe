import json
import math
import textwrap

import pytest

from sparse_search import config as configs
from sparse_search.config import (
    Config,
    defaults,
    differences,
    fingerprint,
    freeze,
    to_dict,
)
from sparse_search.config_file import load_config
from sparse_search.errors import UserError


def refused(given):
    with pytest.raises(UserError) as error:
        freeze(given)
    return str(error.value)


@pytest.fixture
def write(tmp_path):
    def write(source, name="experiment.py"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(source))
        return str(path)

    return write


@pytest.fixture
def plain(write):
    return write("""
        from sparse_search.config import defaults

        def get_config(arg=None):
            config = defaults()
            config.seed = int(arg or 7)
            return config
    """)


def loading_fails(*arguments):
    with pytest.raises(UserError) as error:
        load_config(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


# Checking and freezing.


def test_what_is_not_given_is_the_default():
    assert freeze({}) == freeze(defaults()) == Config()
    given = freeze({"sparsity": {"method": "set"}, "steps": 400})
    assert given.sparsity.method == "set" and given.steps == 400
    assert given.sparsity.density == Config().sparsity.density


def test_every_default_is_of_its_type_and_in_range():
    assert freeze(to_dict(Config())) == Config()


def test_specs_are_frozen():
    with pytest.raises(AttributeError):
        freeze({}).steps = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    "given, message",
    [
        ({"stepz": 5}, r"config.stepz is not a field; .* Did you mean 'steps'\?"),
        ({"sparsity": {"densty": 1}}, r"config.sparsity.densty .* mean 'density'\?"),
        (
            {"space": {"small_dense": {"depht": 1}}},
            r"small_dense.depht .* mean 'depths'",
        ),
        ({"model": {"zzz": 5}}, r"config.model has name, width, depth, options\.$"),
        ({"model": 5}, r"config.model is a group of fields, not 5"),
    ],
)
def test_an_unknown_field_names_the_nearest(given, message):
    with pytest.raises(UserError, match=message):
        freeze(given)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"steps": "100"}, "config.steps is of type int, not '100'."),
        ({"steps": 0.5}, "config.steps is of type int, not 0.5."),
        ({"steps": True}, "config.steps is of type int, not True."),
        ({"steps": None}, "config.steps is of type int, not None."),
        ({"steps": math.inf}, "config.steps is of type int, not inf."),
        ({"data": {"name": 3}}, "config.data.name is of type str, not 3."),
        ({"save_results": 1}, "config.save_results is of type bool, not 1."),
        ({"space": {"seeds": 3}}, "config.space.seeds is a list of int, not 3."),
        ({"space": {"seeds": "12"}}, "config.space.seeds is a list of int, not '12'."),
        ({"space": {"methods": (1,)}}, "config.space.methods is of type str, not 1."),
        (
            {"space": {"widths": (8, "x")}},
            "config.space.widths is of type int, not 'x'.",
        ),
    ],
)
def test_a_wrong_type_names_the_right_one(given, message):
    assert refused(given) == message


@pytest.mark.parametrize("options", [5, "momentum", ["momentum"], None])
def test_optimizer_options_are_a_group(options):
    assert "config.optimizer.options" in refused({"optimizer": {"options": options}})


@pytest.mark.parametrize(
    "given, message",
    [
        ({"sparsity": {"density": 0}}, "density is 0.0; it must be above 0."),
        ({"sparsity": {"density": 1.5}}, "density is 1.5; it must be at most 1."),
        ({"sparsity": {"drop_fraction": -0.1}}, "is -0.1; it must be at least 0."),
        ({"optimizer": {"learning_rate": math.nan}}, "is nan; it must be above 0."),
        ({"steps": 0}, "config.steps is 0; it must be at least 1."),
        ({"seed": -1}, "config.seed is -1; it must be at least 0."),
        ({"space": {"budgets": (5, 0)}}, "budgets is 0; it must be at least 1."),
        ({"space": {"learning_rates": (0.0,)}}, "is 0.0; it must be above 0."),
    ],
)
def test_a_value_out_of_range_names_the_limit(given, message):
    assert message in refused(given)


@pytest.mark.parametrize("given", [{"seed": 2**31}, {"space": {"seeds": (2**31,)}}])
def test_a_seed_beyond_32_bits_is_refused(given):
    # They are traced as int32; later than here it would be a traceback.
    assert "seed" in refused(given)


def test_numbers_may_be_written_either_way():
    config = freeze({"steps": 1e3, "optimizer": {"learning_rate": 1}})
    assert config.steps == 1000 and type(config.steps) is int
    assert type(config.optimizer.learning_rate) is float
    assert freeze({"space": {"budgets": [1e3, 2000]}}).space.budgets == (1000, 2000)


def test_a_list_may_be_empty_or_absent_but_not_repeat():
    assert freeze({"space": {"seeds": ()}}).space.seeds == ()
    assert freeze({"space": {"seeds": None}}).space.seeds is None
    assert "has 5 twice" in refused({"space": {"budgets": (5, 7, 5.0)}})


def test_steps_are_whole_rounds():
    message = refused({"steps": 250})
    assert "rewire_every=100" in message and "nearest: 200 and 300." in message
    assert "nearest: 100." in refused({"steps": 30})


# Files.


def test_a_file_with_and_without_an_argument(plain):
    assert load_config(plain).seed == 7
    assert load_config(f"{plain}:12").seed == 12


def test_a_partial_file_is_filled_in(write):
    path = write("""
        from ml_collections import ConfigDict

        def get_config():
            return ConfigDict({"steps": 300, "sparsity": {"method": "static"}})
    """)
    config = load_config(path)
    assert (config.steps, config.sparsity.method) == (300, "static")
    assert config.sparsity.rewire_every == 100


def test_lists_and_options_of_a_file(write):
    path = write("""
        from sparse_search.config import defaults

        def get_config():
            config = defaults()
            config.optimizer.name = "adam"
            config.optimizer.options = {"b1": 0.5}
            config.space.budgets = [100, 200]
            config.space.small_dense.depths = (1, 2)
            return config
    """)
    config = load_config(path)
    assert config.optimizer.options == {"b1": 0.5}
    assert config.space.budgets == (100, 200)
    assert config.space.small_dense.depths == (1, 2)


def test_a_missing_file_says_where_it_was_looked_for(write, tmp_path):
    write("", "digits_map.py")
    message = loading_fails(str(tmp_path / "digit_map.py"))
    assert f"looked in {tmp_path}" in message
    assert message.endswith("Did you mean 'digits_map.py'?")
    assert "does not exist" in loading_fails("/nowhere/at/all.py")


def test_a_syntax_error_has_its_line(write):
    message = loading_fails(write("x = 1\n\ndef get_config(:\n    pass\n"))
    assert "experiment.py, line 3: " in message and "def get_config(:" in message


@pytest.mark.parametrize(
    "body, line, message",
    [
        ("config.modle.width = 3", 6, "Did you mean 'model'?"),
        ('config.steps = "many"', 6, "steps"),
        ("config.steps = 1 / 0", 6, "ZeroDivisionError: division by zero"),
    ],
)
def test_an_error_in_a_file_has_its_line(write, body, line, message):
    path = write(f"""
        from sparse_search.config import defaults

        def get_config():
            config = defaults()
            {body}
            return config
    """)
    found = loading_fails(path)
    assert f"experiment.py, line {line}: " in found and message in found


def test_a_misspelt_field_that_a_file_makes_up(write):
    path = write("""
        from sparse_search.config import defaults

        def get_config():
            config = defaults()
            config.batchsize = 3
            return config
    """)
    assert "Did you mean 'batch_size'?" in loading_fails(path)


@pytest.mark.parametrize(
    "source, message",
    [
        ("x = 1", "does not define get_config()."),
        ("get_config = 3", "does not define get_config()."),
        ("def get_config(): return {}", "get_config() returned dict"),
        ("import no_such_package", "line 1: ModuleNotFoundError"),
    ],
)
def test_a_file_that_is_no_config(write, source, message):
    assert message in loading_fails(write(source))


def test_an_argument_that_nothing_takes(write):
    path = write("""
        from sparse_search.config import defaults

        def get_config():
            return defaults()
    """)
    assert "takes no argument, but got :smoke." in loading_fails(f"{path}:smoke")


def test_what_lies_beside_the_config_can_be_imported(tmp_path):
    (tmp_path / "beside_the_config.py").write_text("STEPS = 300\n")
    path = tmp_path / "config.py"
    path.write_text(
        "from beside_the_config import STEPS\n"
        "from sparse_search.config import defaults\n"
        "def get_config():\n"
        "    config = defaults()\n"
        "    config.steps = STEPS\n"
        "    return config\n"
    )
    assert load_config(str(path)).steps == 300


# Overrides.


def test_a_workdir_from_before_there_was_a_field():
    old = to_dict(freeze({}))
    del old["devices"]
    assert not differences(old, to_dict(freeze({})))
    (line,) = differences(old, to_dict(freeze({"devices": 2})))
    assert line == "config.devices: 1 there, 2 here"
    # An option that was not given is not its default.
    old["optimizer"]["options"] = {}
    (line,) = differences(old, to_dict(freeze({})))
    assert line == "config.optimizer.options.momentum: None there, 0.9 here"


def test_options_of_an_executor_have_any_names(plain):
    given = "executor_options={'address': '1.2.3.4:6379', 'num_cpus': 2}"
    config = load_config(plain, [given, "executor_options.num_cpus=3"])
    assert config.executor_options == {"address": "1.2.3.4:6379", "num_cpus": 3}
    other = load_config(plain, [])
    assert not differences(to_dict(config), to_dict(other))


def test_optimizer_options_can_be_emptied(plain):
    config = load_config(plain, ["optimizer.name=adam", "optimizer.options={}"])
    assert config.optimizer.options == {}


@pytest.mark.parametrize(
    "text, field, value",
    [
        ("steps=300", "steps", 300),
        ("steps=1e3", "steps", 1000),
        ("steps=1.5e3", "steps", 1500),
        ("optimizer.learning_rate=1", "optimizer.learning_rate", 1.0),
        ("optimizer.learning_rate=1e-3", "optimizer.learning_rate", 0.001),
        ("save_results=False", "save_results", False),
        ("sparsity.method=set", "sparsity.method", "set"),
        ("data_dir=/a=b", "data_dir", "/a=b"),
        ("optimizer.options.momentum=0.5", "optimizer.options.momentum", 0.5),
        ("optimizer.options.nesterov=True", "optimizer.options.nesterov", True),
        ("space.budgets=(100, 200)", "space.budgets", [100, 200]),
        ("space.budgets=100,200", "space.budgets", [100, 200]),
        ("space.budgets=(1e3,)", "space.budgets", [1000]),
        ("space.budgets=100", "space.budgets", [100]),
        ("space.densities=(0.1, 1)", "space.densities", [0.1, 1.0]),
        ("space.methods=('set', 'rigl')", "space.methods", ["set", "rigl"]),
        ("space.small_dense.depths=(1, 2)", "space.small_dense.depths", [1, 2]),
    ],
)
def test_an_override_changes_one_field(plain, text, field, value):
    before = configs.flatten(to_dict(load_config(plain)))
    after = configs.flatten(to_dict(load_config(plain, [text])))
    assert after[field] == value and type(after[field]) is type(value)
    assert {**before, field: value} == after


def test_a_list_is_unset(plain):
    config = load_config(plain, ["space.budgets=(100,)", "space.budgets=None"])
    assert config.space.budgets is None
    assert "steps is of type int" in loading_fails(plain, ["steps=None"])
    assert "small_dense.depths" in loading_fails(
        plain, ["space.small_dense.depths=None"]
    )


def test_the_last_override_counts(plain):
    assert load_config(plain, ["steps=300", "steps=500"]).steps == 500


@pytest.mark.parametrize(
    "text, message",
    [
        ("stpes=3", "config.stpes is not a field; config has data, data_dir, model, "),
        ("stpes=3", "Did you mean 'steps'?"),
        (
            "model.widht=3",
            "config.model has name, width, depth, options. Did you mean 'width'?",
        ),
        ("model.width.x=3", "config.model.width.x is not a field."),
        ("model=3", "config.model is a group of fields (name, width, depth, options)"),
        ("optimizer.options=3", "config.optimizer.options is a group of fields"),
        ("steps", "--config.steps needs a value: --config.steps=VALUE."),
        ("steps=many", "steps is of type int, as in --config.steps=2000."),
        ("steps=1.5", "steps is of type int"),
        ("save_results=maybe", "save_results is of type bool"),
        ("optimizer.learning_rate=fast", "learning_rate is of type float"),
        ("space.budgets=('a',)", "config.space.budgets is of type int, not 'a'."),
        ("space.seeds=(1, 1)", "config.space.seeds has 1 twice"),
        ("sparsity.density=2", "it must be at most 1."),
    ],
)
def test_a_wrong_override_is_explained(plain, text, message):
    assert message in loading_fails(plain, [text])


# What a workdir may be continued with.


def changed(**fields):
    """Two configs that differ in fields, written with __ for a dot."""
    base = to_dict(freeze({"space": {"budgets": (100, 200), "seeds": (0, 1)}}))
    other = json.loads(json.dumps(base))
    for name, value in fields.items():
        group = other
        *path, last = name.split("__")
        for step in path:
            group = group[step]
        group[last] = value
    return base, other


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"space__budgets": [100, 200, 400]},
        {"space__budgets": [50, 200, 100]},
        {"space__seeds": [0, 1, 2]},
        {"space__max_bytes": 10**9, "space__max_train_flops": 10**15},
        {"data_dir": "/elsewhere"},
        {"workers": 8, "executor": "local", "checkpoint_every": 3},
        {"save_results": False},
    ],
)
def test_lists_may_grow_and_how_it_runs_may_change(fields):
    base, other = changed(**fields)
    assert differences(base, other) == []
    assert fingerprint(base) == fingerprint(other)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"space__seeds": [0]}, "config.space.seeds: [0, 1] there, [0] here"),
        ({"space__seeds": [0, 2]}, "config.space.seeds: [0, 1] there, [0, 2] here"),
        ({"space__budgets": None}, "config.space.budgets: [100, 200] there, None here"),
        ({"space__widths": [8]}, "config.space.widths: None there, [8] here"),
    ],
)
def test_lists_may_not_shrink(fields, message):
    assert differences(*changed(**fields)) == [message]


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"steps": 300}, "config.steps: 2000 there, 300 here"),
        ({"lanes": 4}, "config.lanes: 0 there, 4 here"),
        (
            {"optimizer__options": {}},
            "config.optimizer.options.momentum: 0.9 there, None here",
        ),
        (
            {"optimizer__options": {"momentum": 0.9, "nesterov": True}},
            "config.optimizer.options.nesterov: None there, True here",
        ),
    ],
)
def test_any_other_difference_is_listed(fields, message):
    base, other = changed(**fields)
    assert differences(base, other) == [message]
    assert fingerprint(base) != fingerprint(other)


def test_all_differences_are_listed():
    found = differences(*changed(steps=300, sparsity__method="set", workers=5))
    assert [text.split(":")[0] for text in found] == [
        "config.sparsity.method",
        "config.steps",
    ]


def test_the_fingerprint_is_of_the_content_not_the_order():
    base = to_dict(Config())
    backwards = dict(reversed(base.items()))
    assert fingerprint(base) == fingerprint(backwards)
    # Written to config.json and read again, it is the same.
    assert fingerprint(json.loads(json.dumps(base))) == fingerprint(base)

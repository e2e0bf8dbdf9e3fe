"""Config files and overrides, with errors for people.

A config file is Python that defines `get_config()` or `get_config(arg)`; it is named
as `path.py` or `path.py:arg`. Overrides are `field=value` with dotted fields, parsed
by ml_collections.
"""

import ast
import inspect
import re
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_flags

from sparse_search.config import Config, check_names, defaults, freeze, to_dict
from sparse_search.errors import UserError, nearest


def _module(path: Path) -> dict[str, Any]:
    if not path.is_file():
        nearby = path.parent.glob("*.py") if path.parent.is_dir() else ()
        raise UserError(
            f"The config file {path} does not exist (looked in {path.parent.resolve()})"
            f".{nearest(path.name, [p.name for p in nearby])}"
        )
    # As for a script: what lies beside it, or where the command runs, can be imported.
    for folder in (str(path.parent.resolve()), str(Path.cwd())):
        if folder not in sys.path:
            sys.path.append(folder)
    try:
        return runpy.run_path(str(path))
    except SyntaxError as error:
        raise UserError(
            f"{path}, line {error.lineno}: {error.msg}: {(error.text or '').strip()}"
        ) from None
    except Exception as error:
        raise _inside(path, error) from error


def _inside(path: Path, error: Exception) -> UserError:
    """Name the line of the config file that raised; UserErrors say enough already."""
    if isinstance(error, UserError):
        return error
    line, trace = 0, error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    message = str(error).strip().splitlines()
    found = re.search(r"['\"](\w+)['\"]", message[0]) if message else None
    hint = ""
    if isinstance(error, AttributeError | KeyError) and found:
        fields = {name for group in _groups(defaults()) for name in group}
        hint = nearest(found[1], fields)
    text = message[0] if message else type(error).__name__
    return UserError(f"{path}, line {line}: {type(error).__name__}: {text}{hint}")


_FREE = ("options", "layer_nnz", "executor_options")
"""Groups of fields with any names."""


def _groups(config: ConfigDict) -> list[ConfigDict]:
    inner = [v for v in config.values() if isinstance(v, ConfigDict)]
    return [config, *(group for one in inner for group in _groups(one))]


def _from_file(name: str) -> ConfigDict:
    path_text, colon, arg = name.partition(":")
    path = Path(path_text)
    module = _module(path)
    get_config = module.get("get_config")
    if not callable(get_config):
        raise UserError(f"{path} does not define get_config().")
    accepts = bool(inspect.signature(get_config).parameters)
    if colon and not accepts:
        raise UserError(f"{path}: get_config() takes no argument, but got :{arg}.")
    try:
        config = get_config(arg) if colon else get_config()
    except Exception as error:
        raise _inside(path, error) from error
    if not isinstance(config, ConfigDict):
        raise UserError(
            f"{path}: get_config() returned {type(config).__name__}; it must return a "
            "ConfigDict, best begun with sparse_search.config.defaults()."
        )
    return config


def load_config(name: str, overrides: Sequence[str] = ()) -> Config:
    """Load `file.py` or `file.py:arg`, apply overrides, check and freeze.

    Args:
        name: the file, and an argument for its `get_config`.
        overrides: `field=value` each, as in `sparsity.density=0.05`.

    Raises:
        UserError: the file or a field cannot be used; the message says why.
    """
    if isinstance(overrides, str):
        raise UserError(f"overrides is a list, as in [{overrides!r}].")
    given = _from_file(name)
    check_names(given)
    config = _merge(to_dict(Config()), given)
    for text in overrides:
        _override(config, text)
    return freeze(config)


def _merge(base: dict[str, Any], given: ConfigDict) -> dict[str, Any]:
    """Plain dicts of the defaults and what the file set; free groups are replaced."""
    merged = dict(base)
    for name in given:
        value = given[name]
        if isinstance(value, ConfigDict):
            free = name in _FREE
            merged[name] = value.to_dict() if free else _merge(base[name], value)
        else:
            merged[name] = value
    return merged


def _override(config: dict[str, Any], text: str) -> None:
    """Apply one `field=value` in place."""
    field, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--config.{field} needs a value: --config.{field}=VALUE.")
    group: Any = config
    *path, last = field.split(".")
    for depth, name in enumerate([*path, last]):
        where = ".".join(["config", *path[:depth]])
        free = path[:depth] and path[depth - 1] in _FREE
        if not isinstance(group, dict) or (name not in group and not free):
            known = list(group) if isinstance(group, dict) else []
            has = f"; {where} has {', '.join(known)}" if known else ""
            raise UserError(
                f"{where}.{name} is not a field{has}.{nearest(name, known)}"
            )
        if depth < len(path):
            group = group[name]
    old = group.get(last)
    if value == "None" and _may_be_none(field):
        group[last] = None
        return
    if last in _FREE and isinstance(_literal(value), dict):
        group[last] = _literal(value)
        return
    if isinstance(old, dict):
        raise UserError(
            f"config.{field} is a group of fields ({', '.join(old)}); set one of them."
        )
    whole = isinstance(old, int) and not isinstance(old, bool)
    if whole and re.fullmatch(r"[\d.]+[eE]\+?\d+", value):
        value = str(int(float(value))) if float(value).is_integer() else value
    if last not in group:  # a name in a free group that has no default
        group[last] = _literal(value)
        return
    if old is None or isinstance(old, list | tuple):  # None: a list not set yet
        default: Any = tuple(old or ())
    else:
        default = old
    one = ConfigDict({last: default})
    parser = flags.FlagValues()
    arguments = ["", f"--c.{last}={value}"]
    config_flags.DEFINE_config_dict("c", one, flag_values=parser, sys_argv=arguments)
    try:
        parser(arguments)
    except (flags.Error, ValueError, TypeError, SyntaxError):
        example = "'(1, 2)'" if isinstance(one[last], tuple) else repr(one[last])
        kind = {"tuple": "list"}.get(type(one[last]).__name__, type(one[last]).__name__)
        raise UserError(
            f"--config.{field}={value} cannot be read: {field} is of type {kind}, "
            f"as in --config.{field}={example}."
        ) from None
    group[last] = one[last]


def _may_be_none(field: str) -> bool:
    """Whether it is a list that need not be set."""
    default: Any = to_dict(Config())
    for name in field.split("."):
        default = default.get(name, ()) if isinstance(default, dict) else ()
    return default is None


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text

"""YAML configurations with the line of every key, read as PyYAML will read them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from ohgw.review.tree import File

MAX_NODES = 100_000  # an alias bomb grows without end; a configuration does not
MAX_DEPTH = 100

Path = tuple[str | int, ...]
"""Keys and list positions from the root: ('experiments', 0, 'training', 'lr')."""


@dataclass(frozen=True)
class Entry:
    """One key or list item."""

    path: Path
    value: Any  # as PyYAML gives it: 1e-3 is a string
    line: int
    text: str = ""  # a scalar as written
    quoted: bool = False

    @property
    def key(self) -> str | int:
        return self.path[-1]


@dataclass
class Config:
    """One file. `value` is None and `problem` says why where it does not parse."""

    path: str
    value: Any = None
    entries: dict[Path, Entry] = field(default_factory=dict)
    problem: str = ""
    problem_line: int = 1

    def line(self, path: Path) -> int:
        """Of the longest part of `path` that exists; 1 for the root."""
        while path and path not in self.entries:
            path = path[:-1]
        return self.entries[path].line if path else 1

    def leaves(self) -> Iterator[Entry]:
        """Entries that are neither mappings nor lists."""
        return (e for e in self.entries.values() if not isinstance(e.value, dict | list))


class _Loader(yaml.SafeLoader):
    """SafeLoader that keeps unknown tags as what they hold, instead of failing on them."""


def _unknown(loader: _Loader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return node.value


_Loader.add_multi_constructor("!", _unknown)
_Loader.add_multi_constructor("tag:", _unknown)


def read_config(file: File) -> Config:
    """Never raises: what is wrong with the file is its `problem`."""
    config = Config(file.path)
    try:
        loader = _Loader(file.text or "")
        node = loader.get_single_node()
        if node is None:
            return config
        _collect(loader, node, config)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        config.problem = error.problem or error.context or "not YAML"
        config.problem_line = mark.line + 1 if mark else 1
    except (yaml.YAMLError, RecursionError, ValueError, TypeError, OverflowError) as error:
        config.problem = f"not YAML: {error}".splitlines()[0]
    if config.problem:
        config.value, config.entries = None, {}
    return config


def _collect(loader: _Loader, root: yaml.Node, config: Config) -> None:
    """Values and lines together, in one walk that counts what it visits."""
    count = 0

    def visit(node: yaml.Node, path: Path, line: int) -> Any:
        nonlocal count
        count += 1
        if count > MAX_NODES or len(path) > MAX_DEPTH:
            raise ValueError(f"more than {MAX_NODES} values or {MAX_DEPTH} levels")
        value: Any
        if isinstance(node, yaml.MappingNode):
            loader.flatten_mapping(node)
            value = {}
            for key_node, value_node in node.value:
                key = loader.construct_object(key_node, deep=True)
                if not isinstance(key, str | int | float | bool | None):
                    key = str(key)
                value[key] = visit(value_node, (*path, key), key_node.start_mark.line + 1)
        elif isinstance(node, yaml.SequenceNode):
            value = [
                visit(item, (*path, k), item.start_mark.line + 1)
                for k, item in enumerate(node.value)
            ]
        else:
            value = loader.construct_object(node, deep=True)
        if path:
            written, quoted = "", False
            if isinstance(node, yaml.ScalarNode):
                written, quoted = node.value, node.style in ("'", '"', "|", ">")
            config.entries[path] = Entry(path, value, line, written, quoted)
        return value

    config.value = visit(root, (), 1)

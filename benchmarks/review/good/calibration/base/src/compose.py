"""Compose a configuration from groups of YAML files.

`config.yaml` names a default for every group; a run's own file and `key=value` overrides come on
top, in this order.
"""

from pathlib import Path

import yaml

CONF = Path(__file__).resolve().parent.parent / "conf"


def read(*parts: str) -> dict:
    """One file of the configuration; empty files are empty mappings."""
    path = CONF.joinpath(*parts).with_suffix(".yaml")
    if not path.exists():
        known = sorted(p.stem for p in path.parent.glob("*.yaml"))
        raise FileNotFoundError(f"no {path.stem!r} in {path.parent.name}/; known: {known}")
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def merge(low: dict, high: dict) -> dict:
    """`high` over `low`, mappings key by key."""
    out = dict(low)
    for key, value in high.items():
        if isinstance(value, dict) and isinstance(out.get(key), dict):
            value = merge(out[key], value)
        out[key] = value
    return out


def override(cfg: dict, text: str) -> dict:
    """`model.trees=50` sets one value, read as YAML."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"override {text!r} is not key=value")
    for key in reversed(name.split(".")):
        value = {key: yaml.safe_load(value) if isinstance(value, str) else value}
    return merge(cfg, value)


def compose(run: str, mode: str, overrides: list[str]) -> dict:
    """Everything that one run needs to know."""
    primary = read("config")
    cfg = {key: value for key, value in primary.items() if key != "defaults"}
    for group, choice in primary["defaults"].items():
        cfg = merge(cfg, {group: read(group, choice)})
    cfg = merge(cfg, read("mode", mode))
    cfg = merge(cfg, read("run", run))
    for text in overrides:
        cfg = override(cfg, text)
    return cfg

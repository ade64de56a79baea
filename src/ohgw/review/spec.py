"""What the derived code is held against: SPEC.yaml, or a review prompt that holds everything."""

import json
import re
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from ohgw.core.errors import SettingError
from ohgw.review.tree import Tree, from_mapping


@dataclass(frozen=True)
class Spec:
    """All optional: what is not stated is not checked."""

    method: str = ""
    description: str = ""
    design: str = ""
    run_variations: tuple[str, ...] = ()
    replicates: int | None = None
    smoke_command: str | None = None  # with {out}; default: src.main --smoke-test

    @property
    def texts(self) -> str:
        """Everything that makes claims, in one string."""
        return "\n".join(text for text in (self.method, self.design, self.description) if text)


def read_spec(path: str | None) -> Spec:
    """From SPEC.yaml. Raises `SettingError` naming the key, the file and the remedy."""
    if path is None:
        return Spec()
    try:
        value = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(
            f"The specification {path!r} cannot be read: {error.strerror}."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise SettingError(f"Specification {path!r} is not YAML: {error}") from None
    return make_spec(value if value is not None else {}, path)


def make_spec(value: Any, origin: str) -> Spec:
    """Checked. Texts may also be mappings or lists; they are read as their JSON."""
    if not isinstance(value, dict):
        raise SettingError(f"{origin}: a specification is a mapping, not a {type(value).__name__}.")
    known = [field.name for field in fields(Spec)]
    for key in value:
        if key not in known:
            close = get_close_matches(str(key), known, n=1)
            hint = f"Did you mean {close[0]!r}? " if close else ""
            raise SettingError(f"{origin}: unknown key {key!r}. {hint}Known: {', '.join(known)}.")
    variations = value.get("run_variations") or []
    if not isinstance(variations, list) or not all(isinstance(item, str) for item in variations):
        raise SettingError(f"{origin}: run_variations must be a list of strings.")
    replicates = value.get("replicates")
    if replicates is not None and (
        not isinstance(replicates, int) or isinstance(replicates, bool) or replicates < 1
    ):
        raise SettingError(f"{origin}: replicates {replicates!r} must be a whole number from 1.")
    command = value.get("smoke_command")
    if command is not None and not isinstance(command, str):
        raise SettingError(f"{origin}: smoke_command must be a string, not {command!r}.")
    return Spec(
        method=_text(value.get("method")),
        description=_text(value.get("description")),
        design=_text(value.get("design")),
        run_variations=tuple(variations),
        replicates=replicates,
        smoke_command=command,
    )


def _text(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, indent=1, default=str)


# The headings of the prompts; others inside a section belong to its text, or to code in it.
_HEADINGS = re.compile(
    r"(?m)^# ((?:instructions|hypothesis|current research method|experimental design|base code|"
    r"current experiment|experiment runs|derived experiment code|generated experiment code)\b.*)$",
    re.IGNORECASE,
)


def read_prompt(path: str) -> tuple[Spec, Tree | None, Tree]:
    """Specification, base and derived tree out of one review prompt.

    The document has level-one headings: `Current Research Method`, `Experimental Design`, `Base
    Code` (where there is one), `Current Experiment` or `Experiment Runs`, and `Derived Experiment
    Code` or `Generated Experiment Code`. Code is a JSON object of files; the configurations that
    runs come with are files of the derived tree too. Raises `SettingError` naming what is missing.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise SettingError(f"The prompt {path!r} cannot be read: {error.strerror}.") from None
    parts = _HEADINGS.split(text)
    sections = list(zip((title.lower() for title in parts[1::2]), parts[2::2], strict=True))

    def section(*titles: str) -> str | None:
        return next((body for title, body in sections if title.startswith(titles)), None)

    experiment = section("current experiment", "experiment runs")
    derived = section("derived experiment code", "generated experiment code")
    for title, body in (("Current Experiment", experiment), ("Derived Experiment Code", derived)):
        if body is None:
            raise SettingError(f"{path}: no section {title!r} in the prompt.")
    base = section("base code")
    configured = _run_configs(experiment or "")
    spec = Spec(
        method=section("current research method") or "",
        description=experiment or "",
        design=section("experimental design") or "",
        run_variations=_variations(experiment or "") or tuple(configured),
    )
    files: dict[str, Any] = {
        f"config/run/{name}.yaml": config for name, config in configured.items() if config
    }
    return (
        spec,
        from_mapping("base", f"{path} (base code)", _code("base", path, base)) if base else None,
        from_mapping(
            "derived", f"{path} (code)", {**files, **_code("derived", path, derived or "")}
        ),
    )


def _run_configs(text: str) -> dict[str, str]:
    """Runs by id, each with the YAML that follows it; '' where none does."""
    found: dict[str, str] = {}
    parts = re.split(r"(?m)^- Run ID:\s*(\S+)\s*$", text)
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        config = re.search(r"```yaml\s*\n[ \t]*(.*?)^[ \t]*```", body, re.DOTALL | re.MULTILINE)
        found[name] = config[1] if config else ""
    return found


def _code(label: str, path: str, body: str) -> dict[str, Any]:
    """The JSON object that a section holds; what follows it is not read."""
    start = body.find("{")
    if start < 0:
        raise SettingError(f"{path}: the section of the {label} code holds no JSON object.")
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(body[start:])
    except (ValueError, RecursionError) as error:
        raise SettingError(f"{path}: the {label} code is not a JSON object: {error}") from None
    if not isinstance(value, dict):
        raise SettingError(f"{path}: the {label} code is not a JSON object.")
    return value


def _variations(text: str) -> tuple[str, ...]:
    """From a line `- Run Variations: ['a', 'b']`."""
    found = re.search(r"(?mi)^-?\s*run variations:\s*(\[.*?\])\s*$", text)
    if not found:
        return ()
    return tuple(
        first or second for first, second in re.findall(r"'([^']*)'|\"([^\"]*)\"", found[1])
    )

"""`ohgw review BASE DERIVED`: is this experiment code ready?"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ohgw.cli._experiment import TEMPLATE
from ohgw.core.errors import OHGWError, SettingError, UnknownNameError
from ohgw.review.checks import Context
from ohgw.review.findings import CANNOT_TELL
from ohgw.review.formats import FORMATS
from ohgw.review.llm import ask
from ohgw.review.project import Project
from ohgw.review.run import could_not_tell, review, with_opinions
from ohgw.review.smoke import smoke
from ohgw.review.smoke.environment import environment_for
from ohgw.review.smoke.sandbox import Limits
from ohgw.review.smoke.standins import stand_ins
from ohgw.review.spec import read_prompt, read_spec
from ohgw.review.tree import read_tree


def command(
    trees: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[BASE] DERIVED", help="Each a directory, repo@rev or a JSON object of files."
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(help="BASE, shipped (of new-experiment), or none."),
    ] = None,
    spec: Annotated[Path | None, typer.Option(help="SPEC.yaml: what the code is to do.")] = None,
    prompt: Annotated[
        Path | None,
        typer.Option(help="A review prompt that holds method, experiment, base and derived code."),
    ] = None,
    before: Annotated[
        str | None, typer.Option(help="The derived tree before a repair, to compare with.")
    ] = None,
    format_: Annotated[
        str, typer.Option("--format", help="text, json, sarif, markdown or github.")
    ] = "text",
    sarif: Annotated[
        Path | None, typer.Option(help="Also write the review there, as SARIF.")
    ] = None,
    smoke_: Annotated[
        bool, typer.Option("--smoke", help="Also run the smoke test, in a sandbox.")
    ] = False,
    python: Annotated[
        str | None,
        typer.Option(help="Interpreter of the smoke test.", show_default="this one"),
    ] = None,
    install: Annotated[
        bool,
        typer.Option("--install", help="Make it an environment with the declared dependencies."),
    ] = False,
    seconds: Annotated[float, typer.Option(help="Limit of the smoke test.")] = Limits.seconds,
    stand_in: Annotated[
        str | None,
        typer.Option(
            metavar="DIR", help="Caches for the smoke test: DIR/huggingface, DIR/torch, DIR/data."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--llm", metavar="MODEL", help="Also ask a model at OPENAI_BASE_URL for its opinion."
        ),
    ] = None,
    no_ignore: Annotated[
        bool, typer.Option("--no-ignore", help="Do not honour `# ohgw: ignore[...]` comments.")
    ] = False,
) -> None:
    """Decide from evidence whether experiment code derived from BASE is ready."""
    if format_ not in FORMATS:
        raise UnknownNameError("format", format_, FORMATS)
    try:
        if stand_in is not None and not smoke_:
            raise SettingError("--stand-in is for the smoke test: give --smoke too.")
        offered = stand_ins(stand_in)
        context = _context(trees or [], base, spec, prompt, before)
    except OHGWError as error:
        if format_ != "json":
            raise
        typer.echo(FORMATS[format_](could_not_tell(str(error)), {}))
        sys.exit(CANNOT_TELL)
    seen = None
    if smoke_:
        with environment_for(context.derived, python, install) as interpreter:
            limits = Limits(seconds=seconds)
            seen = smoke(context, python=interpreter, limits=limits, offered=offered)
    result = review(context, honour_ignores=not no_ignore, observation=seen)
    if model:
        result = with_opinions(result, ask(context, result.findings, model), model)
    read = {p.label: p.tree for p in (context.base, context.derived, context.before) if p}
    if sarif is not None:
        _write(sarif, FORMATS["sarif"](result, read))
    typer.echo(FORMATS[format_](result, read))
    sys.exit(result.exit_code)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise SettingError(f"--sarif {str(path)!r} cannot be written: {error.strerror}.") from None


def _context(
    trees: list[str], base: str | None, spec: Path | None, prompt: Path | None, before: str | None
) -> Context:
    """Everything to look at, from arguments or from one prompt."""
    if prompt is not None:
        if trees or base or spec:
            raise SettingError("--prompt holds everything: give no BASE, DERIVED or --spec too.")
        requirement, base_tree, derived_tree = read_prompt(str(prompt))
        base_project = Project(base_tree) if base_tree else None
        earlier = _project("before", before)
        return Context(Project(derived_tree), base_project, earlier, requirement)
    origins = [base, *trees] if base is not None else trees
    if len(origins) != 2:
        raise SettingError(
            "Give BASE and DERIVED, `--base none DERIVED`, or --prompt FILE; "
            f"given: {' '.join(origins) or 'nothing'}."
        )
    requirement = read_spec(str(spec) if spec else None)
    derived = Project(read_tree("derived", origins[1]))
    return Context(derived, _project("base", origins[0]), _project("before", before), requirement)


def _project(label: str, origin: str | None) -> Project | None:
    """A tree by its origin; `shipped` is what `ohgw new-experiment` writes."""
    if origin is None or origin == "none":
        return None
    return Project(read_tree(label, str(TEMPLATE) if origin == "shipped" else origin))

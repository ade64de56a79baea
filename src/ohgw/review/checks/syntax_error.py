"""Files that do not parse: Python, YAML and pyproject.toml, in the derived tree and in the base."""

from collections.abc import Iterator

from ohgw.review.checks.check import Check, Context
from ohgw.review.findings import Finding


def _run(check: Check, context: Context) -> Iterator[Finding]:
    for project in context.projects:
        for module in project.modules.values():
            if module.problem:
                line = module.problem.line
                yield check.finding(
                    "error",
                    project.at(module.path),
                    line,
                    f"{module.path} does not parse: {module.problem.message}.",
                    evidence=module.source(line),
                    fix="Correct the syntax; every module that imports this one fails with it.",
                )
        for config in project.configs.values():
            if config.problem:
                yield check.finding(
                    "error",
                    project.at(config.path),
                    config.problem_line,
                    f"{config.path} is not YAML: {config.problem}.",
                    fix="Correct the file; a run that reads it stops here.",
                )
        manifest = project.manifest
        if manifest.path and manifest.problem:
            yield check.finding(
                "error",
                project.at(manifest.path),
                manifest.problem_line,
                f"{manifest.path} is not TOML: {manifest.problem}.",
                fix="Correct the file; nothing can be installed from it.",
            )


CHECK = Check("syntax-error", "Not Executable", "parses", _run)

"""The analysis of a study as a Jupyter notebook, written and executed."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from ohgw.analysis.across.results import StudySummary
from ohgw.core.errors import MissingExtraError, SettingError, StorageError

NOTEBOOK_NAME = "report.ipynb"


def write_notebook(folder: Path, summary: StudySummary) -> Path:
    """Write report.ipynb into the report's `folder`, with the results of its cells in it.

    Raises `MissingExtraError` without the extra `notebook`, `StorageError` where it cannot be
    written, and `SettingError` where Jupyter's kernel cannot run it.
    """
    nbformat, nbclient = needed()
    if sys.platform == "win32":  # the kernel's sockets need a selector loop there
        asyncio.set_event_loop_policy(asyncio.WindowsSelectorEventLoopPolicy())
    new = nbformat.v4
    notebook = new.new_notebook(
        cells=[
            new.new_markdown_cell(text) if kind == "markdown" else new.new_code_cell(text)
            for kind, text in _cells(_literal(summary.title), _literal(summary.description))
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    path = folder / NOTEBOOK_NAME
    place = {"metadata": {"path": str(folder)}}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        nbclient.NotebookClient(notebook, timeout=600, resources=place).execute()
        path.write_text(nbformat.writes(notebook), encoding="utf-8")
    except nbclient.exceptions.CellExecutionError as error:
        raise SettingError(
            f"{path}: a cell failed with {error.ename}: {error.evalue}. The report beside it is "
            "complete; check that Jupyter's kernel python3 is that of this environment."
        ) from None
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror}).") from None
    return path


def needed() -> tuple[Any, Any]:
    """The modules nbformat and nbclient. Raises `MissingExtraError`."""
    try:
        import ipykernel.kernelspec  # noqa: F401
        import nbclient
        import nbformat
    except ImportError:
        raise MissingExtraError("A notebook", "notebook") from None
    return nbformat, nbclient


def _literal(text: str) -> str:
    """`text` as Markdown that says just that, on one line."""
    signs = set("\\`*_{}[]()#+-!<>|$&~")
    return "".join(f"\\{c}" if c in signs else c for c in " ".join(text.split()))


def _cells(title: str, description: str) -> list[tuple[str, str]]:
    return [
        ("markdown", f"# {title}\n\n{description}\n\nRun again in this folder; it reads `..`."),
        (
            "code",
            "from pathlib import Path\n\n"
            "import pandas as pd\n\n"
            "from ohgw.analysis.across import summarise_study\n\n"
            'study = Path("..")\n'
            "summary = summarise_study(study)\n"
            'tables = {file.stem: pd.read_csv(file) for file in Path("tables").glob("*.csv")}\n'
            "for note in summary.notes:\n"
            "    print(note)",
        ),
        ("markdown", "## Verdict\n\nTuples that meet every success criterion."),
        ("code", 'tables.get("verdict")'),
        ("markdown", "## Effects\n\nPaired changes of time to target, with intervals and tests."),
        ("code", 'tables.get("effects")'),
        ("markdown", "## Tuples\n\nEach criterion with its numbers."),
        ("code", 'tables.get("tuples")'),
        ("markdown", "## Figures"),
        (
            "code",
            "from IPython.display import Image, display\n\n"
            'for path in sorted(Path("figures").glob("*.png")):\n'
            "    print(path.stem)\n"
            "    display(Image(path, width=560))",
        ),
        ("markdown", "## The rows themselves\n\nEvery report of every complete cell."),
        (
            "code",
            'files = sorted(study.glob("cells/*/finals.parquet"))\n'
            "finals = pd.concat(\n"
            "    [pd.read_parquet(file).assign(cell=file.parent.name) for file in files]\n"
            ") if files else pd.DataFrame()\n"
            'finals.groupby(["cell", "search"])[["score", "work", "probe_work"]].median() '
            "if files else finals",
        ),
    ]

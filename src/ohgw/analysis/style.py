"""The look of every figure: palette, type, axes, files. No pyplot, so no global state.

Colours: Okabe & Ito (2008), 'Color Universal Design', distinguishable with any colour vision;
every arm has a line style and a marker of its own as well, for print in grey.
"""

import base64
import io
import itertools
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf, PdfPages
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from ohgw.core.errors import StorageError

DPI, BOOK_DPI = 200, 150  # of a PNG; of one among many
WIDTH = 5.6  # inches: narrow enough to stay readable at the width of a phone
INK, FAINT, GRID, SHADE = "#1a1a1a", "#6b6b6b", "#e4e4e4", "#f1f1f1"
_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 1.5)),
    (0, (1.2, 1.2)),
    (0, (6, 1.5, 1.2, 1.5)),
    (0, (9, 2)),
    (0, (6, 1.5, 1.2, 1.5, 1.2, 1.5)),
    (0, (2.6, 1.2)),
)
_MARKERS = "osD^vPX"
_RC: dict[Any, Any] = {
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "ohgw",
    "font.family": "DejaVu Sans",
    "text.hinting": "none",  # for low resolutions, and slow
    "font.size": 9.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
}


@dataclass(frozen=True, slots=True)
class Look:
    """How one arm is drawn, in every figure of a report."""

    colour: str
    dashes: Any
    marker: str


def looks(arms: Sequence[str]) -> dict[str, Look]:
    """A look for each arm by its place in the plan; the first arm is black and solid."""
    return {arm: _look(place) for place, arm in enumerate(arms)}


def shared_looks(groups: Sequence[Sequence[str]]) -> dict[str, Look]:
    """One look for each arm wherever it appears, and another for each arm of its groups.

    Arms that no group has together may look alike: more arms than colours stay distinguishable.
    """
    places: dict[str, int] = {}
    for arm in dict.fromkeys(itertools.chain.from_iterable(groups)):
        together = itertools.chain.from_iterable(group for group in groups if arm in group)
        taken = {places[other] for other in together if other in places}
        places[arm] = next(place for place in itertools.count() if place not in taken)
    return {arm: _look(place) for arm, place in places.items()}


def _look(place: int) -> Look:
    turn = (place + place // len(_COLOURS)) % len(_DASHES)  # a second round shifts line styles
    return Look(_COLOURS[place % len(_COLOURS)], _DASHES[turn], _MARKERS[turn])


@contextmanager
def styled() -> Iterator[None]:
    """The house settings, for as long as a figure is drawn or saved."""
    with mpl.rc_context(_RC), warnings.catch_warnings():
        # A user's name may hold a letter that the font lacks; a box is drawn in its place.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        yield


def blank(
    rows: int, height: float, *, columns: int = 1, **options: Any
) -> tuple[Figure, list[Axes]]:
    """A figure of `rows` stacked axes, `height` inches tall in all; row by row where `columns`."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(itertools.chain.from_iterable(axes))


def stacked(heights: Sequence[float], left: float, right: float) -> tuple[Figure, list[Axes]]:
    """A figure of stacked axes between fixed margins; all in inches, from the top.

    `heights` alternate: a gap, axes, a gap, axes ..., a gap. Solving for a layout, as `blank`
    does, takes as long as drawing: too long for reports of many figures.
    """
    total = sum(heights)
    figure = Figure(figsize=(WIDTH, total))
    FigureCanvasAgg(figure)
    found, top = [], total
    for place, height in enumerate(heights):
        top -= height
        if place % 2:
            box = (left / WIDTH, top / total, (WIDTH - left - right) / WIDTH, height / total)
            found.append(figure.add_axes(box))
    return figure, found


def widest(labels: Sequence[str], size: float) -> float:
    """Inches that the longest line of `labels` takes at most, in letters of `size` points."""
    lines = [line for label in labels for line in label.split("\n")]
    return max(map(len, lines), default=0) * size * 0.0084  # of DejaVu Sans, in lower case


def plain(text: str, limit: int = 34) -> str:
    """`text` as matplotlib shows it literally: no mathematics, no line breaks, not too long."""
    text = " ".join(text.split())
    if len(text) > limit:  # arms differ at either end: in the method's name or in the recipe
        head = limit // 2
        text = f"{text[:head]}…{text[head + 1 - limit :]}"
    return text.replace("$", r"\$")


def log_axis(axes: Axes, which: str, low: float, high: float) -> None:
    """A logarithmic axis over [low, high] with readable labels even within one decade."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xscale if which == "x" else axes.set_yscale)("log")
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
    subs: tuple[float, ...] = (1.0, 2.0, 5.0) if high / low < 1e3 else (1.0,)
    if high / low < 10:
        subs = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def spread_out(positions: Sequence[float], gap: float) -> list[float]:
    """`positions` moved apart until neighbours are `gap` away, around their common middle."""
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    moved = [positions[i] for i in order]
    for _ in range(100):
        for i in range(1, len(moved)):
            lack = gap - (moved[i] - moved[i - 1])
            if lack > 1e-9:
                moved[i - 1] -= lack / 2
                moved[i] += lack / 2
    result = [0.0] * len(positions)
    for place, value in zip(order, moved, strict=True):
        result[place] = value
    return result


def save(figure: Figure, folder: Path, name: str, *, book: PdfPages | None = None) -> str:
    """Write NAME.png and NAME.pdf (TrueType fonts); return it as an SVG data URI.

    With `book` the PDF is a page of that, and the URI holds the PNG, which is there already.
    Nothing written holds a date, so equal figures make equal files.
    """
    png, svg = io.BytesIO(), io.BytesIO()
    pdf: Any = folder / f"{name}.pdf" if book is None else book
    # `Figure.savefig` would draw twice for each file, the first time only for its layout. The
    # figure keeps a canvas for pixels: one for paper would change its resolution unasked.
    agg: Any = FigureCanvasAgg(figure)
    paper: Any = FigureCanvasPdf(figure)
    web: Any = FigureCanvasSVG(figure)
    figure.set_canvas(agg)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with styled():
            figure.set_dpi(DPI if book is None else BOOK_DPI)
            agg.print_png(png, metadata={"Software": None})
            (folder / f"{name}.png").write_bytes(png.getvalue())
            figure.set_layout_engine("none")  # positions are settled; do not solve for them again
            paper.print_pdf(pdf, metadata={"CreationDate": None} if book is None else None)
            if book is None:
                web.print_svg(svg, metadata={"Date": None})
    except OSError as error:
        raise StorageError(
            f"{folder}: the figure {name!r} cannot be written ({error.strerror}). "
            "Check the directory's permissions and the free space."
        ) from error
    kind, held = ("svg+xml", svg) if book is None else ("png", png)
    return f"data:image/{kind};base64," + base64.b64encode(held.getvalue()).decode("ascii")

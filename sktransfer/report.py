"""Results as one page: the verdict, the numbers, the pictures, and how they came about."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from sktransfer import _html as html
from sktransfer._tables import Table
from sktransfer._version import __version__
from sktransfer.engines.inventory import list_facts

# What matplotlib draws on, and in, so that pictures stand on the page's own cards: the colours are
# those of the template's variables.
_LIGHT = {"ground": "#f5f7f9", "text": "#1a1d21", "grid": "#c6ced6"}
_DARK = {"ground": "#1e2327", "text": "#e8eaed", "grid": "#49535c"}


@dataclass
class _Part:
    """What the page says of one result.

    Attributes
    ----------
    name, title : str
        Anchor and heading.
    subject : str
        What was computed on what.
    verdict : list of str
        What it comes to, in words; shown at the top of the page.
    points : list of str
        More of it, as a list.
    tables : list of tuple
        Caption, header and rows of each.
    notes : list of str
        What must be known to read the tables.
    display : callable or None
        Returns what draws it.
    alt : str
        What the drawing shows, in words.
    details : str
        HTML that follows.
    """

    name: str
    title: str
    subject: str
    verdict: list[str] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    display: Callable[[], Any] | None = None
    alt: str = ""
    details: str = ""


class TransferReport:
    """Results as one web page, in a file that needs nothing else.

    The verdict stands first, then tables and pictures of each result, findings with their
    remedies, and how all this was made. The page fetches nothing and runs no script, follows the
    reader's choice of light or dark, fits a phone, and is made for keyboards and screen readers.

    Parameters
    ----------
    comparison : TransferComparison or None, default=None
        What :func:`compare_transfer` returned.
    sweep : LayerSweep or None, default=None
        What :func:`sweep_layers` returned.
    curve : TransferCurve or None, default=None
        What :func:`transfer_curve` returned.
    diagnosis : Diagnosis or None, default=None
        What :func:`diagnose` returned.
    title : str or None, default=None
        The heading of the page.
    data : str or None, default=None
        What the images are and where they come from, in your words.

    Raises
    ------
    TypeError
        If something else is given for a result.
    ValueError
        If no result is given.

    See Also
    --------
    compare_transfer, sweep_layers, transfer_curve, diagnose : What makes the results.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from sktransfer import (
    ...     TransferReport, VGGFeatureExtractor, compare_transfer, load_digit_pair
    ... )
    >>> X, y = load_digit_pair((8, 6), return_X_y=True)
    >>> random = VGGFeatureExtractor(
    ...     "block1_pool", weights=None, pooling="max", input_size=32, random_state=0
    ... )
    >>> result = compare_transfer(X[:40], y[:40], extractors={"random": random}, cv=2)
    >>> report = TransferReport(result, data="scikit-learn's digits 8 and 6")
    >>> with TemporaryDirectory() as folder:
    ...     report.to_html(Path(folder) / "report.html")
    ...     page = (Path(folder) / "report.html").read_text(encoding="utf-8")
    >>> page.splitlines()[0]
    '<!DOCTYPE html>'
    """

    def __init__(
        self,
        comparison: Any = None,
        *,
        sweep: Any = None,
        curve: Any = None,
        diagnosis: Any = None,
        title: str | None = None,
        data: str | None = None,
    ) -> None:
        given = {
            "comparison": comparison,
            "sweep": sweep,
            "curve": curve,
            "diagnosis": diagnosis,
        }
        for name, result in given.items():
            kind, maker = _KINDS[name]
            if result is not None and type(result).__name__ != kind:
                raise TypeError(
                    f"The {name!r} parameter of {type(self).__name__} must be a {kind}, as "
                    f"{maker} returns it. Got {type(result).__name__} instead."
                )
        if all(result is None for result in given.values()):
            raise ValueError(
                f"{type(self).__name__} needs at least one result: a comparison, sweep, curve or "
                "diagnosis. Got none."
            )
        self.comparison = comparison
        self.sweep = sweep
        self.curve = curve
        self.diagnosis = diagnosis
        self.title = title
        self.data = data

    def to_html(self, path: str | os.PathLike) -> None:
        """Write the page.

        Parameters
        ----------
        path : path-like
            The file, which is replaced if it is there.

        Raises
        ------
        ImportError
            If there is something to draw and matplotlib is not installed.
        OSError
            If the file cannot be written.
        """
        page = self._page()
        Path(path).write_text(page, encoding="utf-8")

    def _page(self) -> str:
        parts = list(self._parts())
        title = self.title or "Does transfer help?"
        verdict = []
        for part in parts:
            verdict.append(f"<h3>{escape(part.title)}</h3>")
            verdict += [html.paragraph(words) for words in part.verdict]
            verdict.append(html.bullets(part.points))
        sections = [html.section("verdict", "Verdict", *verdict, kind="verdict")]
        for part in parts:
            tables = [
                html.table(f"{part.name}-{i}", caption, header, body)
                for i, (caption, header, body) in enumerate(part.tables, start=1)
            ]
            sections.append(
                html.section(
                    part.name,
                    part.title,
                    html.paragraph(part.subject),
                    self._picture(part),
                    *tables,
                    *(html.paragraph(note, "note") for note in part.notes),
                    part.details,
                )
            )
        sections.append(html.section("made", "How this was made", html.facts(self._facts())))
        anchors = [("verdict", "Verdict"), *((p.name, p.title) for p in parts)]
        anchors.append(("made", "How this was made"))
        links = [f'<li><a href="#{name}">{escape(text)}</a></li>' for name, text in anchors]
        template = resources.files(__package__).joinpath("report.html")
        return Template(template.read_text(encoding="utf-8")).substitute(
            title=escape(title),
            version=escape(__version__),
            subject=html.paragraph(self.data) if self.data else "",
            links="\n".join(links),
            sections="\n".join(sections),
        )

    def _parts(self) -> Iterator[_Part]:
        if self.comparison is not None:
            yield _of_comparison(self.comparison)
        if self.sweep is not None:
            yield _of_sweep(self.sweep)
        if self.curve is not None:
            yield _of_curve(self.curve)
        if self.diagnosis is not None:
            yield _of_diagnosis(self.diagnosis)

    def _facts(self) -> dict[str, str]:
        now = datetime.now().astimezone()
        found = {"date": now.isoformat(sep=" ", timespec="minutes")}
        if self.data:
            found["images"] = self.data
        return found | list_facts()

    def _picture(self, part: _Part) -> str:
        if part.display is None:
            return ""
        (light, size), (dark, _) = (
            _draw(part.display, theme, f"{type(self).__name__}.to_html")
            for theme in (_LIGHT, _DARK)
        )
        caption = "The numbers stand in the tables below."
        return html.picture(light, dark, size, part.alt, caption)


_KINDS = {
    "comparison": ("TransferComparison", "compare_transfer"),
    "sweep": ("LayerSweep", "sweep_layers"),
    "curve": ("TransferCurve", "transfer_curve"),
    "diagnosis": ("Diagnosis", "diagnose"),
}


def _of_comparison(result: Any) -> _Part:
    from sktransfer.displays import TransferComparisonDisplay

    metric = result.metrics[0]
    means = [f"{row.name} {row.mean(metric):.3f}" for row in result.rows if row.unavailable is None]
    return _Part(
        name="comparison",
        title="With against without transfer",
        verdict=result.verdict.split("\n\n"),
        subject=f"{result.subject()}.",
        tables=result.tables(),
        notes=result.notes(),
        display=TransferComparisonDisplay(result).plot,
        alt=f"Mean {metric} of each row, with every fold as a dot: {'; '.join(means)}.",
    )


def _of_sweep(result: Any) -> _Part:
    from sktransfer.displays import LayerSweepDisplay

    return _Part(
        name="sweep",
        title="Which layer",
        points=result.sentences(),
        subject=f"{result.subject()}.",
        tables=result.tables(),
        notes=result.notes(),
        display=LayerSweepDisplay(result).plot if result.rows else None,
        alt=f"Mean {result.metric} of every layer, pooling and input size. "
        f"{'; '.join(result.sentences())}.",
    )


def _of_curve(result: Any) -> _Part:
    from sktransfer.displays import TransferCurveDisplay

    ends = [
        f"{row.name} from {row.means[0].value:.3f} to {row.means[-1].value:.3f}"
        for row in result.available
    ]
    return _Part(
        name="curve",
        title="How many labels",
        points=result.sentences(),
        subject=result.subject(),
        tables=list(result.tables()),
        display=TransferCurveDisplay(result).plot,
        alt=f"{result.metric} against {result.sizes[0]:,} to {result.sizes[-1]:,} labels: "
        f"{'; '.join(ends)}.",
    )


def _of_diagnosis(result: Any) -> _Part:
    from sktransfer.diagnosis.findings import spell

    findings = []
    for number, finding in enumerate(result.findings, start=1):
        label = f"remedy of finding {number}, {finding.name}"
        findings += [
            f'<article class="finding {escape(finding.severity)}">',
            f'<h3><span class="severity">{escape(finding.severity)}</span> '
            f"{escape(finding.name)}</h3>",
            html.paragraph(finding.message),
            "<h4>Evidence</h4>",
            html.facts({name: spell(value) for name, value in finding.evidence.items()}),
            "<h4>Remedy</h4>",
            html.code(finding.remedy, label),
            "</article>",
        ]
    return _Part(
        name="diagnosis",
        title="What may be wrong",
        verdict=[f"{result.summary()}."],
        points=[f"{each.name}: {each.message}" for each in result.at_least("warning")],
        subject=f"{len(result.checks)} kinds of faults were looked for.",
        details="\n".join(findings),
        notes=[f"Not looked for: {name}, as {why}." for name, why in result.skipped.items()],
    )


def _draw(display: Callable[[], Any], theme: dict[str, str], who: str) -> tuple[str, tuple]:
    """Draw in the colours of a theme, and return the picture as a data URI with its size."""
    from sktransfer.displays._matplotlib import check_matplotlib

    check_matplotlib(who)
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    text, ground = theme["text"], theme["ground"]
    names = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    settings: Any = dict.fromkeys(names, text)
    grounds = ("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor")
    settings |= dict.fromkeys(grounds, ground)
    settings |= {"grid.color": theme["grid"], "svg.hashsalt": "sktransfer"}
    # Figures of their own, which no window shows and no other drawing finds.
    with mpl.rc_context(settings), plt.ioff():
        figure = display().figure_
        try:
            file = io.BytesIO()
            figure.savefig(file, format="svg", metadata={"Date": None})
            width, height = (round(96 * inches) for inches in figure.get_size_inches())
        finally:
            plt.close(figure)
    uri = f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"
    return uri, (width, height)

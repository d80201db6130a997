"""Results as one page: the verdict, the numbers, the pictures, and how they were obtained."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

from sktransfer._version import __version__
from sktransfer.engines.inventory import list_facts
from sktransfer.report.brief import (
    brief_comparison,
    brief_curve,
    brief_networks,
    brief_sweep,
)
from sktransfer.report.drawing import draw
from sktransfer.report.images import (
    Found,
    LookedAt,
    draw_confusion,
    draw_examples,
    draw_found,
    draw_mistakes,
    look_at,
    show_found,
)
from sktransfer.results.tables import Table


class TransferReport:
    """Results as one web page, in a file that needs nothing else.

    The answers come first, a sentence for each result. Then come, for each result, a picture, one
    table and everything else, and at the end how all this was made. Given images, labels and a
    classifier, the page also shows examples of each class, a confusion matrix, and the most
    confident wrong predictions; given a diagnosis and images, those on which its
    findings rest. The page fetches nothing and runs no script, follows
    the reader's choice of light or dark, fits a phone and paper, and is made for keyboards and
    screen readers.

    Parameters
    ----------
    comparison : TransferComparison or None, default=None
        What :func:`compare_transfer` returned.
    sweep : LayerSweep or None, default=None
        What :func:`sweep_layers` returned.
    networks : NetworkSweep or None, default=None
        What :func:`sweep_networks` returned.
    curve : TransferCurve or None, default=None
        What :func:`transfer_curve` returned.
    diagnosis : Diagnosis or None, default=None
        What :func:`diagnose` returned.
    estimator : VGGFeatureExtractor, ImageFeatureExtractor or Pipeline, default=None
        An extractor, or a pipeline of one and a classifier, which predicts every image in a
        cross-validation. Without a classifier, it is a scaler and logistic regression.
    X : array-like, DataFrame, or list of paths, PIL images or arrays, default=None
        The images that `estimator` predicts, and that are shown.
    y : array-like of shape (n_images,), default=None
        Their labels.
    title : str or None, default=None
        The heading of the page; None asks the question that the results answer.
    data : str or None, default=None
        What the images are and where they come from, in your words.

    Raises
    ------
    TypeError
        If something else is given for a result.
    ValueError
        If no result is given, or only some of `estimator`, `X` and `y`.

    See Also
    --------
    compare_transfer, sweep_layers, sweep_networks, transfer_curve, diagnose : What makes the
        results.

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
        networks: Any = None,
        curve: Any = None,
        diagnosis: Any = None,
        estimator: Any = None,
        X: Any = None,
        y: Any = None,
        title: str | None = None,
        data: str | None = None,
    ) -> None:
        self.comparison = comparison
        self.sweep = sweep
        self.networks = networks
        self.curve = curve
        self.diagnosis = diagnosis
        self.estimator = estimator
        self.X = X
        self.y = y
        self.title = title
        self.data = data
        for name, (kind, maker, *_) in _KINDS.items():
            result = getattr(self, name)
            if result is not None and type(result).__name__ != kind:
                raise TypeError(
                    f"The {name!r} parameter of {type(self).__name__} must be a {kind}, as "
                    f"{maker} returns it. Got {type(result).__name__} instead."
                )
        missing = [name for name in ("estimator", "X", "y") if getattr(self, name) is None]
        # Without labels it can still show the images that a diagnosis names.
        if missing and len(missing) < 3 and (self.diagnosis is None or missing != ["y"]):
            raise ValueError(
                f"{type(self).__name__} needs 'estimator', 'X' and 'y' together, or none of them. "
                f"Got no {' and no '.join(map(repr, missing))}."
            )
        if all(getattr(self, name) is None for name in _KINDS):
            raise ValueError(
                f"{type(self).__name__} needs at least one result: a comparison, sweep, sweep of "
                "networks, curve or diagnosis. Got none."
            )

    def to_html(self, path: str | os.PathLike) -> None:
        """Write the page.

        Parameters
        ----------
        path : path-like
            The file, which is replaced if it exists.

        Raises
        ------
        ImportError
            If Jinja2 is not installed, or there is something to draw and matplotlib is not.
        OSError
            If the file cannot be written.
        """
        who = f"{type(self).__name__}.to_html"
        template = _load_template(who)
        given = [name for name in _KINDS if getattr(self, name) is not None]
        sections = [_KINDS[name][-1](getattr(self, name)) for name in given]
        if self.diagnosis is not None and self.estimator is not None:
            found = show_found(self.estimator, self.X, self.diagnosis.findings, who)
            sections[given.index("diagnosis")].pictures = [_of_found(each) for each in found]
        if self.y is not None:
            sections.append(_of_images(look_at(self.estimator, self.X, self.y, who)))
        made = {"date": datetime.now().astimezone().isoformat(sep=" ", timespec="minutes")}
        if self.data:
            made["images"] = self.data
        page = template.render(
            title=self.title or (_KINDS[given[0]][2] if len(given) == 1 else _QUESTION),
            data=self.data,
            sections=sections,
            pictures={
                each.name: [draw(picture.draw, who) | picture.words() for picture in each.pictures]
                for each in sections
            },
            made=made | list_facts(),
            version=__version__,
        )
        Path(path).write_text(page, encoding="utf-8")


def _load_template(who: str) -> Any:
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise ImportError(
            f"{who} needs Jinja2, which is not installed. Install it with "
            '`pip install "sktransfer[plot]"`.'
        ) from error
    from sktransfer.evaluation.diagnosis.findings import spell

    # Titles, names and messages may hold anything: all of them are escaped.
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["spell"] = spell
    text = resources.files(__package__).joinpath("report.html").read_text(encoding="utf-8")
    return environment.from_string(text)


@dataclass
class _Picture:
    """A drawing: what makes it, what it shows in words, and what stands below it."""

    draw: Callable[[], Any]
    alt: str
    caption: str = "The numbers are in the tables below."

    def words(self) -> dict[str, str]:
        return {"alt": self.alt, "caption": self.caption}


@dataclass
class _Section:
    """A section of the page, about one result.

    Attributes
    ----------
    name, title : str
        Anchor and heading.
    subject : str
        What was computed on what.
    answers : list of str
        What it comes to, in a sentence or a few; shown at the top of the page.
    table : tuple or None
        Caption, header and rows of the one table that most readers need.
    words : list of str
        All of what it comes to, in paragraphs.
    points : list of str
        More of it, as a list.
    tables : list of tuple
        Caption, header and rows of all others.
    notes : list of str
        What must be known to read the tables.
    pictures : list of _Picture
        Drawings.
    findings : list of Finding
        What a diagnosis found.
    """

    name: str
    title: str
    subject: str
    answers: list[str] = field(default_factory=list)
    table: Table | None = None
    words: list[str] = field(default_factory=list)
    points: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pictures: list[_Picture] = field(default_factory=list)
    findings: list[Any] = field(default_factory=list)


def _of_comparison(result: Any) -> _Section:
    from sktransfer.displays import TransferComparisonDisplay

    metric = result.metrics[0]
    means = [f"{row.name} {row.mean(metric):.3f}" for row in result.rows if row.unavailable is None]
    alt = f"Mean {metric} of each row, with every fold as a dot: {'; '.join(means)}."
    brief = brief_comparison(result)
    return _Section(
        name="comparison",
        title="With and without transfer",
        answers=brief.answers,
        table=brief.table,
        words=result.verdict.split("\n\n"),
        subject=f"{result.subject()}.",
        tables=result.tables(),
        notes=result.notes(),
        pictures=[_Picture(TransferComparisonDisplay(result).plot, alt)],
    )


def _of_sweep(result: Any) -> _Section:
    from sktransfer.displays import LayerSweepDisplay

    alt = f"Mean {result.metric} of every layer, pooling and input size. "
    alt += f"{'; '.join(result.sentences())}."
    brief = brief_sweep(result)
    return _Section(
        name="sweep",
        title="Which layer",
        answers=brief.answers,
        table=brief.table,
        subject=f"{result.subject()}.",
        tables=result.tables()[1:],
        notes=result.notes(),
        pictures=[_Picture(LayerSweepDisplay(result).plot, alt)] if result.rows else [],
    )


def _of_networks(result: Any) -> _Section:
    from sktransfer.displays import NetworkSweepDisplay

    alt = f"Mean {result.metric} of every network against milliseconds per image. "
    alt += " ".join(result.sentences())
    is_drawn = any(row.milliseconds for row in result.rows)
    brief = brief_networks(result)
    return _Section(
        name="networks",
        title="Which network",
        answers=brief.answers,
        table=brief.table,
        subject=f"{result.subject()}.",
        tables=result.tables()[1:],
        notes=result.notes(),
        pictures=[_Picture(NetworkSweepDisplay(result).plot, alt)] if is_drawn else [],
    )


def _of_curve(result: Any) -> _Section:
    from sktransfer.displays import TransferCurveDisplay

    ends = [
        f"{row.name} from {row.means[0].value:.3f} to {row.means[-1].value:.3f}"
        for row in result.available
    ]
    alt = f"{result.metric} against {result.sizes[0]:,} to {result.sizes[-1]:,} labels: "
    alt += f"{'; '.join(ends)}."
    brief = brief_curve(result)
    return _Section(
        name="curve",
        title="How many labels",
        answers=brief.answers,
        table=brief.table,
        points=result.sentences(),
        subject=result.subject(),
        tables=result.tables()[1:],
        pictures=[_Picture(TransferCurveDisplay(result).plot, alt)],
    )


def _of_diagnosis(result: Any) -> _Section:
    return _Section(
        name="diagnosis",
        title="What may be wrong",
        answers=[f"{result.summary()}."],
        points=[f"{each.name}: {each.message}" for each in result.at_least("warning")],
        subject=f"{len(result.checks)} kinds of faults were checked for.",
        findings=result.findings,
        notes=[f"Not checked: {name}, because {why}." for name, why in result.skipped.items()],
    )


def _of_found(found: Found) -> _Picture:
    numbers = ", ".join(f"{i:,}" for i in found.pictures)
    return _Picture(
        draw_found(found),
        f"Images that show {found.name}: {numbers}.",
        f"{found.name}: images by their positions.",
    )


def _of_images(seen: LookedAt) -> _Section:
    shown = ", ".join(seen.names[: len(seen.examples)])
    wrong = [
        f"{each.label} predicted as {each.predicted} ({each.probability:.0%})"
        for each in seen.mistakes
    ]
    counts = [
        [name, *(f"{n:,}" for n in row)] for name, row in zip(seen.names, seen.counts, strict=True)
    ]
    pictures = [
        _Picture(draw_examples(seen), f"Images of the classes {shown}.", "Examples of each class."),
        _Picture(
            draw_confusion(seen),
            "How many images of each class were predicted as which: the table below in colours.",
            "Rows are classes, columns predictions.",
        ),
    ]
    if seen.mistakes:
        words = "The most confident wrong predictions, with their probability."
        pictures.append(_Picture(draw_mistakes(seen), f"{'; '.join(wrong)}.", words))
    return _Section(
        name="images",
        title="Images and mistakes",
        subject=f"Every image was predicted by a classifier fitted on others, in {seen.n_folds} "
        f"folds; {seen.accuracy:.3f} of them are right.",
        table=("Classes, and what was predicted", ["class", *seen.names], counts),
        pictures=pictures,
    )


_QUESTION = "Does transfer help?"

# The class of each result, the function that returns it, the question that it answers, and what
# makes a section of it.
_KINDS: dict[str, tuple[str, str, str, Callable[[Any], _Section]]] = {
    "comparison": ("TransferComparison", "compare_transfer", _QUESTION, _of_comparison),
    "sweep": ("LayerSweep", "sweep_layers", "Which layer?", _of_sweep),
    "networks": ("NetworkSweep", "sweep_networks", "Which network?", _of_networks),
    "curve": ("TransferCurve", "transfer_curve", "How many labels does it save?", _of_curve),
    "diagnosis": ("Diagnosis", "diagnose", "What may be wrong?", _of_diagnosis),
}

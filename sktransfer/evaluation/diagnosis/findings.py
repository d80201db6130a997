"""The findings of a diagnosis with evidence and remedy, as text, table, Markdown and JSON."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

from sktransfer.results.result import Result
from sktransfer.results.tables import wrap

#: From harmless to what spoils the result.
SEVERITIES = ("info", "warning", "error")


@dataclass(frozen=True)
class Finding:
    """One thing that a diagnosis found.

    Attributes
    ----------
    name : str
        Its name in the documentation, such as ``scaled-twice``.
    severity : {'info', 'warning', 'error'}
        An error spoils the result; a warning costs accuracy, or makes scores look better than they
        are; an info is good to know.
    message : str
        What is wrong, in plain words.
    evidence : dict of str to object
        The numbers on which it rests.
    remedy : str
        Python code that fixes it, with `X`, `y`, `extractor` and `pipeline` as the arguments.
    images : list of int
        Positions in `X` of images that show it, the clearest first and at most 20 (all for wrong
        labels); empty if it is not about single images.
    """

    name: str
    severity: str
    message: str
    evidence: dict[str, Any]
    remedy: str
    images: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        """Lay it out as text."""
        numbers = ", ".join(f"{key} {spell(value)}" for key, value in self.evidence.items())
        shown = wrap(f"images: {spell(self.images)}", first="  ", rest="  ")
        return "\n".join(
            [
                f"{self.severity}: {self.name}",
                wrap(self.message, first="  ", rest="  "),
                wrap(f"evidence: {numbers}", first="  ", rest="  "),
                *([shown] if self.images else []),
                "  remedy:",
                textwrap.indent(self.remedy, "    "),
            ]
        )


@dataclass(frozen=True, repr=False)
class Diagnosis(Result):
    """The findings of :func:`diagnose`, most severe first; ``print`` shows a report.

    Findings of one severity are in the order of the data flow, so the first is often the cause of
    those after it. :meth:`to_csv` and :meth:`to_frame` give a record for each
    finding, with its attributes.

    Attributes
    ----------
    findings : list of Finding
        What was found; empty if nothing was.
    n_images : int
        Images given.
    n_sampled : int
        Images that were examined closely and sent through the network.
    checks : list of str
        Names of all findings that were looked for.
    skipped : dict of str to str
        Names of those that were not, and why.
    """

    _columns: ClassVar[tuple[str, ...]] = tuple(each.name for each in fields(Finding))

    findings: list[Finding]
    n_images: int
    n_sampled: int
    checks: list[str]
    skipped: dict[str, str]

    @property
    def names(self) -> list[str]:
        """The names of the findings."""
        return [finding.name for finding in self.findings]

    def at_least(self, severity: str) -> list[Finding]:
        """Select the findings of a severity and above.

        Parameters
        ----------
        severity : {'info', 'warning', 'error'}
            The lowest severity wanted.

        Returns
        -------
        list of Finding
            In the same order.
        """
        if severity not in SEVERITIES:
            raise ValueError(
                f"The 'severity' parameter of Diagnosis.at_least must be one of {SEVERITIES}. Got "
                f"{severity!r} instead."
            )
        lowest = SEVERITIES.index(severity)
        return [each for each in self.findings if SEVERITIES.index(each.severity) >= lowest]

    def to_markdown(self) -> str:
        """Return the report as Markdown."""
        parts = [f"{self.summary()}\n"]
        for each in self.findings:
            numbers = "".join(f"- {key}: {spell(value)}\n" for key, value in each.evidence.items())
            shown = f"- images: {spell(each.images)}\n" if each.images else ""
            parts.append(
                f"## {each.severity}: {each.name}\n\n{each.message}\n\n{numbers}{shown}\n"
                f"```python\n{each.remedy}\n```\n"
            )
        if self.skipped:
            lines = "".join(f"- {name}: {reason}\n" for name, reason in self.skipped.items())
            parts.append(f"## not checked\n\n{lines}")
        return "\n".join(parts)

    def __str__(self) -> str:
        """Lay out all findings as text."""
        parts = [self.summary(), *map(str, self.findings)]
        if self.skipped:
            by_reason: dict[str, list[str]] = {}
            for name, reason in self.skipped.items():
                by_reason.setdefault(reason, []).append(name)
            parts += [
                wrap(f"not checked, because {reason}: {', '.join(names)}")
                for reason, names in by_reason.items()
            ]
        return "\n\n".join(parts)

    def _records(self) -> list[dict[str, Any]]:
        return [asdict(each) for each in self.findings]

    def summary(self) -> str:
        """Count the images and the findings, without a full stop."""
        counts = Counter(each.severity for each in self.findings)
        said = [_spell_count(counts[severity], severity) for severity in reversed(SEVERITIES)]
        found = "nothing found" if not self.findings else ", ".join(filter(None, said))
        return f"{self.n_images:,} images, {self.n_sampled:,} of them examined in detail: {found}"


def _spell_count(n: int, severity: str) -> str:
    if n == 0:
        return ""
    return f"{n} {severity}{'s' if n > 1 and severity != 'info' else ''}"


def spell(value: Any) -> str:
    """Write a piece of evidence as text."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(spell, value)) + "]"
    return str(value)

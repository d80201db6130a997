"""What a diagnosis says: findings with evidence and remedy, as text, table, Markdown and JSON."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from sktransfer._tables import import_pandas
from sktransfer.probing import to_plain

#: From harmless to what spoils the result.
SEVERITIES = ("info", "warning", "error")

_WIDTH = 100


@dataclass(frozen=True)
class Finding:
    """One thing that a diagnosis found.

    Attributes
    ----------
    name : str
        What it is called in the documentation, as in ``scaled-twice``.
    severity : {'info', 'warning', 'error'}
        An error spoils the result; a warning costs accuracy, or lets scores look better than they
        are; an info is worth knowing.
    message : str
        What is wrong, in plain language.
    evidence : dict of str to object
        The numbers on which it rests.
    remedy : str
        Python code that cures it, with `X`, `y`, `extractor` and `pipeline` for what was given.
    """

    name: str
    severity: str
    message: str
    evidence: dict[str, Any]
    remedy: str

    def __str__(self) -> str:
        """Lay it out as text."""
        numbers = ", ".join(f"{key} {spell(value)}" for key, value in self.evidence.items())
        return "\n".join(
            [
                f"{self.severity}: {self.name}",
                _indent(self.message),
                _indent(f"evidence: {numbers}"),
                "  remedy:",
                textwrap.indent(self.remedy, "    "),
            ]
        )


@dataclass(frozen=True)
class Diagnosis:
    """What :func:`diagnose` found, the gravest first; printed, it is a report.

    Findings of one severity stand in the order in which the data flow, so that what is named first
    is often the cause of what follows.

    Attributes
    ----------
    findings : list of Finding
        What was found; empty if nothing was.
    n_images : int
        Images given.
    n_sampled : int
        Images that were looked at closely and sent through the network.
    checks : list of str
        Names of all findings that were looked for.
    skipped : dict of str to str
        Names of those that were not, and why.
    """

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

    def to_frame(self) -> Any:
        """Return a table of the findings.

        Returns
        -------
        pandas.DataFrame
            A row for each finding, with the columns ``name``, ``severity``, ``message``,
            ``evidence`` and ``remedy``.
        """
        pandas = import_pandas("Diagnosis.to_frame")
        columns = ["name", "severity", "message", "evidence", "remedy"]
        return pandas.DataFrame([asdict(each) for each in self.findings], columns=columns)

    def to_markdown(self) -> str:
        """Return the report as Markdown.

        Returns
        -------
        str
            A section for each finding.
        """
        parts = [f"{self.summary()}\n"]
        for each in self.findings:
            numbers = "".join(f"- {key}: {spell(value)}\n" for key, value in each.evidence.items())
            parts.append(
                f"## {each.severity}: {each.name}\n\n{each.message}\n\n{numbers}\n"
                f"```python\n{each.remedy}\n```\n"
            )
        if self.skipped:
            lines = "".join(f"- {name}: {reason}\n" for name, reason in self.skipped.items())
            parts.append(f"## not looked for\n\n{lines}")
        return "\n".join(parts)

    def to_json(self) -> str:
        """Return everything as JSON.

        Returns
        -------
        str
            One object whose keys are the attributes.
        """
        return json.dumps(asdict(self), indent=2, default=to_plain)

    def __str__(self) -> str:
        """Lay out all findings as text."""
        parts = [self.summary(), *map(str, self.findings)]
        if self.skipped:
            by_reason: dict[str, list[str]] = {}
            for name, reason in self.skipped.items():
                by_reason.setdefault(reason, []).append(name)
            parts += [
                textwrap.fill(f"not looked for, as {reason}: {', '.join(names)}", _WIDTH)
                for reason, names in by_reason.items()
            ]
        return "\n\n".join(parts)

    def summary(self) -> str:
        """Count the images and the findings.

        Returns
        -------
        str
            One line, without a stop.
        """
        counts = Counter(each.severity for each in self.findings)
        said = [_count(counts[severity], severity) for severity in reversed(SEVERITIES)]
        found = "nothing found" if not self.findings else ", ".join(filter(None, said))
        return f"{self.n_images:,} images, {self.n_sampled:,} of them looked at closely: {found}"


def _count(n: int, severity: str) -> str:
    if n == 0:
        return ""
    return f"{n} {severity}{'s' if n > 1 and severity != 'info' else ''}"


def spell(value: Any) -> str:
    """Write a piece of evidence as text.

    Parameters
    ----------
    value : object
        A number, a text or a list of these.

    Returns
    -------
    str
        Floats have four digits.
    """
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(spell, value)) + "]"
    return str(value)


def _indent(text: str) -> str:
    return textwrap.fill(
        text, _WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
    )

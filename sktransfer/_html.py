"""Pieces of a page. Everything given as text is escaped here, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape


def paragraph(text: str, kind: str | None = None) -> str:
    """Return a paragraph.

    Parameters
    ----------
    text : str
        Its words.
    kind : str or None, default=None
        Its class.

    Returns
    -------
    str
        HTML.
    """
    attribute = f' class="{escape(kind)}"' if kind else ""
    return f"<p{attribute}>{escape(text)}</p>"


def bullets(items: Iterable[str]) -> str:
    """Return a list of short texts.

    Parameters
    ----------
    items : iterable of str
        The texts.

    Returns
    -------
    str
        HTML; empty where there are none.
    """
    lines = [f"<li>{escape(item)}</li>" for item in items]
    return "\n".join(["<ul>", *lines, "</ul>"]) if lines else ""


def facts(pairs: Mapping[str, str]) -> str:
    """Return names with their values.

    Parameters
    ----------
    pairs : mapping of str to str
        The values by name.

    Returns
    -------
    str
        HTML.
    """
    lines = [f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs.items()]
    return "\n".join(['<dl class="facts">', *lines, "</dl>"])


def section(name: str, title: str, *parts: str, kind: str | None = None) -> str:
    """Return a part of the page that a screen reader lists under its title.

    Parameters
    ----------
    name : str
        The anchor, unique on the page.
    title : str
        The heading.
    *parts : str
        HTML.
    kind : str or None, default=None
        Class of what stands below the heading.

    Returns
    -------
    str
        HTML.
    """
    body = "\n".join(part for part in parts if part)
    body = f'<div class="{escape(kind)}">\n{body}\n</div>' if kind else body
    heading = f'<h2 id="{escape(name)}">{escape(title)}</h2>'
    return f'<section aria-labelledby="{escape(name)}">\n{heading}\n{body}\n</section>'


def table(name: str, caption: str, header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a table whose first column names the rows, scrolling by itself where it is too wide.

    Parameters
    ----------
    name : str
        The anchor, unique on the page.
    caption : str
        What it shows.
    header : sequence of str
        Names of the columns.
    body : sequence of sequence of str
        The rows.

    Returns
    -------
    str
        HTML.
    """
    # A keyboard scrolls only what it can reach, and a screen reader has to say what that is.
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    lines = [
        f'<div class="scroll" role="region" aria-labelledby="{escape(name)}" tabindex="0">',
        f'<table><caption><span id="{escape(name)}">{escape(caption)}</span></caption>',
        f"<thead><tr>{head}</tr></thead>",
        "<tbody>",
    ]
    for first, *others in body:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in others)
        lines.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    return "\n".join([*lines, "</tbody></table>", "</div>"])


def code(text: str, label: str) -> str:
    """Return lines of code, scrolling by themselves where they are too wide.

    Parameters
    ----------
    text : str
        The lines.
    label : str
        What a screen reader calls them.

    Returns
    -------
    str
        HTML.
    """
    attributes = f'role="region" aria-label="{escape(label)}" tabindex="0"'
    return f"<pre {attributes}><code>{escape(text)}</code></pre>"


def picture(light: str, dark: str, size: tuple[int, int], alt: str, caption: str) -> str:
    """Return a picture in two versions, of which the reader's colour scheme chooses one.

    Parameters
    ----------
    light, dark : str
        Data URIs.
    size : tuple of int
        Width and height, so that the page does not jump.
    alt : str
        What is seen, for those who do not see it.
    caption : str
        What stands below.

    Returns
    -------
    str
        HTML.
    """
    width, height = size
    return "\n".join(
        [
            "<figure>",
            f'<picture><source media="(prefers-color-scheme: dark)" srcset="{escape(dark)}">',
            f'<img src="{escape(light)}" width="{width}" height="{height}" alt="{escape(alt)}">',
            "</picture>",
            f"<figcaption>{escape(caption)}</figcaption>",
            "</figure>",
        ]
    )

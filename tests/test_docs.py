"""Pages, README and the package's public names agree, and no link in them leads nowhere."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

import sktransfer

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
PAGES = sorted(DOCS.glob("*.md"))

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)")
_HTML_LINK = re.compile(r"""<(?:img|a)\b[^>]*?\b(?:src|href)=["']([^"']+)""")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _links(path: Path) -> list[str]:
    """List the links and images of a page that stay inside the project."""
    text = _CODE.sub("", _FENCE.sub("", _read(path)))
    links = _LINK.findall(text) + _HTML_LINK.findall(text)
    return [link for link in links if not re.match(r"[a-z]+:", link)]


def _anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#+ +(.+)$", _FENCE.sub("", _read(path)), re.MULTILINE)
    words = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {word.strip().replace(" ", "-") for word in words}


def test_api_page_lists_every_public_name_once() -> None:
    names = re.findall(r"^- `(\w+)`: ", _read(DOCS / "api.md"), re.MULTILINE)
    assert sorted(names) == sorted(set(sktransfer.__all__) - {"__version__"})


def test_api_page_documents_every_public_name() -> None:
    directive = re.compile(r"^\.\. auto\w+:: (\w+)$", re.MULTILINE)
    names = directive.findall(_read(DOCS / "api.md"))
    assert sorted(names) == sorted(set(sktransfer.__all__) - {"__version__"})


def test_every_public_name_exists_and_has_a_docstring() -> None:
    for name in set(sktransfer.__all__) - {"__version__"}:
        assert getattr(sktransfer, name).__doc__, name


def test_readme_names_the_extractor() -> None:
    assert "VGGFeatureExtractor" in _read(README)


def test_names_that_the_pages_import_are_public() -> None:
    imports = re.compile(r"^(?:>>> )?from sktransfer import (.+)$", re.MULTILINE)
    for page in [README, *PAGES]:
        for names in imports.findall(_read(page)):
            imported = {name.strip(" ()") for name in names.split(",")} - {""}
            assert imported <= set(sktransfer.__all__), page.name


def test_every_page_is_in_the_table_of_contents_once() -> None:
    (toctree,) = re.findall(r"```{toctree}\n(.*?)```", _read(DOCS / "index.md"), re.DOTALL)
    entries = [line for line in toctree.split("\n") if line and not line.startswith(":")]
    assert sorted(entries) == [page.stem for page in PAGES if page.stem != "index"]


def test_every_page_is_linked_from_the_index_in_the_order_of_contents() -> None:
    (toctree,) = re.findall(r"```{toctree}\n(.*?)```", _read(DOCS / "index.md"), re.DOTALL)
    entries = [line for line in toctree.split("\n") if line and not line.startswith(":")]
    listed = re.findall(r"^\d+\. \[[^]]+\]\((\w+)\.md\)", _read(DOCS / "index.md"), re.MULTILINE)
    assert listed == entries


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in _links(page):
        name, _, anchor = link.partition("#")
        target = page if not name else page.parent / name
        assert target.exists(), link
        if anchor and target.suffix == ".md":
            assert anchor in _anchors(target), link


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_examples_end_with_a_blank_line(page: Path) -> None:
    # doctest would take the closing fence for expected output.
    for fence in _FENCE.findall(_read(page)):
        assert ">>>" not in fence or fence.endswith("\n\n```"), fence


@lru_cache(maxsize=1)
def _literals() -> list[str]:
    """List every string in the package's code, with an ellipsis where a value goes."""
    literals = []
    for module in Path(sktransfer.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(_read(module))):
            if isinstance(node, ast.JoinedStr):
                parts = [v.value if isinstance(v, ast.Constant) else "..." for v in node.values]
                literals.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                literals.append(node.value)
    return literals


def _messages() -> list[str]:
    rows = re.findall(r"^\| `([^`]+)` \|", _read(DOCS / "errors.md"), re.MULTILINE)
    # scikit-learn words the messages of which only the beginning is given.
    return [row for row in rows if not row.endswith("...")]


def test_there_are_messages_to_check() -> None:
    assert len(_messages()) > 30


@pytest.mark.parametrize("message", _messages())
def test_messages_on_the_errors_page_are_those_of_the_code(message: str) -> None:
    parts = [part for part in re.split(r"\s*\.\.\.\s*", message) if part]
    pattern = re.compile(r".*?".join(map(re.escape, parts)), re.DOTALL)
    assert any(pattern.search(literal) for literal in _literals())

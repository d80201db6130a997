"""Pages, README and the package's public names agree, and no link in them leads nowhere."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
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
    page = _read(DOCS / "api.md")
    names = re.findall(r"^   (\w+)$", page, re.MULTILINE)
    assert page.count(".. autosummary::") == page.count(":toctree: generated") > 0
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


def test_every_page_is_in_a_table_of_contents_once() -> None:
    entries = []
    for page in PAGES:
        for toctree in re.findall(r"```{toctree}\n(.*?)```", _read(page), re.DOTALL):
            entries += [line for line in toctree.split("\n") if line and not line.startswith(":")]
    expected = {page.stem for page in PAGES} - {"index"} | {"gallery/index"}
    assert sorted(entries) == sorted(expected)


def test_the_top_bar_has_five_parts() -> None:
    (toctree,) = re.findall(r"```{toctree}\n(.*?)```", _read(DOCS / "index.md"), re.DOTALL)
    entries = [line for line in toctree.split("\n") if line and not line.startswith(":")]
    assert entries == ["start", "guides", "gallery/index", "api", "more"]


def test_links_of_the_readme_lead_to_pages() -> None:
    # They are absolute, so that they work on a package index too.
    assert not _links(README)
    for link in re.findall(r"https://sktransfer\.github\.io/([^)\s]+)", _read(README)):
        name, _, anchor = link.partition("#")
        if name.startswith("_images/"):
            assert (DOCS / "images" / Path(name).name).exists(), link
        elif name != "gallery/index.html":
            page = DOCS / f"{name.removesuffix('.html')}.md"
            assert page.exists(), link
            assert not anchor or anchor in _anchors(page), link


def test_the_logo_is_what_its_code_draws(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    command = [sys.executable, DOCS / "draw.py", DOCS / "measured" / "synthetic.json", tmp_path]
    subprocess.run(command, check=True)
    assert (tmp_path / "few_labels.png").stat().st_size > 10_000
    for name in ("icon.svg", "logo.svg", "logo_dark.svg"):
        assert _read(tmp_path / name) == _read(DOCS / "images" / name)


def test_the_installation_page_lists_every_extra() -> None:
    extras = tomllib.loads(_read(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
    listed = re.findall(r"^\| `(\w+)` \|", _read(DOCS / "install.md"), re.MULTILINE)
    assert sorted(listed) == sorted(set(extras) - {"test", "docs", "dev"})


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for link in _links(page):
        if link.startswith("gallery/"):  # made with the site
            continue
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_that_no_test_runs_says_why(page: Path) -> None:
    # Blocks of "pycon" are doctests; the recipes of the page about clusters have their own tests.
    marks = re.findall(r"^(.*)\n\n```python\n", _read(page), re.MULTILINE)
    assert len(marks) == _read(page).count("```python\n")
    for mark in marks:
        is_recipe = page.name == "distributed.md" and re.fullmatch(r"<!-- [a-z-]+ -->", mark)
        assert is_recipe or re.fullmatch(r"<!-- Not run by the tests: .+\. -->", mark), mark


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
    cells = re.findall(r"^\| (`[^|\n]+`) \|", _read(DOCS / "errors.md"), re.MULTILINE)
    messages = [message for cell in cells for message in re.findall(r"`([^`]+)`", cell)]
    # scikit-learn words the messages of which only the beginning is given.
    return [message for message in messages if not message.endswith("...")]


def test_there_are_messages_to_check() -> None:
    assert len(_messages()) > 30


@pytest.mark.parametrize("message", _messages())
def test_messages_on_the_errors_page_are_those_of_the_code(message: str) -> None:
    parts = [part for part in re.split(r"\s*\.\.\.\s*", message) if part]
    pattern = re.compile(r".*?".join(map(re.escape, parts)), re.DOTALL)
    assert any(pattern.search(literal) for literal in _literals())


def test_pipelines_in_notebooks_link_to_pages_of_the_site() -> None:
    for name in ("VGGFeatureExtractor", "VGGClassifier", "VGGRegressor"):
        link = getattr(sktransfer, name)()._get_doc_link()
        assert link == f"https://sktransfer.github.io/generated/sktransfer.{name}.html"
    search = sktransfer.LayerSearchCV(sktransfer.VGGFeatureExtractor())
    assert search._get_doc_link().endswith("/generated/sktransfer.LayerSearchCV.html")


def test_addresses_in_messages_lead_to_pages() -> None:
    found = set()
    for module in Path(sktransfer.__file__).parent.rglob("*.py"):
        found |= set(re.findall(r"{SITE}/(\w+)\.html#([\w-]+)", _read(module)))
    assert len(found) >= 2
    for name, anchor in found:
        assert anchor in _anchors(DOCS / f"{name}.md"), (name, anchor)


def test_the_version_is_the_same_everywhere() -> None:
    (cited,) = re.findall(r"^version: (.+)$", _read(ROOT / "CITATION.cff"), re.MULTILINE)
    (newest, *_) = re.findall(r"^## ([\w.]+)", _read(ROOT / "CHANGELOG.md"), re.MULTILINE)
    assert cited == newest == sktransfer.__version__

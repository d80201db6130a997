"""The report as a page: what it says, that nothing given breaks it, and that everybody can read it.

What only a browser can tell is asked of a headless Chromium, and skipped where there is none.
"""

from __future__ import annotations

import base64
import itertools
import json
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sktransfer
from sktransfer import (
    CurveWarning,
    TransferReport,
    VGGFeatureExtractor,
    compare_transfer,
    diagnose,
    load_digit_pair,
    sweep_layers,
    sweep_networks,
    transfer_curve,
)
from sktransfer.cli import main
from sktransfer.report.brief import brief_comparison, brief_curve, brief_networks
from sktransfer.report.drawing import DARK, LIGHT
from sktransfer.report.images import look_at, show_found

# Whatever a user names may look like this.
NASTY = "<script>alert('x')</script> & \"quoted\" {{ title }} {% raw %}"
TEMPLATE = (Path(sktransfer.__file__).parent / "report" / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def results() -> SimpleNamespace:
    """Make one small result of each kind."""
    X, y = load_digit_pair((8, 6), return_X_y=True)
    X, y = X[:60], y[:60]
    random = VGGFeatureExtractor(
        "block1_pool", pooling="max", weights=None, input_size=32, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CurveWarning)
        curve = transfer_curve(X, y, extractors={NASTY: random}, sizes=[8, 16, 32], n_repeats=3)
    return SimpleNamespace(
        comparison=compare_transfer(X, y, extractors={NASTY: random}, cv=3),
        sweep=sweep_layers(
            X,
            y,
            extractor=random,
            layers=["block1_pool", "block2_pool"],
            poolings=["max"],
            input_sizes=[32],
            cv=2,
        ),
        networks=sweep_networks(
            X,
            y,
            networks={NASTY: random, "other": clone(random).set_params(random_state=1)},
            layers={NASTY: ["block1_pool"], "other": ["block1_pool"]},
            input_sizes=[32],
            cv=2,
        ),
        curve=curve,
        diagnosis=diagnose(random, X / 16 / 255, y, max_images=40, cv=2),
        shown={"estimator": random, "X": X, "y": np.array(["six", NASTY])[y]},
    )


@pytest.fixture(scope="module")
def page_path(results: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    TransferReport(
        results.comparison,
        sweep=results.sweep,
        networks=results.networks,
        curve=results.curve,
        diagnosis=results.diagnosis,
        **results.shown,
        title=f"Title {NASTY}",
        data=f"Data {NASTY}",
    ).to_html(path)
    return path


@pytest.fixture(scope="module")
def page(page_path: Path) -> str:
    return page_path.read_text(encoding="utf-8")


# -- reading a page


class Node:
    def __init__(self, tag: str, attributes: dict[str, str | None], parent: Node | None) -> None:
        self.tag, self.attributes, self.parent = tag, attributes, parent
        self.children: list[Node | str] = []

    def find_all(self, *tags: str) -> Iterator[Node]:
        for child in self.children:
            if isinstance(child, Node):
                if not tags or child.tag in tags:
                    yield child
                yield from child.find_all(*tags)

    def find(self, tag: str) -> Node:
        return next(self.find_all(tag))

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def get(self, name: str) -> str:
        return self.attributes.get(name) or ""


class _Reader(HTMLParser):
    VOID = {"meta", "img", "source", "link", "br", "hr", "input"}  # noqa: RUF012 - never changed

    def __init__(self) -> None:
        super().__init__()
        self.root = self.here = Node("", {}, None)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, dict(attrs), self.here)
        self.here.children.append(node)
        if tag not in self.VOID:
            self.here = node

    def handle_endtag(self, tag: str) -> None:
        assert self.here.tag == tag, f"</{tag}> closes <{self.here.tag}>"
        assert self.here.parent is not None
        self.here = self.here.parent

    def handle_data(self, data: str) -> None:
        self.here.children.append(data)


def read(text: str) -> Node:
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert reader.here is reader.root, f"<{reader.here.tag}> is left open"
    return reader.root


def tables_of(root: Node) -> dict[str, list[list[str]]]:
    return {
        table.find("caption").text: [
            [cell.text for cell in row.find_all("th", "td")] for row in table.find_all("tr")
        ]
        for table in root.find_all("table")
    }


# -- what it says


def test_tables_hold_every_table_of_every_result(page, results):
    found = tables_of(read(page))
    expected = [
        brief_comparison(results.comparison).table,
        *results.comparison.tables(),
        *results.sweep.tables(),
        *results.networks.tables(),
        brief_curve(results.curve).table,
        *results.curve.tables()[1:],
    ]
    *captions, confusion = found
    assert captions == [caption for caption, _, _ in expected]
    for caption, header, body in expected:
        assert found[caption] == [list(header), *map(list, body)]
    _, *rows = found[confusion]
    assert [row[0] for row in rows] == sorted(["six", NASTY])
    assert sum(int(cell) for row in rows for cell in row[1:]) == 60


def test_images_and_mistakes_are_those_of_a_cross_validation(results):
    seen = look_at(**results.shown, who="test")
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    features = results.shown["estimator"].fit_transform(results.shown["X"])
    found = cross_val_predict(model, features, results.shown["y"], cv=folds)
    np.testing.assert_array_equal(seen.counts, confusion_matrix(results.shown["y"], found))
    assert len(seen.mistakes) == min(12, int((found != results.shown["y"]).sum()))
    surest = [mistake.probability for mistake in seen.mistakes]
    assert surest == sorted(surest, reverse=True)
    assert all(mistake.label != mistake.predicted for mistake in seen.mistakes)
    assert [len(pictures) for pictures in seen.examples] == [6, 6]
    assert seen.examples[0][0].shape == (64, 64, 1)
    assert seen.examples[0][0].max() == 255


def test_tables_hold_the_numbers_of_the_result(page, results):
    found = tables_of(read(page))
    record = json.loads(results.comparison.to_json())
    scored = {row["name"]: row["scores"] for row in record["rows"]}
    folds = found[f"{NASTY}, fold by fold"]
    for i, metric in enumerate(folds[0][1:], start=1):
        cells = [row[i] for row in folds[1:-1]]
        assert cells == [f"{score:.3f}" for score in scored[NASTY][metric]]
    (all_rows,) = (rows for caption, rows in found.items() if caption == "all rows")
    means = {row[0].rstrip("*"): row[2].split(" ")[0] for row in all_rows[1:]}
    assert means == {name: f"{np.mean(s['accuracy']):.3f}" for name, s in scored.items()}


def test_the_verdict_stands_first(page, results):
    main = read(page).find("main")
    first = main.find("section")
    assert first.find("h2").text == "In short"
    paragraphs = [p.text for p in first.find_all("p")]
    (answer,) = brief_comparison(results.comparison).answers
    assert paragraphs[0] == answer
    assert results.comparison.verdict.startswith(answer)
    assert paragraphs[-1] == f"{results.diagnosis.summary()}."
    # A section has a table and pictures before its words.
    comparison = list(main.find_all("section"))[1]
    tags = [node.tag for node in comparison.find_all("table", "figure")]
    assert tags[:2] == ["table", "figure"]
    texts = [node.text for node in main.find_all("p", "li")]
    assert {*results.comparison.verdict.split("\n\n"), *results.curve.sentences()} <= set(texts)


def test_findings_stand_with_their_evidence_and_remedy(page, results):
    articles = list(read(page).find_all("article"))
    assert len(articles) == len(results.diagnosis.findings) > 0
    for article, finding in zip(articles, results.diagnosis.findings, strict=True):
        assert article.find("h3").text == f"{finding.severity} {finding.name}"
        assert finding.message in article.text
        assert article.find("code").text == finding.remedy
        assert [term.text for term in article.find_all("dt")] == list(finding.evidence)


def test_how_it_was_made(page):
    last = list(read(page).find_all("section"))[-1]
    names, values = ([node.text for node in last.find_all(tag)] for tag in ("dt", "dd"))
    made = dict(zip(names, values, strict=True))
    assert made["sktransfer"] == sktransfer.__version__
    assert made["images"] == f"Data {NASTY}"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d[+-]\d\d:\d\d", made["date"])
    assert "scikit-learn" in made["packages"]
    assert made["processor"]


def test_pictures_are_drawn_for_light_and_dark(page):
    pictures = list(read(page).find_all("picture"))
    assert len(pictures) == 4 + 3
    for picture in pictures:
        (dark,), (light,) = picture.find_all("source"), picture.find_all("img")
        assert dark.get("media") == "screen and (prefers-color-scheme: dark)"
        assert dark.get("srcset") != light.get("src")
        for uri in (dark.get("srcset"), light.get("src")):
            assert uri.startswith("data:image/svg+xml;base64,")
        ink, ground = (colors_of("dark")[name] for name in ("text", "card"))
        svg = base64.b64decode(dark.get("srcset").partition(",")[2]).decode()
        assert ink in svg and ground in svg
        # Black on dark would not be seen, and white would stand out as a patch.
        assert not re.findall(r"(?:fill|stroke): (?:#000000|#ffffff|black|white)", svg)
        assert int(light.get("width")) >= 336 and int(light.get("height")) > 100


@pytest.mark.parametrize("kind", ["comparison", "sweep", "networks", "curve", "diagnosis"])
def test_each_result_makes_a_page_of_its_own(results, tmp_path, kind):
    path = tmp_path / "one.html"
    assert TransferReport(**{kind: getattr(results, kind)}).to_html(path) is None
    root = read(path.read_text(encoding="utf-8"))
    titles = {
        "comparison": "Does transfer help?",
        "sweep": "Which layer?",
        "networks": "Which network?",
        "curve": "How many labels does it save?",
        "diagnosis": "What may be wrong?",
    }
    assert root.find("title").text == root.find("h1").text == titles[kind]
    names = [node.get("aria-labelledby") for node in root.find_all("section")]
    assert names == ["verdict", kind, "made"]


def test_a_sweep_of_networks_answers_in_short(results, tmp_path):
    path = tmp_path / "one.html"
    TransferReport(networks=results.networks).to_html(path)
    paragraphs = [p.text for p in read(path.read_text(encoding="utf-8")).find_all("p")]
    assert results.networks.sentences()[0] in paragraphs
    assert ".." not in str(brief_networks(results.networks)).replace("...", "")


def test_the_command_writes_a_sweep_of_networks(tmp_path, capsys):
    pytest.importorskip("keras")
    page = tmp_path / "networks.html"
    options = ["--network", "mobilenetv2", "--weights", "random", "--input-sizes", "32"]
    run = ["--folds", "2", "--max-images", "40", "--quiet", "--report", str(page)]
    assert main(["sweep", *options, *run]) == 0
    assert "Best is " in capsys.readouterr().out
    assert "<h1>Which network?</h1>" in page.read_text(encoding="utf-8")


def test_findings_show_the_images_on_which_they_rest(results, tmp_path):
    """Inverted images are named by their positions; labels are not needed to show them."""
    X, y = results.shown["X"].copy(), load_digit_pair((8, 6), return_X_y=True)[1][:60]
    X[:6] = 16 - X[:6]
    extractor = results.shown["estimator"]
    diagnosis = diagnose(extractor, X, y, cv=2)
    found = next(each for each in diagnosis.findings if each.images)
    TransferReport(diagnosis=diagnosis, estimator=extractor, X=X).to_html(tmp_path / "r.html")
    page = read((tmp_path / "r.html").read_text(encoding="utf-8"))
    numbers = ", ".join(map(str, found.images[:12]))
    texts = [str(each.attributes.get("alt")) for each in page.find_all("img")]
    assert any(text.startswith(f"Images that show {found.name}: {numbers}") for text in texts)
    assert not any("predicted as which" in text for text in texts)
    shown = show_found(extractor, X, diagnosis.findings, "x")[0].pictures[found.images[0]]
    assert shown.shape == (64, 64, 1)
    assert shown.max() == 255
    with pytest.raises(ValueError, match="needs 'estimator', 'X' and 'y' together"):
        TransferReport(results.comparison, estimator=extractor, X=X)


def test_a_diagnosis_needs_no_matplotlib(results, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    TransferReport(diagnosis=results.diagnosis).to_html(tmp_path / "one.html")
    path = tmp_path / "two.html"
    with pytest.raises(ImportError, match=r"^TransferReport\.to_html draws with matplotlib"):
        TransferReport(results.comparison).to_html(path)
    assert not path.exists()


def test_it_needs_jinja(results, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    path = tmp_path / "one.html"
    with pytest.raises(ImportError, match=r"to_html needs Jinja2, .*sktransfer\[plot\]"):
        TransferReport(diagnosis=results.diagnosis).to_html(path)
    assert not path.exists()


def test_no_figure_and_no_setting_is_left(results, tmp_path):
    before, figures = mpl.rcParams.copy(), plt.get_fignums()
    TransferReport(results.comparison).to_html(tmp_path / "page.html")
    assert mpl.rcParams == before
    assert plt.get_fignums() == figures


# -- that nothing given breaks it


def test_what_users_name_is_shown_and_never_run(page):
    root = read(page)
    assert root.find("title").text == f"Title {NASTY}"
    assert root.find("h1").text == f"Title {NASTY}"
    assert not list(root.find_all("script"))
    assert NASTY not in page
    assert not [name for node in root.find_all() for name in node.attributes if name[:2] == "on"]


def test_nothing_is_fetched(page):
    for node in read(page).find_all():
        for name in ("src", "srcset", "href", "data", "action", "poster"):
            value = node.get(name)
            assert not value or value.startswith(("data:image/", "#")), (node.tag, value[:80])
    style = read(page).find("style").text
    assert "url(" not in style and "@import" not in style
    (policy,) = (
        node.get("content")
        for node in read(page).find_all("meta")
        if node.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


# -- that everybody can read it


def test_headings_descend_by_one(page):
    levels = [int(node.tag[1]) for node in read(page).find_all(*(f"h{i}" for i in range(1, 7)))]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(levels))


def test_landmarks_and_labels(page):
    root = read(page)
    assert root.find("html").get("lang") == "en"
    for tag in ("header", "nav", "main", "footer", "h1", "title"):
        assert len(list(root.find_all(tag))) == 1
    assert root.find("nav").get("aria-label")
    names = [node.get("id") for node in root.find_all() if node.get("id")]
    assert len(set(names)) == len(names)
    for node in root.find_all():
        if node.get("role") == "region" or node.tag in ("section", "nav"):
            label = node.get("aria-label") or node.get("aria-labelledby")
            assert label
            assert node.get("aria-label") or label in names
        if node.tag == "a":
            assert node.get("href")[1:] in names and node.text.strip()
        if node.get("tabindex"):
            assert node.get("tabindex") in ("0", "-1")
    links = list(root.find_all("a"))
    assert links[0].get("class") == "skip" and links[0].get("href") == "#main"
    sections = [node.get("aria-labelledby") for node in root.find_all("section")]
    assert [link.get("href")[1:] for link in root.find("nav").find_all("a")] == sections


def test_tables_say_what_they_are_and_what_names_a_row(page):
    for table in read(page).find_all("table"):
        assert table.find("caption").text.strip()
        head, *rows = table.find_all("tr")
        assert [cell.tag for cell in head.find_all("th", "td")] == ["th"] * len(head.children)
        assert all(cell.get("scope") == "col" and cell.text for cell in head.find_all("th"))
        assert rows
        for row in rows:
            first, *others = row.find_all("th", "td")
            assert (first.tag, first.get("scope")) == ("th", "row") and first.text
            assert {cell.tag for cell in others} == {"td"}
        assert table.parent is not None and table.parent.get("class") == "scroll"
        assert table.parent.get("tabindex") == "0"


def test_pictures_are_told_in_words(page, results):
    alts = [node.get("alt") for node in read(page).find_all("img")]
    assert len(alts) == 7 and all(len(alt) > 20 for alt in alts)
    for row in results.comparison.rows:
        assert f"{row.mean('accuracy'):.3f}" in alts[0]


def colors_of(theme: str) -> dict[str, str]:
    light, dark = re.findall(r":root \{(.*?)\}", TEMPLATE, re.DOTALL)
    text = light if theme == "light" else dark
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", text))


def contrast(a: str, b: str) -> float:
    """Return the ratio that WCAG 2 defines, from 1 to 21."""
    luminances = []
    for color in (a, b):
        parts = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        luminances.append(float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)
    return max(luminances) / min(luminances)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(theme):
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    colors = colors_of(theme)
    grounds = [colors["ground"], colors["card"]]
    for name in ("text", "muted", "accent", "error", "warning", "info"):
        # Above the 4.5 that WCAG asks for text at level AA.
        assert min(contrast(colors[name], ground) for ground in grounds) > 5, name
    drawn = LIGHT if theme == "light" else DARK
    assert (drawn["ground"], drawn["text"]) == (colors["card"], colors["text"])


# -- errors


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        (
            {"X": [1]},
            ValueError,
            r"needs 'estimator', 'X' and 'y' together, .*\. Got no 'estimator' and no 'y'\.",
        ),
        ({}, ValueError, r"^TransferReport needs at least one result: .*\. Got none\.$"),
        (
            {"comparison": "table"},
            TypeError,
            r"'comparison' parameter of TransferReport must be a TransferComparison, as "
            r"compare_transfer returns it\. Got str instead",
        ),
        ({"curve": 3}, TypeError, r"'curve' parameter .* a TransferCurve, as transfer_curve"),
        ({"sweep": 3}, TypeError, r"'sweep' parameter .* a LayerSweep, as sweep_layers returns"),
        ({"diagnosis": []}, TypeError, r"'diagnosis' parameter .* a Diagnosis.* Got list instead"),
    ],
)
def test_what_is_no_result_is_refused(kwargs, error, match):
    with pytest.raises(error, match=match):
        TransferReport(**kwargs)


# -- in a browser

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browse(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Node, list[str]]]:
    """Return a function that loads a file and returns the document and the console's lines."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")

    def load(path: Path, *options: str) -> tuple[Node, list[str]]:
        profile = tmp_path_factory.mktemp("profile")
        command = [
            program, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--disable-dev-shm-usage", "--enable-logging=stderr", f"--user-data-dir={profile}",
            "--virtual-time-budget=4000", *options, "--dump-dom", path.as_uri(),
        ]  # fmt: skip
        result = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result.stderr
        console = [line for line in result.stderr.splitlines() if "CONSOLE" in line]
        return read(re.sub(r"<!DOCTYPE[^>]*>", "", result.stdout)), console

    return load


def test_it_loads_without_a_word_on_the_console(browse, page_path, page, tmp_path):
    root, console = browse(page_path)
    assert console == []
    assert tables_of(root) == tables_of(read(page))
    # That the console would be heard, and the page's policy be kept.
    broken = page.replace("</main>", "<script>1</script><img src='x.png' alt=''></main>")
    (tmp_path / "broken.html").write_text(broken, encoding="utf-8")
    _, console = browse(tmp_path / "broken.html")
    assert len(console) == 2 and all("Content Security Policy" in line for line in console)


# Runs in a page around the report, which runs no script itself.
_MEASURE = """
const inner = frame.contentDocument, view = frame.contentWindow, page = inner.documentElement;
const regions = [...inner.querySelectorAll('[role=region]')];
const skip = inner.querySelector('.skip');
const hidden = skip.getBoundingClientRect().right <= 0;
skip.focus();
const shown = skip.getBoundingClientRect().left >= 0;
const style = view.getComputedStyle(skip);
const outline = style.outlineStyle + ' ' + style.outlineWidth;
const focused = regions.map(region => { region.focus(); return inner.activeElement === region; });
result.textContent = JSON.stringify({
  overflow: page.scrollWidth - page.clientWidth,
  scrolling: regions.filter(region => region.scrollWidth > region.clientWidth).length,
  beyond: [...inner.querySelectorAll('main *')].filter(node => !node.closest('[role=region]')
    && node.getBoundingClientRect().right > page.clientWidth + 1).length,
  pictures: [...inner.images].map(image => [image.naturalWidth > 0,
    image.currentSrc === image.src]),
  background: view.getComputedStyle(inner.body).backgroundColor,
  focused, hidden, shown, outline,
  smallest: Math.min(...[...inner.querySelectorAll('p, td, th, dd, code, a')].map(
    node => parseFloat(view.getComputedStyle(node).fontSize))),
});
"""


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits_phones_and_desks_in_light_and_dark(browse, page, tmp_path, width, theme):
    from html import escape

    # A frame is as narrow as it is told to be; a window is not.
    frame = f'<iframe id="frame" style="width:{width}px;height:800px" srcdoc="{escape(page)}">'
    around = (
        f'<html><body><pre id="result"></pre>{frame}</iframe>'
        f"<script>onload = () => {{ {_MEASURE} }};</script></body></html>"
    )
    (tmp_path / "around.html").write_text(around, encoding="utf-8")
    scheme = f"--blink-settings=preferredColorScheme={int(theme == 'light')}"
    root, _ = browse(tmp_path / "around.html", scheme, "--window-size=1400,900")
    found = json.loads(root.find("pre").text)
    assert found["overflow"] == 0 and found["beyond"] == 0
    # What is too wide scrolls by itself. On a phone there is such, or nothing would be tested.
    assert found["scrolling"] > 0 or width > 360
    assert found["pictures"] == [[True, theme == "light"]] * 7
    red, green, blue = (int(colors_of(theme)["ground"][i : i + 2], 16) for i in (1, 3, 5))
    assert found["background"] == f"rgb({red}, {green}, {blue})"
    assert all(found["focused"]) and len(found["focused"]) > 5
    assert found["hidden"] and found["shown"]
    assert found["outline"] == "solid 3px"
    assert found["smallest"] >= 14

"""Reports: every number traced, every label a label, every checklist item answered, nothing loaded from elsewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayes_alliance.errors import RunError
from bayes_alliance.fit import store
from bayes_alliance.report.checklists import fill_checklists
from bayes_alliance.report.composition import compose
from bayes_alliance.report.document import Number, Prose, all_sections, anchor_of
from bayes_alliance.report.html import render_html
from bayes_alliance.report.markdown import render_markdown
from bayes_alliance.report.report_files import write_report
from bayes_alliance.report.sentences import estimand_sentence, plain_sentence, probability, two_places
from bayes_alliance.run.execution import run_analysis
from bayes_alliance.run.record import RECORD, Run, load_run
from tests.run.conftest import ANALYSIS, PLANTED, planted_rows, write_study

BOLD, LATEX = "TAU <b onmouseover=alert(1)>x</b>", r"MBCT $\beta_1$ | `code`"
TITLE = "Growth <script>alert(1)</script> & $x_1$"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run whose title and levels hold HTML, LaTeX and Markdown."""
    text = ANALYSIS.replace("Growth in a planted study", TITLE).replace('condition = "TAU"', f'condition = "{BOLD}"')
    rows = planted_rows().replace({"arm": {"TAU": BOLD, "MBCT": LATEX}})
    return run_analysis(write_study(tmp_path_factory.mktemp("labels"), rows, text), progress="off")


class Page(HTMLParser):
    """What is in a page: tags, attributes, ids, links, text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag and what it states."""
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        """Keep text."""
        self.words.append(data)

    def having(self, name: str) -> list[str]:
        """Return the values of an attribute."""
        return [value or "" for key, value in self.attributes if key == name]


@pytest.fixture(scope="module")
def page(run: Run) -> Page:
    """Return the run's page as parsed."""
    return Page(render_html(compose(run)))


def test_the_sections_follow_the_guidelines(run: Run) -> None:
    """Question, data, model, priors, computation, findings, checks, sensitivity, comparison, limits, rerun."""
    titles = [section.title for section in compose(run).sections]
    assert titles[:6] == ["Question", "Data and exclusions", "Models", "Priors", "Computation", "Findings"]
    assert titles[6:11] == ["Predictions", "Sensitivity", "Comparison", "Limits", "How to run it again"]
    assert titles[11:] == ["How to read this", "Checklists"]


def test_every_number_in_prose_is_one_of_the_record(run: Run) -> None:
    """And says of which parameter of which model it is."""
    numbers = [
        word
        for section in all_sections(compose(run).sections)
        for block in section.blocks
        if isinstance(block, Prose)
        for word in block.words
        if isinstance(word, Number)
    ]
    assert len(numbers) > 10
    for number in numbers:
        label, name = number.place
        facts = run.record["models"][label]["facts"]
        row = next(r for r in [*facts["estimands"], *facts["summary"]] if r["name"] == name)
        shown = {two_places(v) for v in row.values() if isinstance(v, float)}
        shares = {probability(row[key]) for key in ("p_above", "p_rope") if row.get(key) is not None}
        shares |= {probability(1 - row["p_above"])} if "p_above" in row else set()
        assert number.text in shown | shares, number


def test_every_link_leads_somewhere(page: Page, run: Run) -> None:
    """Numbers to lines of tables, contents to sections; no anchor stands twice."""
    ids = page.having("id")
    assert len(ids) == len(set(ids))
    links = [link.removeprefix("#") for link in page.having("href")]
    assert set(links) <= set(ids)
    assert anchor_of(("own", "difference_in_growth")) in links


def test_labels_are_never_markup(page: Page, run: Run) -> None:
    """Title and levels that hold tags, handlers, LaTeX and Markdown are shown as they are."""
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    text = "".join(page.words)
    assert TITLE in text
    assert f"arm[{LATEX}]" in text
    assert BOLD in text


def test_the_page_needs_nothing_else(page: Page) -> None:
    """No script, no style sheet, font or picture from elsewhere; pictures are in it, and say what they show."""
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert all(source.startswith("data:image/png;base64,") for source in page.having("src"))
    assert page.tags.count("img") >= 10
    assert all(page.having("alt"))
    assert "math" in page.tags
    assert "default-src 'none'" in " ".join(page.having("content"))


def test_no_identifier_is_in_a_report(run: Run) -> None:
    """In neither form."""
    document = compose(run)
    texts = render_html(document) + render_markdown(document, "pictures")[0]
    assert [planted for planted in PLANTED if planted in texts] == []


def test_markdown_holds_the_same(run: Run, tmp_path: Path) -> None:
    """Tables are tables though labels hold bars; pictures stand beside the text; the fences hold."""
    written = write_report(run.folder, folder=tmp_path / "report")
    text = written["md"].read_text()
    for name in re.findall(r"\]\(pictures/([^)]+)\)", text):
        assert (tmp_path / "report" / "pictures" / name).read_bytes()[:4] == b"\x89PNG"
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("**Table") and "Posterior of main" in line) + 2
    bars = {len(re.findall(r"(?<!\\)\|", line)) for line in lines[start : start + 8]}
    assert len(bars) == 1
    assert r"\<script\>" in text


def test_every_item_of_the_checklists_is_answered(run: Run) -> None:
    """Filled, or not, with a reason; what only authors know is left to them."""
    items = fill_checklists(run.record)
    assert {item.checklist for item in items} == {"BARG", "WAMBS", "JARS-Bayes"}
    assert [item.number for item in items if item.checklist == "WAMBS"] == [str(n) for n in range(1, 11)]
    assert all(item.answer for item in items)
    assert {item.status for item in items} == {"filled", "not applicable", "to be filled by the authors"}
    filled = {item.number: item for item in items if item.checklist == "BARG"}
    assert filled["3.A"].status == "filled"
    assert filled["3.C"].status == "not applicable"


def test_what_was_not_looked_at_is_not_called_filled(run: Run) -> None:
    """A run without checks says so in its checklists."""
    record = json.loads(json.dumps(run.record))
    for model in record["models"].values():
        model["facts"] |= {"predictive": [], "sensitivity": [], "overlap": [], "notes": ["Not looked at."]}
    items = {(item.checklist, item.number): item for item in fill_checklists(record)}
    for place in (("BARG", "3.A"), ("BARG", "5.A"), ("WAMBS", "7"), ("JARS-Bayes", "Prediction")):
        assert items[place].status == "not applicable"
        assert "Not looked at." in items[place].answer


def test_a_failed_fit_is_said_first(run: Run) -> None:
    """Above everything that was found."""
    record = json.loads(json.dumps(run.record))
    record["models"]["own"]["facts"]["passed"] = False
    lead = compose(Run(run.folder, record, run.text)).lead
    assert any(isinstance(block, Prose) and block.tone == "bad" and "own failed" in block.text for block in lead)


def test_an_unfinished_or_failed_run_has_no_report(run: Run, tmp_path: Path) -> None:
    """With what is missing."""
    copy = tmp_path / "half"
    shutil.copytree(run.folder, copy)
    files = store.read_artefact(copy)
    for state, sentence in (("running", "unfinished.*not fitted: 'own'"), ("failed", "failed.*it rained")):
        record = {**json.loads(files[RECORD]), "state": state, "problems": ["it rained"]}
        store.write_artefact(copy, {**files, RECORD: json.dumps(record).encode()})
        shutil.rmtree(copy / "fits" / "own", ignore_errors=True)
        with pytest.raises(RunError, match=f"(?s){sentence}"):
            write_report(copy)


def test_formats(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown ones are refused, those of pandoc where it is not installed, and made where it is."""
    with pytest.raises(RunError, match=r"Unknown format 'htm'.*Did you mean 'html'"):
        write_report(run.folder, formats=("htm",))  # type: ignore[arg-type]
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunError, match="'docx' need pandoc, which is not installed"):
        write_report(run.folder, formats=("docx",))
    stub = tmp_path / "pandoc"
    stub.write_text("#!/bin/sh\nexec /bin/cp report.md report.docx\n")
    stub.chmod(0o755)
    written = write_report(run.folder, folder=tmp_path / "out", formats=("docx",))
    assert written["docx"].read_text().startswith("# Growth")
    stub.write_text("#!/bin/sh\necho no fonts >&2\nexit 3\n")
    with pytest.raises(RunError, match="pandoc could not make 'docx': no fonts"):
        write_report(run.folder, folder=tmp_path / "out", formats=("docx",))


def test_a_report_does_not_change_its_run(run: Run, tmp_path: Path) -> None:
    """It is refused inside the run's folder, and readable by others where it is."""
    with pytest.raises(RunError, match="must not lie in the run's folder"):
        write_report(run.folder, folder=run.folder / "report")
    written = write_report(run.folder, folder=tmp_path / "report", formats=("html",))
    assert list(written) == ["html"]
    assert os.stat(written["html"]).st_mode & 0o044 == 0o044
    assert load_run(run.folder).passed


def test_one_chain_and_labels_alike(tmp_path: Path) -> None:
    """A single chain has no R-hat, and is told so; models a_b and a-b have pictures and places of their own."""
    text = (
        ANALYSIS.replace('"main"', '"a_b"').replace('"own"', '"a-b"').replace("draws = 500", "draws = 500\nchains = 1")
    )
    found = run_analysis(write_study(tmp_path, analysis=text + "\n[report]\nrows = true\n"), progress="off")
    document = compose(found)
    page = Page(render_html(document))
    assert len(page.having("id")) == len(set(page.having("id")))
    assert "not known of one chain" in "".join(page.words)
    written, pictures = render_markdown(document, "pictures")
    assert len(pictures) == written.count("](pictures/")
    answers = {item.number: item for item in fill_checklists(found.record) if item.checklist == "BARG"}
    assert answers["6.B"].status == "filled"
    assert "the data are in it, too" in "".join(page.words)


def test_stated_regions_are_shown_as_stated() -> None:
    """Not rounded to others; certainty is a bound."""
    row = {**ROW, "rope": [-0.015, 0.025], "p_rope": 0.9996}
    assert "between −0.015 and 0.025" in text_of(estimand_sentence(row, "m"))
    assert plain_sentence(row).endswith("(−0.015 to 0.025) with a probability of above .999.")
    assert "above" not in text_of(estimand_sentence({**ROW, "null": None, "p_above": None}, "m"))


def test_markdown_reads_no_markup_into_words() -> None:
    """Lists, entities, raised letters, citations."""
    from bayes_alliance.report.markdown import _plain

    assert _plain("1. H^2^O @foo &lt;b&gt;") == r"1\. H\^2\^O \@foo \&lt;b\&gt;"
    assert _plain("- x") == r"\- x"


@pytest.mark.slow
def test_two_hundred_therapists(tmp_path: Path) -> None:
    """A caterpillar of all of them is in the report, without two hundred names."""
    rng = np.random.default_rng(1)
    rows = pd.DataFrame(
        [[f"p{p}", f"t{p % 200}", w, ("A", "B")[p % 2], rng.normal()] for p in range(400) for w in range(2)],
        columns=["who", "whom", "week", "arm", "score"],
    )
    one = ANALYSIS[: ANALYSIS.index('[[model]]\nname = "models/own.toml"')].replace('"TAU"', '"A"')
    found = run_analysis(write_study(tmp_path, rows, one + "[report]\nchecks = false\n"), progress="off")
    document = compose(found)
    assert "therapist-effects.png" in found.pictures("main")
    assert "State one to have it reported" in render_html(document)  # a model without estimands


ROW = {
    "name": "faster",
    "unit": "points",
    "mean": 0.254,
    "median": 0.25,
    "eti95_lb": -0.1,
    "eti95_ub": 0.6,
    "null": 0.0,
    "p_above": 0.912,
    "p_rope": None,
    "rope": None,
    "r_hat": 1.0012,
    "ess_bulk": 4123.0,
    "mixed": True,
}


def text_of(words: tuple[str | Number, ...]) -> str:
    """Return a sentence without places."""
    return Prose(words).text


def test_sentences() -> None:
    """As the manual wants them: no leading zero of probabilities, real minus signs, unit, R-hat and ESS."""
    assert text_of(estimand_sentence(ROW, "m")) == (
        "Faster: the posterior mean was 0.25 points, 95 % interval [−0.10, 0.60]; the probability that it lies above 0 "
        "is .91 (R-hat = 1.001, bulk ESS = 4,123)."
    )
    within = {**ROW, "rope": [-0.2, 0.2], "p_rope": 0.4}
    assert "between −0.2 and 0.2, which was stated to be no difference in practice, is .40" in text_of(
        estimand_sentence(within, "m")
    )
    ratio = {**ROW, "mean": None, "null": 1.0, "p_above": 0.0002}
    assert "posterior median was 0.25" in text_of(estimand_sentence(ratio, "m"))
    assert "below 1 is above .999" in text_of(estimand_sentence(ratio, "m"))
    assert "not to be reported" in text_of(estimand_sentence({**ROW, "mixed": False}, "m"))


@pytest.mark.parametrize(
    ("low", "high", "null", "said"),
    [
        (-0.1, 0.6, 0.0, "0, is among the plausible ones: which way it goes is open"),
        (0.1, 0.6, 0.0, "0, is not among the plausible ones"),
        (0.1, 0.6, 1.0, "1, is not among the plausible ones"),
        (0.8, 1.6, 1.0, "1, is among the plausible ones"),
    ],
)
def test_plain_sentences_know_what_no_difference_is(low: float, high: float, null: float, said: str) -> None:
    """Zero of a difference, one of a factor."""
    assert said in plain_sentence({**ROW, "eti95_lb": low, "eti95_ub": high, "null": null})


def test_nothing_is_said_of_what_did_not_settle() -> None:
    """Of an estimand that did not mix, and of any of a model whose sampling failed."""
    for said in (plain_sentence({**ROW, "mixed": False}), plain_sentence(ROW, passed=False)):
        assert said == "Faster: the computation did not settle, so that nothing can be said of it yet."


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.254, "0.25"), (-1.2, "−1.20"), (0.0, "0.00"), (0.0004, "0.0004"), (-3e-7, "−3.0e−07"), (-0.001, "−0.001")],
)
def test_numbers(value: float, text: str) -> None:
    """Two places, more where two would hide the number."""
    assert two_places(value) == text


def test_probabilities() -> None:
    """What lies beyond the draws is a bound."""
    assert [probability(p) for p in (1.0, 0.9995, 0.995, 0.5, 0.004, 0.0)] == [
        "above .999",
        "above .999",
        ".995",
        ".50",
        ".004",
        "below .001",
    ]


def test_anchors_of_different_parameters_differ() -> None:
    """Also where only signs differ."""
    names = ["b[a, x]", "b[a,x]", "b[a; x]", "b[a, é]", "b[a, e]"]
    assert len({anchor_of(("m", name)) for name in names}) == len(names)

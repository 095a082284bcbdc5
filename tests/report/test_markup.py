"""Names and levels are shown as they stand in pages, equations, pictures, TOML and CSV, whatever signs they hold."""

from __future__ import annotations

import re
import tomllib
import unicodedata
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import bayes_alliance as ba
from bayes_alliance.cli.simulate_command import truth_text
from bayes_alliance.fit.spreadsheet import FORMULA, csv_bytes
from bayes_alliance.plot.graph import plot_graph
from bayes_alliance.plot.pictures import file_names, picture_bytes
from bayes_alliance.plot.style import legend_label, make_figure
from bayes_alliance.report.document import Code, Document, Equation, Points, Prose, Section, Table
from bayes_alliance.report.html import latex_to_mathml, render_html
from bayes_alliance.report.markdown import render_markdown
from bayes_alliance.spec.equations import equation_latex
from bayes_alliance.spec.toml import write_model

NASTY = "<b>a</b> & $x_1$ [wai] {#id .c} 100 % ^~\\ \"q\" 'p' | @ref :smile: `c` \x1b[31m\u202e=1"


def hidden(text: str) -> set[str]:
    """Return the characters of a text that are not seen."""
    return {c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c not in "\n\t"}


def document(text: str) -> Document:
    """Return a report in which every place holds a text."""
    blocks = (
        Prose((text,)),
        Points((text,)),
        Table(({text: text, "n": 1},), text, note=text),
        Equation(text, equation_latex(model(text).equation[0])),
        Code(text, text),
        Section(text, (Prose((text,)),)),
    )
    return Document(text, text, (Prose((text,)),), (Section(text, blocks),))


def model(name: str) -> ba.ModelSpec:
    """Return a model that reads a variable of this name."""
    plain = "".join(c for c in name if c != "`" and not hidden(c) and c != "\n").strip() or "x"
    title = name.replace("\0", "") or "t"
    return ba.parse_model(write_toml({"title": title, "question": title, "equation": [one_equation(plain)]}))


def one_equation(plain: str) -> dict[str, str]:
    """Return an equation with a quoted name."""
    return {"outcome": "y", "unit": "session", "formula": f"session * `{plain}` + (1 | patient)"}


def write_toml(content: dict[str, object]) -> str:
    """Return plain data as TOML."""
    import tomli_w

    return tomli_w.dumps(content)


class Page(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep a tag."""
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        """Keep text."""
        self.text += data


def test_a_page_shows_text_as_it_is() -> None:
    """No tag comes out of text, nothing hidden is left, and every place shows it whole."""
    page = Page(render_html(document(NASTY)))
    plain = Page(render_html(document("plain")))
    assert [tag for tag in page.tags if tag == "b"] == []
    assert sorted(set(page.tags)) == sorted(set(plain.tags) | set(page.tags) & {"mo", "mi", "mtext", "mspace", "mn"})
    assert not hidden(page.text)
    shown = NASTY.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    assert page.text.count(shown) >= 9


def test_markdown_shows_text_as_it_is() -> None:
    """Every sign that Markdown or pandoc reads is escaped outside fences, and nothing hidden is left."""
    text, _ = render_markdown(document(NASTY), "pictures")
    assert not hidden(text)
    outside = [line for line in text.split("```")[0].splitlines() if line]
    for line in outside:
        content = line.lstrip("#*-| ").rstrip("*| ")
        assert not re.search(r"(?<!\\)[<$\[{@`~^]|(?<!\\):smile", content.replace("pictures/", "")), line


def test_a_cell_of_a_markdown_table_is_one_cell() -> None:
    """Pipes and line breaks do not end it."""
    text, _ = render_markdown(Document("t", "s", (Table(({"a": "x | y\nz", "b": 1},), "c"),), ()), "pictures")
    row = next(line for line in text.splitlines() if "x " in line)
    assert row.replace("\\|", "").count("|") == 3


@settings(max_examples=60)
@given(st.text(alphabet=st.characters(exclude_characters="`", exclude_categories=["Cs"]), max_size=20))
def test_equations_are_latex_whatever_the_names(name: str) -> None:
    """Braces pair up, no command comes out of a name, and MathML is well formed."""
    assume(name != "y")  # the outcome, which predicts not itself
    spec = model(name)
    latex = equation_latex(spec.equation[0])
    bare = latex.replace("\\\\", "").replace("\\{", "").replace("\\}", "")
    assert bare.count("{") == bare.count("}")
    assert "$" not in latex.replace("\\$", "")
    assert "%" not in latex.replace("\\%", "")
    ElementTree.fromstring(f"<div>{latex_to_mathml(latex)}</div>")


def test_signs_of_latex_are_written_out() -> None:
    """A name with every sign that LaTeX reads."""
    latex = equation_latex(model(r"a_b 5% & #1 $x$ ^ {c} \d").equation[0])
    assert r"\mathrm{a\_b\ 5\%\ \&\ \#1\ \$x\$\ \wedge \ \{c\}\ \backslash d}_n" in latex


@settings(max_examples=60)
@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_a_model_survives_its_file_whatever_it_is_called(title: str, unit: str) -> None:
    """Quotes, backslashes, control characters, emoji."""
    if "\0" in title + unit:
        return
    content = {
        "title": title,
        "question": title,
        "equation": [{"outcome": "y", "unit": "session", "formula": "x"}],
        "labels": {"a": "y ~ x"},
        "estimands": {"e": {"value": "a", "unit": unit}},
    }
    spec = ba.parse_model(write_toml(content))
    assert (spec.title, spec.estimands["e"].unit) == (title, unit)
    assert ba.parse_model(write_model(spec)) == spec


@given(st.dictionaries(st.text(min_size=1, max_size=10), st.floats(allow_nan=False)), st.text(max_size=20))
def test_a_truth_survives_its_file_whatever_its_names(truth: dict[str, float], message: str) -> None:
    """Names out of a study's columns, and messages in comments."""
    text = truth_text(SimpleNamespace(messages=(message,), truth=truth))  # type: ignore[arg-type]
    assert tomllib.loads(text) == {"truth": truth}


@pytest.mark.parametrize("name", ["$a$b", "$", "a_b^2$", r"\alpha", "100 %", "_hidden", "{x}", r"$\undefined$", "<b>"])
def test_pictures_show_text_as_it_is(name: str) -> None:
    """A dollar sign makes no formula, in titles, ticks, legends and labels; nothing raises, nothing vanishes."""
    figure, axes = make_figure(2)
    axes.plot([1, 2], [1, 2], label=legend_label(name))
    axes.set_title(name)
    axes.set_xlabel(name)
    axes.set_yticks([1, 2], [name, name])
    axes.text(1, 1, name)
    legend = axes.legend(title=name)
    assert [text.get_text().strip() for text in legend.get_texts()] == [name]
    plain = picture_bytes(figure)
    figure.savefig("/dev/null", format="png", bbox_inches="tight")
    assert plain[:4] == b"\x89PNG"
    for text in figure.findobj(mpl.text.Text):
        assert not text.get_parse_math()


def test_a_graph_of_odd_names_is_drawn() -> None:
    """Names of columns become names of boxes."""
    assert picture_bytes(plot_graph(model("$a$b_1^2")))[:4] == b"\x89PNG"


def test_fits_of_odd_names_are_drawn(trial: pd.DataFrame) -> None:
    """Arms and columns with dollar signs and underscores: the pictures of a fit."""
    odd = trial.rename(columns={"score": "$sc$ore", "arm": "_a$rm", "week": "we_ek$"})
    odd["_a$rm"] = odd["_a$rm"].map({"TAU": "_T$A$U", "MBCT": "$M^{B"})
    spec = ba.load_model("growth/treatment")
    fit = ba.fit_model(
        spec,
        ba.Study(
            ba.read_sessions(odd, {"patient": "pid", "session": "we_ek$"}),
            columns={"outcome": "$sc$ore", "condition": "_a$rm"},
            reference={"condition": "_T$A$U"},
        ),
        seed=1,
        settings=ba.SamplerSettings(draws=50, chains=2, progress="off"),
        engine="collapsed",
    )
    shown = ba.plot_trajectories(fit)
    texts = [text.get_text().strip() for text in shown.axes[0].get_legend().get_texts()]
    assert "_T$A$U" in texts
    assert "$M^{B" in texts
    for figure in (shown, ba.plot_effects(fit), ba.plot_variance_shares(fit)):
        assert picture_bytes(figure)[:4] == b"\x89PNG"


def test_files_of_pictures_have_names_of_bearable_length() -> None:
    """A column of 400 characters, and another that differs in its last one."""
    found = file_names(["x" * 400, "x" * 399 + "y"])
    assert len(set(found.values())) == 2
    assert max(map(len, found.values())) < 80


@pytest.mark.parametrize("start", FORMULA)
def test_no_cell_of_results_is_a_formula(start: str) -> None:
    """Levels and names, in columns of text and in the header; numbers stay numbers, below 0, too."""
    frame = pd.DataFrame({f"{start}h": [f"{start}cmd()", "plain"], "mean": [-1.5, np.nan]})
    back = pd.read_csv(pd.io.common.BytesIO(csv_bytes(frame)), keep_default_na=True)
    assert all(str(name)[0] not in FORMULA for name in back.columns)
    assert all(str(cell)[0] not in FORMULA for cell in back.iloc[:, 0])
    assert back["mean"][0] == -1.5
    assert np.isnan(back["mean"][1])

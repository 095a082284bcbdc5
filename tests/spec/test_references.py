"""References are read strictly, and printed whole."""

from __future__ import annotations

import pytest

import bayes_alliance as ba
from bayes_alliance.spec.references import FIELDS, find_references, parse_bib
from bayes_alliance.spec.registry import models_folder

ARTICLE = r"""@article{one2020,
  author = {B{\"u}rkner, Paul-Christian and H{\o}glend, Per A. and Magnusson, M{\aa}ns},
  title = {A {Bayesian} title},
  journal = {Psychology \& Therapy},
  volume = {3},
  number = {2},
  pages = {1--9},
  doi = {10.1000/a_b},
  year = {2020}
}
"""


def test_the_whole_list_of_the_registry_is_read() -> None:
    """Every entry has an author, a year and a title, and no LaTeX is left."""
    text = (models_folder() / "references.bib").read_text()
    found = parse_bib(text)
    assert len(found) == text.count("@")
    for reference in found.values():
        assert not set("{}\\") & set(reference.text)
        assert reference.text.endswith((".", reference.url or ".", "]."))
    assert all(
        one.key in found for entry in ba.list_models() for one in find_references(ba.load_model(entry.name).references)
    )


def test_an_article_is_printed_whole() -> None:
    """Accents, initials, issue, pages and DOI are as in a list of references."""
    (one,) = parse_bib(ARTICLE).values()
    assert one.text == (
        "Bürkner, P.-C., Høglend, P. A., & Magnusson, M. (2020). A Bayesian title. Psychology & Therapy, 3(2), 1–9. "
        "https://doi.org/10.1000/a_b"
    )


def test_books_chapters_and_notes_are_printed_whole() -> None:
    """Editions, editors, publishers, remarks, and authors that are left out."""
    found = parse_bib((models_folder() / "references.bib").read_text())
    assert found["raudenbush2002"].text.endswith("Methods (edition 2). Sage.")
    assert "(2013). Therapist effects: Findings and methods. In Bergin" in found["baldwin2013"].text
    assert found["baldwin2013"].text.endswith("Behavior Change (edition 6). Wiley.")
    assert "In Drasgow, F., & Schmitt, N. (Eds.), Measuring and" in found["edwards2002"].text
    assert found["edwards2002"].text.endswith("Organizations, 350–400. Jossey-Bass.")
    assert "et al. (2020)" in found["klein2020"].text
    assert "[Title paraphrased]." in found["klein2020"].text


def test_unknown_keys_are_shown_as_they_are() -> None:
    """A model of one's own may name works that the list lacks."""
    assert [one.text for one in find_references(("tobin1958", "Mine 2024"))][1] == "Mine 2024"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  year = {2020}\n", "", "has no year"),
        ("  volume = {3},", "  volume = 3,", "no field"),
        ("  volume = {3},", "  volum = {3},", FIELDS[0]),
        ("  volume = {3},", "  number = {3},", "there twice"),
        ("{Bayesian}", r"$\\alpha$", "LaTeX that is not read"),
        ("@article", "remark\n@article", "no entry"),
        ("{one2020,", "{one 2020,", "no entry"),
    ],
)
def test_what_is_no_reference_is_refused(old: str, new: str, message: str) -> None:
    """With the key and the line."""
    assert old in ARTICLE
    with pytest.raises(ba.SpecError, match=message):
        parse_bib(ARTICLE.replace(old, new))


def test_keys_are_there_once() -> None:
    """A second entry of the same key is an error."""
    with pytest.raises(ba.SpecError, match="'one2020' is there twice"):
        parse_bib(ARTICLE + "\n" + ARTICLE)

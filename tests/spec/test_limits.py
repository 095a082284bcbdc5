"""What is read from text has limits, and what is beyond them is refused by a sentence: no text ends otherwise."""

from __future__ import annotations

import time
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_alliance as ba
from bayes_alliance.errors import AllianceError, SpecError
from bayes_alliance.fit.settings import SamplerSettings
from bayes_alliance.run.analysis import parse_analysis, read_analysis
from bayes_alliance.simulate.files import make_study, read_study
from bayes_alliance.simulate.layout import make_layout
from bayes_alliance.simulate.simulation import check_specs
from bayes_alliance.spec.equations import equation_latex, equation_text
from bayes_alliance.spec.formula import (
    MAX_NESTED,
    MAX_OPERATORS,
    MAX_TERMS,
    parse_arithmetic,
    parse_call,
    parse_formula,
)
from bayes_alliance.spec.functions import ESTIMAND_FUNCTIONS, FORMULA_FUNCTIONS, VARIABLE_FUNCTIONS
from bayes_alliance.spec.labels import parse_estimand, parse_label
from bayes_alliance.spec.model_parsing import make_model
from bayes_alliance.spec.priors import parse_distribution, parse_target
from bayes_alliance.spec.registry import model_names, models_folder
from bayes_alliance.spec.toml import parse_toml, read_text, write_model

EQUATION = 'title = "t"\nquestion = "q"\n[[equation]]\noutcome = "y"\nunit = "session"\nformula = "x + z"\n'
LABELS = '[labels]\na = "y ~ x"\n'
ANALYSIS = """
title = "t"
seed = 1
columns = { outcome = "score" }
[data]
path = "sessions.csv"
roles = { patient = "pid", session = "week" }
[[model]]
name = "growth"
"""
PARSERS: dict[str, Callable[[str], object]] = {
    "formula": parse_formula,
    "call": lambda text: parse_call(text, VARIABLE_FUNCTIONS),
    "arithmetic": lambda text: parse_arithmetic(text, FORMULA_FUNCTIONS),
    "estimand": lambda text: parse_arithmetic(text, ESTIMAND_FUNCTIONS),
    "value": parse_estimand,
    "label": parse_label,
    "target": parse_target,
    "distribution": parse_distribution,
    "model": ba.parse_model,
    "analysis": parse_analysis,
}
FILES = {
    "model": lambda path: ba.load_model(path),
    "analysis": read_analysis,
    "layout": read_study,
}


def names(count: int, letter: str = "x") -> list[str]:
    """Return so many different names."""
    return [f"{letter}{i}" for i in range(count)]


def stated(entries: list[str], unit: str = "u") -> str:
    """Return estimands e0, e1, … of these values, in TOML."""
    return "".join(f'[estimands.e{i}]\nvalue = "{value}"\nunit = "{unit}"\n' for i, value in enumerate(entries))


@pytest.mark.parametrize("count", [9, 12, 17, 24, 500])
def test_products_without_limit_are_refused_before_they_are_written_out(count: int) -> None:
    """Each factor of x0*x1*… doubles the terms: 24 factors would be 16 million."""
    begun = time.process_time()
    with pytest.raises(SpecError, match=f"more than {MAX_TERMS} terms"):
        parse_formula("*".join(names(count)))
    assert time.process_time() - begun < 1


def test_products_within_the_limit_are_written_out() -> None:
    """Eight variables have a term per subset: 2^8 - 1."""
    assert len(parse_formula("*".join(names(8))).terms) == 2**8 - 1


@pytest.mark.parametrize(
    "text",
    [
        ":".join(f"(a{i} + b{i})" for i in range(12)),
        "*".join(f"(a{i} + b{i} + c{i})" for i in range(6)),
        "(" + "*".join(names(7)) + "):(" + "*".join(names(7, "y")) + ")",
        "+".join(names(700)),
        "(1 + " + "*".join(names(7)) + " | a/b/c/d/e)",
        "(" + "*".join(names(10)) + " | patient)",
        "+".join(f"(0 + {'*'.join(names(5))} | g{i})" for i in range(20)),
    ],
)
def test_other_ways_to_many_terms_are_refused(text: str) -> None:
    """Powers, products of sums, long sums, nested factors with many effects, and many group terms."""
    with pytest.raises(SpecError, match=rf"more than {MAX_TERMS} terms|may have 4000 characters"):
        parse_formula(text)


def test_nested_factors_have_a_limit() -> None:
    """a/b/c/… has a factor per name, each as long as all before it."""
    with pytest.raises(SpecError, match=f"may have {MAX_NESTED}"):
        parse_formula(f"(1 | {'/'.join(names(60, 'g'))})")


def test_sums_inside_a_call_do_not_recurse_without_limit() -> None:
    """A sum of 201 is read, of which 1,900 is a sentence; what reads it recurses once per operator."""
    longest = "+".join(["x"] * (MAX_OPERATORS + 1))
    spec = ba.parse_model(EQUATION.replace("x + z", f"log({longest})"))
    assert ba.parse_model(write_model(spec)) == spec
    assert "log" in equation_latex(spec.equation[0])
    with pytest.raises(SpecError, match=f"more than {MAX_OPERATORS} operators"):
        ba.parse_model(EQUATION.replace("x + z", f"log({'+'.join(['x'] * 1900)})"))


@pytest.mark.parametrize(
    "text", ["(" * 1000 + "x" + ")" * 1000, "log(" * 300 + "x" + ")" * 300, "log(" + "-" * 1000 + "x)", "(x + " * 400]
)
def test_brackets_inside_brackets_have_a_limit(text: str) -> None:
    """The parser goes down 32 levels and no further."""
    with pytest.raises(SpecError, match="nested more than 32 deep"):
        parse_formula(text)


@pytest.mark.parametrize("text", ["log(x + 1e999)", "window(x, 1, 1e400)", "log(x * " + "9" * 400 + ")"])
def test_numbers_beyond_floats_are_refused(text: str) -> None:
    """1e999 is infinite, and no session number."""
    with pytest.raises(SpecError, match="number is too large"):
        parse_arithmetic(text, {**FORMULA_FUNCTIONS, **VARIABLE_FUNCTIONS})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = " + "[" * 3000 + "]" * 3000, "nested more than 16 deep"),
        ("x = " + "[" * 17 + "]" * 17, "nested more than 16 deep"),
        ("x = " + "{a = " * 3000 + "1" + "}" * 3000, "nested more than 16 deep"),
        (".".join(["a"] * 100_000) + " = 1", "more than 16 parts with dots"),
        ("[" + " . ".join(['"a"'] * 100_000) + "]", "more than 16 parts with dots"),
        ("x = " + "9" * 5000, "a number or a date is none that can be read"),
        ("x = 0x" + "f" * 5000, "lies beyond"),
        ("x = 9223372036854775808", "lies beyond"),
        ("x = 2021-02-30", "not valid TOML"),
        ('x = "a\\u0000b"', "NUL"),
        ('x = "' + "a" * 20_000 + '"', "20,000 characters"),
        ("x = [" + "1, " * 30_000 + "]", "20,000 keys and values"),
        ("x = " + "1" * 1_000_001, "1,000,000 bytes"),
        ("'" * 500_000, "not valid TOML"),
        ('x = "\ud800"', "half of a character"),
    ],
)
@pytest.mark.parametrize("parse", [ba.parse_model, parse_analysis])
def test_toml_beyond_its_limits_is_refused(parse: Callable[[str], object], text: str, message: str) -> None:
    """Depth, size, numbers, dates, characters: a sentence within seconds for each."""
    begun = time.process_time()
    with pytest.raises(SpecError, match=message):
        parse(text)
    assert time.process_time() - begun < 5


def test_a_byte_order_mark_is_no_mistake() -> None:
    """Some editors write one in front of UTF-8 text."""
    assert ba.parse_model("\ufeff" + EQUATION) == ba.parse_model(EQUATION)


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"title = \xff\xfe", r"not UTF-8 text \(byte 9\)"),
        ('title = "t"'.encode("utf-16"), "not UTF-8"),
        (b"x = " + b"[" * 3000 + b"]" * 3000, "nested more than 16 deep"),
        (b"#" * 1_000_001, "1,000,000 bytes"),
        (b"\x00\x00", "not valid TOML"),
        (None, "no such file|No analysis file"),
    ],
)
def test_files_that_are_no_text_are_refused(tmp_path: Path, kind: str, content: bytes | None, message: str) -> None:
    """Models, analyses and layouts alike."""
    path = tmp_path / "file.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SpecError, match=message):
        FILES[kind](path)


@pytest.mark.parametrize("name", ["a\0b.toml", "a" * 5000 + ".toml", "\ud800.toml"])
@pytest.mark.parametrize("kind", FILES)
def test_names_no_file_can_have(kind: str, name: str) -> None:
    """A path with a NUL, of 5,000 characters, or with half of a character names no file, and says so."""
    with pytest.raises(SpecError, match=r"no such file|No analysis file"):
        FILES[kind](Path(name))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    """Nor is a device that never ends."""
    with pytest.raises(SpecError, match="no such file"):
        read_text(tmp_path, "Model file")
    with pytest.raises(SpecError, match="no such file"):
        read_text(Path("/dev/zero"), "Model file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"layout": 5}, "layout = 5 is no table"),
        ({"layout": {}, "truth": {"sigma[y]": "much"}}, "truth.sigma.* A number is needed"),
        ({"layout": {}, "truth": {"sigma[y]": True}}, "A number is needed"),
        ({"layout": {}, "variables": {"pre": 3}}, "A table is needed"),
        ({"layout": {}, "columns": {"y": ["z"]}, "reference": {"arm": 1}}, "2 problems"),
    ],
)
def test_layout_files_hold_what_they_can(content: dict[str, object], message: str) -> None:
    """Wrong types are named before anything is drawn."""
    with pytest.raises(SpecError, match=message):
        make_study(content, "study.toml")


@pytest.mark.parametrize("content", [{"patients": 10**12}, {"patients": 10**6, "sessions": list(range(1, 100))}])
def test_simulated_tables_have_a_limit(content: dict[str, object]) -> None:
    """Rows are counted before they are made."""
    with pytest.raises(SpecError, match="10,000,000 rows"):
        make_layout(content)


def test_estimands_that_double_each_other_are_refused_before_they_are_written_out() -> None:
    """Sixty estimands, each twice the one before, are 2^60 terms."""
    doubling = stated(["a", *(f"e{i} + e{i}" for i in range(60))])
    with pytest.raises(SpecError, match=r"estimands.e7\]: .* written out it has more than 200"):
        ba.parse_model(EQUATION + LABELS + doubling)
    with pytest.raises(SpecError, match="written out"):
        ba.parse_model(EQUATION + LABELS + stated(["a", *(f"e{i}" for i in range(400))]))


def test_estimands_within_the_limit_are_read() -> None:
    """A chain of 150 names, and a sum of 201."""
    ba.parse_model(EQUATION + LABELS + stated(["a", *(f"e{i}" for i in range(149))]))
    ba.parse_model(EQUATION + LABELS + stated(["+".join(["a"] * 201)]))


def test_a_circle_of_estimands_is_named_in_its_order() -> None:
    """Each names the next one."""
    with pytest.raises(SpecError, match=r"circle: (e0 -> e1 -> e2 -> e0|e1 -> e2 -> e0 -> e1|e2 -> e0 -> e1 -> e2)"):
        ba.parse_model(EQUATION + LABELS + stated(["e1", "e2", "e0"]))


def test_values_of_moderators_have_a_limit() -> None:
    """Thirty moderators at three values each are 3^30 combinations; contrasts count, too."""
    moderators = names(30, "m")
    one = stated([f"a * {' * '.join(moderators)}"]) + "".join(f"at.{name} = [1, 2, 3]\n" for name in moderators)
    with pytest.raises(SpecError, match="more than 500 combinations"):
        ba.parse_model(EQUATION + LABELS + one)
    values = ", ".join(map(str, range(40)))
    contrasts = stated(["a * m"]) + f"at.m = [{values}]\ncontrast = true\n"  # 40 values and 780 differences
    with pytest.raises(SpecError, match="more than 500 combinations"):
        ba.parse_model(EQUATION + LABELS + contrasts)
    assert ba.parse_model(EQUATION + LABELS + contrasts.replace("contrast = true\n", "")).estimands["e0"].entries == 40


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("".join(EQUATION[EQUATION.index("[[") :].replace('"y"', f'"y{i}"') for i in range(51)), "equation: .* 50"),
        ('[[prior]]\non = "b"\ndist = "normal(0, 1)"\nreason = "r"\n' * 501, "prior: .* 500"),
        ("[labels]\n" + "".join(f'l{i} = "y ~ x"\n' for i in range(501)), "labels: .* 500"),
    ],
)
def test_entries_of_a_model_have_a_limit(text: str, message: str) -> None:
    """Equations, priors, labels, and so on."""
    head = "" if "equation" in message else EQUATION
    with pytest.raises(SpecError, match=message):
        ba.parse_model((head or 'title = "t"\nquestion = "q"\n') + text)


def test_settings_beyond_all_memory_are_refused() -> None:
    """A slip of the keys: 10^12 draws."""
    with pytest.raises(ba.FitError, match="draws may be at most 1,000,000"):
        SamplerSettings(draws=10**12)
    with pytest.raises(SpecError, match="draws may be at most"):
        parse_analysis(ANALYSIS + "[sampling]\ndraws = 1000000000000\n")


@pytest.mark.parametrize("content", [5, None, [1], "title", {1: 2}, {"title": 10**5000}, {"equation": [[[[]]]]}])
def test_models_of_no_tables_are_refused(content: object) -> None:
    """Whatever Python hands over."""
    with pytest.raises(SpecError):
        make_model(content)  # type: ignore[arg-type]


TOKENS = st.sampled_from(
    [*"()[]{}|:*/+-~=,.^`\"'#\\\n\t\0 ", "||", "log(", "within(", "1e999", "nan", "-inf", "9" * 400, "x", "_", "é",
     "\u202e", "\ud800", "2020-01-01", "true", "[[equation]]", "[a]", "a.b = 1", "0x" + "f" * 40, '"""', "\\u0000"]
)  # fmt: skip
SOUP = st.one_of(st.text(max_size=60), st.lists(TOKENS, max_size=30).map("".join))


@pytest.mark.parametrize("kind", PARSERS)
@settings(max_examples=60)
@given(text=SOUP)
def test_any_text_is_read_or_refused(kind: str, text: str) -> None:
    """Every parser: a record or a sentence, whatever the text."""
    with suppress(AllianceError):
        PARSERS[kind](text)


@st.composite
def changed(draw: st.DrawFn, source: str) -> str:
    """Return a text with a few places cut out, doubled, or put in."""
    text = source
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        end = min(len(text), at + draw(st.integers(0, 12)))
        put = draw(st.one_of(TOKENS, st.just(text[at:end] * 2), st.text(max_size=3)))
        text = text[:at] + put + text[end:]
    return text


REGISTRY = {name: (models_folder() / f"{name}.toml").read_text() for name in model_names()}


@settings(max_examples=150)
@given(st.data())
def test_changed_models_of_the_registry_are_read_or_refused(data: st.DataObject) -> None:
    """What is read is written, shown, and read again as the same model."""
    text = data.draw(changed(REGISTRY[data.draw(st.sampled_from(sorted(REGISTRY)))]))
    try:
        spec = ba.parse_model(text)
    except AllianceError:
        return
    assert ba.parse_model(write_model(spec)) == spec
    for equation in spec.equation:
        assert equation_text(equation)
        assert equation_latex(equation)


@settings(max_examples=100)
@given(st.data())
def test_changed_analyses_are_read_or_refused(data: st.DataObject) -> None:
    """The analysis file, too."""
    with suppress(AllianceError):
        parse_analysis(data.draw(changed(ANALYSIS)))


@settings(max_examples=60)
@given(st.data())
def test_changed_layouts_are_read_or_refused(data: st.DataObject) -> None:
    """Layout files, and what they lay out."""
    text = data.draw(changed('[layout]\npatients = 12\nsessions = [1, 2, 3]\narms = { A = 6, B = 6 }\ntherapists = 3\n'
                             'dropout = 0.1\n[truth]\n"sigma[y]" = 1.0\n[columns]\ny = "score"\n'))  # fmt: skip
    with suppress(AllianceError):
        make_layout(make_study(parse_toml(text, "A layout file"), "study.toml").layout)


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.just(10**400),
        st.floats(),
        SOUP,
        st.dates(),
        st.datetimes(),
        st.just("session"),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)


def replaced(data: st.DataObject, content: object) -> object:
    """Return plain data with one part of them, at any depth, something else, or renamed, or gone."""
    inside = isinstance(content, (dict, list)) and len(content) > 0 and data.draw(st.integers(0, 3)) > 0
    if not inside:
        return data.draw(VALUES)
    if isinstance(content, list):
        place = data.draw(st.integers(0, len(content) - 1))
        return [replaced(data, one) if i == place else one for i, one in enumerate(content)]
    assert isinstance(content, dict)
    name = data.draw(st.sampled_from(sorted(content)))
    match data.draw(st.integers(0, 5)):
        case 0:
            return {data.draw(st.text(max_size=6)) if key == name else key: value for key, value in content.items()}
        case 1:
            return {key: value for key, value in content.items() if key != name}
    return {key: replaced(data, value) if key == name else value for key, value in content.items()}


@settings(max_examples=200)
@given(st.data())
def test_models_of_wrong_types_are_read_or_refused(data: st.DataObject) -> None:
    """Any part of a model of the registry is any value: a record or a sentence."""
    content = tomllib.loads(REGISTRY[data.draw(st.sampled_from(sorted(REGISTRY)))])
    with suppress(AllianceError):
        make_model(replaced(data, content))  # type: ignore[arg-type]


@settings(max_examples=100)
@given(st.data())
def test_layouts_of_wrong_types_are_read_or_refused(data: st.DataObject) -> None:
    """Any part of a layout."""
    content = {
        "layout": {"patients": 12, "sessions": [1, 2], "arms": {"A": 6, "B": 6}, "therapists": {"A": 2, "B": 1},
                   "groups": {"size": [2, 4], "arms": ["A"]}, "dropout": {"A": 0.1}, "bounds": {"y": [0, 4]}},
        "truth": {"sigma[y]": 1.0}, "columns": {"y": "score"}, "reference": {"arm": "A"},
        "variables": {"pre": {"unit": "patient", "mean": 1.0, "between": {"therapist": 1.0}}},
    }  # fmt: skip
    with suppress(AllianceError):
        made = replaced(data, content)
        if isinstance(made, dict):
            study = make_study(made, "study.toml")
            make_layout(study.layout)
            check_specs(study.variables, make_layout(content["layout"]))

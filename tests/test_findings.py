"""Problems as records, and what collects them."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path

import pandas as pd
import pytest

import bayes_alliance as ba
from bayes_alliance.findings import Findings, Problem
from tests.conftest import ROLES

HEAD = 'title = "t"\nquestion = "q?"\n'

PACKAGE = Path(ba.__file__).parent


def test_a_problem_is_written_from_its_parts() -> None:
    """Where, what, what is allowed, what to do; parts that are empty leave nothing behind."""
    whole = Problem("It is 3.", where="[data]", allowed="Allowed: 1 or 2.", fix="State 1.")
    assert str(whole) == "[data]: It is 3. Allowed: 1 or 2. State 1."
    assert str(Problem("It is 3.")) == "It is 3."
    assert str(whole.under("model 'a'")) == "model 'a': [data]: It is 3. Allowed: 1 or 2. State 1."
    assert Problem("It is 3.").under("x").where == "x"


def test_findings_hold_everything_once() -> None:
    """Problems and messages in the order they were found; a block of a place says so; nothing found raises nothing."""
    findings = Findings()
    findings.stop(ba.DesignError)
    findings.problem("A.")
    findings.add([Problem("A."), Problem("B.", fix="Mend it.")])
    findings.note("one", "two", "one")
    with findings.of("place") as inside:
        inside.problem("A.")
        inside.note("three")
    assert [str(problem) for problem in findings.problems] == ["A.", "B. Mend it.", "place: A."]
    assert findings.messages == ["one", "two", "three"]
    findings.silent.note("four")
    findings.silent.problem("C.")
    assert len(findings.messages) == 3
    assert len(findings.problems) == 4
    with pytest.raises(ba.DesignError, match="4 problems in 7 rows") as caught:
        findings.stop(ba.DesignError, "7 rows")
    assert caught.value.problems[1].fix == "Mend it."


def test_what_a_block_found_is_kept_when_it_raises() -> None:
    """An error inside the block does not lose what was collected before."""
    findings = Findings()

    def look() -> None:
        with findings.of("place") as inside:
            inside.problem("A.")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        look()
    assert findings.problems == [Problem("A.", where="place")]


def test_errors_carry_records(trial: pd.DataFrame) -> None:
    """A name that is none: what is wrong, where, the valid ones and the nearest stand apart, across processes too."""
    table = ba.read_sessions(trial, ROLES)
    spec = ba.parse_model(HEAD + '[[equation]]\noutcome = "y"\nunit = "session"\nformula = "week + (1 | patient)"\n')
    with pytest.raises(ba.DesignError) as caught:
        ba.make_design(spec, ba.Study(table, columns={"y": "scor"}))
    (problem,) = pickle.loads(pickle.dumps(caught.value)).problems
    assert problem.where == "columns"
    assert problem.what == "Unknown column 'scor'."
    assert problem.allowed.startswith("Valid: 'pid', 'tid'")
    assert problem.fix == "Did you mean 'score'?"


def test_a_sentence_alone_is_what_is_wrong() -> None:
    """Control characters are escaped in every part."""
    error = ba.FitError([Problem("a\x1b", "b\x1b", "c\x1b", "d\x1b"), "plain"])
    assert error.problems == (Problem("a\\x1b", "b\\x1b", "c\\x1b", "d\\x1b"), Problem("plain"))


def texts() -> list[tuple[str, str, ast.expr]]:
    """Return every text of a problem in the package: its file, what part it is, and how it is written."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or ast.unparse(node.func).rpartition(".")[2] not in (
                "Problem",
                "problem",
            ):
                continue
            where = f"{path.name}:{node.lineno}"
            found += [(where, "what", node.args[0])] if node.args else []
            found += [(where, str(part.arg), part.value) for part in node.keywords if part.arg != "where"]
    return found


def test_parts_are_whole_sentences() -> None:
    """What is wrong, what is allowed and what to do end like sentences, so that any of them may be left out."""
    assert len(texts()) > 300
    for where, part, text in texts():
        last = text.values[-1] if isinstance(text, ast.JoinedStr) else text
        if isinstance(last, ast.Constant):
            assert str(last.value).endswith((".", "?", "…", "}", ")", "]")), f"{where} {part}: {ast.unparse(text)}"


def test_no_function_fills_a_list_of_its_caller() -> None:
    """Problems and messages are returned, or collected in findings."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                for argument in (*node.args.args, *node.args.kwonlyargs):
                    filled = argument.arg in ("problems", "messages") and "list[" in ast.unparse(
                        argument.annotation or ast.Constant("")
                    )
                    assert not filled, f"{path.name}: {node.name} takes {argument.arg}"

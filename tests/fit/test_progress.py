"""Bars are for people who watch: off on request, by environment, and where nobody sees them; one line in notebooks."""

from __future__ import annotations

import sys

import pytest

from bayes_alliance.fit import progress


class Terminal:
    """A standard error that says it is a terminal."""

    def isatty(self) -> bool:
        """Return yes."""
        return True


@pytest.mark.parametrize(
    ("setting", "variable", "watched"), [("auto", "", True), ("off", "", False), ("auto", "off", False)]
)
def test_who_watches(monkeypatch: pytest.MonkeyPatch, setting: str, variable: str, watched: bool) -> None:
    """A terminal is watched unless progress is off in the call or in the environment."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv(progress.VARIABLE, variable)
    assert progress.is_watched(setting) is watched  # type: ignore[arg-type]


def test_a_notebook_gets_one_line_without_widgets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line is shown once and replaced by itself and the seconds."""
    import IPython.display

    shown: list[str] = []

    class Line:
        def update(self, html: object) -> None:
            shown.append(str(html.data))  # type: ignore[attr-defined]

    def display(html: object, display_id: bool = False) -> Line:
        assert display_id
        shown.append(str(html.data))  # type: ignore[attr-defined]
        return Line()

    monkeypatch.setattr(IPython.display, "display", display)
    monkeypatch.setattr(progress, "_in_notebook", lambda: True)
    monkeypatch.delenv(progress.VARIABLE, raising=False)
    with progress.step("Compiling", "auto") as say:
        say("Compiling, about 9 s")
    assert shown[0] == "<small>Compiling …</small>"
    assert shown[1] == "<small>Compiling, about 9 s …</small>"
    assert shown[2].startswith("<small>Compiling: 0.0 s")
    assert capsys.readouterr() == ("", "")

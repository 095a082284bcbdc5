"""The one console: what is printed is shown as it stands, neither read as markup nor obeyed by the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from bayes_alliance._messages import visible


class PlainConsole(Console):
    """A console that reads no markup and no emoji codes in text, and escapes control characters.

    Titles, levels, names and messages hold whatever a file holds: ``[wai]`` is a level and no style. Styles are stated
    by arguments (``style=``), in text and in the cells of tables alike.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """Return text as a renderable; every string that is printed, in a table or not, comes through here."""
        # a tab beside a wide character makes cells of tables seem narrower than they are, and text is cut off
        return super().render_str(visible(text).expandtabs(), **{**options, "markup": False, "emoji": False})

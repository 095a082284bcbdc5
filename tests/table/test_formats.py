"""The table of formats and features in the documentation is what reading gives."""

from __future__ import annotations

import json

from tests.table.formats import PAGE, work_out


def test_every_format_has_every_feature() -> None:
    """Each is read anew; the page shows the same."""
    found = work_out()
    assert [(name, feature) for name, own in found.items() for feature, holds in own.items() if not holds] == []
    assert json.loads(PAGE.read_text(encoding="utf-8")) == found

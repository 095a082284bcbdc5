"""Work the whole truth table out and write what the documentation shows of it: ``python -m tests.truth``."""

from __future__ import annotations

import time

from tests.truth.whole import COURSES, KINDS, NAMES, READERS, cells, write_page

if __name__ == "__main__":
    start, found = time.monotonic(), []
    for model in (*NAMES, *COURSES, *KINDS):
        for reader in READERS:
            found += list(cells(model, reader))
            for cell in found[-1:]:
                if cell.how == "DISAGREES":
                    print(cell)
    write_page(found)
    print(f"{len(found)} settings in {time.monotonic() - start:.0f} s")
    for cell in found:
        if cell.how == "DISAGREES":
            print(cell)

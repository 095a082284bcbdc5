"""Scores that CamCOPS 2.4.24 gives for random answers; prints camcops.csv.

Run in an environment of its own (Python 3.13): ``pip install camcops_server cardinal_pythonlib==2.0.5``, its other
requirements without their versions, and ``python camcops.py > camcops.csv``. The tests read the output alone.

CamCOPS stores items 2 and 3 of CORE-10 with the direction turned already, so that 4 less the answer is given to it. Its
HAM-D asks item 16 in one of two ways; the first is taken.
"""

import csv
import random
import sys

from camcops_server.tasks.bdi import Bdi
from camcops_server.tasks.core10 import Core10
from camcops_server.tasks.gad7 import Gad7
from camcops_server.tasks.hads import Hads
from camcops_server.tasks.hamd import Hamd
from camcops_server.tasks.phq9 import Phq9

ROWS = 25
TWO = {4, 5, 6, 12, 13, 14, 16, 17}


def filled(task, answers):
    """Return a task with answers by number; none where missing."""
    made = task()
    for number, answer in answers.items():
        setattr(made, f"q{number}", answer)
    return made


def main():
    """Print a line per score: instrument, score, value, answers in order."""
    rng = random.Random(20261202)
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(["instrument", "score", "value", "answers"])

    def told(instrument, score, value, answers):
        out.writerow([instrument, score, f"{value:.6g}", " ".join("" if a is None else str(a) for a in answers)])

    def drawn(items, high):
        return {number: rng.randint(0, high) for number in range(1, items + 1)}

    for _ in range(ROWS):
        answers = drawn(9, 3)
        told("phq-9", "total", filled(Phq9, answers).total_score(), answers.values())
        answers = drawn(7, 3)
        told("gad-7", "total", filled(Gad7, answers).total_score(), answers.values())
        answers = drawn(21, 3)
        told("bdi-ii", "total", filled(Bdi, answers).total_score(), answers.values())
        answers = drawn(14, 3)
        task = filled(Hads, answers)
        told("hads", "anxiety", task.anxiety_score(), answers.values())
        told("hads", "depression", task.depression_score(), answers.values())
        answers = drawn(10, 4)
        for number in rng.sample(range(1, 11), rng.choice([0, 0, 1, 2, 5])):
            answers[number] = None
        stored = {n: 4 - a if n in (2, 3) and a is not None else a for n, a in answers.items()}
        told("core-10", "total", filled(Core10, stored).clinical_score(), answers.values())
        answers = {n: rng.randint(0, 2 if n in TWO else 4) for n in range(1, 18)}
        task = filled(Hamd, {n: a for n, a in answers.items() if n != 16})
        task.whichq16, task.q16a = 0, answers[16]
        told("hrsd-17", "total", task.total_score(), answers.values())


if __name__ == "__main__":
    main()

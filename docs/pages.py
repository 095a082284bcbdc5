"""Pages made from the project itself: a card per registered model, the notebooks, the public names."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import bayes_alliance as ba
from bayes_alliance.collapse.eligibility import find_obstacles
from bayes_alliance.diagnosis.cards import read_card
from bayes_alliance.plot.graph import plot_graph
from bayes_alliance.spec.course import COURSES, name_time
from bayes_alliance.spec.defaults import defaults_for
from bayes_alliance.spec.equations import equation_latex
from bayes_alliance.spec.needs import list_needs
from bayes_alliance.spec.references import Reference, find_references

ROOT = Path(__file__).resolve().parents[1]

TRUTH = ROOT / "docs" / "truth.json"
FORMATS = ROOT / "docs" / "formats.json"
LAYOUTS = ROOT / "docs" / "layouts.json"

FIGURES = ("p_uniform", "cover50", "cover80", "cover95")

GROUPS = {
    "Tables": (
        "read_sessions",
        "stream_sessions",
        "describe",
        "select_rows",
        "missing_table",
        "SessionTable",
        "list_instruments",
        "load_instrument",
        "Instrument",
        "reliability",
        "Reliability",
    ),
    "Models": (
        "list_models",
        "load_model",
        "example_study",
        "parse_model",
        "write_model",
        "alter_model",
        "ModelSpec",
        "PriorSpec",
    ),
    "Fits": ("fit_model", "fit_many", "fit_stream", "load_fit", "make_design", "build_model", "Fit", "SamplerSettings"),
    "Runs and reports": ("run_analysis", "load_run", "rerun", "compare_fits", "write_report", "Run", "Rerun"),
}
"""Groups of the reference; what is in none stands under Everything else."""


def write_pages(folder: Path) -> None:
    """Write generated pages below a folder, anew."""
    made = folder / "generated"
    shutil.rmtree(made, ignore_errors=True)
    _notebooks(made / "notebooks")
    _models(made / "models")
    _reference(made / "reference.md")
    (made / "layouts.md").write_text(layouts_page(json.loads(LAYOUTS.read_text(encoding="utf-8"))), encoding="utf-8")
    (made / "instruments.md").write_text(instruments_page(), encoding="utf-8")
    (made / "formats.md").write_text(formats_page(json.loads(FORMATS.read_text(encoding="utf-8"))), encoding="utf-8")
    (made / "truth.md").write_text(truth_page(json.loads(TRUTH.read_text(encoding="utf-8"))), encoding="utf-8")


def _notebooks(folder: Path) -> None:
    folder.mkdir(parents=True)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        shutil.copy(path, folder)


def _models(folder: Path) -> None:
    lists: dict[str, list[str]] = {}
    for entry in ba.list_models():
        group, _, name = entry.name.partition("/")
        (folder / group).mkdir(parents=True, exist_ok=True)
        plot_graph(ba.load_model(entry.name)).savefig(folder / group / f"{name}.png")
        (folder / group / f"{name}.md").write_text(card(entry.name), encoding="utf-8")
        lists.setdefault(group, []).append(f"- [{entry.name}]({group}/{name}.md): {entry.question}")
    parts = ["# Models", "One card per registered model, made from its file and its calibration."]
    for group, lines in lists.items():
        parts += [f"## {group.capitalize()}", "\n".join(lines)]
    trees = "\n".join(sorted(f"{path.relative_to(folder).with_suffix('')}" for path in folder.rglob("*.md")))
    parts.append(f"```{{toctree}}\n:hidden:\n\n{trees}\n```")
    (folder / "index.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def card(name: str) -> str:
    """Return a model's card as Markdown: a script that runs, what it needs, estimands, equations, priors, sources."""
    spec = ba.load_model(name)
    parts = [f"# {name}", f"**{spec.title}.** {spec.question}", f"![What predicts what]({name.rpartition('/')[2]}.png)"]
    parts += ["## Try it", f"```python\n{script(name)}```"]
    parts += [f"The data are SYNTHETIC. `bayes-alliance example {name} --out DIR` writes them, with their truth."]
    parts += ["## What it needs", needs_table(spec)]
    if spec.estimands:
        parts += ["## Estimands", estimands_table(spec)]
    parts.append("## Equations")
    for equation in spec.equation:
        parts += [f"`{equation.outcome} ~ {equation.formula}` ({equation.family}, one row per {equation.unit})"]
        parts += [equation_latex(equation).replace("aligned", "align*")]
    rows = [(default.dist, on, default, "") for on, default in defaults_for(spec)]
    own = [(prior.dist, prior.on, prior, " (This model's own.)") for prior in spec.prior]
    stated = {prior.on for prior in spec.prior}
    lines = [
        f"| {_cell(on)} | `{dist}`{_times(prior.scale)} | {_cell(prior.reason)}{source} |"
        for dist, on, prior, source in [*own, *(row for row in rows if row[1] not in stated)]
    ]
    table = "| On | Prior | Reason |\n|---|---|---|\n" + "\n".join(lines)
    parts += ["## Priors", f":::{{container}} priors\n{table}\n:::"]
    obstacles = find_obstacles(spec)
    engine = f"nuts: {' '.join(map(str, obstacles))}" if obstacles else "collapsed: exact, variances alone are sampled."
    parts += ["## Engine", engine, "## Calibration", _calibration(name), *_courses(name)]
    parts += ["## File", f"```toml\n{ba.write_model(spec)}```"]
    if spec.references:
        parts += ["## References", "\n".join(map(_reference_item, find_references(spec.references)))]
    return "\n\n".join(parts) + "\n"


def script(name: str) -> str:
    """Return a script that fits a model to its example data and prints what it answers."""
    summary = "summarize_estimands" if ba.load_model(name).estimands else "summarize"
    return (
        "import bayes_alliance as ba\n\n"
        f'study = ba.example_study("{name}")  # SYNTHETIC\n'
        f'fit = ba.fit_model(ba.load_model("{name}"), study, seed=1)\n'
        f"print(ba.{summary}(fit))\n"
    )


def needs_table(spec: ba.ModelSpec) -> str:
    """Return the columns that a model reads as Markdown, and what it computes from them."""
    lines = [
        f"| `{need.name}` | {_cell(need.text)} | {need.unit} | {need.holds} | {'no' if need.optional else 'yes'} |"
        for need in list_needs(spec)
    ]
    parts = ["| Column | Meaning | One value per | Holds | Required |\n|---|---|---|---|---|\n" + "\n".join(lines)]
    if spec.variables:
        computed = [f"- `{name} = {text}`, unless a column is named for it" for name, text in spec.variables.items()]
        parts.append("Computed from these columns:\n\n" + "\n".join(computed))
    parts.append(
        "Columns may have other names. `ba.Study(sessions, columns={...})` says which column is which variable. The "
        "roles of `ba.read_sessions` say which columns hold ids."
    )
    return "\n\n".join(parts)


def estimands_table(spec: ba.ModelSpec) -> str:
    """Return what a model answers as Markdown: meaning, arithmetic and unit of each estimand, and the labels."""
    lines = [
        f"| {key} | {_cell(one.meaning)} | `{_cell(one.value)}` | {_cell(one.unit)} |"
        for key, one in name_time(spec, "unit of time", "time").estimands.items()
    ]
    labels = "\n".join(f"- `{label}` is the coefficient `{text}`" for label, text in spec.labels.items())
    return "| Name | Meaning | Value | Unit |\n|---|---|---|---|\n" + "\n".join(lines) + f"\n\n{labels}"


def _reference_item(reference: Reference) -> str:
    """Return a reference as an item of a list in Markdown, its DOI as a link."""
    text = re.sub(r"([_*\[\]])", r"\\\1", reference.text.removesuffix(reference.url))
    return f"- {text}" + (f"<{reference.url}>" if reference.url else "")


def _courses(name: str) -> list[str]:
    """Return the calibration of a model along other forms of time, where it has cards of these."""
    parts = []
    for course in COURSES[1:]:
        if read_card(name, course) is not None:
            formula = ba.load_model(name, course=course).equation[0].formula
            text = f'`ba.load_model("{name}", course="{course}")`: `{formula}`'
            parts += [f"### Along {course}", text, _calibration(name, course)]
    return parts


def _calibration(name: str, course: str = "linear") -> str:
    found = read_card(name, course)
    if found is None:
        return "No card yet; models/README.md says what is known."
    lost = sum(dict(found["lost"]).values())
    head = (
        f"{found['studies']} SYNTHETIC studies drawn from the priors and fitted ({found['engine']} engine, {lost} set "
        f"apart because their chains did not agree): ranks are uniform, smallest p {found['smallest_p']} (Bonferroni)."
    )
    lines = [
        f"| {_cell(quantity)} | " + " | ".join(f"{one[figure]:.2f}" for figure in FIGURES) + " |"
        for quantity, one in dict(found["quantities"]).items()
    ]
    table = "| Quantity | p of uniform ranks | 50 % cover | 80 % | 95 % |\n|---|---|---|---|---|\n" + "\n".join(lines)
    return f"{head}\n\n{table}"


def _reference(path: Path) -> None:
    known = [name for names in GROUPS.values() for name in names]
    rest = tuple(name for name in ba.__all__ if name not in known)
    parts = ["# Reference", "Every public name, loaded on first use from `bayes_alliance`."]
    for group, names in {**GROUPS, "Everything else": rest}.items():
        listed = "\n".join(f"   {name}" for name in names if name in ba.__all__)
        table = f".. currentmodule:: bayes_alliance\n\n.. autosummary::\n   :toctree: api\n\n{listed}"
        parts.append(f"## {group}\n\n```{{eval-rst}}\n{table}\n```")
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def layouts_page(table: Mapping[str, Mapping[str, str]]) -> str:
    """Return which registered model runs on which shape of study as Markdown, and why others are refused.

    Parameters
    ----------
    table : mapping of model to layout to outcome
        From ``docs/layouts.json``: "runs", or the message of the refusal.
    """
    layouts = list(next(iter(table.values())))
    lines = [
        f"| [{name}](models/{name}.md) | "
        + " | ".join("yes" if row[one] == "runs" else "**r**" for one in layouts)
        + " |"
        for name, row in table.items()
    ]
    head = f"| model | {' | '.join(layouts)} |\n|---|{'---|' * len(layouts)}"
    parts = [
        "# Shapes of studies",
        "Each registered model meets the same small synthetic trial, whole and with something lacking. **r** marks "
        "what is refused, for the reason below. A test works the table out anew.",
        head + "\n" + "\n".join(lines),
    ]
    for layout in layouts:
        refused = {name: row[layout] for name, row in table.items() if row[layout] != "runs"}
        if refused:
            told = [f"- `{name}`: {_shorter(why)}" for name, why in refused.items()]
            parts += [f"## {layout.capitalize()}", "\n".join(told)]
    return "\n\n".join(parts) + "\n"


def _shorter(why: str) -> str:
    """Return a message without the list of a table's columns, and not much of it."""
    kept = re.sub(r" Columns seen: .*?\. ", " ", why)
    return f"`{kept[:300]}{'…' if len(kept) > 300 else ''}`".replace("``", "`")


def instruments_page() -> str:
    """Return every scoring key as Markdown: items, range, subscales, reversals, cut-offs, and where facts are from."""
    parts = [
        "# Instruments",
        "Scoring keys that come with the package, by the name that `scores=` and `--score` take. **Check** marks what "
        "was written down from memory, to be looked up before use. There is no text of any item.",
    ]
    for name in ba.list_instruments():
        key = ba.load_instrument(name)
        wide = f"{key.range[0]:g} to {key.range[1]:g}"
        others = "; ".join(f"{_numbers(one.items)}: {one.range[0]:g} to {one.range[1]:g}" for one in key.other_range)
        lines = [
            f"{key.items} items, answers {wide}{f' ({others})' if others else ''}; {key.score} of items"
            f"{'' if key.times == 1 else f' times {key.times:g}'}; {key.better} is better.",
            f"Items without an answer: {'the mean of the others' if key.missing == 'half' else 'no score'}"
            f"{', where half or more are answered' if key.missing == 'half' else ''}.",
        ]
        lines += [f"Reversed: {_numbers(key.reverse)}."] if key.reverse else []
        lines += [f"One of {_numbers(own)} is answered; the highest answer counts." for own in key.one_of]
        lines += [] if key.total else ["No total."]
        lines += [f"Subscale `{sub}`: {_numbers(own)}." for sub, own in key.subscales.items()]
        side = "from" if key.better == "lower" else "below"
        cuts = ", ".join(f"{what.replace('_', ' ')} {side} {value:g}" for what, value in key.cutoffs.items())
        lines += [f"Cut-offs: {cuts}."] if cuts else []
        lines += [f"Reliable change: {key.reliable_change:g}."] if key.reliable_change is not None else []
        lines += [f"{fact.what.capitalize()}: {fact.source}{_checked(fact.status)}" for fact in key.facts]
        lines += [key.note] if key.note else []
        parts += [f"## {name}", f"{key.title}.", "\n".join(f"- {line}" for line in lines)]
    return "\n\n".join(parts) + "\n"


def _numbers(items: tuple[int, ...]) -> str:
    return ", ".join(map(str, items))


def _checked(status: str) -> str:
    return "." if status == "source" else ". **Check**: from memory."


def formats_page(table: Mapping[str, Mapping[str, bool]]) -> str:
    """Return which format and type of column gives what, as Markdown; a test works it out by reading.

    Parameters
    ----------
    table : mapping of source to feature to bool
        From ``docs/formats.json``.
    """
    features = list(next(iter(table.values())))
    lines = [
        f"| {source} | " + " | ".join("yes" if own[one] else "no" for one in features) + " |"
        for source, own in table.items()
    ]
    head = f"| | {' | '.join(features)} |\n|---|{'---|' * len(features)}"
    about = (
        "The same cells are read from every format and from every type of column. A test reads each anew and compares."
    )
    return "\n\n".join(["# Formats checked", about, head + "\n" + "\n".join(lines)]) + "\n"


def truth_page(table: Mapping[str, Mapping[str, Mapping[str, object]]]) -> str:
    """Return what became of every reader on every model as Markdown: a table, and the reasons of refusals by reader.

    Parameters
    ----------
    table : mapping of model to reader to entry
        From ``docs/truth.json``: ``agrees`` counts settings, ``refused`` and ``other`` map a reason to settings.
    """
    readers = list(next(iter(table.values())))
    parts = [
        "# Numbers after a fit, checked",
        "Each fit of this table has stated parameters instead of sampled ones. Each number is compared with a "
        "simulation in plain NumPy that shares no code with the readers: variables are set in the raw rows, and "
        "everything that follows from them is worked out anew. A cell counts the settings that agree: within 4 Monte "
        "Carlo errors or, where nothing is simulated, to at least four digits. **r** marks settings that the reader "
        "refuses, for reasons listed below. A dash means that the reader does not apply. `python -m tests.truth` works "
        "the table out.",
        "| model | " + " | ".join(f"`{reader}`" for reader in readers) + " |\n" + "|---" * (len(readers) + 1) + "|",
    ]
    lines = [
        f"| {_cell(model)} | " + " | ".join(_entry(row[reader]) for reader in readers) + " |"
        for model, row in table.items()
    ]
    parts[-1] = "\n".join([parts[-1], *lines])
    parts.append("## Refusals")
    for reader in readers:
        reasons: dict[str, list[str]] = {}
        for model, row in table.items():
            for reason in dict(row[reader]["refused"]):  # type: ignore[call-overload]
                reasons.setdefault(str(reason), []).append(model)
        if reasons:
            parts.append(f"### `{reader}`")
            parts.append("\n".join(f"- {_cell(reason)} ({', '.join(models)})" for reason, models in reasons.items()))
    return "\n\n".join(parts) + "\n"


def _entry(entry: Mapping[str, object]) -> str:
    """Return a cell of the table: settings that agree and that are refused."""
    refused = sum(len(settings) for settings in dict(entry["refused"]).values())  # type: ignore[call-overload]
    words = [str(entry["agrees"])] if entry["agrees"] else []
    words += [f"{refused} r"] if refused else []
    words += ["known fault"] if any(str(note).startswith("DISAGREES") for note in dict(entry["other"])) else []  # type: ignore[call-overload]
    return ", ".join(words) or "–"


def _times(scale: str) -> str:
    return "" if scale == "none" else f" × {scale.replace('_sd', ' SD').replace('/', ' / ')}"


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|")

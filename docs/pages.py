"""Pages made from the project itself: a card per registered model, the notebooks, the public names."""

from __future__ import annotations

import shutil
from pathlib import Path

import bayes_alliance as ba
from bayes_alliance.collapse.eligible import find_obstacles
from bayes_alliance.diagnosis.cards import read_card
from bayes_alliance.plot.graph import plot_graph
from bayes_alliance.spec.defaults import DEFAULT_PRIORS, kinds_for
from bayes_alliance.spec.equations import equation_latex

ROOT = Path(__file__).resolve().parents[1]

FIGURES = ("p_uniform", "cover50", "cover80", "cover95")

GROUPS = {
    "Tables": ("read_sessions", "stream_sessions", "describe", "select_rows", "missing_table", "SessionTable"),
    "Models": ("list_models", "load_model", "parse_model", "write_model", "alter_model", "ModelSpec", "PriorSpec"),
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
    """Return a model's card as Markdown: question, graph, equations, priors, engine, estimands, calibration, file."""
    spec = ba.load_model(name)
    parts = [f"# {name}", f"**{spec.title}.** {spec.question}", f"![What predicts what]({name.rpartition('/')[2]}.png)"]
    parts.append("## Equations")
    for equation in spec.equation:
        parts += [f"`{equation.outcome} ~ {equation.formula}` ({equation.family}, one row per {equation.unit})"]
        parts += [equation_latex(equation).replace("aligned", "align*")]
    rows = [(DEFAULT_PRIORS[kind].dist, on, DEFAULT_PRIORS[kind], "") for kind, on in kinds_for(spec)]
    own = [(prior.dist, prior.on, prior, " (This model's own.)") for prior in spec.prior]
    stated = {prior.on for prior in spec.prior}
    lines = [
        f"| {_cell(on)} | `{dist}`{_times(prior.scale)} | {_cell(prior.reason)}{source} |"
        for dist, on, prior, source in [*own, *(row for row in rows if row[1] not in stated)]
    ]
    table = "| On | Prior | Reason |\n|---|---|---|\n" + "\n".join(lines)
    parts += ["## Priors", f":::{{container}} priors\n{table}\n:::"]
    if spec.estimands:
        lines = [f"| {key} | `{_cell(one.value)}` | {_cell(one.unit)} |" for key, one in spec.estimands.items()]
        parts += ["## Estimands", "| Name | Value | Unit |\n|---|---|---|\n" + "\n".join(lines)]
    obstacles = find_obstacles(spec)
    engine = f"nuts: {' '.join(map(str, obstacles))}" if obstacles else "collapsed: exact, variances alone are sampled."
    parts += ["## Engine", engine, "## Calibration", _calibration(name)]
    parts += ["## File", f"```toml\n{ba.write_model(spec)}```"]
    if spec.references:
        parts += ["## References", ", ".join(f"`{key}`" for key in spec.references) + " (models/references.bib)"]
    return "\n\n".join(parts) + "\n"


def _calibration(name: str) -> str:
    found = read_card(name)
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


def _times(scale: str) -> str:
    return "" if scale == "none" else f" × {scale.replace('_sd', ' SD').replace('/', ' / ')}"


def _cell(text: str) -> str:
    return str(text).replace("|", "\\|")

"""The application: its commands and its one way to end."""

from __future__ import annotations

import sys
import traceback
import warnings
from typing import Any

import typer
from typer.core import TyperGroup

from bayes_alliance._messages import visible
from bayes_alliance.cli.calibrate_command import calibrate
from bayes_alliance.cli.console import err
from bayes_alliance.cli.demo import demo
from bayes_alliance.cli.describe_command import describe
from bayes_alliance.cli.example_command import example
from bayes_alliance.cli.fit_commands import check, fit
from bayes_alliance.cli.interruption import report_stop, stoppable, termination_heeded
from bayes_alliance.cli.predict_command import predict
from bayes_alliance.cli.registry_commands import models, show
from bayes_alliance.cli.report_command import report
from bayes_alliance.cli.run_commands import rerun, run
from bayes_alliance.cli.simulate_command import simulate
from bayes_alliance.cli.warm_command import warm
from bayes_alliance.errors import AllianceError, AllianceWarning


class Commands(TyperGroup):
    """The commands; what an argument holds is escaped where an error repeats it, as everywhere else."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Read the options before the command."""
        return _escape(super().make_context, *arguments, **options)

    def invoke(self, *arguments: Any, **options: Any) -> Any:
        """Read a command's arguments and call it."""
        return _escape(super().invoke, *arguments, **options)


def _escape(call: Any, *arguments: Any, **options: Any) -> Any:
    try:
        return call(*arguments, **options)
    except Exception as error:
        if isinstance(message := getattr(error, "message", None), str):
            error.message = visible(message)  # type: ignore[attr-defined]
        raise


app = typer.Typer(
    cls=Commands,
    name="bayes-alliance",
    help="Bayesian models of psychotherapy process: alliance, outcome, growth, dropout. Start with 'models', then "
    "'check' your table against one, then 'fit'. 'run' answers a whole analysis file, and 'report' tells it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for command in (
    demo,
    models,
    show,
    example,
    describe,
    check,
    fit,
    predict,
    run,
    report,
    rerun,
    simulate,
    calibrate,
    warm,
):
    app.command()(stoppable(command))


def main() -> None:
    """Run the command line; bad input ends with exit code 2 and the collected problems, never a traceback.

    A command that is stopped ends with 130 (Ctrl-C) or 143 (SIGTERM) and one sentence. Tracebacks of other errors,
    which are faults of the package, are printed with control characters escaped.
    """
    warnings.simplefilter("ignore", AllianceWarning)
    with termination_heeded():
        try:
            app(standalone_mode=True)
        except AllianceError as error:
            err.print(f"{type(error).__name__}: ", style="bold red", end="")
            err.print(str(error), highlight=False, soft_wrap=True)
            sys.exit(2)
        except KeyboardInterrupt as stopped:  # before or after a command's own work
            sys.exit(report_stop(stopped, "the command had not begun or was done; run it again to be sure."))
        except Exception as error:  # a fault of the package: its traceback may quote names and cells
            err.print("".join(traceback.format_exception(error)), highlight=False, soft_wrap=True)
            sys.exit(1)

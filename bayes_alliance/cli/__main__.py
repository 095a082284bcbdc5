"""``python -m bayes_alliance.cli`` is the command ``bayes-alliance``."""

from bayes_alliance.cli.app import main

main()

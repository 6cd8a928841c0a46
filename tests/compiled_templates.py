"""Compiles the templates of reports, for a process from which others are forked that write one each."""

from importlib.resources import files

from tonggan.evaluation import report

for each in files("tonggan.evaluation").iterdir():
    if each.name.endswith(".html"):
        report._environment().get_template(each.name)

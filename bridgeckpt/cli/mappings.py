"""``bridgeckpt mappings``: list, show, check and explain the tables."""

from __future__ import annotations

import argparse
import sys

from bridgeckpt.cli.console import print_json
from bridgeckpt.cli.lines import Lines, table
from bridgeckpt.cli.words import say
from bridgeckpt.errors import TableError
from bridgeckpt.mapping.checking import lints
from bridgeckpt.mapping.checking.explain import explain as explain_name
from bridgeckpt.mapping.tables import library as tables
from bridgeckpt.mapping.tables.dialect import load_table
from bridgeckpt.mapping.tables.rules import load_rules


def list(arguments: argparse.Namespace) -> int:  # noqa: A001 - the verb of the command line
    """List every shipped table."""
    loaded, rules = [load_table(name) for name in tables.names()], load_rules(tables.RULES)
    if arguments.json:
        records = [
            {
                "name": t.name,
                "title": t.title,
                "model": t.model.model,
                "model_table": t.model.name,
                "classes": [*t.model.architectures],
            }
            for t in loaded
        ]
        print_json({"ok": True, "tables": records, "rules": {"name": rules.name, "title": rules.title}})
        return 0
    rows = [(t.name, t.model.name, t.title) for t in loaded]
    table(("name", "model", "reads"), [*rows, (rules.name, "any class", rules.title)])
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Print the TOML text of one table or model table, even if it has mistakes."""
    sys.stdout.write(tables.text(arguments.table))
    return 0


def check(arguments: argparse.Namespace) -> int:
    """Check tables for mistakes. The exit status is 1 if there are any."""
    names = arguments.tables or [*tables.names(), tables.RULES]
    problems = {name: lints.check(name, coverage=arguments.coverage) for name in names}
    if arguments.json:
        records = [
            {"table": name, "code": p.code, "message": p.message, "where": p.where}
            for name in names
            for p in problems[name]
        ]
        print_json({"ok": not records, "checked": names, "problems": records})
    else:
        for name in names:
            print(f"{name}: {len(problems[name]) or 'no'} problem{'s' * (len(problems[name]) != 1)}")
            for problem in problems[name]:
                print(f"  {problem.code:<18} {problem.where or ''} {say(problem.message)}")
    return 1 if any(problems.values()) else 0


def explain(arguments: argparse.Namespace) -> int:
    """Print what a table does with one name."""
    loaded = load_table(arguments.table)
    explanations = explain_name(loaded, arguments.name)
    if not explanations:
        raise TableError(
            f"{loaded.name} says nothing about {arguments.name}",
            hint="give the name of a TensorFlow variable, as `bridgeckpt inspect` prints it, or of a PyTorch "
            "parameter; optimizer state and counters are known by their form, and are in no table",
        )
    if arguments.json:
        records = [
            {**e._asdict(), "row": str(e.row.where) if e.row else None, "group": e.row.group if e.row else None}
            for e in explanations
        ]
        print_json({"ok": True, "explanations": records})
        return 0
    lines = Lines(sys.stdout)
    for explanation in explanations:
        lines.add(explanation.kind.split()[0], explanation.name)
        if explanation.spelling != explanation.name:
            lines.add("matches", explanation.spelling)
        for name in explanation.becomes:
            lines.add("becomes", name)
        lines.add("axes" if explanation.row else "because", explanation.why)
        if explanation.row:
            where = explanation.row.where
            lines.add("row", f"{where.row} of group {where.group}, {where}")
            for axis in explanation.row.layout.axes:
                if axis in loaded.model.dims:
                    lines.add("sizes", f"{axis} = {loaded.model.dims[axis].text}")
    return 0

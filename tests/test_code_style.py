"""House rules that no linter knows: wide records are built by keyword, and a name means one thing."""

from __future__ import annotations

import ast
from collections import defaultdict

from paths import ROOT

TREES = {path: ast.parse(path.read_text()) for path in sorted((ROOT / "bridgeckpt").rglob("*.py"))}
WIDE = 5  # fields that a reader can still count
LONG = 60  # lines of a step of planning


def records(trees):
    """The number of fields of each NamedTuple, by its name."""
    return {
        node.name: sum(isinstance(statement, ast.AnnAssign) for statement in node.body)
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and any(getattr(base, "id", "") == "NamedTuple" for base in node.bases)
    }


def built_by_position(tree, fields):
    """The wide records that are built with more than one positional argument, as "name:line"."""
    return [
        f"{node.func.id}:{node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if fields.get(node.func.id, 0) > WIDE and len(node.args) > 1
    ]


def public_classes(trees):
    """Where each public class is defined, by its name."""
    places = defaultdict(list)
    for path, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path.name)
    return places


def test_wide_records_are_built_by_keyword():
    fields = records(TREES.values())
    assert max(fields.values()) > WIDE
    found = {path.name: built_by_position(tree, fields) for path, tree in TREES.items()}
    assert {name: places for name, places in found.items() if places} == {}


def test_the_test_above_finds_one():
    tree = ast.parse("class R(NamedTuple):\n" + "".join(f"    f{n}: int\n" for n in range(6)) + "R(1, 2, f2=3)\n")
    assert built_by_position(tree, records([tree])) == ["R:8"]


def test_a_public_class_has_a_name_of_its_own():
    assert {name: places for name, places in public_classes(TREES).items() if len(places) > 1} == {}


def long_functions(tree):
    """The functions with more lines than a step of planning may have, each with the number of its lines."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    lengths = {f"{node.name}:{node.lineno}": node.end_lineno - node.lineno + 1 for node in functions}
    return {name: length for name, length in lengths.items() if length > LONG}


def test_the_steps_of_planning_are_short():
    planning = {path: tree for path, tree in TREES.items() if "planning" in path.parts}
    assert len(planning) > 10
    assert {path.name: long for path, tree in planning.items() if (long := long_functions(tree))} == {}


def test_the_test_above_finds_a_long_step():
    tree = ast.parse("def short(): ...\nclass C:\n    def long(self):\n" + "        self.step()\n" * LONG)
    assert long_functions(tree) == {"long:3": LONG + 1}

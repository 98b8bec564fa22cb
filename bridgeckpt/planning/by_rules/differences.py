"""A description inside the file and a config beside it that say different things of a model that rules convert.

Whether the tensors decide a value is shown by the PyTorch class: with the other value, it has parameters of other names
or shapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bridgeckpt.errors import BridgeckptError
from bridgeckpt.planning.by_rules.target import config_defaults, load_target
from bridgeckpt.planning.problems import Judged
from bridgeckpt.planning.value_conflicts import undecided

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridgeckpt.mapping.tables.rule_records import Rules
    from bridgeckpt.planning.by_rules.config import RulesConfig
    from bridgeckpt.planning.by_rules.target import Target
    from bridgeckpt.sidecar.differences import Disagreement


def judge_differences(stated: RulesConfig, rules: Rules, config: Mapping[str, Any], target: Target) -> Judged:
    """Judge the values that two sources state differently: warnings, and a problem for each that nothing decides."""
    warnings, problems = [], []
    for difference in stated.differing:
        if stated.is_given or not _decides(difference, rules, config, target):
            warnings.append(difference.text)
        else:
            problems.append(undecided(difference))
    return Judged(problems=tuple(problems), warnings=tuple(warnings))


def _decides(difference: Disagreement, rules: Rules, config: Mapping[str, Any], target: Target) -> bool:
    """Whether the outputs depend on a value, and no tensor tells it. A config inside the config is not looked into."""
    key, other = difference.key, difference.other
    if key not in config_defaults(target.model) or rules.is_of_training(key) or isinstance(other, dict):
        return False
    try:
        instead = load_target({**config, key: other}, target.architecture, difference.other_by, len(target.shapes))
    except BridgeckptError:  # no class computes that
        return False
    return instead.shapes == target.shapes

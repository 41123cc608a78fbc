"""Parses Sigma files with pySigma and prints one JSON object: what it read and what it refused."""

import json
import sys
from pathlib import Path

from sigma.collection import SigmaCollection
from sigma.correlations import SigmaCorrelationRule
from sigma.filters import SigmaFilter


def main() -> None:
    counts = {"rules": 0, "correlations": 0, "filters": 0}
    errors = []
    paths = [Path(argument) for argument in sys.argv[1:]]
    # References go from file to file, so all are one collection.
    for path in paths:
        for error in SigmaCollection.from_yaml(path.read_text("utf-8"), collect_errors=True).errors:
            errors.append(f"{path}: {error}")
    whole = SigmaCollection.load_ruleset(paths, collect_errors=True, recursion_pattern="*.yml")
    for rule in whole.rules:
        if isinstance(rule, SigmaCorrelationRule):
            counts["correlations"] += 1
        else:
            counts["rules"] += 1
        errors.extend(f"{rule.source}: {error}" for error in rule.errors)
        for condition in getattr(getattr(rule, "detection", None), "parsed_condition", []):
            try:
                condition.parsed
            except Exception as error:  # pySigma has no one class for what it refuses
                errors.append(f"{rule.source}: {error}")
    counts["filters"] = sum(isinstance(one, SigmaFilter) for one in whole.filters)
    errors.extend(str(error) for error in whole.errors)
    print(json.dumps({**counts, "errors": sorted(set(errors))}))


main()

"""What every SDK's script asks, and what must come of it: see vendors.py for what is answered."""

import json
import sys

TEXT = "Grüße, 世界 🌍!"
CITIES = ["Paris", "Zürich", "東京"]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
NOTHING = {"type": "object", "properties": {}}
ANSWER = {
    "type": "object",
    "properties": {"answer": {"type": "integer"}},
    "required": ["answer"],
    "additionalProperties": False,
}
INPUT, CACHED, OUTPUT = 20, 8, 9


def asked():
    """The argument: base (an address), key, and models by provider."""
    return json.loads(sys.argv[1])


def same(got, expected, where):
    assert got == expected, f"{where}: {got!r} is not {expected!r}"


def each(models, *checks):
    """Runs all checks for all models, and tells of every failure."""
    failed = []
    for provider, model in models.items():
        for check in checks:
            try:
                check(provider, model)
            except Exception as error:  # noqa: BLE001: all are told
                failed.append(f"{check.__name__}, {provider}: {type(error).__name__}: {error}")
    if failed:
        sys.exit("\n".join(failed))
    print(f"{len(models)} providers, {len(checks)} checks")

"""Stands for an agent: reads the prompt, does most of what it asks, and says so."""

import json
import sys
from pathlib import Path

sys.stdin.read()
Path("greeting.py").write_text('def greet(name):\n    return f"Hello, {name}!"\n')
print(
    json.dumps(
        {
            "result": "I wrote greeting.py with a function greet(name).",
            "usage": {},
            "total_cost_usd": 0,
        }
    )
)

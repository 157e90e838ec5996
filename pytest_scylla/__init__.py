"""pytest-scylla: runs of AI coding agents as pytest tests."""

__version__ = "0.1.0"

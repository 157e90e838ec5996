"""What runs within the processes of a check, beside the agent's code; nothing here is ours to
import. The directory itself is put on PYTHONPATH, and must work with any Python 3."""

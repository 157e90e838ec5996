"""The stages of a run, each of which does only what is missing.

    workspace > agent > pipeline > judge_NN > verdict

Every stage stores its result in the run's directory before the next one starts, and keeps what is
there if it is whole and made from the same inputs. Resuming, rerunning, judging again and
replaying are therefore one thing: going through the stages.
"""

from .agent import agent_result, check_ready
from .evidence import execution
from .judging import counted_again, judgments
from .pipeline import pipeline_result
from .tried import given_points
from .verdict import record_failure, verdict
from .workspace import Workspace, reserved

__all__ = [
    "Workspace",
    "agent_result",
    "check_ready",
    "counted_again",
    "execution",
    "given_points",
    "judgments",
    "pipeline_result",
    "record_failure",
    "reserved",
    "verdict",
]

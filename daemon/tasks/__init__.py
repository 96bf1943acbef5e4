"""Background tasks: work that outlasts a command, with progress, cancelled within a second, resumed after a crash.

A kind of task is an async function of typed arguments and a `Progress`; it reads what is there already, so that
beginning anew goes on where it ended. All kinds stand in `daemon/tasks/kinds.py`. Rows of the table `tasks` say what is
to be done; any process that serves tasks may take one, and holds an advisory lock on it while it runs.
"""

from daemon.tasks.claims import Claims
from daemon.tasks.kind import Kind, Kinds
from daemon.tasks.ledger import TaskLedger, TaskRecord
from daemon.tasks.progress import Progress
from daemon.tasks.runner import TaskRunner

__all__ = ["Claims", "Kind", "Kinds", "Progress", "TaskLedger", "TaskRecord", "TaskRunner"]

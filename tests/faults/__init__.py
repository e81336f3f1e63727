"""Every main flow, disturbed by faults at many points and run again: it ends as if undisturbed.

``python -m tests.faults`` tries all of them (``docs/testing.md``). A flow
(:mod:`tests.faults.flows`) is a state of the database and of the servers it calls, a command, and
what it leaves behind. The command runs in a process of its own, behind proxies
(:mod:`tests.faults.network`) that count what it sends, so that a point is the n-th message to the
database or to another server. There a fault happens (:mod:`tests.faults.harness`), before the
message is passed on or before its answer is.
"""

"""Stand-ins for Shopify and Klaviyo on loopback: for the demo, for tests, for trying Quintile.

Both are real HTTP servers that validate as the real APIs do, hold state, and can be made to fail.
"""

from __future__ import annotations

from .faults import Fault
from .server import Sandbox, SandboxPortTakenError, run_forever, start_sandbox

__all__ = ["Fault", "Sandbox", "SandboxPortTakenError", "run_forever", "start_sandbox"]

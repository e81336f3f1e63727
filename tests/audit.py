"""Known vulnerabilities of what the service installs, by pip-audit: ``make audit``.

Exits with 0 if there are none, 1 if there are some, and 3 if the advisories could not be read,
which is no answer either way; make reports that as "Error 3".
"""

from __future__ import annotations

import json
import subprocess
import sys

FOUND = 1
UNKNOWN = 3
_SECONDS = 600
_OPTIONS = ("--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off")


def audit(command: str, requirements: str) -> int:
    """Run pip-audit over a list of requirements with hashes; the exit code."""
    try:
        done = subprocess.run(
            [command, *_OPTIONS, "--requirement", requirements],
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
        # pip-audit exits with 1 for a vulnerability and for any failure; only the first is JSON.
        packages = json.loads(done.stdout)["dependencies"]
    except (OSError, subprocess.TimeoutExpired, ValueError, KeyError) as error:
        print(f"Not audited: the advisories could not be read ({type(error).__name__}).")
        return UNKNOWN
    skipped = sum("skip_reason" in each for each in packages)
    if skipped or not packages:
        # pip-audit itself calls this a success.
        print(f"Not audited: the advisories of {skipped} of {len(packages)} are not to be had.")
        return UNKNOWN
    found = [(each, flaw) for each in packages for flaw in each["vulns"]]
    for each, flaw in found:
        fixed = ", ".join(flaw["fix_versions"]) or "no release"
        print(f"{each['name']} {each['version']}: {flaw['id']}, fixed in {fixed}")
    print(f"{len(packages)} packages, {len(found)} known vulnerabilities")
    return FOUND if found else 0


if __name__ == "__main__":
    sys.exit(audit(*sys.argv[1:]))

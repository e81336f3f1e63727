"""Stands for a run of dbt in a process of ``tests.dbt_server``: its streams, life and exit status.

``python dbt_client.py SOCKET …`` is ``python -m service.builds.dbt_process …``. It imports little,
for it starts with every build.
"""

import json
import os
import socket
import sys


def main(path: str, *arguments: str) -> int:
    """Have the run done; its exit status."""
    request = {
        "arguments": arguments,
        "directory": os.getcwd(),  # noqa: PTH109 - pathlib takes longer to import than all else
        "environment": dict(os.environ),
        "ends_with_caller": True,
    }
    body = json.dumps(request).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        socket.send_fds(connection, [len(body).to_bytes(4, "big")], [0, 1, 2])
        connection.sendall(body)
        answer = connection.recv(4)
    return int.from_bytes(answer, "big") if answer else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

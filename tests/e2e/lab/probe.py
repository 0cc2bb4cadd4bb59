# SPDX-License-Identifier: Apache-2.0
"""Short questions to the network: can this pod reach that one?"""

import socket

from .http import Connection
from .wait import SLOW

SOON = 0.25  # seconds after which something that answers at once counts as blocked


def tcp(pod, address, port, timeout=SOON):
    """ "ok", "refused", "reset" or "blocked" """
    try:
        Connection(pod.ns, address, port, timeout).close()
        return "ok"
    except ConnectionRefusedError:
        return "refused"
    except ConnectionResetError:
        return "reset"
    except OSError:
        return "blocked"


def udp(pod, address, port, data=b"hello", timeout=SOON):
    """ "ok" when the datagram comes back, else "blocked" or "refused" """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with pod.ns.inside():
        s = socket.socket(family, socket.SOCK_DGRAM)
    with s:
        s.settimeout(timeout * SLOW)
        try:
            s.connect((address, port))
            s.send(data)
            return "ok" if s.recv(65536) == data else "garbled"
        except ConnectionRefusedError:
            return "refused"
        except OSError:
            return "blocked"


def ping(pod, address, timeout=SOON):
    """ "ok" or "blocked" """
    r = pod.run("ping", "-n", "-c", "1", "-W", str(timeout * SLOW), address, timeout=10)
    return "ok" if r.returncode == 0 else "blocked"

# SPDX-License-Identifier: Apache-2.0
"""Frames made by hand, sent and caught on a namespace's interface."""

import logging
import socket
import threading
import time

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.all import (  # noqa: E402,F401
    ARP,
    ICMP,
    IP,
    TCP,
    UDP,
    Dot1Q,
    Ether,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    IPv6,
    fragment,
)

ETH_P_ALL = 3
PACKET_OUTGOING = 4


def send(ns, *frames, device="eth0"):
    """Ethernet frames as they are, below the namespace's own IP stack."""
    with ns.inside():
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        s.bind((device, 0))
    try:
        for f in frames:
            s.send(bytes(f))
    finally:
        s.close()


class Sniffer:
    """Collects the frames that arrive on an interface."""

    def __init__(self, ns, device="eth0", incoming_only=True):
        with ns.inside():
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            self.sock.bind((device, ETH_P_ALL))
        self.sock.settimeout(0.05)
        self.incoming_only = incoming_only
        self.frames, self._stop = [], False
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._stop:
            try:
                data, where = self.sock.recvfrom(65536)
            except socket.timeout:
                continue
            except OSError:
                return
            if not (self.incoming_only and where[2] == PACKET_OUTGOING):
                self.frames.append(data)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self._stop = True
        self.thread.join()
        self.sock.close()

    def wait(self, match, seconds=1.0):
        """The first frame for which match(Ether) holds, or None."""
        end, seen = time.monotonic() + seconds, 0
        while True:
            while seen < len(self.frames):
                frame = Ether(self.frames[seen])
                seen += 1
                if match(frame):
                    return frame
            if time.monotonic() > end:
                return None
            time.sleep(0.01)

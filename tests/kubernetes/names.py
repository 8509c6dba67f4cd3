"""DNS of the test cluster: the names of its services, from the API server.

Run beside the other parts of the control plane; its argument is the address to
listen on. Every other name does not exist, so nothing waits for a network.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

from dnslib import QTYPE, RR, A
from dnslib.server import BaseResolver, DNSServer

SUFFIX = "svc.cluster.local."
_FRESH_S = 0.5


class Services(BaseResolver):  # type: ignore[misc]  # dnslib has no types
    """Answer NAME.NAMESPACE.svc.cluster.local, for clients inside and outside of pods."""

    def __init__(self, kubectl: list[str]) -> None:
        self._kubectl = kubectl
        self._addresses: dict[str, list[str]] = {}
        self._asked = 0.0

    def resolve(self, request, handler):  # noqa: ARG002 - dnslib calls it so
        """Return the answer to one question."""
        reply = request.reply()
        name = str(request.q.qname).lower()
        if name not in self._addresses and time.monotonic() - self._asked > _FRESH_S:
            self._ask()
        found = self._addresses.get(name)
        if found is None:
            reply.header.rcode = 3  # no such name
        elif request.q.qtype == QTYPE.A:
            for address in found:
                reply.add_answer(RR(name, QTYPE.A, rdata=A(address), ttl=1))
        return reply

    def _ask(self) -> None:
        shown = subprocess.run(
            [*self._kubectl, "get", "services,endpoints", "--all-namespaces", "--output=json"],
            capture_output=True,
            text=True,
        )
        self._asked = time.monotonic()
        if shown.returncode:
            return
        addresses: dict[str, list[str]] = {}
        for item in json.loads(shown.stdout)["items"]:
            name = f"{item['metadata']['name']}.{item['metadata']['namespace']}.{SUFFIX}"
            if item["kind"] == "Service" and item["spec"].get("clusterIP", "None") != "None":
                addresses[name] = [item["spec"]["clusterIP"]]
            elif item["kind"] == "Endpoints" and name not in addresses:  # a headless service
                ready = [a["ip"] for s in item.get("subsets", ()) for a in s.get("addresses", ())]
                addresses.setdefault(name, ready)
        self._addresses = addresses


def main(address: str, *kubectl: str) -> None:
    """Serve until the process ends."""
    resolver = Services(list(kubectl))
    DNSServer(resolver, address=address, port=53, tcp=True).start_thread()
    DNSServer(resolver, address=address, port=53).start()


if __name__ == "__main__":
    main(*sys.argv[1:])

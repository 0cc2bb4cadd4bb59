# SPDX-License-Identifier: Apache-2.0
"""Policies as text, short enough to read in a test."""

import json


def _flow(value):
    """YAML's flow style is JSON's."""
    return json.dumps(value)


def network(name, select, ingress=None, egress=None, namespace="default", types=None):
    """A NetworkPolicy; rules are given as Python data."""
    spec = {"podSelector": {"matchLabels": select} if select else {}}
    if types is None:
        types = (["Ingress"] if ingress is not None else []) + (["Egress"] if egress is not None else [])
    spec["policyTypes"] = types
    if ingress is not None:
        spec["ingress"] = ingress
    if egress is not None:
        spec["egress"] = egress
    return _document("networking.k8s.io/v1", "NetworkPolicy", name, namespace, spec)


def payload(name, select, namespace="default", **spec):
    """A PayloadPolicy: ingress=[...], egress=[...], mode=, onDeny= ..."""
    spec["endpointSelector"] = {"matchLabels": select} if select else {}
    return _document("bpfast.io/v1alpha1", "PayloadPolicy", name, namespace, spec)


def cluster(name, select, **spec):
    spec["endpointSelector"] = {"matchLabels": select} if select else {}
    return _document("bpfast.io/v1alpha1", "ClusterPayloadPolicy", name, None, spec)


def cilium(name, select, namespace="default", **spec):
    spec["endpointSelector"] = {"matchLabels": select} if select else {}
    return _document("cilium.io/v2", "CiliumNetworkPolicy", name, namespace, spec)


def peers(labels):
    return {"from": [{"podSelector": {"matchLabels": labels}}]}


def ports(*numbers, protocol="TCP"):
    return {"ports": [{"port": n, "protocol": protocol} for n in numbers]}


def http(labels, port, *rules, direction="from", protocol="TCP"):
    """One ingress (or with direction="to" egress) rule: these peers, this port, these HTTP rules."""
    to = {"ports": [{"port": str(port), "protocol": protocol}]}
    if rules:
        to["rules"] = {"http": list(rules)}
    rule = {"toPorts": [to]}
    if labels is not None:
        rule[f"{direction}Endpoints"] = [{"matchLabels": labels}]
    return rule


def _document(api, kind, name, namespace, spec):
    meta = {"name": name}
    if namespace:
        meta["namespace"] = namespace
    out = f"apiVersion: {api}\nkind: {kind}\nmetadata: {_flow(meta)}\nspec:\n"
    for key, value in spec.items():
        out += f"  {key}: {_flow(value)}\n"
    return out


def join(*documents):
    return "---\n".join(documents)

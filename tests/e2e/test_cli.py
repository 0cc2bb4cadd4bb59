# SPDX-License-Identifier: Apache-2.0
"""The command line's promises to scripts."""

import json
import os
import subprocess

import pytest
from lab import servers
from lab.node import BIN
from lab.policy import join, network, payload, http, peers
from lab.probe import tcp


@pytest.fixture(scope="module")
def node(nodes):
    node = nodes()
    node.cart, node.web = node.pod("cart"), node.pod("web", namespace="shop")
    node.web.serve(servers.Echo(node.web.ns, 80))
    assert tcp(node.cart, node.web.ip4, 80, 2) == "ok"
    node.start_agent()
    for pod in node.pods.values():
        pod.guard()
    return node


POLICY = network("web", {"app": "web"}, namespace="shop", ingress=[])


@pytest.fixture(autouse=True)
def clean(node):
    node.clear_policies()


def open_(node):
    return tcp(node.cart, node.web.ip4, 80, 0.25) == "ok"


def test_apply_delete_by_file_and_by_name(node, tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text(POLICY)
    assert open_(node)
    node.cli("policy", "apply", "-f", path)
    assert not open_(node)
    node.cli("policy", "delete", "-f", path)
    assert open_(node)
    node.cli("policy", "apply", "-f", tmp_path)  # a directory
    assert not open_(node)
    node.cli("policy", "delete", "NetworkPolicy/shop/web")
    assert open_(node)


def test_get_gives_back_what_was_applied(node):
    text = payload("rules", {"app": "web"}, namespace="shop", ingress=[http({"app": "cart"}, 80, {"path": "/a", "headers": ["X: y"]})])
    node.apply(text)
    got = node.cli("policy", "get", "PayloadPolicy/shop/rules").out
    assert json.loads(got)["spec"]["ingress"][0]["toPorts"][0]["rules"]["http"] == [{"path": "/a", "headers": ["X: y"]}]
    assert not open_(node)
    node.clear_policies()
    assert open_(node)
    node.apply(got)
    assert not open_(node)
    assert node.cli("policy", "get", "PayloadPolicy/shop/rules").out == got


def test_list(node):
    node.apply(join(POLICY, "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {a: b}}\n"))
    assert sorted(node.policies()) == ["Namespace/shop", "NetworkPolicy/shop/web"]
    text = node.cli("policy", "list").out
    assert "NetworkPolicy" in text and "shop" in text


def test_list_counts_the_endpoints_that_are_selected(node):
    def spec(**selector):
        return {"endpointSelector": {"matchLabels": selector}, "ingress": [{"fromEntities": ["all"]}]}

    several = {"apiVersion": "cilium.io/v2", "kind": "CiliumClusterwideNetworkPolicy", "metadata": {"name": "both"}}
    several["specs"] = [spec(app="web"), spec(app="cart"), spec(app="web")]
    node.apply(join(
        json.dumps(several) + "\n",
        payload("wrong", {"app": "wbe"}, namespace="shop", ingress=[{"fromEntities": ["all"]}]),
        payload("elsewhere", {"app": "web"}, namespace="other", ingress=[{"fromEntities": ["all"]}]),
        POLICY,
    ))  # fmt: skip
    listed = node.cli("-o", "json", "policy", "list").json["objects"]
    assert {o["name"]: o["endpoints"] for o in listed} == {"both": 2, "wrong": 0, "elsewhere": 0, "web": 1}


def test_what_is_said_to_wrong_words(node):
    for words, says in (
        (("policy", "apply", "shop.yaml"), "'shop.yaml' is one word too many; a file is given with -f"),
        (("policy", "explain", "-f", "/dev/null", "--from", "cart", "--to", "web", "--port", "80"), "--endpoint-file is missing"),
        (("help", "nonsense"), "'nonsense' is not a command"),
        (("observe", "--verdict", "refused"), "use forwarded, dropped or audit"),
        (("observe", "--protocol", "smtp"), "use http, tcp"),
    ):
        r = node.bpfast(*words)
        assert r.code == 2 and says in r.err, words
    r = node.bpfast("policy", "check", "-f", "/dev/null")
    assert r.code == 1 and "there is no object" in r.err
    r = node.bpfast("observe", "--endpoint", "shop/wbe")
    assert r.code == 0 and not r.out and "endpoint list" in r.err
    assert "KIND/NAMESPACE/NAME" in node.bpfast("policy", "delete", "web").err
    assert "policy explain" in node.cli("help", "policy").out and "endpoint add" not in node.cli("help", "policy").out


def test_endpoints(node):
    listed = node.cli("-o", "json", "endpoint", "list").json["endpoints"]
    web = next(e for e in listed if e["name"] == "web")
    assert web["namespace"] == "shop" and web["iface"] == node.web.iface and web["labels"] == {"app": "web"}
    assert {node.web.ip4, node.web.ip6} <= set(web["ips"])
    assert node.cli("-o", "json", "endpoint", "get", "shop/web").json["iface"] == node.web.iface
    node.cli("endpoint", "label", "shop/web", "tier=front")
    try:
        assert node.cli("-o", "json", "endpoint", "get", "shop/web").json["labels"] == {"app": "web", "tier": "front"}
        node.apply(network("t", {"tier": "front"}, namespace="shop", ingress=[]))
        assert not open_(node)
    finally:
        node.cli("endpoint", "label", "shop/web", "tier-")
    assert open_(node)


def test_adding_the_same_endpoint_again_is_harmless(node):
    """A script may run twice."""
    node.apply(POLICY)
    r = node.bpfast("endpoint", "add", "web", "--iface", node.web.iface, "--namespace", "shop", "--label", "app=web")
    assert r.code in (0, 1)
    assert not open_(node)
    assert len(node.cli("-o", "json", "endpoint", "list").json["endpoints"]) == 2


@pytest.mark.parametrize("words", (("metrics",), ("version",), ("endpoint", "list")))  # longer than a buffer, shorter
def test_a_full_disk_is_no_success(node, words):
    r = subprocess.run(["sh", "-c", 'exec "$@" >/dev/full', "sh", os.path.join(BIN, "bpfast"), "--run-dir", node.run_dir, *words], capture_output=True, text=True, check=False)
    assert r.returncode == 1 and "standard output" in r.stderr


def test_doctor_and_version(node):
    assert node.bpfast("doctor").code == 0
    assert node.cli("version").out.startswith("bpfast ")
    assert isinstance(node.cli("-o", "json", "version").json, dict)


def test_check_of_everything_in_the_guide(node):
    """The demo's policy is sound."""
    from lab.node import ROOT

    node.cli("policy", "check", "-f", f"{ROOT}/scripts/demo-policy.yaml")


def test_explain_says_the_same_with_json_and_text(node):
    node.apply(join(POLICY, payload("allow", {"app": "web"}, namespace="shop", ingress=[{"fromEntities": ["host"]}])))
    args = ("policy", "explain", "--from", "cart", "--to", "shop/web", "--port", "80")
    said = node.cli("-o", "json", *args).json
    assert said["verdict"] == "DROPPED" and said["reason"] == "policy-denied"
    assert node.cli(*args).out.startswith("DROPPED")
    assert node.explain("host", "shop/web", 80)["verdict"] == "FORWARDED"
    assert tcp(node.host, node.web.ip4, 80, 2) == "ok"


def test_peers_outside_are_no_endpoints(node):
    """A selector never matches an address that nobody declared."""
    late = node.pods.get("late") or node.pod("late", {"app": "cart"}, namespace="shop")
    node.apply(network("web", {"app": "web"}, namespace="shop", ingress=[peers({"app": "cart"})]))
    assert tcp(late, node.web.ip4, 80, 0.25) == "blocked"
    late.guard()
    assert tcp(late, node.web.ip4, 80, 2) == "ok"
    late.unguard()
    assert tcp(late, node.web.ip4, 80, 0.25) == "blocked"

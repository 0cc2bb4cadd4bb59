// SPDX-License-Identifier: Apache-2.0
/*
 * What is refused, where the flaw is said to be, and how it begins. Every line
 * of `flaws` has to be the beginning of one flaw, in this order, and there
 * have to be no more.
 */
#include <errno.h>

#include "read_render.h"

struct row {
	const char *what;
	const char *text;
	const char *flaws;
};

#define NP "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec:\n"
#define CNP "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\nspec:\n"
#define PP                                                                                         \
	"apiVersion: bpfast.io/v1alpha1\nkind: PayloadPolicy\nmetadata: {name: p}\nspec:\n"        \
	"  endpointSelector: {}\n"
#define HTTP(rule)                                                                                 \
	PP "  ingress:\n"                                                                          \
	   "  - toPorts:\n"                                                                        \
	   "    - ports: [{port: '80', protocol: TCP}]\n"                                          \
	   "      rules:\n"                                                                        \
	   "        http:\n"                                                                       \
	   "        - " rule "\n"

static const struct row yaml[] = {
	{"a tab", "kind: List\nitems:\n\t- a\n", "3:1: a tab where YAML wants blanks\n"},
	{"an open bracket", "kind: [\n", "2:1: while parsing a flow node"},
	{"an open quote", "a: 'b\n", "2:1: while scanning a quoted scalar"},
	{"bad indentation", "a:\n  b: 1\n c: 2\n",
	 "3:2: while parsing a block mapping did not find"},
	{"an invalid byte", "a: b\nc: \xff\n", "2:4: invalid leading UTF-8 octet"},
	{"an escaped NUL", "kind: \"a\\0b\"\n", "1:7: a NUL character"},
	{"an alias without an anchor", "a: *x\n", "1:4: the alias *x has no anchor"},
	{"an alias in its own anchor", "a: &x [1, *x]\n", "1:11: the alias *x stands inside"},
	{"a tag", "a: !!binary aGk=\n", "1:4: the tag tag:yaml.org,2002:binary is not read"},
	{"a tag of a mapping", "a: !x {}\n", "1:4: the tag !x is not read"},
	{"duplicate keys", "apiVersion: v1\nkind: List\nitems: []\nkind: List\n",
	 "4:1: duplicate key \"kind\", first at line 2"},
	{"duplicate keys deep in metadata",
	 "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, annotations: {x: y, x: z}}\n",
	 "3:41: duplicate key \"x\""},
	{"a key that is no text", "apiVersion: v1\nkind: List\nitems: []\n? [a]\n: b\n",
	 "4:3: the key of a mapping has to be a text"},
	{"no object", "- a\n", "1:1: an object is a mapping"},
	{"a scalar document", "hello\n", "1:1: an object is a mapping"},
	{"the second document", "---\n# nothing\n---\nhello\n", "4:1: an object is a mapping"},
};

static const struct row objects[] = {
	{"nothing in it", "{}", "1:1: kind is missing"},
	{"no apiVersion", "kind: List\n", "1:1: apiVersion is missing: v1"},
	{"an old apiVersion", "apiVersion: extensions/v1beta1\nkind: NetworkPolicy\n",
	 "1:13: apiVersion: \"extensions/v1beta1\" is not read: for NetworkPolicy write "
	 "networking.k8s.io/v1"},
	{"a kind of others", "apiVersion: apps/v1\nkind: Deployment\n",
	 "2:7: kind: objects of kind \"Deployment\" are not read"},
	{"a kind misspelt", "apiVersion: bpfast.io/v1alpha1\nkind: PayLoadpolicy\n",
	 "2:7: kind: unknown kind \"PayLoadpolicy\": did you mean \"PayloadPolicy\"?"},
	{"a kind that is no text", "apiVersion: v1\nkind: 7\n", "2:7: kind: is a number"},
	{"no metadata", "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nspec: {}\n",
	 "1:1: metadata is missing"},
	{"no name",
	 "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {}\nspec: {}\n",
	 "3:11: metadata: name is missing"},
	{"a bad name",
	 "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: A_b}\nspec: {}\n",
	 "3:18: metadata.name: \"A_b\" is no name"},
	{"a bare word as name",
	 "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: no}\nspec: {}\n",
	 "3:18: metadata.name: YAML may take the bare word no for a boolean"},
	{"a bad namespace",
	 "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a, namespace: "
	 "a.b}\nspec: {}\n",
	 "3:32: metadata.namespace: \"a.b\" is no namespace"},
	{"a namespace on a cluster-wide kind",
	 "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\n"
	 "metadata: {name: a, namespace: b}\nspec: {endpointSelector: {}, ingress: [{}]}\n",
	 "3:32: metadata.namespace: this kind has no namespace"},
	{"no spec", "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\n",
	 "1:1: spec is missing"},
	{"an unknown field of the object", NP "  podSelector: {}\nspecs: []\n",
	 "6:1: specs: unknown field \"specs\": did you mean \"spec\"?"},
	{"a field like none", NP "  podSelector: {}\nsomethingElse: []\n",
	 "6:1: somethingElse: unknown field \"somethingElse\": take it out; fields here are: "
	 "apiVersion, kind, metadata, spec, status\n"},
	{"the same object twice", NP "  podSelector: {}\n---\n" NP "  podSelector: {}\n",
	 "7:1: NetworkPolicy default/p was there already, at line 1"},
	{"a List in a List",
	 "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: List, items: []}\n",
	 "4:3: a List within a List is not read"},
	{"an object of a List",
	 "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod}\n- x\n",
	 "4:26: kind: objects of kind \"Pod\" are not read\n5:3: an object is a mapping"},
	{"namespace labels",
	 "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  labels: {-a: b, c: -d, e: 1}\n",
	 "5:12: metadata.labels.-a: \"-a\" is no label key\n"
	 "5:22: metadata.labels.c: \"-d\" is no label value\n"
	 "5:29: metadata.labels.e: is a number, but has to be a string: quote it, \"1\""},
	{"several flaws in several objects", NP "  podSelector: []\n---\n" NP "  egress: {}\n",
	 "5:16: spec.podSelector: is a list, but has to be a mapping\n"
	 "11:11: spec.egress: is a mapping, but has to be a list"},
};

static const struct row network_policy[] = {
	{"a merge key", NP "  podSelector: {}\n  <<: {}\n",
	 "6:3: spec.<<: merge keys are not read"},
	{"an unknown field", NP "  podSelector: {}\n  ingres: []\n",
	 "6:3: spec.ingres: unknown field \"ingres\": did you mean \"ingress\"?"},
	{"a type misspelt", NP "  policyTypes: [Ingress, egress]\n",
	 "5:26: spec.policyTypes[1]: unknown value \"egress\": did you mean \"Egress\"?"},
	{"a number as a label", NP "  podSelector: {matchLabels: {version: 1}}\n",
	 "5:40: spec.podSelector.matchLabels.version: is a number"},
	{"a float as a label", NP "  podSelector: {matchLabels: {version: 1.5}}\n",
	 "5:40: spec.podSelector.matchLabels.version: is a number"},
	{"a boolean as a label", NP "  podSelector: {matchLabels: {on: true}}\n",
	 "5:31: spec.podSelector.matchLabels.on: YAML may take the bare word on\n"},
	{"null as a label", NP "  podSelector: {matchLabels: {a: }}\n",
	 "5:34: spec.podSelector.matchLabels.a: is nothing (null)"},
	{"a source in a label key", NP "  podSelector: {matchLabels: {'k8s:app': a}}\n",
	 "5:31: spec.podSelector.matchLabels.k8s:app: \"k8s:app\" is no label key"},
	{"a made label", NP "  podSelector: {matchLabels: {io.kubernetes.pod.namespace: a}}\n",
	 "5:31: spec.podSelector.matchLabels.io.kubernetes.pod.namespace: the label "
	 "io.kubernetes.pod.namespace is made for namespaces"},
	{"In without values", NP "  podSelector: {matchExpressions: [{key: a, operator: In}]}\n",
	 "5:36: spec.podSelector.matchExpressions[0]: In needs at least one of values"},
	{"NotIn with no values",
	 NP "  podSelector: {matchExpressions: [{key: a, operator: NotIn, values: []}]}\n",
	 "5:70: spec.podSelector.matchExpressions[0].values: NotIn needs at least one of values"},
	{"Exists with values",
	 NP "  podSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}\n",
	 "5:71: spec.podSelector.matchExpressions[0].values: Exists takes no values"},
	{"an operator misspelt",
	 NP "  podSelector: {matchExpressions: [{key: a, operator: Exist}]}\n",
	 "5:55: spec.podSelector.matchExpressions[0].operator: unknown value \"Exist\": did you "
	 "mean "
	 "\"Exists\"?"},
	{"ports",
	 NP
	 "  ingress:\n  - ports:\n    - port: 0\n    - port: 65536\n    - port: -1\n"
	 "    - port: '80'\n    - port: HTTP\n    - port: 0x50\n    - port: 080\n    - port: 8.0\n",
	 "7:13: spec.ingress[0].ports[0].port: 0 is no port\n"
	 "8:13: spec.ingress[0].ports[1].port: 65536 is no port\n"
	 "9:13: spec.ingress[0].ports[2].port: -1 is no port\n"
	 "10:13: spec.ingress[0].ports[3].port: a number in quotes is a port's name here\n"
	 "11:13: spec.ingress[0].ports[4].port: \"HTTP\" is no port name\n"
	 "12:13: spec.ingress[0].ports[5].port: write the number 0x50 in plain decimal digits\n"
	 "13:13: spec.ingress[0].ports[6].port: write the number 080 in plain decimal digits\n"
	 "14:13: spec.ingress[0].ports[7].port: is a number, but has to be a whole number, without "
	 "quotes\n"},
	{"endPort",
	 NP "  ingress:\n  - ports:\n    - {port: 80, endPort: 79}\n    - {endPort: 80}\n"
	    "    - {port: http, endPort: 80}\n    - {port: 80, endPort: 70000}\n"
	    "    - {port: 80, endPort: '90'}\n",
	 "7:27: spec.ingress[0].ports[0].endPort: 79 is below port 80\n"
	 "8:17: spec.ingress[0].ports[1].endPort: needs a port with a number\n"
	 "9:29: spec.ingress[0].ports[2].endPort: needs a port with a number\n"
	 "10:27: spec.ingress[0].ports[3].endPort: 70000 is no port\n"
	 "11:27: spec.ingress[0].ports[4].endPort: is a string, but has to be a whole number\n"},
	{"a protocol in small letters", NP "  ingress: [{ports: [{port: 80, protocol: tcp}]}]\n",
	 "5:43: spec.ingress[0].ports[0].protocol: unknown value \"tcp\": did you mean \"TCP\"?"},
	{"a protocol of others", NP "  ingress: [{ports: [{port: 80, protocol: ICMP}]}]\n",
	 "5:43: spec.ingress[0].ports[0].protocol: unknown value \"ICMP\": "},
	{"to in ingress", NP "  ingress: [{to: []}]\n",
	 "5:14: spec.ingress[0].to: unknown field \"to\""},
	{"address ranges",
	 NP
	 "  ingress:\n  - from:\n    - ipBlock: {cidr: 10.0.0.0}\n    - ipBlock: {cidr: 10.0.0/8}\n"
	 "    - ipBlock: {cidr: 10.0.0.0/33}\n    - ipBlock: {cidr: '::ffff:1.2.3.4/120'}\n"
	 "    - ipBlock: {cidr: 2001:db8::/129}\n    - ipBlock: {cidr: 10.0.0.0/08}\n"
	 "    - ipBlock: {cidr: 010.0.0.0/8}\n    - ipBlock: {except: []}\n    - ipBlock: {cidr: "
	 "''}\n",
	 "7:23: spec.ingress[0].from[0].ipBlock.cidr: \"10.0.0.0\" has no prefix length: add it, "
	 "\"10.0.0.0/32\"\n"
	 "8:23: spec.ingress[0].from[1].ipBlock.cidr: \"10.0.0/8\" is no address range\n"
	 "9:23: spec.ingress[0].from[2].ipBlock.cidr: \"10.0.0.0/33\" has a bad prefix length: it "
	 "goes "
	 "from 0 to 32\n"
	 "10:23: spec.ingress[0].from[3].ipBlock.cidr: \"::ffff:1.2.3.4/120\" is IPv4 in the "
	 "clothes\n"
	 "11:23: spec.ingress[0].from[4].ipBlock.cidr: \"2001:db8::/129\" has a bad prefix length\n"
	 "12:23: spec.ingress[0].from[5].ipBlock.cidr: \"10.0.0.0/08\" has a bad prefix length\n"
	 "13:23: spec.ingress[0].from[6].ipBlock.cidr: \"010.0.0.0/8\" is no address range\n"
	 "14:16: spec.ingress[0].from[7].ipBlock: cidr is missing\n"
	 "15:23: spec.ingress[0].from[8].ipBlock.cidr: \"\" is no address range\n"},
	{"exceptions",
	 NP "  ingress:\n  - from:\n    - ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/9]}\n"
	    "    - ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/7]}\n"
	    "    - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16, 10.0.0.0/8]}\n"
	    "    - ipBlock: {cidr: '::/0', except: [10.0.0.0/8]}\n"
	    "    - ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.1]}\n",
	 "7:44: spec.ingress[0].from[0].ipBlock.except[0]: \"11.0.0.0/9\" does not lie within\n"
	 "8:44: spec.ingress[0].from[1].ipBlock.except[0]: \"10.0.0.0/7\" does not lie within\n"
	 "9:57: spec.ingress[0].from[2].ipBlock.except[1]: \"10.0.0.0/8\" is all of "
	 "\"10.0.0.0/8\"\n"
	 "10:40: spec.ingress[0].from[3].ipBlock.except[0]: \"10.0.0.0/8\" does not lie within\n"
	 "11:44: spec.ingress[0].from[4].ipBlock.except[0]: \"10.0.0.1\" has no prefix length\n"},
};

static const struct row cilium[] = {
	{"what cannot be enforced in a spec",
	 CNP "  endpointSelector: {}\n  nodeSelector: {}\n  log: {value: a}\n  mode: audit\n  "
	     "ingress: [{}]\n",
	 "6:3: spec.nodeSelector: cannot be enforced by BPFast\n"
	 "7:3: spec.log: cannot be enforced by BPFast\n"
	 "8:3: spec.mode: is a field of PayloadPolicy, not of this kind\n"},
	{"what cannot be enforced in ingress",
	 CNP "  endpointSelector: {}\n  ingress:\n  - fromRequires: []\n    fromNodes: []\n"
	     "    fromGroups: []\n    icmps: []\n    authentication: {mode: required}\n",
	 "7:5: spec.ingress[0].fromRequires: cannot be enforced by BPFast\n"
	 "8:5: spec.ingress[0].fromNodes: cannot be enforced by BPFast\n"
	 "9:5: spec.ingress[0].fromGroups: cannot be enforced by BPFast\n"
	 "10:5: spec.ingress[0].icmps: cannot be enforced by BPFast\n"
	 "11:5: spec.ingress[0].authentication: cannot be enforced by BPFast\n"},
	{"what cannot be enforced in egress",
	 CNP
	 "  endpointSelector: {}\n  egress:\n  - toFQDNs: [{matchName: a.b}]\n  - toServices: []\n"
	 "  - toRequires: []\n  - toNodes: []\n  - toGroups: []\n  - icmps: []\n",
	 "7:5: spec.egress[0].toFQDNs: cannot be enforced by BPFast\n"
	 "8:5: spec.egress[1].toServices: cannot be enforced by BPFast\n"
	 "9:5: spec.egress[2].toRequires: cannot be enforced by BPFast\n"
	 "10:5: spec.egress[3].toNodes: cannot be enforced by BPFast\n"
	 "11:5: spec.egress[4].toGroups: cannot be enforced by BPFast\n"
	 "12:5: spec.egress[5].icmps: cannot be enforced by BPFast\n"},
	{"what cannot be enforced on ports",
	 CNP "  endpointSelector: {}\n  egress:\n  - toPorts:\n    - ports: [{port: '1', protocol: "
	     "TCP}]\n"
	     "      terminatingTLS: {}\n      originatingTLS: {}\n      serverNames: [a]\n"
	     "      listener: {}\n      rules: {kafka: [], dns: [], l7proto: x, l7: []}\n",
	 "9:7: spec.egress[0].toPorts[0].terminatingTLS: cannot be enforced by BPFast\n"
	 "10:7: spec.egress[0].toPorts[0].originatingTLS: cannot be enforced by BPFast\n"
	 "11:7: spec.egress[0].toPorts[0].serverNames: cannot be enforced by BPFast\n"
	 "12:7: spec.egress[0].toPorts[0].listener: cannot be enforced by BPFast\n"
	 "13:15: spec.egress[0].toPorts[0].rules.kafka: cannot be enforced by BPFast\n"
	 "13:26: spec.egress[0].toPorts[0].rules.dns: cannot be enforced by BPFast\n"
	 "13:35: spec.egress[0].toPorts[0].rules.l7proto: cannot be enforced by BPFast\n"
	 "13:47: spec.egress[0].toPorts[0].rules.l7: cannot be enforced by BPFast\n"},
	{"groups of addresses",
	 CNP "  endpointSelector: {}\n  egress:\n  - toCIDRSet: [{cidrGroupRef: a}]\n",
	 "7:17: spec.egress[0].toCIDRSet[0]: cidr is missing\n"
	 "7:18: spec.egress[0].toCIDRSet[0].cidrGroupRef: cannot be enforced by BPFast\n"},
	{"entities",
	 CNP "  endpointSelector: {}\n  ingress:\n  - fromEntities:\n    - kube-apiserver\n    - "
	     "ingress\n"
	     "    - health\n    - init\n    - unmanaged\n    - world-ipv4\n    - worlds\n    - "
	     "nobody\n",
	 "8:7: spec.ingress[0].fromEntities[0]: the entity kube-apiserver cannot be enforced\n"
	 "9:7: spec.ingress[0].fromEntities[1]: the entity ingress cannot be enforced\n"
	 "10:7: spec.ingress[0].fromEntities[2]: the entity health cannot be enforced\n"
	 "11:7: spec.ingress[0].fromEntities[3]: the entity init cannot be enforced\n"
	 "12:7: spec.ingress[0].fromEntities[4]: the entity unmanaged cannot be enforced\n"
	 "13:7: spec.ingress[0].fromEntities[5]: the entity world-ipv4 cannot be enforced by "
	 "BPFast: use "
	 "world, or the CIDR 0.0.0.0/0\n"
	 "14:7: spec.ingress[0].fromEntities[6]: unknown entity \"worlds\": did you mean "
	 "\"world\"?\n"
	 "15:7: spec.ingress[0].fromEntities[7]: unknown entity \"nobody\": known are\n"},
	{"other nodes in a deny rule",
	 CNP "  endpointSelector: {}\n  ingressDeny: [{fromEntities: [remote-node]}]\n",
	 "6:33: spec.ingressDeny[0].fromEntities[0]: the entity remote-node cannot be enforced"},
	{"two kinds of peers in a rule",
	 CNP
	 "  endpointSelector: {}\n  ingress:\n  - fromEndpoints: [{}]\n    fromEntities: [world]\n",
	 "8:19: spec.ingress[0].fromEntities: cannot stand beside fromEndpoints: write two rules"},
	{"reserved labels",
	 CNP "  endpointSelector: {matchLabels: {'reserved:host': ''}}\n  ingress:\n  - "
	     "fromEndpoints:\n"
	     "    - matchLabels: {'reserved:health': ''}\n"
	     "    - matchLabels: {'reserved:host': '', app: a}\n"
	     "    - matchExpressions: [{key: 'reserved:host', operator: Exists}]\n"
	     "    - matchLabels: {'container:a': b}\n"
	     "    - matchLabels: {io.cilium.k8s.policy.serviceaccount: b}\n",
	 "5:36: spec.endpointSelector.matchLabels.reserved:host: the label reserved:host cannot "
	 "stand here\n"
	 "8:21: spec.ingress[0].fromEndpoints[0].reserved:health: the entity health cannot be "
	 "enforced\n"
	 "9:21: spec.ingress[0].fromEndpoints[1].reserved:host: has to stand alone in its "
	 "selector\n"
	 "10:32: spec.ingress[0].fromEndpoints[2].matchExpressions[0].key: the label reserved:host "
	 "cannot\n"
	 "11:21: spec.ingress[0].fromEndpoints[3].matchLabels.container:a: the label container:a "
	 "has an "
	 "unknown source\n"
	 "12:21: spec.ingress[0].fromEndpoints[4].matchLabels.io.cilium.k8s.policy.serviceaccount: "
	 "the "
	 "label io.cilium.k8s.policy.serviceaccount is not known here\n"},
	{"endpoints of another namespace",
	 CNP "  endpointSelector: {matchLabels: {io.kubernetes.pod.namespace: other}}\n  ingress: "
	     "[{}]\n",
	 "5:21: spec.endpointSelector: a policy is about endpoints of its own namespace "
	 "\"default\""},
	{"an element of null",
	 CNP "  endpointSelector: {}\n  ingress: [null]\n  egress: [{toEndpoints: [~]}]\n",
	 "6:13: spec.ingress[0]: is nothing (null), but has to be a mapping\n"
	 "7:27: spec.egress[0].toEndpoints[0]: is nothing (null), but has to be a mapping\n"},
	{"HTTP without TCP",
	 CNP
	 "  endpointSelector: {}\n  ingress:\n  - toPorts:\n    - ports:\n      - {port: '80'}\n"
	 "      - {port: '80', protocol: ANY}\n      - {port: '80', protocol: UDP}\n"
	 "      - {port: '0', protocol: TCP}\n      rules: {http: [{}]}\n",
	 "9:9: spec.ingress[0].toPorts[0].ports[0]: HTTP rules need protocol TCP: add protocol: "
	 "TCP\n"
	 "10:32: spec.ingress[0].toPorts[0].ports[1].protocol: HTTP rules need protocol TCP, not "
	 "ANY\n"
	 "11:32: spec.ingress[0].toPorts[0].ports[2].protocol: HTTP rules need protocol TCP, not "
	 "UDP\n"
	 "12:16: spec.ingress[0].toPorts[0].ports[3].port: HTTP rules need a port\n"},
	{"ports",
	 CNP "  endpointSelector: {}\n  ingress:\n  - toPorts:\n    - ports:\n      - {}\n      - "
	     "port: '65536'\n"
	     "      - port: '080'\n      - port: -1\n      - port: ''\n      - port: true\n"
	     "      - {port: http, endPort: 90}\n      - {port: '0', endPort: 90}\n"
	     "      - {port: '80', endPort: 79}\n      - {port: '80', protocol: ICMP}\n",
	 "9:9: spec.ingress[0].toPorts[0].ports[0]: port is missing\n"
	 "10:15: spec.ingress[0].toPorts[0].ports[1].port: \"65536\" is neither a port number\n"
	 "11:15: spec.ingress[0].toPorts[0].ports[2].port: \"080\" is neither a port number\n"
	 "12:15: spec.ingress[0].toPorts[0].ports[3].port: \"-1\" is neither a port number\n"
	 "13:15: spec.ingress[0].toPorts[0].ports[4].port: \"\" is neither a port number\n"
	 "14:15: spec.ingress[0].toPorts[0].ports[5].port: YAML may take the bare word true\n"
	 "15:31: spec.ingress[0].toPorts[0].ports[6].endPort: needs a port with a number\n"
	 "16:30: spec.ingress[0].toPorts[0].ports[7].endPort: needs a port with a number\n"
	 "17:31: spec.ingress[0].toPorts[0].ports[8].endPort: 79 is below port 80\n"
	 "18:32: spec.ingress[0].toPorts[0].ports[9].protocol: unknown value \"ICMP\"\n"},
	{"enableDefaultDeny",
	 CNP "  endpointSelector: {}\n  ingress: [{}]\n  enableDefaultDeny: {ingress: 'false', "
	     "egres: no}\n",
	 "7:32: spec.enableDefaultDeny.ingress: has to be true or false\n"
	 "7:41: spec.enableDefaultDeny.egres: unknown field \"egres\": did you mean \"egress\"?\n"},
	{"specs",
	 "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\nspecs:\n"
	 "- {endpointSelector: {}, ingress: [{}]}\n- {endpointSelector: {}}\n",
	 "6:3: specs[1]: has no rule"},
	{"no specs",
	 "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\nspecs: []\n",
	 "4:8: specs: is an empty list"},
};

static const struct row payload[] = {
	{"words of our own",
	 PP "  ingress: [{}]\n  mode: Audit\n  onDeny: reject\n  denyMessage: none\n",
	 "7:9: spec.mode: unknown value \"Audit\": did you mean \"audit\"?\n"
	 "8:11: spec.onDeny: unknown value \"reject\": did you mean \"reset\"?\n"
	 "9:16: spec.denyMessage: unknown value \"none\": it has to be one of policy, silent\n"},
	{"fields of others", PP "  ingress: [{}]\n  labels: []\n  specs: []\n",
	 "7:3: spec.labels: is not a field of this kind\n8:3: spec.specs: unknown field "
	 "\"specs\"\n"},
	{"rules in a deny rule",
	 PP "  ingressDeny:\n  - toPorts:\n    - ports: [{port: '80', protocol: TCP}]\n      "
	    "rules: {http: [{}]}\n",
	 "9:7: spec.ingressDeny[0].toPorts[0].rules: a deny rule cannot look at what is said"},
	{"a field misspelt deep below", HTTP("metod: GET"),
	 "11:11: spec.ingress[0].toPorts[0].rules.http[0].metod: unknown field \"metod\": did you "
	 "mean "
	 "\"method\"?"},
	{"a bad expression", HTTP("path: '/a('"),
	 "11:17: spec.ingress[0].toPorts[0].rules.http[0].path: "},
	{"a path that nothing matches", HTTP("path: api/.*"),
	 "11:17: spec.ingress[0].toPorts[0].rules.http[0].path: can match no request"},
	{"a bare word as method", HTTP("method: on"),
	 "11:19: spec.ingress[0].toPorts[0].rules.http[0].method: YAML may take the bare word on"},
	{"headers", HTTP("headers: ['', ': x', 'X Y: z', 'X-A:', \"X-A: a\\nb\", 7, 'X-Ü: a']"),
	 "11:21: spec.ingress[0].toPorts[0].rules.http[0].headers[0]: \"\" is no header name\n"
	 "11:25: spec.ingress[0].toPorts[0].rules.http[0].headers[1]: \"\" is no header name\n"
	 "11:32: spec.ingress[0].toPorts[0].rules.http[0].headers[2]: \"X Y\" is no header name\n"
	 "11:42: spec.ingress[0].toPorts[0].rules.http[0].headers[3]: has an empty value\n"
	 "11:50: spec.ingress[0].toPorts[0].rules.http[0].headers[4]: has a control character\n"
	 "11:63: spec.ingress[0].toPorts[0].rules.http[0].headers[5]: is a number\n"
	 "11:66: spec.ingress[0].toPorts[0].rules.http[0].headers[6]: \"X-Ü\" is no header name\n"},
	{"headers that say where a message ends",
	 HTTP("headers: [content-length, 'Transfer-Encoding: x', Content-Lengths]"),
	 "11:21: spec.ingress[0].toPorts[0].rules.http[0].headers[0]: rules cannot look at "
	 "content-length\n"
	 "11:37: spec.ingress[0].toPorts[0].rules.http[0].headers[1]: rules cannot look at "
	 "Transfer-Encoding\n"},
	{"upgrades",
	 HTTP("upgrade: []\n        - upgrade: [a b]\n        - upgrade: websocket\n        - "
	      "upgrade: ['', '*']"),
	 "11:20: spec.ingress[0].toPorts[0].rules.http[0].upgrade: is an empty list\n"
	 "12:21: spec.ingress[0].toPorts[0].rules.http[1].upgrade[0]: \"a b\" is no upgrade: "
	 "write a name such as websocket\n"
	 "13:20: spec.ingress[0].toPorts[0].rules.http[2].upgrade: is a string, but has to be a "
	 "list\n"
	 "14:21: spec.ingress[0].toPorts[0].rules.http[3].upgrade[0]: \"\" is no upgrade\n"},
	{"headers by the score",
	 HTTP("headers: [a, b, c, d, e, f, g, h, i, j, k, l, m, o, p, A, q]\n        - headers: "
	      "[r]"),
	 "11:9: spec.ingress[0].toPorts[0].rules.http: the rules look at more than 16 different "
	 "headers, with r\n"},
	{"headerMatches",
	 HTTP("headerMatches: [{value: a}, {name: 'a b'}, {name: a, mismatch: LOG, secret: {}}]"),
	 "11:27: spec.ingress[0].toPorts[0].rules.http[0].headerMatches[0]: name is missing\n"
	 "11:46: spec.ingress[0].toPorts[0].rules.http[0].headerMatches[1].name: \"a b\" is no "
	 "header name\n"
	 "11:64: spec.ingress[0].toPorts[0].rules.http[0].headerMatches[2].mismatch: headers of a "
	 "passing\n"
	 "11:79: spec.ingress[0].toPorts[0].rules.http[0].headerMatches[2].secret: values cannot "
	 "be read\n"},
	{"the flaw of an alias is where its anchor is",
	 PP "  ingress: [{fromEndpoints: &e [{matchLabels: {a: 1}}]}]\n  egress: [{toEndpoints: "
	    "*e}]\n",
	 "6:51: spec.ingress[0].fromEndpoints[0].matchLabels.a: is a number\n"
	 "6:51: spec.egress[0].toEndpoints[0].matchLabels.a: is a number\n"},
};

static void run(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *got = render_read(rows[i].text, strlen(rows[i].text));
		const char *want = rows[i].flaws, *have = got;

		while (*want) {
			size_t line = strcspn(want, "\n");

			if (strncmp(want, have, line))
				fail_msg("%s\nexpected: %s\ngot: %s", rows[i].what, rows[i].flaws,
					 got);
			want += line + (want[line] == '\n');
			have += strcspn(have, "\n");
			have += *have == '\n';
		}
		if (*have)
			fail_msg("%s\nmore flaws than expected: %s", rows[i].what, have);
		free(got);
	}
}

#define TEST(name)                                                                                 \
	static void test_##name(void **state)                                                      \
	{                                                                                          \
		(void)state;                                                                       \
		run(name, sizeof(name) / sizeof(name[0]));                                         \
	}

TEST(yaml)
TEST(objects)
TEST(network_policy)
TEST(cilium)
TEST(payload)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_yaml),	       cmocka_unit_test(test_objects),
		cmocka_unit_test(test_network_policy), cmocka_unit_test(test_cilium),
		cmocka_unit_test(test_payload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/guide/reasons.md from include/bpfast/reasons.h.

    scripts/reasons.py           writes the page
    scripts/reasons.py --check   fails when the page is not what would be written

The words, their order and the hints are the header's. What a hint has no room for stands below, a text for each word; a word
without a text, or a text without a word, is an error.
"""

import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HEADER = os.path.join(ROOT, "include", "bpfast", "reasons.h")
PAGE = os.path.join(ROOT, "docs", "guide", "reasons.md")

INTRO = """\
<!-- Written by scripts/reasons.py from include/bpfast/reasons.h. Change those. -->
# Reasons

```text
DROPPED   INGRESS shop/cart:58962 -> shop/web:80 HTTP/1.1 GET /admin http-rule-denied by PayloadPolicy/shop/web spec.ingress[0].toPorts[0]
```

Every packet that is not forwarded has exactly one reason. Here it is `http-rule-denied`. The same word stands

- in records: `bpfast observe`, and `drop_reason_desc` in their JSON;
- in `bpfast status`, with counters and the short hint that is printed in italics below; those of shield in `bpfast shield status`;
- in `bpfast policy explain`;
- in the metrics, as the label `reason` of `bpfast_dropped_packets_total`, `bpfast_http_denied_total` and `bpfast_audited_total`, or of `bpfast_shield_dropped_packets_total` and `bpfast_shield_audited_packets_total`.

What to do first with any of them: `bpfast observe --verdict dropped --last 20` shows who is hit,
`bpfast policy explain` shows which policy and rule decide. [troubleshooting.md](troubleshooting.md) begins from symptoms.
"""

TITLES = {
    "packets": ("Packets", "Judged by form, before any policy is asked."),
    "policy": ("Policy", "Peers, ports and protocols."),
    "state": ("State", "Tables and memory of the kernel side."),
    "TCP under an L7 rule": ("TCP under an HTTP rule", "Only connections with HTTP rules meet these."),
    "shield": ("Shield", "Only devices that `bpfast shield attach` guards meet these: [shield.md](shield.md). There is no record for each packet; "
               "`bpfast shield status` shows counters and who was dropped most."),
    "connections that shield ends": ("Connections that shield ends", "No packet is dropped for these: the server's side of the connection is reset, "
                                     "and a source with many is blocked. One record stands for a connection. [shield.md](shield.md#slow-clients-and-floods-of-requests) "
                                     "has limits and modes."),
    "HTTP": ("HTTP", "A client gets a 403, a reset or nothing, as `onDeny` says. Where a 403 cannot be sent, it gets a reset."),
}

MORE = {
    "malformed-packet": """\
A length, a header or an option does not fit the frame, or ICMPv6 neighbour discovery (hop limit other than 255) or MLD (other than 1) came
from beyond the link or would leave it, or IPv6
carries an IPv4-mapped address. Headers that reach past byte 192 of the frame are also counted here.

Honest senders do not make these. A few after a driver or tunnel change point at broken offloads; many point at somebody probing.""",
    "ethertype-not-allowed": """\
LLDP, MPLS, PPPoE, 802.3 length frames, a third VLAN tag and the like. Bridges send such frames by themselves; a slow trickle is normal.""",
    "source-not-own": """\
The pod sent from an address or a MAC that is not its own, claimed another's address by ARP or neighbour discovery, or sent a router
advertisement. Addresses are read once, by `endpoint add`.

If the address is the pod's: delete the endpoint and add it again, or list its addresses with `--ip`. If it is not: the pod forges,
or it routes for others, which it may not.""",
    "fragment-refused": """\
The first fragment is shorter than its transport header, a later one reaches into that header, a later one came without (or before)
the first one, or the connection is under an HTTP rule, where no fragment passes.

TCP stacks do not fragment unless something on the way takes path MTU discovery away.""",
    "ip-option-refused": """\
IPv4 source routing, an IPv6 routing header, or more than six IPv6 extension headers.""",
    "policy-denied": """\
A policy isolates the endpoint in this direction and no rule allows this peer, port and protocol. The record names the policies that isolate.
ICMP errors about a connection that nobody knows, and answers that nobody asked for, are counted here too.

Ask `bpfast policy explain --from ... --to ... --port ...`. Usual causes: a label that differs from the selector, a service address where the
policy names endpoints, a port that is the service's and not the pod's. A rule with `toPorts` does not allow ICMP.""",
    "deny-rule": """\
`ingressDeny` or `egressDeny` of the policy in the record matches. No allow rule helps against it.""",
    "policy-revoked": """\
The connection was open when its permission went away. It was reset (TCP) or dropped. One for each such connection is normal
after a change.""",
    "no-policy-loaded": """\
The interface has our hooks, but nobody said which endpoint is behind it, or no tables are loaded. Everything is denied rather than
let through.

It is normal for the instant in which an endpoint is added. If it lasts: the agent found hooks whose endpoint it does not know (its
log names the interface). Add the endpoint again, or begin anew with `bpfast down`.""",
    "flow-table-full": """\
No room for another connection. Established ones go on. The setting is `flows`; a running table keeps its size, so
`bpfast down` comes before a larger one is made.

First see whether a few endpoints have all of them (`bpfast endpoint list`): then a smaller `flows-per-endpoint` keeps them apart. Short `other-idle` and `tcp-idle` settings empty the table sooner.""",
    "endpoint-flows-full": """\
This endpoint has as many connections as one endpoint may have; it gets no new ones until some end. Its open connections go on, and everybody
else's new ones too: so a pod that floods, or is flooded, stands alone. `bpfast endpoint list` shows who has how many, the agent's log
names the endpoint.

Whatever is no open TCP connection makes room by itself, until a quarter is free: a handshake that nobody finishes, a connection that is over or was denied, and what is not TCP go when
they were silent for 5 seconds. If it stays full, look who makes the connections: `bpfast observe --endpoint NAME --last 200`. If the endpoint needs as many,
raise `flows-per-endpoint`; it takes effect when the agent starts again.""",
    "stream-busy": """\
Two packets of one direction of one connection were judged on two CPUs at once and one of them did not wait any longer. TCP sends it again. A
few are harmless.""",
    "stale-tables": """\
A request head arrives so slowly, or policies change so often, that the tables it began with are gone. The request is denied; the
next one is judged by the new tables. Heads that were half there when a version with another layout took over end so, too, once.""",
    "flow-being-carried": """\
An agent whose kernel side has other tables has started. While it copies an endpoint's connections, for some
milliseconds, packets of those that are not there yet are dropped, and TCP sends them again. It ends by itself; if it lasts, the agent was killed in the middle:
start it again.""",
    "internal-error": """\
A kernel helper failed; `bpfast_helper_errors_total` counts them. The packet is dropped rather than let through unread. This is a defect
of ours, or a kernel that lacks memory.""",
    "tcp-start-not-seen": """\
The connection was open before HTTP rules came to apply to it, or before the endpoint was added. Nobody can say where in a request it
is. Both ends get a reset, once; clients reconnect and are then judged from the first byte. Expect one for each open connection when an HTTP
rule comes into force.""",
    "tcp-data-on-syn": """\
TCP Fast Open. The client's stack sends its SYN again without data after about a second. To save that second, turn Fast Open off in the client.""",
    "tcp-ahead-of-gap": """\
The end of the stream (FIN) came before bytes that are missing still. It is dropped and TCP sends it again: nobody knows yet whether it would
end a head. Other segments that are ahead of a gap are forwarded and kept, see `retention-full`.""",
    "tcp-retransmission-differs": """\
A sequence number came twice with different bytes, before the server acknowledged it. What was judged holds; the second is dropped. TCP stacks do not do
this: somebody makes segments by hand, to have one request judged and another executed.""",
    "retention-full": """\
Request heads, chunk framing and what was forwarded ahead of a gap are kept until the server acknowledges them: at most 512 KiB for a connection, a quarter
of the pool for an endpoint. The segment is dropped and TCP sends it again. Under heavy loss a few are ordinary. Many mean that a server
acknowledges nothing, or that the pool is too small for the number of requests in flight: setting `retain-mib`; `bpfast status` shows how full it is.""",
    "tcp-outside-stream": """\
Data before the handshake was complete, a SYN-ACK that answers no SYN, or a sequence number from before the connection's first byte.""",
    "tcp-flags-refused": """\
A SYN with FIN or RST, data without ACK, a SYN-ACK from the client, the urgent flag (URG). No HTTP client does this.""",
    "tcp-mptcp-join": """\
A second path for a Multipath TCP connection. It does not happen by itself: the option that would allow a second path is taken out of the
handshake, so both ends use plain TCP.""",
    "tcp-after-close": """\
What still arrives on a connection that was denied: the client's acknowledgements of the 403, its FIN, late data. A denied client is
answered for two minutes. Several for each denied request are normal and need no action.""",
    "http-rule-denied": """\
The request was understood and no rule allows it. The record has method and path, and names the policies that were asked.

`bpfast policy explain --http 'METHOD TARGET' --header 'NAME: VALUE'` answers for one request. Usual causes: patterns match the whole value (`/api`
does not match `/api/v1`), methods are case-sensitive, a header comes twice with different values.""",
    "http-got-tls": """\
The client began a TLS handshake. Clients report a handshake failure such as OpenSSL's `wrong version number`, because the 403 is not TLS.""",
    "http-got-http2": """\
The client began HTTP/2 without TLS (prior knowledge), as gRPC does. Such clients report a closed connection or a protocol error.

A request with `Upgrade: h2c` is different: it is HTTP/1.1 and judged as such.""",
    "http-got-websocket": """\
The upgrade request itself is judged like any other request, and the server's `101` passes. The client's first WebSocket frame is not HTTP: the
connection is reset. To allow it write `upgrade: [websocket]` into the rule for that request.""",
    "http-not-http": """\
The first bytes cannot begin a request. Another protocol uses the port, or the client has lost its place in a connection.""",
    "http-version-refused": """\
The request line does not end in `HTTP/1.0` or `HTTP/1.1`: HTTP/0.9, a lower-case `http/1.1`, a line cut short.""",
    "http-bad-method": """\
The method holds a byte that is not a token character, or is longer than 32 bytes. SSH and SMTP banners end here.""",
    "http-bad-target": """\
Refused: absolute targets of another scheme than `http`, with a user or a port that is none; a path for `CONNECT`; `*` for anything but `OPTIONS`; a leading `//`, `..` segments,
encoded slash, backslash, percent, NUL and control bytes (`%2F`, `%5C`, `%25`, `%00`), half an escape, escapes that UTF-8 does not have (`%C0%AE`), `#`, backslash, bytes over 0x7f, and `;` behind a dot segment, encoded or not. [http.md](http.md#target) has examples.

Normalise and percent-encode before sending.""",
    "http-bad-header": """\
A blank before the colon, a folded line, a bare CR or LF, NUL or another control byte, an empty name; a name that has `_` for the `-` of one that frames
or that a rule reads ([http.md](http.md#header-lines)); or the client closed in the middle of a
head: some servers take that for its end, others wait for the rest.""",
    "http-bad-framing": """\
`Content-Length` twice, with `Transfer-Encoding`, or not a plain number of at most 2^48; `Transfer-Encoding` that is anything but `chunked`; any
`Transfer-Encoding` in HTTP/1.0; a body for `GET`, `HEAD` or `CONNECT`. These are how requests are smuggled past a proxy. Clients that send a
body with `GET` (some of Elasticsearch's do) can mostly be told to use `POST`.""",
    "http-bad-host": """\
HTTP/1.1 without `Host`, or with two; an empty one; one that is unlike the host in the target; or one that is not a name of letters, digits, `-`, `_` and
single dots or an IPv6 address in brackets, with or without a port from 1 to 65535. [http.md](http.md#host) has examples.""",
    "http-bad-chunk": """\
A chunk size that is not plain hexadecimal, is too large or has an extension, a chunk that does not end in CRLF, or a trailer that would
frame, route or decide.""",
    "http-head-too-long": """\
Request line and headers together are over the limit. Cookies are the usual cause.""",
    "http-tunnel-refused": """\
The method is `CONNECT`. Nobody reads a tunnel, so a rule has to allow it by name: `upgrade: [connect]`.""",
    "http-too-many-pipelined": """\
The client sent more than 64 requests without waiting, among them `HEAD`. Which responses have no body could not be told any more.""",
}

SHIELD = {
    "http-head-slow": """\
A request head was begun and not finished within `head-seconds`; or within half a second, where its source or its server has too many of them
(`slow-per-source`, `slow-per-service`).""",
    "http-body-slow": """\
As `http-head-slow`, for a body that brings fewer than `bytes` a second.""",
    "http-read-slow": """\
As `http-head-slow`, for a response of which the server can send fewer than `bytes` a second. A server that is itself slow in the middle of a body of known
length looks the same: raise or lift `bytes` there.""",
    "too-many-connections": """\
One source has more connections open to one endpoint than `connections` allows. It is blocked; of inspected connections those over the limit are reset.""",
    "http-flood": """\
One source asks one endpoint more often than `requests`, or for one path more often than `path-requests` allows. Both are none until they are set.""",
    "shield-blocked": """\
`bpfast shield list` shows the entry: of a command, a file or a policy, or `http at NAMESPACE/POD` where the source has asked too much of that pod
([shield http](shield.md#slow-clients-and-floods-of-requests)). `bpfast shield unblock CIDR` takes it off; `bpfast shield allow CIDR` lets a part of a blocked
prefix through, for allow always wins.""",
    "shield-malformed": """\
A length, a header or an option does not fit the frame, a routing header of type 0, or more than six IPv6 extension headers. Honest senders
do not make these.""",
    "shield-bad-fragment": """\
A fragment whose payload others must follow and that is not a multiple of eight bytes or shorter than 128 (teardrop, tiny fragments), one that begins within the
first 128 bytes, one that ends past byte 65,535 (ping of death), or a first fragment without a whole transport header. No link that carries IP makes such.""",
    "shield-martian-address": """\
Source and destination are the same (LAND), the source is loopback, multicast, reserved, or 0.0.0.0 without a broadcast, or the destination is
loopback. Look for a host on the link with a wrong configuration if it is a trickle.""",
    "shield-tcp-flags": """\
No ACK on something that is neither SYN nor RST (null, FIN and Xmas scans), or SYN with FIN or RST, or RST with FIN.""",
    "shield-out-of-state": """\
ACK, RST, FIN or SYN-ACK of a connection that shield does not know, from one source, prefix or to one destination faster than the limit of the class
`out-of-state`. A known connection is one whose handshake was completed before shield's eyes, or on which this host has sent something
since. Many of these without an attack: the answers leave by another device (asymmetric routing): use mode audit there, or raise the limit.""",
    "shield-source-limit": """\
One address sent more than its class allows: `bpfast shield limit` shows and sets the limits. For SYNs only those count whose handshake
does not end, so an honest client meets this only where nobody answers it, or where somebody floods in its name: then its SYN passes when
its system sends it again, a second later.""",
    "shield-prefix-limit": """\
As `shield-source-limit`, for all addresses of one /24 or /64 together. Sources that completed a handshake in the last ten minutes are
free of it.""",
    "shield-syn-cookie": """\
`bpfast shield cookies on` was said for this destination, and it is over its limit of SYNs: shield answers with a cookie, the
listener hears nothing. An honest client sends it back and is let in, so this is no loss; of a forged source nothing comes back. [shield.md](shield.md#syn-cookies) tells more.""",
    "shield-bad-cookie": """\
While SYNs to a destination are answered with cookies, TCP of a connection that shield does not know has to bring a valid one. ACK floods do not, nor
does a connection from before shield on which this host has said nothing since.""",
    "shield-destination-limit": """\
One address and port got more of this class than its limit, from all sources together. Sources that completed a handshake
in the last ten minutes, and UDP flows that this host answered, are free of it.""",
    "shield-adaptive": """\
An attack on this destination was found, and it gets only so much of the attack's class from sources that are not known as is ordinary there. Known are
those that completed a handshake in the last ten minutes, and for UDP and ICMP those that were seen over more than a second before the attack. The limit
goes by itself once the attack is over. `bpfast shield detect ADDRESS --mode audit` only records attacks on an address.""",
    "shield-fingerprint": """\
The packets of the attack have something in common that honest ones to the same destination have not: length, TTL, flags, options, payload. `bpfast shield
status` shows the rule. It holds for sources that are not known, and goes with the attack.""",
    "shield-dns-name": """\
Names that nobody has are being asked for, each another, below one name: a random-subdomain attack. While it goes on, queries over UDP for names below that one are dropped, whoever
sends them, but for names that were asked for before and for sources that are allowed by `bpfast shield allow`. `bpfast shield status` shows the name and how many are let through. [shield-attacks.md](shield-attacks.md#names) tells more.""",
}
MORE.update(SHIELD)

ROW = re.compile(r'X\(\s*(\w+)\s*,\s*"([^"]*)"\s*,\s*((?:"[^"]*"\s*)+)\)|/\*\s*(.*?)\s*\*/')


def read():
    """-> [(group, word, hint)]"""
    with open(HEADER, encoding="utf-8") as f:
        text = f.read()
    table = text[text.index("#define BPFAST_REASONS(X)") : text.index("enum bpfast_reason {")].replace("\\\n", "\n")
    group, out = "", []
    for m in ROW.finditer(table):
        if m.group(4):
            group = m.group(4)
        elif m.group(1) != "NONE":
            out.append((group, m.group(2), "".join(re.findall(r'"([^"]*)"', m.group(3)))))
    return out


def page():
    rows = read()
    words = [word for _, word, _ in rows]
    unknown = [g for g, _, _ in rows if g not in TITLES]
    if unknown or sorted(words) != sorted(MORE):
        missing = sorted(set(words) - set(MORE)) + sorted(set(unknown))
        stale = sorted(set(MORE) - set(words))
        sys.exit(f"scripts/reasons.py: texts are missing for {missing}, or belong to nothing: {stale}")
    out, group = [INTRO], None
    for g, word, hint in rows:
        if g != group:
            title, text = TITLES[g]
            out.append(f"## {title}\n\n{text}\n")
            group = g
        out.append(f"### {word}\n\n*{hint[0].upper()}{hint[1:]}.*\n\n{MORE[word]}\n")
    return "\n".join(out)


def main():
    want = page()
    if sys.argv[1:] == ["--check"]:
        with open(PAGE, encoding="utf-8") as f:
            if f.read() != want:
                sys.exit("docs/guide/reasons.md is not what include/bpfast/reasons.h says: run scripts/reasons.py")
        return
    with open(PAGE, "w", encoding="utf-8") as f:
        f.write(want)


if __name__ == "__main__":
    main()

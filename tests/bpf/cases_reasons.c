// SPDX-License-Identifier: Apache-2.0
/*
 * Every reason of include/bpfast/reasons.h once. A reason that is added there
 * without a line here fails the test: it needs a packet that meets it, or the
 * sentence why no packet can.
 */
#include "cases.h"

#include "observe/names.h"
#include "requests.h"

#define LINE "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"

#define BOTH                                                                                       \
	"apiVersion: bpfast.io/v1alpha1\n"                                                         \
	"kind: PayloadPolicy\n"                                                                    \
	"metadata: {name: all, namespace: shop}\n"                                                 \
	"spec:\n"                                                                                  \
	"  endpointSelector: {matchLabels: {app: web}}\n"                                          \
	"  ingress:\n"                                                                             \
	"  - toPorts: [{ports: [{port: \"80\"}], rules: {http: [{path: \"/ok\"}]}}]\n"             \
	"  ingressDeny:\n"                                                                         \
	"  - fromCIDR: [198.51.100.0/24]\n"

/* Sends what has to be sent; the last packet is the one that meets the reason. */
typedef const struct seen *(*producer)(void);

static const struct seen *in(const struct frame *f)
{
	return run(TO_POD, f);
}

static const struct seen *no_policy(void)
{
	control()->root = 0;
	return in(PACKET(ETH(), IP4(), UDP()));
}

static const struct seen *malformed(void)
{
	return in(PACKET(ETH(), IP4(.version = 5), UDP()));
}

static const struct seen *ether_type(void)
{
	return in(PACKET(ETH(.proto = 0x88b5), IP4(), UDP()));
}

static const struct seen *source_not_own(void)
{
	return run(FROM_POD, PACKET(POD_ETH, IP4(.src = PEER4), UDP()));
}

static const struct seen *fragment(void)
{
	return in(PACKET(ETH(), IP4(.frag = 80, .next = 17), DATA("01234567")));
}

static const struct seen *ip_option(void)
{
	return in(PACKET(ETH(), IP6(), EXT(43), UDP()));
}

static const struct seen *policy_denied(void)
{
	return in(PACKET(ETH(), IP4(), UDP()));
}

static const struct seen *deny_rule(void)
{
	return in(PACKET(ETH(), IP4(.src = "198.51.100.1"), UDP()));
}

static const struct seen *revoked(void)
{
	policy(OPEN);
	FORWARDED(in(PACKET(ETH(), IP4(), UDP())));
	policy(BOTH);
	return in(PACKET(ETH(), IP4(), UDP()));
}

static const struct seen *table_full(void)
{
	policy(OPEN);
	for (uint16_t i = 0; i < FLOWS; i++)
		FORWARDED(in(PACKET(ETH(), IP4(), UDP(.sport = (uint16_t)(i + 1)))));
	return in(PACKET(ETH(), IP4(), UDP()));
}

static const struct seen *busy(void)
{
	struct talk t = TALK();
	struct bpfast_flow flow;

	talk_open(&t);
	flow_get(false, 80, 40000, &flow);
	flow.client.owner = 1;
	flow_put(false, 80, 40000, &flow);
	return client_says(&t, LINE);
}

static const struct seen *stale(void)
{
	struct talk t = TALK();

	talk_open(&t);
	FORWARDED(client_says(&t, "GET /o"));
	policy(BOTH);
	forget_old_policies();
	return client_says(&t, "k");
}

static const struct seen *carrying(void)
{
	struct bpfast_endpoint e = the_endpoint();
	struct talk t = TALK();

	e.flags = BPFAST_EPF_CARRYING;
	set_endpoint(&e);
	return client_says(&t, LINE);
}

static const struct seen *midstream(void)
{
	struct talk t = TALK();

	return client_says(&t, LINE);
}

static const struct seen *syn_data(void)
{
	struct talk t = TALK();

	return CLIENT(&t, .flags = SYN, .data = B(LINE));
}

static const struct seen *gap(void)
{
	struct talk t = TALK();

	talk_open(&t);
	return CLIENT(&t, .seq = t.client_seq + 1, .flags = ACK | FIN);
}

static const struct seen *differs(void)
{
	struct talk t = TALK();

	talk_open(&t);
	FORWARDED(CLIENT(&t, .data = B("GET /o")));
	return CLIENT(&t, .data = B("GET /n"));
}

static const struct seen *quota_full(void)
{
	control()->flows_share = 0;
	return in(PACKET(ETH(), IP4(), TCP(.dport = 80, .flags = SYN)));
}

static const struct seen *retain_full(void)
{
	struct talk t = TALK();

	control()->retain_share = 0;
	talk_open(&t);
	return client_says(&t, "GET /o");
}

static const struct seen *window(void)
{
	struct talk t = TALK();

	talk_open(&t);
	t.client_seq -= 50;
	return client_says(&t, LINE);
}

static const struct seen *flags(void)
{
	struct talk t = TALK();

	talk_open(&t);
	return CLIENT(&t, .flags = 0, .data = B(LINE));
}

static const struct seen *mptcp(void)
{
	struct talk t = TALK();

	return CLIENT(&t, .flags = SYN, .opt = B("\x1e\x0c\x10\1\xde\xad\xbe\xef\1\2\3\4"));
}

static const struct seen *closed(void)
{
	struct talk t = TALK();

	talk_open(&t);
	client_says(&t, "\x16");
	return client_says(&t, "\x16");
}

static const struct seen *head_size(void)
{
	static char line[1024];
	struct talk t = TALK();

	memset(line, 'x', sizeof(line));
	talk_open(&t);
	FORWARDED(client_says(&t, "GET /ok HTTP/1.1\r\nX:"));
	for (int i = 0; i < 31; i++)
		FORWARDED(client_sends(&t, (struct bytes){line, sizeof(line)}));
	return client_sends(&t, (struct bytes){line, sizeof(line)});
}

static const struct seen *pipeline(void)
{
	struct talk t = TALK();

	talk_open(&t);
	for (int i = 0; i < 64; i++)
		FORWARDED(client_says(&t, "HEAD /ok HTTP/1.1\r\nHost: a\r\n\r\n"));
	return client_says(&t, "HEAD /ok HTTP/1.1\r\nHost: a\r\n\r\n");
}

static const struct {
	producer packet;
	struct bytes says; /* or this, on a new connection */
	const char *not_producible; /* or why it cannot be met here */
} reasons[BPFAST_R_ENDED] = {
	[R(NONE)] = {.not_producible = "the packet is forwarded"},
	[R(MALFORMED)] = {malformed},
	[R(ETHERTYPE)] = {ether_type},
	[R(SOURCE_NOT_OWN)] = {source_not_own},
	[R(FRAGMENT)] = {fragment},
	[R(IP_OPTION)] = {ip_option},
	[R(POLICY_DENIED)] = {policy_denied},
	[R(DENY_RULE)] = {deny_rule},
	[R(POLICY_REVOKED)] = {revoked},
	[R(NO_POLICY)] = {no_policy},
	[R(FLOW_TABLE_FULL)] = {table_full},
	[R(ENDPOINT_FLOWS)] = {quota_full},
	[R(STREAM_BUSY)] = {busy},
	[R(STALE_TABLES)] = {stale},
	[R(CARRYING)] = {carrying},
	[R(INTERNAL)] = {.not_producible = "a kernel helper has to fail"},
	[R(TCP_MIDSTREAM)] = {midstream},
	[R(TCP_SYN_DATA)] = {syn_data},
	[R(TCP_GAP)] = {gap},
	[R(TCP_DIFFERS)] = {differs},
	[R(RETAIN_FULL)] = {retain_full},
	[R(TCP_WINDOW)] = {window},
	[R(TCP_FLAGS)] = {flags},
	[R(TCP_MPTCP)] = {mptcp},
	[R(TCP_CLOSED)] = {closed},
	[R(HTTP_DENIED)] = {.says = B("GET /no" H)},
	[R(HTTP_TLS)] = {.says = B("\x16\3\1")},
	[R(HTTP_H2)] = {.says = B("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")},
	[R(HTTP_WEBSOCKET)] = {.says = B("\x81\5hello")},
	[R(HTTP_NOT_HTTP)] = {.says = B("\1\2\3")},
	[R(HTTP_VERSION)] = {.says = B("GET /ok HTTP/1.7\r\n")},
	[R(HTTP_METHOD)] = {.says = B("G{T /ok" H)},
	[R(HTTP_TARGET)] = {.says = B("GET /ok/../no" H)},
	[R(HTTP_HEADER)] = {.says = B("GET /ok HTTP/1.1\r\nHost : a\r\n\r\n")},
	[R(HTTP_FRAMING)] = {.says = B("GET /ok HTTP/1.1\r\nContent-Length: 1,1\r\n\r\n")},
	[R(HTTP_HOST)] = {.says = B("GET /ok HTTP/1.1\r\n\r\n")},
	[R(HTTP_CHUNK)] = {.says = B("POST /ok HTTP/1.1\r\nHost: a\r\n"
				     "Transfer-Encoding: chunked\r\n\r\nz")},
	[R(HTTP_HEAD_SIZE)] = {head_size},
	[R(HTTP_TUNNEL)] = {.says = B("CONNECT a:1 HTTP/1.1\r\n")},
	[R(HTTP_PIPELINE)] = {pipeline},
};

static uint32_t met(uint32_t reason)
{
	struct talk t = TALK();
	uint32_t first;
	size_t owed;

	if (reasons[reason].packet)
		return reasons[reason].packet()->reason;
	talk_open(&t);
	first = client_sends(&t, reasons[reason].says)->reason;
	if (first)
		return first;
	/* What was allowed before it was cut off: the rest comes again. */
	owed = t.client_seq - 1001;
	return client_sends(&t, (struct bytes){(const char *)reasons[reason].says.p + owed,
					       reasons[reason].says.n - owed})
		->reason;
}

static void each_reason(void **state)
{
	unsigned int wrong = 0;

	(void)state;
	/* Those of shield are met in test_shield.c. */
	for (uint32_t r = 0; r < BPFAST_R_ENDED; r++) {
		uint32_t got;

		if (reasons[r].not_producible)
			continue;
		if (!reasons[r].packet && !reasons[r].says.n) {
			print_error("%s has no packet in this test\n", bf_reason_word(r));
			wrong++;
			continue;
		}
		world_reset(NULL);
		policy(BOTH);
		got = met(r);
		if (got != r) {
			print_error("%s was expected, it was %s\n", bf_reason_word(r),
				    bf_reason_word(got));
			wrong++;
		}
	}
	if (wrong)
		fail_msg("%u reasons were not met", wrong);
}

int cases_reasons(void)
{
	const struct CMUnitTest tests[] = {
		CASE(each_reason),
	};

	return cmocka_run_group_tests_name("reasons", tests, NULL, NULL);
}

// SPDX-License-Identifier: Apache-2.0
/* Refusing, what both ends are told, and the state that follows. */
#include "cases.h"

#include <stdlib.h>

#define GET "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"
#define BAD "GET /no HTTP/1.1\r\nHost: a\r\n\r\n"
#define R200 "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define LEN(literal) (sizeof(literal) - 1)

#define RULES(settings)                                                                            \
	"apiVersion: bpfast.io/v1alpha1\n"                                                         \
	"kind: PayloadPolicy\n"                                                                    \
	"metadata: {name: web, namespace: shop}\n"                                                 \
	"spec:\n" settings "  endpointSelector: {matchLabels: {app: web}}\n"                       \
	"  ingress:\n"                                                                             \
	"  - toPorts:\n"                                                                           \
	"    - ports: [{port: \"80\", protocol: TCP}]\n"                                           \
	"      rules: {http: [{path: \"/ok\"}]}\n"

static struct seen_tcp sent(const struct seen *s)
{
	EXPECT(s->sents == 1);
	return packet_read_tcp(s->sent[0].frame.b, s->sent[0].frame.len);
}

static void reply_names_the_policy(void **state)
{
	struct talk t = TALK();
	struct seen_tcp reply;
	char text[513] = "";

	(void)state;
	policy(RULES(""));
	talk_open(&t);
	reply = sent(DENIED_403(&t, client_says(&t, BAD), HTTP_DENIED, LEN(BAD)));
	assert_true(reply.data_len < sizeof(text));
	memcpy(text, reply.data, reply.data_len);
	EXPECT(strstr(text, "\r\nConnection: close\r\n") != NULL);
	EXPECT(strstr(text, "PayloadPolicy shop/web") != NULL);
	/* The length that it says is that of its body. */
	EXPECT(strstr(text, "\r\n\r\n") != NULL);
	EXPECT((size_t)atoi(strstr(text, "Content-Length: ") + 16) ==
	       strlen(strstr(text, "\r\n\r\n") + 4));

	policy(RULES("  denyMessage: silent\n"));
	t = TALK(.client_port = 40001);
	talk_open(&t);
	reply = sent(DENIED_403(&t, client_says(&t, BAD), HTTP_DENIED, LEN(BAD)));
	memset(text, 0, sizeof(text));
	memcpy(text, reply.data, reply.data_len);
	EXPECT(strstr(text, "web") == NULL && strstr(text, "shop") == NULL);
}

/* The DENIED flow speaks for a server that is gone. */
static void after_the_reply(void **state)
{
	(void)state;
	policy(RULES(""));
	for (int i = 0; i < 4; i++) {
		struct talk t = TALK(.v6 = i & 1);
		const struct seen *s;
		struct seen_tcp a;
		uint32_t reply;

		if (i & 2)
			t.opt = TIMESTAMPS;
		talk_open(&t);
		FORWARDED(client_says(&t, GET));
		FORWARDED(server_says(&t, R200));
		reply = (uint32_t)sent(DENIED_403(&t, client_says(&t, BAD), HTTP_DENIED, LEN(BAD)))
				.data_len;
		/* It was lost: the client sends again, and is told again. */
		s = CLIENT(&t, .data = B(BAD));
		EXPECT(!s->forwarded && s->reason == BPFAST_R_TCP_CLOSED);
		check_reply(&t, s, LEN(BAD), __FILE__, __LINE__);
		/* It has it, and acknowledges it and the FIN. */
		DROPPED(CLIENT(&t, .seq = t.client_seq + LEN(BAD), .ack = t.server_seq + reply + 1),
			TCP_CLOSED);
		/* It had sent more already. */
		s = CLIENT(&t, .seq = t.client_seq + LEN(BAD), .ack = t.server_seq + reply + 1,
			   .data = B(GET));
		a = sent(s);
		EXPECT(!s->forwarded && s->reason == BPFAST_R_TCP_CLOSED);
		EXPECT(a.flags == ACK && a.data_len == 0 && a.seq == t.server_seq + reply + 1);
		EXPECT(a.ack == t.client_seq + LEN(BAD) + LEN(GET));
		/* It closes: without an answer it would wait in LAST-ACK. */
		s = CLIENT(&t, .seq = t.client_seq + LEN(BAD), .ack = t.server_seq + reply + 1,
			   .flags = ACK | FIN);
		a = sent(s);
		EXPECT(!s->forwarded && a.flags == ACK && a.ack == t.client_seq + LEN(BAD) + 1);
		EXPECT(a.opt_len == t.opt.n);
		/* The server did not hear of the reset, and says more: it hears of it again. */
		s = SERVER(&t, .data = B(R200));
		a = sent(s);
		EXPECT(!s->forwarded && s->reason == BPFAST_R_TCP_CLOSED);
		EXPECT(a.flags == RST && a.seq == t.client_seq && a.sport == t.client_port);
		s = SERVER(&t, .flags = SYN | ACK, .seq = 70000, .ack = 1001);
		EXPECT(!s->forwarded && s->reason == BPFAST_R_TCP_CLOSED);
		/* Resets end in silence. */
		DROPPED(CLIENT(&t, .flags = RST), TCP_CLOSED);
		DROPPED(SERVER(&t, .flags = RST), TCP_CLOSED);
		world_reset(NULL);
	}
}

/* The 403 is as the packet's own headers are: options, extension headers, tags. */
static void reply_to_odd_headers(void **state)
{
	(void)state;
	policy(RULES(""));
	for (int i = 0; i < 4; i++) {
		struct talk t = TALK(.v6 = i >= 2);
		const struct frame *f;
		const struct seen *s;
		const struct layer tcp =
			TCP(.seq = 1001, .ack = 70001, .flags = ACK | PSH | FIN, .opt = TIMESTAMPS);

		talk_open(&t);
		f = i == 0   ? PACKET(ETH(), IP4(.opt = B("\1\1\1\0")), tcp, DATA(BAD))
		    : i == 1 ? PACKET(ETH(), VLAN(), IP4(), tcp, DATA(BAD), PAD("padding"))
		    : i == 2
			    ? PACKET(ETH(), IP6(), EXT(60), tcp, DATA(BAD))
			    : PACKET(ETH(), VLAN(), VLAN(), IP6(), EXT(0), EXT(60), tcp, DATA(BAD));
		t.opt = TIMESTAMPS;
		s = run(TO_POD, f);
		EXPECT(s->reason == BPFAST_R_HTTP_DENIED && s->forwarded);
		check_reply(&t, s, LEN(BAD) + 1, __FILE__, __LINE__);
		EXPECT(packet_read_tcp(s->out.b, s->out.len).flags == (RST | ACK));
		world_reset(NULL);
	}
}

static void reset(void **state)
{
	(void)state;
	policy(RULES("  onDeny: reset\n"));
	for (int i = 0; i < 2; i++) {
		struct talk t = TALK(.v6 = i);
		const struct seen *s;

		talk_open(&t);
		FORWARDED(client_says(&t, GET));
		/* Nothing is waited for. */
		RESET_BOTH(&t, client_says(&t, BAD), HTTP_DENIED, LEN(BAD));
		s = CLIENT(&t, .data = B(BAD));
		EXPECT(!s->forwarded && s->reason == BPFAST_R_TCP_CLOSED);
		EXPECT(sent(s).flags == RST && sent(s).seq == t.server_seq);
		s = SERVER(&t, .data = B(R200));
		EXPECT(!s->forwarded && sent(s).flags == RST && sent(s).seq == t.client_seq);
		world_reset(NULL);
	}
}

static void drop(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(RULES("  onDeny: drop\n"));
	talk_open(&t);
	FORWARDED(client_says(&t, GET));
	RECORDED(DROPPED(client_says(&t, BAD), HTTP_DENIED), DROPPED, HTTP_DENIED, "GET /no");
	DROPPED(client_says(&t, BAD), TCP_CLOSED);
	DROPPED(client_says(&t, GET), TCP_CLOSED);
	DROPPED(server_says(&t, R200), TCP_CLOSED);
	DROPPED(client_closes(&t), TCP_CLOSED);
}

/* An end inside a head is refused as everything else is. */
static void an_end_inside_a_head(void **state)
{
	struct talk t = TALK();
	const struct seen *s;

	(void)state;
	policy(RULES("  onDeny: reset\n"));
	talk_open(&t);
	FORWARDED(client_says(&t, GET "GET"));
	/* Nothing is waited for. */
	RESET_BOTH(&t, CLIENT(&t, .flags = ACK | FIN), HTTP_HEADER, 1);

	policy(RULES("  onDeny: drop\n"));
	t = TALK(.client_port = 40001);
	talk_open(&t);
	FORWARDED(client_says(&t, "GET"));
	s = CLIENT(&t, .flags = ACK | FIN);
	RECORDED(DROPPED(s, HTTP_HEADER), DROPPED, HTTP_HEADER, "GET");
	EXPECT(s->sents == 0);
	DROPPED(CLIENT(&t, .flags = ACK | FIN), TCP_CLOSED);

	policy(RULES("  mode: audit\n"));
	t = TALK(.client_port = 40002);
	talk_open(&t);
	FORWARDED(client_says(&t, "GET"));
	s = FORWARDED(CLIENT(&t, .flags = ACK | FIN));
	RECORDED(s, AUDIT, HTTP_HEADER, "GET");
	EXPECT(s->metrics.audited[BPFAST_R_HTTP_HEADER] == 1);
}

/* A connection that no rule allows: dropped, or with `onDeny: reset` refused. */
static void connections(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct talk t = TALK(.v6 = i, .server_port = 81);
		const struct seen *s;
		struct seen_tcp a;

		policy(RULES(""));
		DROPPED(CLIENT(&t, .flags = SYN, .ack = 0), POLICY_DENIED);
		policy(RULES("  onDeny: drop\n"));
		DROPPED(CLIENT(&t, .flags = SYN, .ack = 0), POLICY_DENIED);
		policy(RULES("  onDeny: reset\n"));
		s = CLIENT(&t, .flags = SYN, .ack = 0);
		EXPECT(!s->forwarded && s->reason == BPFAST_R_POLICY_DENIED);
		a = sent(s);
		EXPECT(a.flags == (RST | ACK) && a.seq == 0 && a.ack == 1001);
		EXPECT(a.sport == 81 && a.dport == 40000);
		EXPECT(flow_count() == 0);
	}
	DROPPED(run(TO_POD, PACKET(ETH(), IP4(), UDP())), POLICY_DENIED);
}

/* --- audit -------------------------------------------------------------------------- */

static void audit(void **state)
{
	struct talk t = TALK();
	const struct seen *s;

	(void)state;
	policy(RULES("  mode: audit\n"));
	talk_open(&t);
	s = FORWARDED(client_says(&t, GET));
	RECORDED(s, FORWARDED, NONE, "GET /ok");
	FORWARDED(server_says(&t, R200));
	s = FORWARDED(client_says(&t, BAD));
	RECORDED(s, AUDIT, HTTP_DENIED, "GET /no");
	EXPECT(s->metrics.audited[BPFAST_R_HTTP_DENIED] == 1);
	EXPECT(s->metrics.http_requests[BPFAST_V_AUDIT] == 1);
	EXPECT(s->metrics.http_requests[BPFAST_V_DROPPED] == 0);
	/* It is read on: every request of the connection gets its record. */
	s = FORWARDED(client_says(&t, GET));
	RECORDED(s, FORWARDED, NONE, "GET /ok");
	s = FORWARDED(client_says(&t, BAD));
	RECORDED(s, AUDIT, HTTP_DENIED, "GET /no");
	EXPECT(s->metrics.http_requests[BPFAST_V_AUDIT] == 1);
	/* Another connection is read from its beginning. */
	t = TALK(.client_port = 40001);
	talk_open(&t);
	s = FORWARDED(client_says(&t, GET BAD GET));
	EXPECT(s->out.len == 14 + 40 + LEN(GET BAD GET)); /* not cut */
	RECORDED(s, FORWARDED, NONE, "GET /ok");
	RECORDED(s, AUDIT, HTTP_DENIED, "GET /no");
	EXPECT(s->metrics.http_requests[BPFAST_V_FORWARDED] == 2);
	t = TALK(.client_port = 40002);
	talk_open(&t);
	s = FORWARDED(client_says(&t, "\x16\3\1"));
	RECORDED(s, AUDIT, HTTP_TLS, NULL);
	FORWARDED(client_says(&t, "anything"));
	FORWARDED(server_says(&t, "anything"));
}

/* Whatever the stream does, nothing is dropped. */
static void audit_drops_nothing(void **state)
{
	struct talk t;

	(void)state;
	policy(RULES("  mode: audit\n"));
	for (int i = 0; i < 10; i++) {
		const struct seen *s = NULL;
		uint32_t why = 0;

		t = TALK(.client_port = (uint16_t)(41000 + i));
		if (i == 0) {
			s = CLIENT(&t, .flags = SYN, .ack = 0, .data = B(GET));
			why = BPFAST_R_TCP_SYN_DATA;
		} else if (i == 1) {
			s = CLIENT(&t, .flags = SYN, .ack = 0,
				   .opt = B("\x1e\x0c\x10\1\xde\xad\xbe\xef\1\2\3\4"));
			why = BPFAST_R_TCP_MPTCP;
		} else if (i == 2) {
			s = CLIENT(&t, .data = B(GET)); /* its beginning was not seen */
		} else {
			talk_open(&t);
		}
		if (i == 3) {
			/* Ahead of a gap; and the connection is judged on, unlike the others. */
			s = CLIENT(&t, .seq = t.client_seq + 9, .flags = ACK | FIN, .data = B(GET));
		} else if (i == 4) {
			s = CLIENT(&t, .flags = PSH, .data = B(GET));
			why = BPFAST_R_TCP_FLAGS;
		} else if (i == 5) {
			s = CLIENT(&t, .seq = 5, .data = B(GET));
			why = BPFAST_R_TCP_WINDOW;
		} else if (i == 6) {
			s = run(TO_POD,
				PACKET(ETH(), IP4(.more = true), TCP(.sport = 41006, .flags = ACK),
				       DATA("0123456789abcdef0123456789abcdef")));
			why = BPFAST_R_FRAGMENT;
		} else if (i == 7) {
			s = CLIENT(&t, .flags = ACK | URG, .data = B(GET));
			why = BPFAST_R_TCP_FLAGS;
		} else if (i == 8) {
			s = CLIENT(&t, .flags = SYN | FIN);
			why = BPFAST_R_TCP_FLAGS;
		} else if (i == 9) {
			FORWARDED(client_says(&t, "GET /ok HT"));
			policy(RULES("  mode: audit\n"));
			forget_old_policies();
			s = client_says(&t, "TP/1.1\r\nHost: a\r\n\r\n");
			why = BPFAST_R_STALE_TABLES;
		}
		FORWARDED(s);
		EXPECT(s->metrics.audited[why] == (why != 0));
		FORWARDED(CLIENT(&t, .data = B(BAD)));
		FORWARDED(SERVER(&t, .data = B(R200)));
	}
}

/* Refused inside a body: its request was counted, yet nobody waits for an answer to it. */
static void refused_in_a_body(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(RULES(""));
	talk_open(&t);
	FORWARDED(client_says(&t, "POST /ok HTTP/1.1\r\nHost: a\r\n"
				  "Transfer-Encoding: chunked\r\n\r\n"));
	DENIED_403(&t, client_says(&t, "5;a=b\r\nhello\r\n"), HTTP_CHUNK, 14);
	/* With one before it that is still to be answered. */
	t = TALK(.client_port = 40001);
	talk_open(&t);
	FORWARDED(client_says(&t, GET));
	FORWARDED(client_says(&t, "POST /ok HTTP/1.1\r\nHost: a\r\n"
				  "Transfer-Encoding: chunked\r\n\r\n"));
	DROPPED(CLIENT(&t, .data = B("5;a=b\r\n")), HTTP_CHUNK);
	FORWARDED(server_says(&t, R200));
	DENIED_403(&t, client_says(&t, "5;a=b\r\n"), HTTP_CHUNK, 7);
}

/* --- DENIED, and the policy changes ------------------------------------------------------ */

static void denied_and_a_new_policy(void **state)
{
	struct talk t = TALK();
	const struct seen *s;

	(void)state;
	policy(RULES(""));
	talk_open(&t);
	DENIED_403(&t, client_says(&t, BAD), HTTP_DENIED, LEN(BAD));
	/* What was denied stays denied, even where the new rules allow it. */
	policy(RULES("  denyMessage: silent\n"));
	s = CLIENT(&t, .data = B(GET));
	EXPECT(!s->forwarded && s->reason == BPFAST_R_TCP_CLOSED && s->sents == 1);
	EXPECT(sent(s).flags == (ACK | PSH | FIN)); /* the old text: its image is still there */
	EXPECT(!policy_replies(sent(s).data, sent(s).data_len));
	forget_old_policies();
	s = CLIENT(&t, .data = B(GET));
	EXPECT(!s->forwarded && sent(s).flags == RST);
	/* Nobody inspects any more: the server, which was reset, answers for itself. */
	policy(OPEN);
	FORWARDED(CLIENT(&t, .data = B(GET)));
	FORWARDED(SERVER(&t, .flags = RST));
}

/* The packet that brings the denial came from the node itself. */
static void node_is_not_inspected(void **state)
{
	(void)state;
	policy(RULES(""));
	FORWARDED(run_from_host(PACKET(ETH(), IP4(.src = "10.0.0.1"), TCP(.flags = SYN))));
	FORWARDED(
		run_from_host(PACKET(ETH(), IP4(.src = "10.0.0.1"), TCP(.flags = ACK), DATA(BAD))));
}

int cases_deny(void)
{
	const struct CMUnitTest tests[] = {
		CASE(reply_names_the_policy),
		CASE(after_the_reply),
		CASE(reply_to_odd_headers),
		CASE(reset),
		CASE(drop),
		CASE(an_end_inside_a_head),
		CASE(connections),
		CASE(audit),
		CASE(audit_drops_nothing),
		CASE(denied_and_a_new_policy),
		CASE(refused_in_a_body),
		CASE(node_is_not_inspected),
	};

	return cmocka_run_group_tests_name("deny", tests, NULL, NULL);
}

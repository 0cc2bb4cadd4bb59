// SPDX-License-Identifier: Apache-2.0
/* Inspected TCP: sequence numbers, flags, options, and who may send what when. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <time.h>

#include "bpfast/vouch.h"
#include "cases.h"

#define GET "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"
#define BAD "GET /no HTTP/1.1\r\nHost: a\r\n\r\n"
#define REPLY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static void handshake(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(WEB);
	DROPPED(CLIENT(&t, .flags = SYN, .data = B(GET)), TCP_SYN_DATA);
	FORWARDED(CLIENT(&t, .flags = SYN, .ack = 0));
	DROPPED(CLIENT(&t, .flags = SYN | FIN), TCP_FLAGS);
	DROPPED(CLIENT(&t, .flags = SYN | RST), TCP_FLAGS);
	DROPPED(CLIENT(&t, .flags = SYN | ACK), TCP_FLAGS);
	DROPPED(SERVER(&t, .flags = SYN | ACK, .ack = 1), TCP_WINDOW);
	DROPPED(SERVER(&t, .flags = SYN | ACK, .ack = 1001, .data = B("x")), TCP_SYN_DATA);
	/* Data before the server's SYN-ACK: it may yet be another connection. */
	DROPPED(CLIENT(&t, .seq = 1001, .data = B(GET)), TCP_WINDOW);
	FORWARDED(SERVER(&t, .flags = SYN | ACK, .ack = 1001));
	FORWARDED(SERVER(&t, .flags = SYN | ACK, .ack = 1001)); /* again */
	t.client_seq = 1001;
	t.server_seq++;
	FORWARDED(CLIENT(&t));
	FORWARDED(client_says(&t, GET));
	FORWARDED(server_says(&t, REPLY));
	DENIED_403(&t, client_says(&t, BAD), HTTP_DENIED, sizeof(BAD) - 1);
}

/* The first SYN was lost or is old; the second one has another number. */
static void syn_with_another_number(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(WEB);
	FORWARDED(CLIENT(&t, .flags = SYN, .ack = 0));
	FORWARDED(CLIENT(&t, .flags = SYN, .seq = 500000, .ack = 0));
	DROPPED(SERVER(&t, .flags = SYN | ACK, .ack = 1001), TCP_WINDOW);
	FORWARDED(SERVER(&t, .flags = SYN | ACK, .ack = 500001));
	/* Once the server has answered, another SYN changes nothing. */
	FORWARDED(CLIENT(&t, .flags = SYN, .seq = 900000, .ack = 0));
	t.server_seq++;
	t.client_seq = 900001;
	DROPPED(CLIENT(&t, .data = B(GET)), TCP_GAP);
	t.client_seq = 500001;
	FORWARDED(client_says(&t, GET));
	FORWARDED(server_says(&t, REPLY));
	DENIED_403(&t, client_says(&t, BAD), HTTP_DENIED, sizeof(BAD) - 1);
}

/* The server lost the connection without a word: it answers the client's next SYN, and not before. */
static void server_that_forgot(void **state)
{
	struct talk t = TALK(), again = TALK(.client_seq = 500000, .server_seq = 900000);

	(void)state;
	policy(WEB);
	talk_open(&t);
	FORWARDED(client_says(&t, "GET /ok HT"));
	FORWARDED(CLIENT(&again, .flags = SYN, .ack = 0));
	again.client_seq++;
	/* A server that did not forget answers with a challenge; the old stream goes on. */
	FORWARDED(SERVER(&t));
	DROPPED(CLIENT(&again, .data = B(GET)), TCP_GAP);
	DROPPED(SERVER(&again, .flags = SYN | ACK, .ack = 400001), TCP_WINDOW);
	FORWARDED(client_says(&t, "TP/1.1\r\n"));
	/* One that did begins anew. */
	FORWARDED(SERVER(&again, .flags = SYN | ACK));
	again.server_seq++;
	FORWARDED(CLIENT(&again));
	DROPPED(CLIENT(&t, .data = B("Host: a\r\n\r\n")), TCP_WINDOW);
	FORWARDED(client_says(&again, GET));
	FORWARDED(server_says(&again, REPLY));
	DENIED_403(&again, client_says(&again, BAD), HTTP_DENIED, sizeof(BAD) - 1);
}

/* The same ports, at once, after an RST. */
static void new_connection_after_reset(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(WEB);
	talk_open(&t);
	FORWARDED(client_says(&t, "GET /ok HT"));
	FORWARDED(SERVER(&t));
	FORWARDED(CLIENT(&t, .flags = RST));
	t = TALK(.client_seq = 77, .server_seq = 99);
	talk_open(&t);
	FORWARDED(client_says(&t, GET));
	/* And after FINs of both. */
	FORWARDED(server_says(&t, REPLY));
	FORWARDED(client_closes(&t));
	FORWARDED(server_closes(&t));
	t = TALK(.client_seq = 7777, .server_seq = 9999);
	talk_open(&t);
	DENIED_403(&t, client_says(&t, BAD), HTTP_DENIED, sizeof(BAD) - 1);
	/* And after a denial. */
	t = TALK(.client_seq = 770, .server_seq = 990);
	talk_open(&t);
	FORWARDED(client_says(&t, GET));
	EXPECT(flow_count() == 1);
}

/*
 * A SYN-ACK from before the server had bytes may come behind them: it is no sign that it has
 * forgotten them.
 */
static void late_syn_ack(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(WEB);
	talk_open(&t);
	FORWARDED(CLIENT(&t, .flags = SYN, .seq = 1000, .ack = 0)); /* the server answers again */
	FORWARDED(client_says(&t, "GET /ok HTTP/1.1\r\nX: "));
	FORWARDED(CLIENT(&t, .flags = RST)); /* which it does not believe */
	DROPPED(CLIENT(&t, .flags = SYN, .seq = 1000, .ack = 0), TCP_WINDOW);
	FORWARDED(SERVER(&t, .flags = SYN | ACK, .seq = 70000, .ack = 1001));
	DROPPED(CLIENT(&t, .seq = 1001, .data = B("POST ")), TCP_DIFFERS);
	/* Behind its first other packet there is none any more. */
	FORWARDED(SERVER(&t));
	FORWARDED(CLIENT(&t, .flags = SYN, .seq = 1000, .ack = 0));
	/* The server's clock sends it again, too. */
	t = TALK(.client_port = 40003);
	talk_open(&t);
	FORWARDED(client_says(&t, "GET /ok HTTP/1.1\r\nX: "));
	FORWARDED(CLIENT(&t, .flags = RST));
	FORWARDED(CLIENT(&t, .flags = SYN, .seq = 1000, .ack = 0));
	DROPPED(SERVER(&t, .flags = SYN | ACK, .seq = 70000, .ack = 1001), TCP_WINDOW);
	FORWARDED(SERVER(&t, .flags = SYN | ACK, .seq = 70099, .ack = 1001));
	/* Under SYN cookies it agrees to any number. */
	t = TALK(.client_port = 40001);
	talk_open(&t);
	FORWARDED(CLIENT(&t, .flags = SYN, .seq = 5000, .ack = 0));
	FORWARDED(client_says(&t, "GET /ok HTTP/1.1\r\nX: "));
	DROPPED(SERVER(&t, .flags = SYN | ACK, .seq = 90000, .ack = 5001), TCP_WINDOW);
	/* And holds the one that is confirmed: no other than we follow may be. */
	t = TALK(.client_port = 40002);
	talk_open(&t);
	FORWARDED(CLIENT(&t, .flags = SYN, .seq = 500, .ack = 0));
	FORWARDED(SERVER(&t, .flags = SYN | ACK, .seq = 90000, .ack = 501));
	DROPPED(CLIENT(&t), TCP_WINDOW);
	FORWARDED(CLIENT(&t, .seq = 501, .ack = 90001));
}

/* An RST that the server does not believe does not end the reading. */
static void reset_that_nobody_believes(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(WEB);
	talk_open(&t);
	FORWARDED(CLIENT(&t, .flags = RST, .seq = t.client_seq + 5000));
	DENIED_403(&t, client_says(&t, BAD), HTTP_DENIED, sizeof(BAD) - 1);
}

static void flags(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(WEB);
	talk_open(&t);
	DROPPED(CLIENT(&t, .flags = PSH, .data = B(GET)), TCP_FLAGS); /* no ACK */
	DROPPED(CLIENT(&t, .flags = 0, .data = B(GET)), TCP_FLAGS);
	DROPPED(CLIENT(&t, .flags = FIN), TCP_FLAGS);
	DROPPED(CLIENT(&t, .flags = ACK | URG, .urgent = 3, .data = B(GET)), TCP_FLAGS);
	DROPPED(CLIENT(&t, .flags = SYN | ACK | FIN | RST | PSH | URG, .data = B(GET)), TCP_FLAGS);
	DROPPED(SERVER(&t, .flags = SYN, .ack = 0), TCP_FLAGS);
	DROPPED(CLIENT(&t, .flags = ACK | URG, .urgent = 3), TCP_FLAGS); /* of bytes yet to come */
	FORWARDED(client_says(&t, GET));
}

static void fragments(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(WEB);
	talk_open(&t);
	DROPPED(run(TO_POD, PACKET(ETH(), IP4(.more = true),
				   TCP(.flags = ACK, .seq = t.client_seq, .ack = t.server_seq),
				   DATA("GET /ok HTTP/1.1\r\nHost: a\r\n\r\n12345678"))),
		FRAGMENT);
	DROPPED(run(TO_POD,
		    PACKET(ETH(), IP4(.frag = 40, .next = 6), DATA("/no HTTP/1.1\r\n\r\n"))),
		FRAGMENT);
	FORWARDED(run(TO_POD, PACKET(ETH(), IP4(.src = "192.0.2.1"), ICMP(3, 4, .rest = 1300),
				     POD_IP4(), TCP(.sport = 80, .dport = 40000))));
	FORWARDED(client_says(&t, GET));
}

/* --- order -------------------------------------------------------------------------- */

static void gap_in_a_head(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(WEB);
	talk_open(&t);
	/* Kept, so it may go: the server cannot read it before the gap is filled. */
	FORWARDED(CLIENT(&t, .seq = t.client_seq + 8, .data = B("HTTP/1.1\r\nHost: a\r\n\r\n")));
	DROPPED(CLIENT(&t, .seq = t.client_seq + 7, .data = B(" http")), TCP_DIFFERS);
	/* Nobody knows yet whether it would end a head. */
	DROPPED(CLIENT(&t, .seq = t.client_seq + 1, .flags = ACK | FIN), TCP_GAP);
	RECORDED(FORWARDED(client_says(&t, "GET /ok ")), FORWARDED, NONE, "GET /ok");
	FORWARDED(CLIENT(&t, .data = B("HTTP/1.1\r\nHost: a\r\n\r\n"))); /* the same, late */
	t.client_seq += 21;
	FORWARDED(server_says(&t, REPLY));
	/* What fills the gap is refused with what is behind it. */
	FORWARDED(
		CLIENT(&t, .seq = t.client_seq + 4, .data = B("/no HTTP/1.1\r\nHost: a\r\n\r\n")));
	DENIED_403(&t, CLIENT(&t, .data = B("GET ")), HTTP_DENIED, 4);
	EXPECT(chunks_held() == 0);
}

#define POST_100 "POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n"
#define TEN "0123456789"

/* Nobody reads past a gap, and inside a body of known length nothing is read at all. */
static void gap_in_a_body(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(WEB);
	talk_open(&t);
	FORWARDED(client_says(&t, POST_100));
	FORWARDED(CLIENT(&t, .seq = t.client_seq + 101, .data = B("ET")));
	FORWARDED(CLIENT(&t, .seq = t.client_seq + 40, .data = B(TEN)));
	FORWARDED(CLIENT(&t, .seq = t.client_seq + 20, .data = B(TEN)));
	FORWARDED(CLIENT(&t, .data = B(TEN TEN)));
	/* Its last bytes and a request behind it, with bytes missing between. */
	t.client_seq += 95;
	FORWARDED(client_says(&t, "xxxxx" GET));
	FORWARDED(server_says(&t, REPLY REPLY));
	DENIED_403(&t, client_says(&t, BAD), HTTP_DENIED, sizeof(BAD) - 1);
}

static void at_the_edge_of_a_body(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(WEB);
	talk_open(&t);
	FORWARDED(client_says(&t, POST_100));
	FORWARDED(server_says(&t, REPLY));
	/* The body's last byte lies just before this request. While it is on its way the answer
	 * waits: a reset would meet the server before the body. */
	t.client_seq += 100;
	DROPPED(CLIENT(&t, .data = B(BAD)), HTTP_DENIED);
	FORWARDED(SERVER(&t));
	DENIED_403(&t, CLIENT(&t, .data = B(BAD)), HTTP_DENIED, sizeof(BAD) - 1);
}

static void overlaps(void **state)
{
	struct talk t = TALK();
	uint32_t begin;

	(void)state;
	policy(WEB);
	talk_open(&t);
	begin = t.client_seq;
	FORWARDED(client_says(&t, "GET /o"));
	FORWARDED(CLIENT(&t, .seq = begin, .data = B("GET /o"))); /* again */
	FORWARDED(CLIENT(&t, .seq = begin + 2, .data = B("T /")));
	FORWARDED(CLIENT(&t, .seq = begin, .data = B("GET /ok HT"))); /* old and new */
	t.client_seq = begin + 10;
	FORWARDED(client_says(&t, "TP/1.1\r\nHost: a\r\n\r\n"));
	FORWARDED(server_says(&t, REPLY));
	/* The old bytes of a segment are not judged again, the new ones are. */
	begin = t.client_seq;
	FORWARDED(client_says(&t, "GET /n"));
	DENIED_403(&t, CLIENT(&t, .seq = t.client_seq, .data = B("o HTTP/1.1\r\n")), HTTP_DENIED,
		   12);
}

static void outside_the_stream(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(WEB);
	talk_open(&t);
	DROPPED(CLIENT(&t, .seq = 900, .data = B(GET)), TCP_WINDOW);
	DROPPED(CLIENT(&t, .seq = 1000, .data = B("xGET")), TCP_WINDOW);
	/* A keep-alive probe repeats the byte before: here the SYN. */
	FORWARDED(CLIENT(&t, .seq = 1000, .data = B("\0")));
	FORWARDED(CLIENT(&t, .seq = 1000));
	DROPPED(CLIENT(&t, .seq = 0x80001000, .data = B(GET)), TCP_WINDOW);
	FORWARDED(client_says(&t, GET));
	FORWARDED(SERVER(&t));
	FORWARDED(CLIENT(&t, .seq = t.client_seq - 1, .data = B("\0")));
}

/* The numbers go round. */
static void wrap_around(void **state)
{
	(void)state;
	policy(WEB);
	for (uint32_t i = 0; i < sizeof(GET) + 1; i++) {
		struct talk t = TALK(.client_seq = (uint32_t)-1 - i, .server_seq = (uint32_t)-3);

		talk_open(&t);
		FORWARDED(client_says(&t, "GET /ok HTTP/1.1\r\n"));
		FORWARDED(client_says(&t, "Host: a\r\n\r\n"));
		FORWARDED(server_says(&t, REPLY));
		DENIED_403(&t, client_says(&t, BAD), HTTP_DENIED, sizeof(BAD) - 1);
	}
}

/* A body longer than half of all sequence numbers. */
static void long_body(void **state)
{
	const uint32_t step = 1u << 30;
	struct talk t = TALK();

	(void)state;
	policy(WEB);
	talk_open(&t);
	FORWARDED(client_says(
		&t, "POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 8589934592\r\n\r\n"));
	FORWARDED(SERVER(&t));
	for (uint32_t i = 0; i < 7; i++) {
		FORWARDED(CLIENT(&t, .seq = t.client_seq + step - 4, .data = B("body")));
		t.client_seq += step;
		FORWARDED(CLIENT(&t, .seq = t.client_seq - 1000, .data = B("body")));
		FORWARDED(SERVER(&t));
	}
	FORWARDED(CLIENT(&t, .seq = t.client_seq + step - 4, .data = B("body")));
	t.client_seq += step;
	FORWARDED(server_says(&t, REPLY));
	DENIED_403(&t, client_says(&t, BAD), HTTP_DENIED, sizeof(BAD) - 1);
}

/*
 * The numbers of a whole round, none of them acknowledged: the server is still where it was,
 * and would read what lies at the same number for the first time.
 */
static void round_without_acknowledgement(void **state)
{
	struct talk t = TALK();
	uint32_t begin, seq;

	(void)state;
	policy(WEB);
	talk_open(&t);
	begin = seq = t.client_seq;
	/* The server throws it away, say for its checksum. */
	FORWARDED(CLIENT(
		&t,
		.data = B("POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999\r\n\r\n")));
	for (int i = 0; i < 4; i++) {
		seq += 1u << 30;
		CLIENT(&t, .seq = seq - 1, .data = B("b"));
		if (i < 3)
			CLIENT(&t, .seq = seq, .data = B("body"));
	}
	DROPPED(CLIENT(&t, .seq = begin, .data = B(BAD)), TCP_DIFFERS);
	/* As far as the widest window reaches, and no farther. */
	FORWARDED(CLIENT(&t, .seq = begin + (1u << 30) - 1, .data = B("b")));
	DROPPED(CLIENT(&t, .seq = begin + (1u << 30), .data = B("b")), TCP_WINDOW);
}

static void after_fin(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(WEB);
	talk_open(&t);
	FORWARDED(CLIENT(&t, .flags = ACK | FIN | PSH, .data = B(GET)));
	t.client_seq += sizeof(GET);
	FORWARDED(CLIENT(&t, .data = B(GET))); /* kept; a stream ends at its FIN */
	FORWARDED(server_says(&t, REPLY)); /* half closed: the answer still comes */
	FORWARDED(CLIENT(&t));
	FORWARDED(server_closes(&t));
}

/*
 * Some servers take the end of the stream for the end of the head, others wait for it with an
 * open connection: both ends are told.
 */
static void fin_in_a_head(void **state)
{
	static const char part[] = "GET /ok HTTP/1.1\r\nHost: a\r\n";
	const struct seen *s;
	struct talk t;

	(void)state;
	policy(WEB);
	for (int i = 0; i < 4; i++) {
		t = TALK(.v6 = i & 1, .egress = i & 2);
		talk_open(&t);
		DENIED_403(&t, CLIENT(&t, .flags = ACK | FIN, .data = B(part)), HTTP_HEADER,
			   sizeof(part));
		DROPPED(CLIENT(&t, .flags = RST), TCP_CLOSED);
		/* All of it judged before, or sent again with the FIN. */
		for (int again = 0; again < 2; again++) {
			t = TALK(.v6 = i & 1, .egress = i & 2, .client_port = 40001);
			t.client_port = (uint16_t)(t.client_port + again);
			talk_open(&t);
			FORWARDED(client_says(&t, "GET /ok HTTP/1.1\r\nHost: a\r\n"));
			FORWARDED(SERVER(&t));
			s = again ? CLIENT(&t, .seq = t.client_seq - 9, .flags = ACK | FIN,
					   .data = B("Host: a\r\n"))
				  : CLIENT(&t, .flags = ACK | FIN);
			DENIED_403(&t, s, HTTP_HEADER, 1);
			RECORDED(s, DROPPED, HTTP_HEADER, "GET /ok");
			s = SERVER(&t);
			EXPECT(!s->forwarded && s->reason == BPFAST_R_TCP_CLOSED && s->sents == 1);
			EXPECT(packet_read_tcp(s->sent[0].frame.b, s->sent[0].frame.len).flags ==
			       RST);
		}
		world_reset(NULL);
	}
}

/* What stands before the head that does not end is served. */
static void fin_in_a_head_behind_requests(void **state)
{
	const size_t part = sizeof("GET /ok") - 1;
	struct talk t = TALK();
	const struct seen *s;
	struct seen_tcp out;

	(void)state;
	policy(WEB);
	talk_open(&t);
	s = CLIENT(&t, .flags = ACK | FIN, .data = B(GET "GET /ok"));
	EXPECT(s->forwarded);
	out = packet_read_tcp(s->out.b, s->out.len);
	EXPECT(!(out.flags & FIN) && out.data_len == sizeof(GET) - 1);
	RECORDED(s, FORWARDED, NONE, "GET /ok");
	t.client_seq += sizeof(GET) - 1;
	/* The answer to it is waited for. */
	DROPPED(CLIENT(&t, .flags = ACK | FIN, .data = B("GET /ok")), HTTP_HEADER);
	FORWARDED(server_says(&t, REPLY));
	DENIED_403(&t, CLIENT(&t, .flags = ACK | FIN, .data = B("GET /ok")), HTTP_HEADER, part + 1);

	/* A FIN before what was sent already is of no TCP, and ends nothing. */
	t = TALK(.client_port = 40001);
	talk_open(&t);
	FORWARDED(client_says(&t, GET "GET /ok"));
	DROPPED(CLIENT(&t, .seq = t.client_seq - 3, .flags = ACK | FIN), HTTP_HEADER);
	FORWARDED(client_says(&t, " HTTP/1.1\r\nHost: a\r\n\r\n"));
	/* Between two messages is where a stream may end. */
	FORWARDED(CLIENT(&t, .flags = ACK | FIN));
}

/*
 * Much makes a server throw away a segment, unread: a bad checksum, an old timestamp, an
 * acknowledgement of what it never sent. So what was judged may come again, and is the same.
 */
static void one_byte_one_value(void **state)
{
	struct talk t = TALK();
	uint32_t begin;

	(void)state;
	policy(WEB);
	talk_open(&t);
	/* As long as the server has said nothing, nobody acknowledges anything of it. */
	DROPPED(CLIENT(&t, .ack = t.server_seq + 9, .data = B(GET)), TCP_WINDOW);
	FORWARDED(SERVER(&t));
	FORWARDED(CLIENT(&t, .ack = t.server_seq + 9, .data = B(GET)));
	EXPECT(chunks_held() == 1);
	DROPPED(CLIENT(&t, .data = B(BAD)), TCP_DIFFERS);
	DROPPED(CLIENT(&t, .data = B("GET /ok HTTP/1.1\r\nHost: b\r\n\r\n")), TCP_DIFFERS);
	DROPPED(CLIENT(&t, .seq = t.client_seq + 5, .data = B("n")), TCP_DIFFERS);
	DROPPED(CLIENT(&t, .seq = t.client_seq + sizeof(GET) - 2, .data = B("\rGET ")),
		TCP_DIFFERS);
	FORWARDED(CLIENT(&t, .data = B(GET)));
	FORWARDED(CLIENT(&t, .seq = t.client_seq + 5, .data = B("ok")));
	begin = t.client_seq;
	t.client_seq += sizeof(GET) - 1;
	FORWARDED(client_says(&t, GET));
	FORWARDED(CLIENT(&t, .seq = begin, .data = B(GET GET)));
	/* What the server has, it does not read again: then it may say anything. */
	FORWARDED(server_says(&t, REPLY REPLY));
	FORWARDED(CLIENT(&t));
	EXPECT(chunks_held() == 0);
	FORWARDED(CLIENT(&t, .seq = begin, .data = B(BAD)));
	DENIED_403(&t, client_says(&t, BAD), HTTP_DENIED, sizeof(BAD) - 1);
}

/* Bodies are not kept: they are what they are wherever they come from. */
static void bodies_are_not_kept(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(WEB);
	talk_open(&t);
	FORWARDED(client_says(&t, POST_100));
	FORWARDED(SERVER(&t));
	for (int i = 0; i < 9; i++)
		FORWARDED(client_says(&t, TEN));
	FORWARDED(CLIENT(&t, .seq = t.client_seq - 90, .data = B(BAD)));
	EXPECT(chunks_held() <= 1);
	FORWARDED(client_says(&t, TEN GET));
	DROPPED(CLIENT(&t, .seq = t.client_seq - 20, .data = B("x")), TCP_DIFFERS);
	FORWARDED(CLIENT(&t, .seq = t.client_seq - (sizeof(GET) - 1) - 1, .data = B("x")));
}

#define CHUNKED "POST /ok HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

/* A lost segment held the end of one chunk and the size of the next. */
static void gap_in_chunks(void **state)
{
	struct talk t = TALK();
	uint32_t lost;

	(void)state;
	policy(WEB);
	talk_open(&t);
	FORWARDED(client_says(&t, CHUNKED "a\r\n01234"));
	lost = t.client_seq;
	t.client_seq += 11;
	FORWARDED(client_says(&t, TEN));
	FORWARDED(client_says(&t, TEN "\r\n0\r\n\r\n" GET));
	DROPPED(CLIENT(&t, .seq = lost + 12, .data = B("x")), TCP_DIFFERS);
	RECORDED(FORWARDED(CLIENT(&t, .seq = lost, .data = B("56789\r\n14\r\n"))), FORWARDED, NONE,
		 "GET /ok");
	FORWARDED(server_says(&t, REPLY REPLY));
	DENIED_403(&t, client_says(&t, BAD), HTTP_DENIED, sizeof(BAD) - 1);
}

/* Another CPU holds the stream and does not let go. */
static void busy(void **state)
{
	struct talk t = TALK();
	struct bpfast_flow flow;

	(void)state;
	policy(WEB);
	talk_open(&t);
	flow_get(false, 80, 40000, &flow);
	flow.client.owner = 1;
	flow.server.owner = 1;
	flow_put(false, 80, 40000, &flow);
	DROPPED(CLIENT(&t, .data = B(GET)), STREAM_BUSY);
	FORWARDED(CLIENT(&t));
	DROPPED(SERVER(&t, .data = B(REPLY)), STREAM_BUSY);
	flow.client.owner = 0;
	flow_put(false, 80, 40000, &flow);
	FORWARDED(client_says(&t, GET));
	/* Nor does a new connection begin while a packet of the old one is being read. */
	flow_get(false, 80, 40000, &flow);
	flow.client.owner = 1;
	flow.server.owner = 0;
	flow_put(false, 80, 40000, &flow);
	FORWARDED(CLIENT(&t, .flags = RST | ACK));
	DROPPED(CLIENT(&t, .flags = SYN, .seq = 9000, .ack = 0), STREAM_BUSY);
	flow_get(false, 80, 40000, &flow);
	EXPECT(flow.client.owner == 1 && flow.client.first == 1001);
	flow.client.owner = 0;
	flow_put(false, 80, 40000, &flow);
	FORWARDED(SERVER(&t));
	FORWARDED(CLIENT(&t, .flags = SYN, .seq = 9000, .ack = 0));
	flow_get(false, 80, 40000, &flow);
	EXPECT(!flow.client.owner && !flow.server.owner && flow.client.first == 9001);
}

/* --- Multipath TCP --------------------------------------------------------------- */

#define MSS "\2\4\5\xb4"
#define SACK "\4\2"
#define TS "\x08\x0a\0\0\0\7\0\0\0\0"
#define WS "\3\3\7"
#define CAPABLE4 "\x1e\4\1\1"
#define CAPABLE12 "\x1e\x0c\1\1\xde\xad\xbe\xef\1\2\3\4"
#define NOP4 "\1\1\1\1"
#define NOP12 NOP4 NOP4 NOP4
#define JOIN12 "\x1e\x0c\x10\1\xde\xad\xbe\xef\1\2\3\4"

/* MP_CAPABLE becomes NOPs, wherever it stands; the rest stays, and the checksum is right. */
static void mp_capable(void **state)
{
	static const struct {
		struct bytes before, after;
	} rows[] = {
		{B(CAPABLE4), B(NOP4)},
		{B(CAPABLE12), B(NOP12)},
		{B(MSS CAPABLE4), B(MSS NOP4)},
		{B(MSS SACK TS "\1" WS CAPABLE4), B(MSS SACK TS "\1" WS NOP4)},
		{B(MSS SACK TS "\1" WS CAPABLE12), B(MSS SACK TS "\1" WS NOP12)},
		{B("\1" CAPABLE4 "\1\1\1"), B("\1" NOP4 "\1\1\1")},
		{B("\1\1" CAPABLE12 MSS "\1\1"), B("\1\1" NOP12 MSS "\1\1")},
		{B("\1\1\1" CAPABLE12 WS SACK), B("\1\1\1" NOP12 WS SACK)},
		{B(CAPABLE12 CAPABLE12 CAPABLE12), B(NOP12 NOP12 NOP12)},
		{B(CAPABLE4 "\0\x1e\4\1"), B(NOP4 "\0\x1e\4\1")},
		/* Not it: the same bytes as another option's data, or behind the end. */
		{B("\xfd\x08\x1e\4\1\1\1\1"), B("\xfd\x08\x1e\4\1\1\1\1")},
		{B("\1\1\1\0" CAPABLE4), B("\1\1\1\0" CAPABLE4)},
		{B(MSS SACK TS "\1" WS), B(MSS SACK TS "\1" WS)},
	};

	(void)state;
	policy(WEB);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) * 4; i++) {
		struct talk t = TALK(.v6 = i & 1, .egress = i & 2, .opt = rows[i / 4].before);
		const struct seen *s = FORWARDED(CLIENT(&t, .flags = SYN, .ack = 0));
		struct seen_tcp out = packet_read_tcp(s->out.b, s->out.len);

		EXPECT(out.opt_len == ((rows[i / 4].before.n + 3) & ~3u));
		EXPECT(!memcmp(out.opt, rows[i / 4].after.p, rows[i / 4].after.n));
		s = FORWARDED(SERVER(&t, .flags = SYN | ACK, .ack = 1001));
		out = packet_read_tcp(s->out.b, s->out.len);
		EXPECT(!memcmp(out.opt, rows[i / 4].after.p, rows[i / 4].after.n));
		world_reset(NULL);
	}
}

static void mp_join(void **state)
{
	static const struct {
		struct bytes opt;
		uint32_t reason;
	} rows[] = {
		{B(JOIN12), R(TCP_MPTCP)},
		{B(MSS SACK TS "\1" WS JOIN12), R(TCP_MPTCP)},
		{B(CAPABLE4 JOIN12), R(TCP_MPTCP)},
		{B("\1\1" JOIN12 "\1\1"), R(TCP_MPTCP)},
		{B("\x1e\0\1\1"), R(MALFORMED)},
		{B("\x1e\1\1\1"), R(MALFORMED)},
		{B("\2\4\5\xb4\x1e\x0c\1\1"), R(MALFORMED)}, /* past the header */
		{B("\1\1\1\x1e"), R(MALFORMED)},
	};

	(void)state;
	policy(WEB);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]) * 2; i++) {
		struct talk t = TALK(.v6 = i & 1, .opt = rows[i / 2].opt);

		check_dropped(CLIENT(&t, .flags = SYN, .ack = 0), rows[i / 2].reason, __FILE__,
			      __LINE__);
		t.opt.n = 0;
		FORWARDED(CLIENT(&t, .flags = SYN, .ack = 0));
		check_dropped(SERVER(&t, .flags = SYN | ACK, .ack = 1001, .opt = rows[i / 2].opt),
			      rows[i / 2].reason, __FILE__, __LINE__);
		world_reset(NULL);
	}
}

/* Where nobody reads, nobody touches it. */
static void mptcp_uninspected(void **state)
{
	struct talk t = TALK(.server_port = 22, .opt = B(MSS CAPABLE12));
	const struct frame *syn;
	const struct seen *s;

	(void)state;
	policy(WEB);
	syn = talk_frame(&t, &(struct segment_of){.seq = 1, .flags = SYN});
	s = FORWARDED(run(TO_POD, syn));
	EXPECT(s->out.len == syn->len && !memcmp(s->out.b, syn->b, syn->len));
}

/* As if shield had seen the connection's ACK with a right cookie so many seconds ago. */
static void vouch(const struct talk *t, unsigned int seconds)
{
	struct bpfast_vouch_key key = {.client_port = htons(t->client_port),
				       .server_port = htons(t->server_port)};
	struct bpfast_vouch v = {.seq = t->client_seq, .ack = t->server_seq};
	struct timespec now;

	inet_pton(AF_INET6, t->v6 ? OUT6 : "::ffff:" OUT4, key.client);
	inet_pton(AF_INET6, t->v6 ? POD6 : "::ffff:" POD4, key.server);
	clock_gettime(CLOCK_MONOTONIC, &now);
	v.time_ns = (uint64_t)(now.tv_sec - seconds) * 1000000000u + (uint64_t)now.tv_nsec;
	EXPECT(!bpf_map_update_elem(world_map("bpfast_vouch"), &key, &v, BPF_ANY));
}

/* The SYN was answered by shield: the first that is seen is the ACK, and requests are judged from there. */
static void vouched(void **state)
{
	(void)state;
	policy(WEB);
	for (int i = 0; i < 2; i++) {
		struct talk t = TALK(.v6 = i);

		vouch(&t, 0);
		FORWARDED(CLIENT(&t));
		FORWARDED(CLIENT(&t)); /* again */
		DROPPED(CLIENT(&t, .seq = 5, .data = B(GET)), TCP_WINDOW);
		FORWARDED(client_says(&t, GET));
		FORWARDED(server_says(&t, REPLY));
		DENIED_403(&t, client_says(&t, BAD), HTTP_DENIED, sizeof(BAD) - 1);
	}
}

/* Other numbers, other flags, data, an old word: nobody vouches for those. */
static void not_vouched(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(WEB);
	vouch(&t, 0);
	t.client_seq++;
	RESET_BOTH(&t, CLIENT(&t), TCP_MIDSTREAM, 0);
	t.client_seq--;
	t.server_seq++;
	RESET_BOTH(&t, CLIENT(&t), TCP_MIDSTREAM, 0);
	t.server_seq--;
	RESET_BOTH(&t, CLIENT(&t, .data = B("x")), TCP_MIDSTREAM, 1);
	DROPPED(CLIENT(&t, .flags = RST | ACK), TCP_MIDSTREAM);
	vouch(&t, 5);
	RESET_BOTH(&t, CLIENT(&t), TCP_MIDSTREAM, 0);
	t.client_port++;
	RESET_BOTH(&t, CLIENT(&t), TCP_MIDSTREAM, 0);
}

int cases_tcp(void)
{
	const struct CMUnitTest tests[] = {
		CASE(handshake),
		CASE(syn_with_another_number),
		CASE(server_that_forgot),
		CASE(new_connection_after_reset),
		CASE(late_syn_ack),
		CASE(reset_that_nobody_believes),
		CASE(flags),
		CASE(fragments),
		CASE(gap_in_a_head),
		CASE(gap_in_a_body),
		CASE(at_the_edge_of_a_body),
		CASE(overlaps),
		CASE(outside_the_stream),
		CASE(wrap_around),
		CASE(long_body),
		CASE(round_without_acknowledgement),
		CASE(after_fin),
		CASE(fin_in_a_head),
		CASE(fin_in_a_head_behind_requests),
		CASE(one_byte_one_value),
		CASE(bodies_are_not_kept),
		CASE(gap_in_chunks),
		CASE(busy),
		CASE(mp_capable),
		CASE(mp_join),
		CASE(mptcp_uninspected),
		CASE(vouched),
		CASE(not_vouched),
	};

	return cmocka_run_group_tests_name("tcp", tests, NULL, NULL);
}

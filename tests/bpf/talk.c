// SPDX-License-Identifier: Apache-2.0
/* TCP connections through the hooks. */
#include "talk.h"

#include <stdio.h>

#define AT(condition)                                                                              \
	do {                                                                                       \
		if (!(condition))                                                                  \
			expectation_failed(#condition, file, line);                                \
	} while (0)

const struct frame *talk_frame(const struct talk *t, const struct segment_of *seg)
{
	const char *pod = t->v6 ? POD6 : POD4, *out = t->v6 ? OUT6 : OUT4;
	bool from_pod = !seg->from_server == t->egress;
	struct layer layers[6], *l = layers;

	*l++ = ETH(.src = from_pod ? MAC_POD : MAC_NET, .dst = from_pod ? MAC_NET : MAC_POD);
	if (t->vlan)
		*l++ = VLAN();
	*l = t->v6 ? IP6() : IP4(.id = 77);
	l->src = from_pod ? pod : out;
	l->dst = from_pod ? out : pod;
	l++;
	*l = TCP(.seq = seg->seq, .ack = seg->ack, .flags = seg->flags, .urgent = seg->urgent);
	l->sport = seg->from_server ? t->server_port : t->client_port;
	l->dport = seg->from_server ? t->client_port : t->server_port;
	l->opt = seg->opt.n ? seg->opt : t->opt;
	l++;
	if (seg->data.n)
		*l++ = BYTES(seg->data.p, seg->data.n);
	return packet_build(layers, (size_t)(l - layers));
}

const struct seen *talk_send(const struct talk *t, const struct segment_of *seg)
{
	const struct frame *f = talk_frame(t, seg);
	enum way way = !seg->from_server == t->egress ? FROM_POD : TO_POD;

	return seg->gso ? run_gso(way, f, seg->gso) : run(way, f);
}

void talk_open_at(struct talk *t, const char *file, int line)
{
	check_forwarded(CLIENT(t, .flags = SYN, .ack = 0), file, line);
	t->client_seq++;
	check_forwarded(SERVER(t, .flags = SYN | ACK), file, line);
	t->server_seq++;
	check_forwarded(CLIENT(t, .flags = ACK), file, line);
}

/* How many bytes of payload left; 0 where the packet became something else. */
static size_t passed(const struct seen *s, size_t n, int flag)
{
	struct seen_tcp out;

	if (!s->forwarded)
		return 0;
	out = packet_read_tcp(s->out.b, s->out.len);
	return out.flags & flag ? 0 : out.data_len < n ? out.data_len : n;
}

const struct seen *client_sends(struct talk *t, struct bytes data)
{
	const struct seen *s = CLIENT(t, .flags = ACK | PSH, .data = data);

	t->client_seq += (uint32_t)passed(s, data.n, RST);
	return s;
}

const struct seen *server_sends(struct talk *t, struct bytes data)
{
	const struct seen *s = SERVER(t, .flags = ACK | PSH, .data = data);

	t->server_seq += (uint32_t)passed(s, data.n, RST);
	return s;
}

const struct seen *client_closes(struct talk *t)
{
	const struct seen *s = CLIENT(t, .flags = ACK | FIN);

	t->client_seq += s->forwarded;
	return s;
}

const struct seen *server_closes(struct talk *t)
{
	const struct seen *s = SERVER(t, .flags = ACK | FIN);

	t->server_seq += s->forwarded;
	return s;
}

/* The one frame that was sent, towards the client. */
static struct seen_tcp the_answer(const struct talk *t, const struct seen *s, const char *file,
				  int line)
{
	const char *pod = t->v6 ? POD6 : POD4, *out = t->v6 ? OUT6 : OUT4;
	struct seen_tcp a;

	AT(s->sents == 1);
	AT(s->sent[0].to_pod == t->egress);
	a = packet_read_tcp(s->sent[0].frame.b, s->sent[0].frame.len);
	AT(!strcmp(a.src, t->egress ? out : pod));
	AT(!strcmp(a.dst, t->egress ? pod : out));
	AT(a.sport == t->server_port && a.dport == t->client_port);
	/* From whom the packet was to whom it came from. */
	AT(!memcmp(a.eth, t->egress ? "\2\0\0\0\0\2" : "\2\0\0\0\0\1", 6));
	return a;
}

void check_reply(const struct talk *t, const struct seen *s, size_t carried, const char *file,
		 int line)
{
	struct seen_tcp a = the_answer(t, s, file, line);

	AT(s->metrics.replies_sent == 1);
	AT(a.flags == (ACK | PSH | FIN));
	AT(a.seq == t->server_seq);
	AT(a.ack == (uint32_t)(t->client_seq + carried));
	AT(a.window != 0);
	AT(policy_replies(a.data, a.data_len));
	AT(!memcmp(a.data, "HTTP/1.1 403 ", 13));
	if (t->opt.n == 12) /* its timestamp comes back */
		AT(a.opt_len == 12 && !memcmp(a.opt, "\1\1\x08\x0a\0\0\0\x09\0\0\0\7", 12));
	else
		AT(a.opt_len == 0);
}

/* What left in the packet's place is an RST that the server takes: RFC 5961, section 3. */
static void check_rst_for_server(const struct talk *t, const struct seen *s, bool in_order,
				 const char *file, int line)
{
	struct seen_tcp r;

	AT(s->forwarded);
	r = packet_read_tcp(s->out.b, s->out.len);
	AT(r.flags == (RST | ACK));
	AT(r.seq == t->client_seq);
	AT(!in_order || r.ack == t->server_seq);
	AT(r.data_len == 0);
	AT(r.sport == t->client_port && r.dport == t->server_port);
	AT(!strcmp(r.dst, t->egress ? (t->v6 ? OUT6 : OUT4) : t->v6 ? POD6 : POD4));
	AT(!memcmp(r.eth, t->egress ? "\2\0\0\0\0\1" : "\2\0\0\0\0\2", 6));
}

const struct seen *check_denied(const struct talk *t, const struct seen *s, uint32_t reason,
				size_t carried, const char *file, int line)
{
	if (s->reason != reason)
		check_dropped(s, reason, file, line);
	AT(s->metrics.http_denied[reason] == 1);
	AT(s->metrics.http_requests[BPFAST_V_DROPPED] == 1);
	AT(s->metrics.resets_sent == 1);
	AT(s->metrics.helper_errors == 0);
	check_reply(t, s, carried, file, line);
	check_rst_for_server(t, s, true, file, line);
	check_recorded(s, BPFAST_V_DROPPED, reason, NULL, file, line);
	return s;
}

const struct seen *check_reset_both(const struct talk *t, const struct seen *s, uint32_t reason,
				    size_t carried, const char *file, int line)
{
	struct seen_tcp a;

	if (s->reason != reason)
		check_dropped(s, reason, file, line);
	AT(s->metrics.resets_sent == 2);
	AT(s->metrics.replies_sent == 0);
	AT(s->metrics.helper_errors == 0);
	a = the_answer(t, s, file, line);
	AT(a.flags == RST);
	AT(a.seq == t->server_seq);
	AT(a.data_len == 0);
	(void)carried;
	check_rst_for_server(t, s, false, file, line);
	return s;
}

const struct seen *ask(struct talk *t, struct bytes request)
{
	talk_open(t);
	return client_sends(t, request);
}

// SPDX-License-Identifier: Apache-2.0
/* Client and server, and the hooks between them. */
#include "delivery.h"

#include <bpf/bpf.h>
#include <stdio.h>

#include "talk.h"

#define SERVER_ISN 70000u
#define COMPANY_PORT 19999
/* Requests whose records are read at once, the company's too. */
#define EVENTS_MAX (2 * STEPS_MAX)
/* Rounds of sending again that bring nothing new: then it is over. */
#define PATIENCE 3

delivery_tap delivery_watch;

struct connection {
	const struct stream *stream;
	const struct reference *ref;
	const struct packaging *how;
	struct outcome *out;
	struct talk talk; /* server_seq: the server's next byte, and what the client has of it */
	bool received[STREAM_MAX]; /* by the server, gaps or not */
	size_t answered; /* messages */
	size_t ahead; /* the farthest byte that went ahead of a gap */
	struct talk company; /* another connection */
	uint64_t company_sent, company_requests;
	bool reset; /* the server's side */
	bool lost; /* something, behind the hook */
	bool kept;
	bool denied;
	bool fin;
	struct bpfast_event event[EVENTS_MAX];
};

const char *violation_text(enum violation v)
{
	static const char *const text[] = {
#define VIOLATION_TEXT(sym, text) text,
		VIOLATIONS(VIOLATION_TEXT)
#undef VIOLATION_TEXT
	};

	return text[v];
}

/* Only the first counts: the others may follow from it. */
static void violated(struct connection *c, enum violation v)
{
	if (!c->out->violation)
		c->out->violation = v;
}

static bool put_through_as(struct connection *c, const struct talk *talk,
			   const struct segment_of *seg, struct frame *out)
{
	const struct frame *f = talk_frame(talk, seg);
	bool to_pod = !seg->from_server != talk->egress;
	bool forwarded = lane_run(to_pod ? TO_POD : FROM_POD, f, seg->gso, out);

	c->out->packets++;
	if (delivery_watch)
		delivery_watch(to_pod, f, forwarded);
	return forwarded;
}

/* A packet of this connection; before it, a request on the other. */
static bool put_through(struct connection *c, const struct segment_of *seg, struct frame *out)
{
	struct bytes request = B("PUT /a/1 HTTP/1.1\r\nHost: of-the-other\r\n\r\n");
	struct talk *other = &c->company;
	bool passed = true;

	if (c->how->company) {
		passed = put_through_as(c, other,
					&(struct segment_of){.seq = other->client_seq,
							     .ack = other->server_seq,
							     .flags = ACK | PSH,
							     .data = request},
					out);
		other->client_seq += (uint32_t)request.n;
		c->company_sent++;
		passed &= put_through_as(c, other,
					 &(struct segment_of){.from_server = 1,
							      .seq = other->server_seq,
							      .ack = other->client_seq,
							      .flags = ACK},
					 out);
	}
	if (!passed)
		violated(c, VIOLATION_COMPANY);
	return put_through_as(c, &c->talk, seg, out);
}

static void must_pass(struct connection *c, const struct segment_of *seg)
{
	struct frame out;

	if (!put_through(c, seg, &out))
		fail_msg("the connection was not opened");
}

static void handshake(struct connection *c, uint32_t isn, uint32_t server)
{
	must_pass(c, &(struct segment_of){.seq = isn, .flags = SYN});
	must_pass(c, &(struct segment_of){
			     .from_server = 1, .seq = server, .ack = isn + 1, .flags = SYN | ACK});
	must_pass(c, &(struct segment_of){.seq = isn + 1, .ack = server + 1, .flags = ACK});
}

static void open_company(struct connection *c)
{
	const uint32_t isn = 5000;
	const struct segment_of shake[] = {
		{.seq = isn, .flags = SYN},
		{.from_server = 1, .seq = SERVER_ISN, .ack = isn + 1, .flags = SYN | ACK},
		{.seq = isn + 1, .ack = SERVER_ISN + 1, .flags = ACK},
	};
	struct frame out;

	c->company = TALK(.client_port = COMPANY_PORT,
			  .server_port = c->how->port == PORT_AUDIT ? PORT_AUDIT : PORT_REPLY,
			  .client_seq = isn + 1, .server_seq = SERVER_ISN + 1);
	for (size_t i = 0; i < 3; i++) {
		if (!put_through_as(c, &c->company, &shake[i], &out))
			fail_msg("the other connection was not opened");
	}
}

static void open_connection(struct connection *c)
{
	uint32_t before = c->how->isn - 100000;

	if (c->how->company)
		open_company(c);

	if (c->how->reused) {
		/* Another server number, and a server that went on: else nobody could tell an
		 * answer to the old connection from one to the new. */
		handshake(c, before, SERVER_ISN - 5000);
		must_pass(c, &(struct segment_of){.seq = before + 1,
						  .ack = SERVER_ISN - 4999,
						  .flags = ACK | PSH,
						  .data = B("GET /ok HTTP/1.1\r\nContent-Le")});
		must_pass(c, &(struct segment_of){.from_server = 1,
						  .seq = SERVER_ISN - 4999,
						  .ack = before + 29,
						  .flags = ACK});
		must_pass(c, &(struct segment_of){.seq = before + 29, .flags = RST});
	}
	handshake(c, c->how->isn, SERVER_ISN);
	c->talk.client_seq = c->how->isn + 1;
	c->talk.server_seq = SERVER_ISN + 1;
}

/* Does the client say where its stream ends? */
static bool ends(const struct connection *c)
{
	return c->how->fin && (c->ref->clean || c->ref->torn);
}

static void receive(struct connection *c, const struct seen_tcp *t, size_t off, size_t len,
		    bool lost)
{
	size_t end = off + t->data_len;

	if (t->seq != c->talk.client_seq + (uint32_t)off || t->data_len > len ||
	    memcmp(t->data, c->stream->bytes + off, t->data_len)) {
		violated(c, VIOLATION_BYTES);
		return;
	}
	if (c->reset && t->data_len) {
		violated(c, VIOLATION_AFTER);
		return;
	}
	if (off > c->out->delivered && end > c->ahead)
		c->ahead = end;
	if (lost) {
		c->lost = true;
		return;
	}
	memset(c->received + off, 1, t->data_len);
	while (c->out->delivered < c->stream->len && c->received[c->out->delivered])
		c->out->delivered++;
	if (t->flags & FIN) {
		c->fin = true;
		if (end != c->stream->len)
			violated(c, VIOLATION_BYTES);
		if (c->ref->torn)
			violated(c, VIOLATION_BEYOND);
	}
}

static uint32_t server_ack(const struct connection *c)
{
	return c->talk.client_seq + (uint32_t)c->out->delivered +
	       (c->fin && c->out->delivered == c->stream->len);
}

/* The answer is a reset that fits: the hook gives it in the client's place. */
static void server_asks(struct connection *c)
{
	static struct bpfast_metrics before, after;
	struct segment_of seg = {
		.from_server = 1, .seq = c->talk.server_seq, .ack = server_ack(c), .flags = ACK};
	struct frame out;

	world_metrics(&before);
	if (put_through(c, &seg, &out))
		violated(c, VIOLATION_RESET);
	world_metrics(&after);
	if (after.resets_sent != before.resets_sent + 1)
		violated(c, VIOLATION_RESET);
}

static void client_send(struct connection *c, const struct step *s)
{
	struct segment_of seg = {
		.seq = c->talk.client_seq + s->off,
		.ack = s->old_ack ? SERVER_ISN + 1 : c->talk.server_seq,
		.flags = ACK | PSH,
		.data = {c->stream->bytes + s->off, s->len},
		.gso = s->gso,
	};
	struct frame out;
	struct seen_tcp t;

	if (ends(c) && (size_t)s->off + s->len == c->stream->len)
		seg.flags |= FIN;
	if (!put_through(c, &seg, &out)) {
		if (c->how->port == PORT_AUDIT)
			violated(c, VIOLATION_AUDIT);
		return;
	}
	if (!lane_read(&out, &t)) {
		violated(c, VIOLATION_FRAME);
		return;
	}
	if (c->how->port == PORT_AUDIT && (t.flags != seg.flags || t.data_len != s->len))
		violated(c, VIOLATION_AUDIT);
	if (!(t.flags & RST)) {
		receive(c, &t, s->off, s->len, s->lost);
		return;
	}
	/* At another place than where it is the server asks back (RFC 5961, section 3). */
	if (t.seq != c->talk.client_seq + (uint32_t)c->out->delivered)
		server_asks(c);
	c->reset = true;
}

/* Bytes at a place behind what the client has of the server. False: dropped. */
static bool server_send_at(struct connection *c, size_t off, const void *data, size_t len)
{
	struct segment_of seg = {
		.from_server = 1,
		.seq = c->talk.server_seq + (uint32_t)off,
		.ack = server_ack(c),
		.flags = ACK | (len ? PSH : 0),
		.data = {data, len},
	};
	struct frame out;

	if (put_through(c, &seg, &out))
		return true;
	if (!c->ref->denied)
		violated(c, VIOLATION_ANSWER);
	return false;
}

static void server_acknowledge(struct connection *c)
{
	if (!c->reset)
		server_send_at(c, 0, NULL, 0);
}

static void server_answer(struct connection *c)
{
	/* A refusal: so that CONNECT does not become a tunnel, which nobody reads. */
	static const char ok[] = "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";
	enum { OK_LEN = sizeof(ok) - 1 };
	char answers[REQUESTS_MAX * OK_LEN];
	size_t n = 0;
	bool passed = true, early = c->how->answers == ANSWERS_EARLY;

	if (c->reset)
		return;
	while (c->answered < (early ? c->ref->heads : c->ref->messages) &&
	       (early ? c->ref->head_end : c->ref->end)[c->answered] <= c->out->delivered) {
		memcpy(answers + n * OK_LEN, ok, OK_LEN);
		n++;
		c->answered++;
	}
	if (!n)
		return;
	if (c->how->answers == ANSWERS_TOGETHER) {
		passed = server_send_at(c, 0, answers, n * OK_LEN);
	} else {
		for (size_t i = 0; i < n; i++) {
			size_t at = c->how->answers == ANSWERS_LAST_FIRST ? n - 1 - i : i;

			passed &= server_send_at(c, at * OK_LEN, ok, OK_LEN);
		}
	}
	if (passed)
		c->talk.server_seq += (uint32_t)(n * OK_LEN);
}

/* Takes over the records that came since. */
static void read_records(struct connection *c)
{
	struct outcome *o = c->out;
	size_t n = lane_requests(c->event, EVENTS_MAX);

	for (size_t i = 0; i < n; i++) {
		const struct bpfast_event *ev = &c->event[i];
		struct said *s = &o->said[o->requests];

		if (i < EVENTS_MAX && ev->source_port == COMPANY_PORT) {
			c->company_requests++;
			continue;
		}
		if (o->requests >= REQUESTS_MAX || i >= EVENTS_MAX) {
			violated(c, VIOLATION_VERDICTS);
			return;
		}
		said_take(s, ev);
		c->denied |= ev->verdict == BPFAST_V_DROPPED;
		if (ev->reason == BPFAST_R_INTERNAL)
			violated(c, VIOLATION_HELPER);
		o->requests++;
	}
}

/*
 * Rounds of: the server acknowledges and answers, the client sends again what is missing.
 * As many as it takes: of a super-packet that is cut one segment gets through a round, and
 * that may be of a single byte.
 */
static void send_again(struct connection *c)
{
	size_t left = c->stream->len;
	unsigned int idle = 0;

	while (!c->reset && idle < PATIENCE) {
		size_t delivered = c->out->delivered, answered = c->answered,
		       requests = c->out->requests;

		server_acknowledge(c);
		server_answer(c);
		if (c->out->delivered == left && (!ends(c) || c->fin))
			break;
		c->out->rounds++;
		for (size_t off = c->out->delivered == left ? left - 1 : c->out->delivered;
		     off < left && !c->reset;) {
			struct step s = {.kind = STEP_SEND, .off = (uint16_t)off};

			s.len = (uint16_t)(left - off < c->how->resend ? left - off
								       : c->how->resend);
			s.gso = s.len > c->how->resend_gso ? c->how->resend_gso : 0;
			client_send(c, &s);
			off += s.len;
		}
		read_records(c);
		idle = delivered == c->out->delivered && answered == c->answered &&
				       requests == c->out->requests
			       ? idle + 1
			       : 0;
		if (c->denied && c->how->port == PORT_DROP)
			break;
	}
}

static void begin(struct connection *c, const struct stream *s, const struct reference *ref,
		  const struct packaging *how, struct outcome *out)
{
	static uint16_t port;

	memset(c, 0, sizeof(*c));
	memset(out, 0, sizeof(*out));
	c->stream = s;
	c->ref = ref;
	c->how = how;
	c->out = out;
	c->talk = TALK(.v6 = how->v6, .egress = how->egress, .server_port = how->port,
		       .vlan = how->vlan, .opt = how->timestamps ? TIMESTAMPS : (struct bytes){0});
	c->talk.client_port = (uint16_t)(20000 + port++ % 40000);
	open_connection(c);
}

/*
 * The last acknowledgements: then nothing may be kept of the connections any more. Flows
 * that are removed by hand would leave it behind.
 */
static void end(struct connection *c)
{
	uint16_t client = c->talk.client_port, server = c->talk.server_port;
	struct segment_of ack = {.seq = c->talk.client_seq + (uint32_t)c->stream->len,
				 .ack = c->talk.server_seq,
				 .flags = ACK};
	struct frame out;

	server_acknowledge(c);
	put_through(c, &ack, &out);
	if (c->how->company) {
		ack.seq = c->company.client_seq;
		ack.ack = c->company.server_seq;
		put_through_as(c, &c->company, &ack, &out);
	}
	read_records(c);
	flow_forget(c->talk.v6, c->talk.egress ? client : server, c->talk.egress ? server : client);
	if (c->how->company)
		flow_forget(c->company.v6, c->company.server_port, c->company.client_port);
	c->kept = chunks_held();
	if (c->kept)
		world_reset(NULL);
}

/* Both ends know that it was refused. */
static bool is_told(const struct connection *c, const struct bpfast_metrics *before,
		    const struct bpfast_metrics *after)
{
	uint64_t replies = after->replies_sent - before->replies_sent,
		 resets = after->resets_sent - before->resets_sent;

	if (c->how->port == PORT_DROP)
		return true;
	if (!c->reset)
		return false;
	/* A reset in place of a 403: after answers in disorder nobody knows where it would land,
	 * after one to the request itself there is no place for it, and before one to what fills
	 * a gap there never will be. */
	if (c->how->port == PORT_REPLY &&
	    (replies || (c->how->answers < ANSWERS_LAST_FIRST && c->ahead <= c->ref->sure)))
		return replies;
	return resets >= 2;
}

static void check(struct connection *c, const struct bpfast_metrics *before,
		  const struct bpfast_metrics *after)
{
	const struct reference *ref = c->ref;
	struct outcome *o = c->out;
	uint64_t count[BPFAST_V_COUNT] = {0};
	size_t sure = ref->sure;

	if (o->delivered > ref->fence)
		violated(c, VIOLATION_BEYOND);
	for (size_t i = 0; i < o->requests; i++)
		count[o->said[i].verdict]++;
	if (c->company_requests != c->company_sent)
		violated(c, VIOLATION_COMPANY);
	count[BPFAST_V_FORWARDED] += c->company_requests;
	for (size_t v = 0; v < BPFAST_V_COUNT; v++) {
		if (after->http_requests[v] - before->http_requests[v] != count[v])
			violated(c, VIOLATION_COUNTED);
	}
	if (after->helper_errors != before->helper_errors ||
	    after->records_lost != before->records_lost ||
	    after->dropped[0][BPFAST_R_INTERNAL] != before->dropped[0][BPFAST_R_INTERNAL] ||
	    after->dropped[1][BPFAST_R_INTERNAL] != before->dropped[1][BPFAST_R_INTERNAL])
		violated(c, VIOLATION_HELPER);
	if (!said_alike(o->said, o->requests, ref->said, ref->requests, false))
		violated(c, VIOLATION_VERDICTS);
	/* What fills a gap before refused bytes that went ahead is itself what is refused. */
	if (ref->denied && c->ahead > ref->sure)
		sure = 0;
	/* Only a 403 waits for the responses to what was lost, unless they were there before. */
	if (ref->denied && c->lost &&
	    (c->how->port != PORT_REPLY || c->how->answers == ANSWERS_EARLY))
		sure = 0;
	if (o->delivered < sure)
		violated(c, VIOLATION_LESS);
	if (ref->denied && !is_told(c, before, after))
		violated(c, VIOLATION_TOLD);
	if (c->how->fin && ref->clean && !c->fin)
		violated(c, VIOLATION_FIN);
	if (!said_alike(o->said, o->requests, ref->said, ref->requests, true))
		violated(c, VIOLATION_TEXTS);
	if (c->kept)
		violated(c, VIOLATION_KEPT);
}

enum violation deliver(const struct stream *s, const struct reference *ref,
		       const struct packaging *how, struct outcome *out)
{
	static struct connection c;
	static struct reference torn;
	static struct bpfast_metrics before, after;

	if (how->fin && ref->torn) {
		torn = *ref;
		torn.said[torn.requests++] = ref->at_end;
		torn.denied = true;
		torn.sure = ref->messages ? ref->end[ref->messages - 1] : 0;
		ref = &torn;
	}
	world_metrics(&before);
	begin(&c, s, ref, how, out);
	for (size_t i = 0; i < how->steps; i++) {
		const struct step *step = &how->step[i];

		if (step->kind == STEP_SEND)
			client_send(&c, step);
		else if (step->kind == STEP_ACK)
			server_acknowledge(&c);
		else
			server_answer(&c);
	}
	read_records(&c);
	send_again(&c);
	end(&c);
	world_metrics(&after);
	check(&c, &before, &after);
	return out->violation;
}

/* The byte before `at` may have been the last of a head, or of a message. */
static const char *look(const struct connection *c, struct reference *ref, size_t at)
{
	struct bpfast_flow flow;

	flow_get(c->talk.v6, c->talk.server_port, c->talk.client_port, &flow);
	if (flow.flags & BPFAST_FF_OPAQUE) {
		ref->opaque = true;
		return NULL;
	}
	if (flow.requests > ref->heads) {
		if (ref->heads == REQUESTS_MAX)
			return "too many requests";
		ref->head_end[ref->heads++] = at;
	}
	/* The parser is where a message begins: H1_START in bpf/proto/http1.h. */
	if (flow.client.state == 0)
		ref->end[ref->messages++] = at;
	return ref->messages > ref->heads ? "a message without a head" : NULL;
}

/* What comes of a FIN behind the last byte, where that is inside a head. */
static const char *look_at_end(struct connection *c, struct reference *ref)
{
	struct bpfast_flow flow;

	flow_get(c->talk.v6, c->talk.server_port, c->talk.client_port, &flow);
	ref->torn = flow.client.state > BPFAST_STREAM_BETWEEN &&
		    flow.client.state <= BPFAST_STREAM_HEAD_LAST && ref->requests < REQUESTS_MAX;
	if (!ref->torn)
		return NULL;
	client_send(c, &(struct step){.off = (uint16_t)c->stream->len});
	read_records(c);
	if (c->out->requests != ref->requests + 1 || !c->reset)
		return "an end inside a head was not refused";
	ref->at_end = c->out->said[ref->requests];
	return NULL;
}

const char *reference_make(const struct stream *s, struct reference *ref, bool audit)
{
	static struct packaging how;
	static struct connection c;
	static struct outcome out;
	const char *wrong;
	size_t at;

	packaging_plain(&how, 0, 1);
	/* A reset is not held until an earlier answer is there. */
	how.port = audit ? PORT_AUDIT : PORT_RESET;
	memset(ref, 0, sizeof(*ref));
	begin(&c, s, ref, &how, &out);
	for (at = 0; at < s->len; at++) {
		client_send(&c, &(struct step){.off = (uint16_t)at, .len = 1});
		if (out.delivered == at) {
			ref->denied = true;
			break;
		}
		wrong = look(&c, ref, at + 1);
		if (wrong)
			return wrong;
		server_answer(&c);
		/* Or records and bytes that are kept would be too many. */
		if (at % 512 == 0) {
			read_records(&c);
			server_acknowledge(&c);
		}
	}
	read_records(&c);
	ref->requests = out.requests;
	memcpy(ref->said, out.said, sizeof(ref->said));
	how.fin = true;
	wrong = audit || ref->denied || ref->opaque ? NULL : look_at_end(&c, ref);
	end(&c);
	if (wrong)
		return wrong;
	ref->fence = at;
	ref->clean = !ref->denied && !ref->opaque && ref->messages &&
		     ref->end[ref->messages - 1] == s->len;
	ref->sure = ref->denied ? ref->messages ? ref->end[ref->messages - 1] : 0 : s->len;
	if (out.violation)
		return violation_text(out.violation);
	return (ref->denied || ref->torn) == c.denied ? NULL
						      : "a byte was dropped without a verdict";
}

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_TEST_TALK_H
#define BF_TEST_TALK_H
/*
 * A TCP connection as two ends that send what a test tells them. What passes
 * the hook moves the sequence numbers on, what is dropped does not: sending it
 * again is a retransmission.
 *
 *	struct talk t = TALK();
 *	talk_open(&t);
 *	FORWARDED(client_says(&t, "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"));
 *	FORWARDED(server_says(&t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
 */
#include "world.h"

struct talk {
	bool v6;
	bool egress; /* the pod is the client: its egress rules judge */
	bool vlan;
	uint16_t client_port, server_port;
	uint32_t client_seq, server_seq; /* of the next byte */
	struct bytes opt; /* on every segment */
};

#define TALK(...)                                                                                  \
	((struct talk){.client_port = 40000,                                                       \
		       .server_port = 80,                                                          \
		       .client_seq = 1000,                                                         \
		       .server_seq = 70000,                                                        \
		       __VA_ARGS__})

/* A timestamp option as everybody writes it: value 7, echo 9. */
#define TIMESTAMPS B("\1\1\x08\x0a\0\0\0\7\0\0\0\x09")

/* A segment with every field to choose; nothing moves on. */
struct segment_of {
	int from_server;
	uint32_t seq, ack;
	int flags;
	struct bytes data;
	struct bytes opt;
	uint16_t urgent;
	uint32_t gso; /* segment size of a super-packet */
};
const struct frame *talk_frame(const struct talk *t, const struct segment_of *seg);
const struct seen *talk_send(const struct talk *t, const struct segment_of *seg);

/* The client's segment with fields of its own; by default an ACK at the place where it is. */
#define CLIENT(t, ...)                                                                             \
	talk_send((t), &(struct segment_of){.seq = (t)->client_seq,                                \
					    .ack = (t)->server_seq,                                \
					    .flags = ACK,                                          \
					    __VA_ARGS__})
#define SERVER(t, ...)                                                                             \
	talk_send((t), &(struct segment_of){.from_server = 1,                                      \
					    .seq = (t)->server_seq,                                \
					    .ack = (t)->client_seq,                                \
					    .flags = ACK,                                          \
					    __VA_ARGS__})

/* SYN, SYN-ACK, ACK: all forwarded. */
#define talk_open(t) talk_open_at((t), __FILE__, __LINE__)
void talk_open_at(struct talk *t, const char *file, int line);

/* Data; what was forwarded, though cut, moves the sender on. */
const struct seen *client_sends(struct talk *t, struct bytes data);
const struct seen *server_sends(struct talk *t, struct bytes data);
#define client_says(t, literal) client_sends((t), B(literal))
#define server_says(t, literal) server_sends((t), B(literal))
/* FIN of one side. */
const struct seen *client_closes(struct talk *t);
const struct seen *server_closes(struct talk *t);

/*
 * Denied with what the ruleset has ready: the client got the 403 with FIN,
 * the server an RST that it believes, both with right addresses, numbers and
 * checksums. `carried`: the bytes of the denied segment.
 */
#define DENIED_403(t, seen, why, carried)                                                          \
	check_denied((t), (seen), BPFAST_R_##why, (carried), __FILE__, __LINE__)
const struct seen *check_denied(const struct talk *t, const struct seen *s, uint32_t reason,
				size_t carried, const char *file, int line);
/* The 403 alone, as sent. */
void check_reply(const struct talk *t, const struct seen *s, size_t carried, const char *file,
		 int line);
/* The frame that was sent back is an RST for the client, that left in the packet's place one for the server. */
#define RESET_BOTH(t, seen, why, carried)                                                          \
	check_reset_both((t), (seen), BPFAST_R_##why, (carried), __FILE__, __LINE__)
const struct seen *check_reset_both(const struct talk *t, const struct seen *s, uint32_t reason,
				    size_t carried, const char *file, int line);

/* Opens a connection and sends the request; forgets the connection again. */
const struct seen *ask(struct talk *t, struct bytes request);

#endif

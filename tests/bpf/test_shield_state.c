// SPDX-License-Identifier: Apache-2.0
/* What shield decides by what it has seen: limits, connections, lists. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "datapath/shield/internal.h"
#include "observe/names.h"
#include "shield_world.h"

/* --- limits --- */

#define BURST 20

/* Exactly burst and one more pass; then that scope's reason, and nobody else suffers. */
static void limits(void **state)
{
	static const int reasons[] = {R(SOURCE), R(PREFIX), R(DESTINATION)};

	(void)state;
	for (int c = 0; c < BPFAST_SC_COUNT; c++) {
		for (int k = 0; k < BPFAST_SS_COUNT; k++) {
			int want = c == BPFAST_SC_STATE ? R(STATE) : reasons[k];
			unsigned int passed = 0;

			shield_forget();
			bf_shield_set_limit(&shield_control->limit[c][k], 1, BURST);
			for (uint32_t i = 0; i < 4 * BURST; i++) {
				/* One source; sources of one /24; sources of many. */
				uint32_t n = k == BPFAST_SS_SOURCE   ? 7
					     : k == BPFAST_SS_PREFIX ? 1 + i
								     : i * 256 + 1;
				int got = in(of_class(c, address(n), "192.0.2.1", 80));

				if (!got)
					passed++;
				else
					assert_int_equal(got, want);
			}
			assert_in_range(passed, BURST + 1, BURST + 2);
			/* Others: another source, another prefix, another destination. */
			assert_int_equal(
				in(of_class(c, "10.99.0.1",
					    k == BPFAST_SS_DESTINATION ? "192.0.2.2" : "192.0.2.1",
					    80)),
				0);
			/* And other classes. */
			assert_int_equal(in(of_class((c + 2) % BPFAST_SC_COUNT, address(7),
						     "192.0.2.1", 80)),
					 0);
		}
	}
}

/* Three of a /24, or of a /64, send far too much: their neighbours are not taken for them. */
static void neighbours_do_not_suffer(void **state)
{
	unsigned int hit = 0;
	char text[40];

	(void)state;
	for (int six = 0; six < 2; six++) {
		shield_forget();
		bf_shield_set_limit(&shield_control->limit[BPFAST_SC_SYN][BPFAST_SS_SOURCE], 5,
				    200);
		for (uint32_t i = 0; i < 900; i++) {
			snprintf(text, sizeof(text), six ? "2001:db8::%x" : "198.51.100.%u",
				 1 + i % 3);
			hit += in(six ? PACKET(ETH(), IP6(.src = text), TCP(.seq = i, .flags = SYN))
				      : PACKET(ETH(), IP4(.src = text),
					       TCP(.seq = i, .flags = SYN))) == R(SOURCE);
		}
		assert_in_range(hit, 270, 300);
		hit = 0;
		for (uint32_t i = 4; i < 255; i++) {
			snprintf(text, sizeof(text), six ? "2001:db8::%x" : "198.51.100.%u", i);
			assert_int_equal(
				in(six ? PACKET(ETH(), IP6(.src = text), TCP(.flags = SYN))
				       : PACKET(ETH(), IP4(.src = text), TCP(.flags = SYN))),
				0);
		}
		/* And are still over their limit when all the others have been there. */
		assert_int_equal(in(six ? PACKET(ETH(), IP6(.src = "2001:db8::1"),
						 TCP(.seq = 7, .flags = SYN))
					: PACKET(ETH(), IP4(.src = "198.51.100.1"),
						 TCP(.seq = 7, .flags = SYN))),
				 R(SOURCE));
	}
}

/* Tokens come back with time, at the rate. */
static void refill(void **state)
{
	const struct timespec wait = {.tv_nsec = 200000000};
	unsigned int passed = 0;

	(void)state;
	bf_shield_set_limit(&shield_control->limit[BPFAST_SC_UDP][BPFAST_SS_SOURCE], 100, 5);
	for (int i = 0; i < 50; i++)
		in(of_class(BPFAST_SC_UDP, address(1), "192.0.2.1", 80));
	nanosleep(&wait, NULL);
	for (int i = 0; i < 50; i++)
		passed += in(of_class(BPFAST_SC_UDP, address(1), "192.0.2.1", 80)) == 0;
	/* 0.2 s at 100 a second would be 20, but the bucket holds no more than its burst. */
	assert_in_range(passed, 5, 7);
}

/* A million sources that never were: nothing grows, and one that floods is still found. */
static void many_sources(void **state)
{
	unsigned int dropped = 0, hit = 0;

	(void)state;
	bf_shield_set_limit(&shield_control->limit[BPFAST_SC_UDP][BPFAST_SS_SOURCE], 1, 100);
	for (uint32_t i = 0; i < 100000; i++) {
		struct frame *f =
			of_class(BPFAST_SC_UDP, address(i * 2654435761u), "192.0.2.1", 80);
		bool pass;

		assert_int_equal(bf_shield_trial(shield, false, LO, f->b, f->len, 1, &pass, NULL),
				 0);
		dropped += !pass;
		if (i % 100 == 0) {
			f = of_class(BPFAST_SC_UDP, "192.168.0.1", "192.0.2.1", 80);
			assert_int_equal(
				bf_shield_trial(shield, false, LO, f->b, f->len, 1, &pass, NULL),
				0);
			hit += !pass;
		}
	}
	/*
	 * Each of the 100,000 sent one packet; who has both cells with the flooder, one of 330,000,
	 * shares its fate. Of the flooder's 1,000 some 100 may pass.
	 */
	assert_in_range(dropped, 0, 6);
	assert_in_range(hit, 850, 900);
}

/* --- connections --- */

static void only_known(void)
{
	/* One stranger may pass, so that the next one tells whether it is one. */
	bf_shield_set_limit(&shield_control->limit[BPFAST_SC_STATE][BPFAST_SS_SOURCE], 1, 0);
	in(client(1, 1, ACK));
	in(client(1, 1, ACK));
	assert_int_equal(in(client(1, 1, ACK)), R(STATE));
}

static void handshake(void **state)
{
	struct bpfast_shield_counters was = counters(), is;

	(void)state;
	only_known();
	assert_int_equal(in(client(100, 0, SYN)), 0);
	out(server(5000, 101, SYN | ACK));
	/* Who has not seen the SYN-ACK does not know its number. */
	assert_int_equal(in(client(101, 5000, ACK)), R(STATE));
	assert_int_equal(in(client(101, 0, RST)), R(STATE));
	assert_int_equal(in(client(101, 5001, ACK)), 0);
	is = counters();
	assert_int_equal(is.handshakes - was.handshakes, 1);
	/* From here on everything of it passes, and nothing of its neighbour. */
	assert_int_equal(in(client(101, 77, ACK | PSH)), 0);
	assert_int_equal(in(client(101, 77, RST)), 0);
	assert_int_equal(in(PACKET(ETH(), IP4(CLIENT), TCP(.sport = 40001, .flags = ACK))),
			 R(STATE));
}

/* This host opens: its SYN tells what answers. */
static void outgoing(void **state)
{
	(void)state;
	only_known();
	out(server(900, 0, SYN));
	assert_int_equal(in(client(1, 900, SYN | ACK)), R(STATE));
	assert_int_equal(in(client(1, 901, SYN | ACK)), 0);
	assert_int_equal(in(client(2, 901, ACK)), 0);
	/* A refusal is an answer too. */
	shield_forget();
	only_known();
	out(server(900, 0, SYN));
	assert_int_equal(in(client(0, 901, RST | ACK)), 0);
}

/* Connections from before shield are learned from what this host sends; a bare ACK that forged
 * segments provoke during a handshake teaches nothing, and neither does a reset. */
static void learned(void **state)
{
	(void)state;
	only_known();
	out(server(1, 1, RST | ACK));
	assert_int_equal(in(client(1, 1, ACK)), R(STATE));
	out(server(1, 1, SYN | ACK));
	out(server(1, 1, ACK));
	assert_int_equal(in(client(1, 77, ACK)), R(STATE));
	shield_forget();
	only_known();
	out(server(1, 1, ACK));
	assert_int_equal(in(client(1, 1, ACK)), 0);
}

/* A SYN costs its token only until the handshake ends: an honest client never meets the limit. */
static void honest_rate(void **state)
{
	(void)state;
	for (int k = 0; k < BPFAST_SS_COUNT; k++)
		bf_shield_set_limit(&shield_control->limit[BPFAST_SC_SYN][k], 1, 10);
	for (uint32_t i = 0; i < 500; i++) {
		uint16_t port = (uint16_t)(10000 + i);

		assert_int_equal(
			in(PACKET(ETH(), IP4(CLIENT), TCP(.sport = port, .seq = 5, .flags = SYN))),
			0);
		out(PACKET(ETH(), IP4(SERVER),
			   TCP(.sport = 80, .dport = port, .seq = i, .flags = SYN | ACK)));
		assert_int_equal(in(PACKET(ETH(), IP4(CLIENT),
					   TCP(.sport = port, .ack = i + 1, .flags = ACK))),
				 0);
	}
}

/* In which set a connection to POD4's port 80 is kept: shield_conn_hash() of bpf/shield/conn.h. */
static uint32_t set_of(const char *source, uint16_t port)
{
	const struct bpfast_hash_key *key = &shield_control->key[0];
	uint64_t ports = (uint64_t)htons(port) << 16 | htons(80), h;

	h = bpfast_hash_word(key->start, key->word[0], ports);
	h = bpfast_hash_word(h, key->word[1], (uint64_t)inet_addr(source) << 32 | inet_addr(POD4));
	return h >> 32 & (BPFAST_SHIELD_CONN_SETS - 1);
}

static struct frame *from(const char *source, uint16_t port, uint32_t ack, int flags)
{
	return PACKET(ETH(), IP4(.src = source, .dst = POD4),
		      TCP(.sport = port, .ack = ack, .flags = flags));
}

static struct frame *towards(const char *source, uint16_t port, uint32_t seq, int flags)
{
	return PACKET(ETH(), IP4(.src = POD4, .dst = source),
		      TCP(.sport = 80, .dport = port, .seq = seq, .flags = flags));
}

/* What becomes of the last ACK of a handshake. */
static int opens(const char *source, uint16_t port)
{
	assert_int_equal(in(from(source, port, 0, SYN)), 0);
	out(towards(source, port, 5000, SYN | ACK));
	return in(from(source, port, 5001, ACK));
}

/*
 * Eight real connections fill a set: a ninth is a stranger then, as if in a table that somebody has
 * filled. Those that are over, by whatever end, make room, and their last segments still pass.
 */
static void over_makes_room(void **state)
{
	enum { STAY, SERVER_FIN, SERVER_RST, CLIENT_RST, HOWS };

	(void)state;
	for (int how = STAY; how < HOWS; how++) {
		uint32_t i = 0, want;

		shield_forget(); /* another seed */
		want = set_of("198.51.100.7", 40000);
		bf_shield_set_limit(&shield_control->limit[BPFAST_SC_STATE][BPFAST_SS_DESTINATION],
				    1, 1);
		for (int k = 0; k < 8; k++) {
			const char *source;
			uint16_t port;

			while (set_of(source = address(256 + i / 60000),
				      (uint16_t)(1024 + i % 60000)) != want)
				i++;
			port = (uint16_t)(1024 + i++ % 60000);
			assert_int_equal(opens(source, port), 0);
			if (how == SERVER_FIN)
				out(towards(source, port, 5001, FIN | ACK));
			else if (how == SERVER_RST)
				out(towards(source, port, 5001, RST));
			else if (how == CLIENT_RST)
				assert_int_equal(in(from(source, port, 5001, RST)), 0);
			assert_int_equal(in(from(source, port, 5002, FIN | ACK)), 0);
		}
		for (uint32_t n = 0; n < 4; n++)
			in(of_class(BPFAST_SC_STATE, address(1000 * n), POD4, 80));
		assert_int_equal(opens("198.51.100.7", 40000), how == STAY ? R(STATE) : 0);
	}
}

/* Bits of the filter, and of what says in which of its words there are some. */
static unsigned int filter_bits(void)
{
	unsigned int bits = 0;
	uint64_t word;

	for (uint32_t i = 0; !bpf_map_lookup_elem(shield->map[BF_SHIELD_MAP_FILTER], &i, &word);
	     i++)
		bits += (unsigned int)__builtin_popcountll(word);
	return bits;
}

static uint32_t sweep(void)
{
	uint32_t emptied = 0;

	assert_int_equal(bf_shield_sweep(shield, 0, BPFAST_SHIELD_CONN_SETS, &emptied), 0);
	return emptied;
}

/* What the sweep takes in two rounds. */
static void sweep_all(void)
{
	sweep();
	sweep();
}

/* Whom the server closes in order leaves nothing behind; of the others the sweep takes it. All of it passes, but what comes after. */
static void closed_is_forgotten(void **state)
{
	enum { SERVER_FIRST, CLIENT_FIRST, AT_ONCE, HOWS };
	const char *who = "198.51.100.7";

	(void)state;
	sweep_all();
	for (int how = SERVER_FIRST; how < HOWS; how++) {
		unsigned int before, during;

		shield_forget();
		only_known();
		assert_int_equal(opens(who, 1000), 0); /* from now on its source is known */
		before = filter_bits();
		for (uint16_t port = 2000; port < 2200; port++)
			assert_int_equal(opens(who, port), 0);
		during = filter_bits();
		assert_in_range(during - before, 300, 400);
		for (uint16_t port = 2000; port < 2200; port++) {
			if (how == SERVER_FIRST) {
				out(towards(who, port, 5001, FIN | ACK));
				assert_int_equal(in(from(who, port, 5002, ACK)), 0);
				assert_int_equal(in(from(who, port, 5002, FIN | ACK)), 0);
				/* The last ACK is lost, and the FIN comes again. */
				assert_int_equal(in(from(who, port, 5002, FIN | ACK)), 0);
				out(towards(who, port, 5002, ACK));
			} else if (how == CLIENT_FIRST) {
				assert_int_equal(in(from(who, port, 5001, FIN | ACK)), 0);
				out(towards(who, port, 5001, ACK));
				assert_int_equal(in(from(who, port, 5001, ACK)), 0);
				out(towards(who, port, 5001, FIN | ACK));
				assert_int_equal(in(from(who, port, 5001, ACK)), 0);
				assert_int_equal(in(from(who, port, 5002, ACK)), 0);
			} else {
				out(towards(who, port, 5001, FIN | ACK));
				assert_int_equal(in(from(who, port, 5001, FIN | ACK)), 0);
				out(towards(who, port, 5002, ACK));
				assert_int_equal(in(from(who, port, 5002, ACK)), 0);
			}
		}
		if (how != SERVER_FIRST)
			sweep_all();
		assert_int_equal(filter_bits(), before);
		for (uint16_t port = 2000; port < 2200; port++)
			assert_int_equal(in(from(who, port, 5002, ACK)), R(STATE));
		assert_int_equal(in(from(who, 1000, 5001, ACK)), 0);
	}
}

/* Whoever knows ports, and no numbers, makes nobody a stranger: neither one that is open, nor one this side has closed. */
static void forged_ends(void **state)
{
	const char *who = "198.51.100.7";

	(void)state;
	only_known();
	assert_int_equal(opens(who, 1000), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(in(from(who, 1000, 77, RST)), 0);
		assert_int_equal(in(from(who, 1000, 77, FIN | ACK)), 0);
		/* What the kernel answers. */
		out(towards(who, 1000, 5001, ACK));
		assert_int_equal(in(from(who, 1000, 77, ACK)), 0);
		sweep();
	}
	assert_int_equal(in(from(who, 1000, 5001, ACK | PSH)), 0);
	/* The client still uploads. */
	out(towards(who, 1000, 5001, FIN | ACK));
	assert_int_equal(in(from(who, 1000, 77, FIN | ACK)), 0);
	assert_int_equal(in(from(who, 1000, 77, RST)), 0);
	out(towards(who, 1000, 5002, ACK));
	sweep();
	assert_int_equal(in(from(who, 1000, 5002, ACK | PSH)), 0);
	assert_int_equal(in(from(who, 1000, 5002, FIN | ACK)), 0);
	out(towards(who, 1000, 5002, ACK));
	assert_int_equal(in(from(who, 1000, 5002, ACK)), R(STATE));
	/* Its FIN comes again after all: what TIME_WAIT answers makes no open connection of it. */
	out(towards(who, 1000, 5002, ACK));
	assert_int_equal(in(from(who, 1000, 5002, FIN | ACK)), 0);
	out(towards(who, 1000, 5001, FIN | ACK));
	sweep_all();
	assert_int_equal(in(from(who, 1000, 5002, ACK)), R(STATE));
}

/* The other side has sent its FIN, and this one goes on for long: it is still a connection. */
static void half_closed(void **state)
{
	(void)state;
	only_known();
	assert_int_equal(opens("198.51.100.7", 40000), 0);
	assert_int_equal(in(client(101, 5001, FIN | ACK)), 0);
	for (int i = 0; i < 4; i++) {
		sweep();
		out(PACKET(ETH(), IP4(SERVER), TCP(.sport = 80, .dport = 40000, .flags = ACK),
			   DATA("more")));
		assert_int_equal(in(client(102, 5005, ACK)), 0);
	}
	/* And the other way. */
	assert_int_equal(opens("198.51.100.7", 41000), 0);
	out(towards("198.51.100.7", 41000, 5001, FIN | ACK));
	for (int i = 0; i < 4; i++) {
		sweep();
		assert_int_equal(in(from("198.51.100.7", 41000, 5002, ACK | PSH)), 0);
	}
}

/* What has ended without last words, or never began, is taken by the second sweep; what is open, by none. */
static void swept(void **state)
{
	const char *who = "198.51.100.7";
	unsigned int before;
	uint32_t first;

	(void)state;
	sweep_all();
	only_known();
	assert_int_equal(opens(who, 1000), 0);
	before = filter_bits();
	/* Handshakes that end after the first sweep, and never. */
	out(towards(who, 2000, 5000, SYN | ACK));
	out(towards(who, 2001, 5000, SYN | ACK));
	for (uint16_t port = 3000; port < 3003; port++)
		assert_int_equal(opens(who, port), 0);
	out(towards(who, 3000, 5001, FIN | ACK));
	out(towards(who, 3001, 5001, RST));
	assert_int_equal(in(from(who, 3002, 5001, RST)), 0);
	first = sweep();
	assert_int_equal(first, 0);
	assert_int_equal(in(from(who, 2000, 5002, ACK)), R(STATE));
	assert_int_equal(in(from(who, 2000, 5001, ACK)), 0);
	assert_int_equal(sweep(), 3);
	assert_int_equal(sweep(), 0);
	assert_int_equal(in(from(who, 2001, 5001, ACK)), R(STATE));
	for (uint16_t port = 3000; port < 3002; port++)
		assert_int_equal(in(from(who, port, 5002, ACK)), R(STATE));
	/* An RST of the client may be forged. */
	assert_int_equal(in(from(who, 3002, 5002, ACK)), 0);
	assert_int_equal(in(from(who, 1000, 5001, ACK)), 0);
	assert_int_equal(in(from(who, 2000, 5001, ACK)), 0);
	/* Those of ports 2000 and 3002. */
	assert_in_range(filter_bits() - before, 1, 4);
}

/* Sources that completed a handshake long ago: here their cells are made older. */
static void sources_grow_old(void **state)
{
	int fd = shield->map[BF_SHIELD_MAP_GOOD];
	struct bpfast_shield_set set;
	unsigned int before, n = 0;

	(void)state;
	sweep_all();
	before = filter_bits();
	assert_int_equal(opens("198.51.100.7", 1000), 0);
	out(towards("198.51.100.7", 1000, 5001, RST));
	sweep();
	assert_int_equal(sweep(), 1);
	assert_in_range(filter_bits() - before, 1, 2);
	for (uint32_t i = 0; i < BPFAST_SHIELD_GOOD_SETS; i++) {
		bool change = false;

		assert_int_equal(bpf_map_lookup_elem(fd, &i, &set), 0);
		for (int c = 0; c < 8; c++) {
			if (!set.cell[c])
				continue;
			set.cell[c] = (set.cell[c] & ~0xffffffull) |
				      ((set.cell[c] - BPFAST_SHIELD_GOOD_AGE) & 0xffffff);
			change = true;
			n++;
		}
		if (change)
			assert_int_equal(bpf_map_update_elem(fd, &i, &set, BPF_ANY), 0);
	}
	assert_in_range(n, 1, 1000000);
	assert_int_equal(sweep(), n);
	assert_in_range(before - filter_bits(), 0, 1000000);
}

/* A forged RST takes nothing from a connection on which this side goes on to speak. */
static void forged_reset(void **state)
{
	(void)state;
	only_known();
	assert_int_equal(in(client(100, 0, SYN)), 0);
	out(server(5000, 101, SYN | ACK));
	assert_int_equal(in(client(101, 5001, ACK)), 0);
	assert_int_equal(in(client(777, 0, RST)), 0);
	assert_int_equal(in(client(101, 5001, ACK | PSH)), 0);
	out(PACKET(ETH(), IP4(SERVER), TCP(.sport = 80, .dport = 40000, .flags = ACK),
		   DATA("more")));
	assert_int_equal(in(client(102, 5005, ACK)), 0);
}

/* Pings use up a host's ICMP; its router must find it all the same, and be found. */
static void neighbours(void **state)
{
	int got = 0;

	(void)state;
	bf_shield_set_limit(&shield_control->limit[BPFAST_SC_ICMP][BPFAST_SS_DESTINATION], 1, 10);
	for (uint32_t i = 0; i < 30; i++)
		got = in(PACKET(ETH(), IP6(), ICMP(128, 0)));
	assert_int_equal(got, R(DESTINATION));
	/* From afar it is no neighbour that says so. */
	assert_int_equal(in(PACKET(ETH(), IP6(.hop_limit = 254), ICMP(136, 0))), R(DESTINATION));
	for (int type = 135; type <= 136; type++)
		assert_int_equal(in(PACKET(ETH(), IP6(.hop_limit = 255), ICMP(type, 0))), 0);
	/* They have their own limit. */
	for (uint32_t i = 0; i < 30; i++)
		got = in(PACKET(ETH(), IP6(.hop_limit = 255), ICMP(136, 0)));
	assert_int_equal(got, R(DESTINATION));
}

/* A flood from everywhere uses up the destination's tokens; who completed a handshake goes on. */
static void preferred(void **state)
{
	int got = 0;

	(void)state;
	bf_shield_set_limit(&shield_control->limit[BPFAST_SC_SYN][BPFAST_SS_DESTINATION], 1, 10);
	assert_int_equal(in(client(100, 0, SYN)), 0);
	out(server(5000, 101, SYN | ACK));
	assert_int_equal(in(client(101, 5001, ACK)), 0);
	for (uint32_t i = 0; i < 30; i++)
		got = in(of_class(BPFAST_SC_SYN, address(i * 1000), POD4, 80));
	assert_int_equal(got, R(DESTINATION));
	assert_int_equal(in(PACKET(ETH(), IP4(CLIENT), TCP(.sport = 4, .flags = SYN))), 0);
}

/* One handshake is good for so many SYNs that the limit would not let through, and the next for as many again. */
static void credit(void **state)
{
	(void)state;
	bf_shield_set_limit(&shield_control->limit[BPFAST_SC_SYN][BPFAST_SS_DESTINATION], 1, 2);
	for (uint16_t round = 0; round < 2; round++) {
		uint32_t passed = 0;

		in(PACKET(ETH(), IP4(CLIENT), TCP(.sport = round + 1, .seq = 5, .flags = SYN)));
		out(PACKET(ETH(), IP4(SERVER),
			   TCP(.sport = 80, .dport = round + 1, .seq = 9, .flags = SYN | ACK)));
		in(PACKET(ETH(), IP4(CLIENT), TCP(.sport = round + 1, .ack = 10, .flags = ACK)));
		for (uint32_t i = 0; i < 20; i++)
			in(of_class(BPFAST_SC_SYN, address(i * 1000), POD4, 80));
		for (uint16_t i = 0; i < 400; i++)
			passed += !in(PACKET(ETH(), IP4(CLIENT), TCP(.sport = i, .flags = SYN)));
		assert_in_range(passed, 125, 130);
	}
}

/* Frames by the thousand: nothing is asserted of each. */
static bool passes(const struct frame *f)
{
	bool pass;

	assert_int_equal(bf_shield_trial(shield, false, LO, f->b, f->len, 1, &pass, NULL), 0);
	return pass;
}

static void shakes_hands6(const char *who)
{
	out(PACKET(ETH(), IP6(.src = POD6, .dst = who),
		   TCP(.sport = 80, .dport = 40000, .seq = 9, .flags = SYN | ACK)));
	passes(PACKET(ETH(), IP6(.src = who, .dst = POD6), TCP(.seq = 6, .ack = 10, .flags = ACK)));
}

/* Who owns a /64 has more addresses than there is room for: they are one source, and push nobody out. */
static void one_network_is_one_source(void **state)
{
	static const char honest[] = "2001:db8:0:1::5";
	const struct timespec wait = {.tv_sec = 3};
	char who[48];

	(void)state;
	shakes_hands6(honest);
	nanosleep(&wait, NULL);
	for (uint32_t i = 0; i < 300000; i++) {
		snprintf(who, sizeof(who), "2001:db8:bad:1::%x:%x", i >> 16, i & 0xffff);
		shakes_hands6(who);
	}
	bf_shield_set_limit(&shield_control->limit[BPFAST_SC_SYN][BPFAST_SS_DESTINATION], 1, 2);
	for (uint16_t i = 0; i < 10; i++)
		passes(PACKET(ETH(), IP6(.src = "2001:db8:2::1", .dst = POD6),
			      TCP(.sport = i, .flags = SYN)));
	assert_int_equal(
		in(PACKET(ETH(), IP6(.src = "2001:db8:3::1", .dst = POD6), TCP(.flags = SYN))),
		R(DESTINATION));
	assert_int_equal(in(PACKET(ETH(), IP6(.src = honest, .dst = POD6), TCP(.flags = SYN))), 0);
	/* Nor has anybody to be known twice whose machine takes another address each day. */
	assert_int_equal(
		in(PACKET(ETH(), IP6(.src = "2001:db8:0:1::6", .dst = POD6), TCP(.flags = SYN))),
		0);
}

/*
 * Nobody passes for a known source by choosing an address. A single product carries the highest bit of one
 * word to two bits of the sum alone, where the next word takes it back: for any key.
 */
static void looks_alike(void **state)
{
	static const char honest[] = "2001:db8:0:1::5", forged[] = "2001:d38:0:81::85";

	(void)state;
	bf_shield_set_limit(&shield_control->limit[BPFAST_SC_SYN][BPFAST_SS_DESTINATION], 1, 2);
	in(PACKET(ETH(), IP6(.src = honest, .dst = POD6), TCP(.seq = 5, .flags = SYN)));
	out(PACKET(ETH(), IP6(.src = POD6, .dst = honest),
		   TCP(.sport = 80, .dport = 40000, .seq = 9, .flags = SYN | ACK)));
	in(PACKET(ETH(), IP6(.src = honest, .dst = POD6), TCP(.seq = 6, .ack = 10, .flags = ACK)));
	for (uint32_t i = 0; i < 10; i++)
		in(PACKET(ETH(), IP6(.src = "2001:db8:2::1", .dst = POD6),
			  TCP(.seq = i, .flags = SYN)));
	assert_int_equal(
		in(PACKET(ETH(), IP6(.src = honest, .dst = POD6), TCP(.sport = 1, .flags = SYN))),
		0);
	assert_int_equal(in(PACKET(ETH(), IP6(.src = forged, .dst = POD6), TCP(.flags = SYN))),
			 R(DESTINATION));
}

static void udp_answered(void **state)
{
	int got = 0;

	(void)state;
	bf_shield_set_limit(&shield_control->limit[BPFAST_SC_UDP][BPFAST_SS_DESTINATION], 1, 10);
	out(PACKET(ETH(), IP4(SERVER), UDP(.sport = 5353, .dport = 53)));
	for (uint32_t i = 0; i < 30; i++)
		got = in(of_class(BPFAST_SC_UDP, address(i * 1000), POD4, 5353));
	assert_int_equal(got, R(DESTINATION));
	assert_int_equal(in(PACKET(ETH(), IP4(CLIENT), UDP(.sport = 53, .dport = 5353))), 0);
}

/* --- lists --- */

static void allow_wins(void **state)
{
	(void)state;
	list_of(BPFAST_SI_ENTRIES, "10.0.0.0/8\n2001:db8::/32", "10.1.2.3\n2001:db8:1::/48");
	list_of(BPFAST_SI_FILES, "192.0.2.0/24\n203.0.113.9", "10.5.0.0/16");
	assert_int_equal(in(of_class(BPFAST_SC_UDP, "10.1.2.4", POD4, 1)), R(BLOCKED));
	assert_int_equal(in(of_class(BPFAST_SC_UDP, "10.1.2.3", POD4, 1)), 0);
	assert_int_equal(in(of_class(BPFAST_SC_UDP, "10.5.255.255", POD4, 1)), 0);
	assert_int_equal(in(of_class(BPFAST_SC_UDP, "192.0.2.255", POD4, 1)), R(BLOCKED));
	assert_int_equal(in(of_class(BPFAST_SC_UDP, "203.0.113.9", POD4, 1)), R(BLOCKED));
	assert_int_equal(in(of_class(BPFAST_SC_UDP, "203.0.113.8", POD4, 1)), 0);
	assert_int_equal(in(PACKET(ETH(), IP6(), UDP())), R(BLOCKED));
	assert_int_equal(in(PACKET(ETH(), IP6(.src = "2001:db8:1::9"), UDP())), 0);
	/* Also over form, and over limits. */
	assert_int_equal(in(PACKET(ETH(), IP4(.src = "10.1.2.3"), TCP(.flags = 0))), 0);
	assert_int_equal(in(PACKET(ETH(), IP4(.src = "10.1.2.3"), TCP(.doff = 16))), 0);
	bf_shield_set_limit(&shield_control->limit[BPFAST_SC_UDP][BPFAST_SS_DESTINATION], 1, 1);
	for (int i = 0; i < 20; i++)
		assert_int_equal(in(of_class(BPFAST_SC_UDP, "10.1.2.3", POD4, 1)), 0);
}

static void entry_and_times(struct bf_shield_list *l, uint32_t now)
{
	struct bpfast_shield_entry e = {0};
	bool four = rnd(2);

	e.prefix = (uint8_t)(four ? 104 + rnd(25) : 16 + rnd(113));
	for (int i = 0; i < 16; i++)
		e.addr[i] = (uint8_t)rnd(2);
	e.addr[0] = four ? 0 : 0x20;
	if (four) {
		memset(e.addr, 0, 12);
		e.addr[10] = e.addr[11] = 0xff;
		e.addr[12] = 10;
	}
	for (unsigned int bit = e.prefix; bit < 128; bit++)
		e.addr[bit / 8] &= (uint8_t)~(0x80 >> bit % 8);
	e.allow = rnd(3) == 0;
	e.until = rnd(3) == 0 ? now - 5 : now + 1000;
	assert_int_equal(bf_shield_list_add(l, &e), 0);
}

static bool held(const struct bf_shield_list *l, const uint8_t addr[16], bool four, bool allow,
		 uint32_t now)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct bpfast_shield_entry *e = &l->v[i];
		bool in_it = bf_shield_is4(e) == four && e->allow == allow && now < e->until;

		for (unsigned int bit = 0; in_it && bit < e->prefix; bit++)
			in_it = !((e->addr[bit / 8] ^ addr[bit / 8]) & (0x80 >> bit % 8));
		if (in_it)
			return true;
	}
	return false;
}

/* Random lists with times that are over and times that are not, in both images, in the kernel. */
static void random_lists(void **state)
{
	(void)state;
	rng = 0x2545f4914f6cdd1dull;
	for (int round = 0; round < 30; round++) {
		struct bf_shield_list l[2] = {{0}, {0}};
		uint32_t now = bf_shield_now();

		for (int which = 0; which < 2; which++) {
			struct bf_shield_image im;

			for (uint32_t i = 0, n = 1 + rnd(60); i < n; i++)
				entry_and_times(&l[which], now);
			assert_int_equal(bf_shield_compile(&l[which], rng, &im), 0);
			assert_int_equal(bf_shield_install(shield, which, im.bytes, im.len, NULL),
					 0);
			free(im.bytes);
		}
		for (int i = 0; i < 200; i++) {
			bool four = rnd(2);
			uint8_t addr[16];
			char text[64];
			int want;

			for (int k = 0; k < 16; k++)
				addr[k] = (uint8_t)(rnd(4) ? rnd(2) : rnd(256));
			addr[0] = 0x20;
			if (four) {
				memset(addr, 0, 12);
				addr[10] = addr[11] = 0xff;
				addr[12] = 10;
			}
			bf_address_text(addr, text, sizeof(text));
			want = held(&l[0], addr, four, true, now) ||
					       held(&l[1], addr, four, true, now)
				       ? 0
			       : held(&l[0], addr, four, false, now) ||
					       held(&l[1], addr, four, false, now)
				       ? R(BLOCKED)
				       : 0;
			assert_int_equal(in(four ? PACKET(ETH(), IP4(.src = text), UDP())
						 : PACKET(ETH(), IP6(.src = text), UDP())),
					 want);
		}
		bf_shield_list_free(&l[0]);
		bf_shield_list_free(&l[1]);
	}
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup(fn, shield_reset)
	const struct CMUnitTest tests[] = {
		CASE(limits),	       CASE(neighbours_do_not_suffer),
		CASE(refill),	       CASE(many_sources),
		CASE(handshake),       CASE(outgoing),
		CASE(learned),	       CASE(honest_rate),
		CASE(over_makes_room), CASE(closed_is_forgotten),
		CASE(forged_ends),     CASE(half_closed),
		CASE(swept),	       CASE(sources_grow_old),
		CASE(forged_reset),    CASE(neighbours),
		CASE(preferred),       CASE(credit),
		CASE(looks_alike),     CASE(one_network_is_one_source),
		CASE(udp_answered),    CASE(allow_wins),
		CASE(random_lists),
	};

	return cmocka_run_group_tests_name("shield state", tests, shield_setup, shield_teardown);
}

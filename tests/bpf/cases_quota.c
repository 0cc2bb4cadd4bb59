// SPDX-License-Identifier: Apache-2.0
/* How much of the flow table an endpoint may have, and who goes when there is no room. */
#include "cases.h"

#define GET "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"
#define BAD "GET /no HTTP/1.1\r\nHost: a\r\n\r\n"
#define REPLY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

#define SHARE 8

static struct talk talk_at(uint16_t port)
{
	return TALK(.client_port = port);
}

/* A sweep comes at once, but one a second at most. */
static void wait_for_flows(size_t n)
{
	for (int i = 0; i < 100 && flow_count() != n; i++)
		nap(20);
	EXPECT(flow_count() == n);
	EXPECT(flows_counted() == n);
}

/* Who has its part makes no more; what is there goes on; what ends gives its place back. */
static void holds(void **state)
{
	struct talk t[SHARE], more = talk_at(50100);

	(void)state;
	policy(WEB);
	control()->flows_share = SHARE;
	control()->closed_s = 1;
	for (uint16_t i = 0; i < SHARE; i++) {
		t[i] = talk_at((uint16_t)(50000 + i));
		talk_open(&t[i]);
	}
	EXPECT(flows_counted() == SHARE);
	RECORDED(DROPPED(CLIENT(&more, .flags = SYN, .ack = 0), ENDPOINT_FLOWS), DROPPED,
		 ENDPOINT_FLOWS, "");
	DROPPED(run(FROM_POD, PACKET(POD_ETH, POD_IP4(), TCP(.dport = 80, .flags = SYN))),
		ENDPOINT_FLOWS);
	DROPPED(run_from_host(PACKET(ETH(), IP4(), UDP())), ENDPOINT_FLOWS);
	/* What no policy allows is refused for that, and not counted here. */
	DROPPED(run(TO_POD, PACKET(ETH(), IP4(), TCP(.dport = 81, .flags = SYN))), POLICY_DENIED);
	EXPECT(flows_refused() == 3);
	EXPECT(flows_counted() == SHARE);
	for (int i = 0; i < SHARE; i++) {
		FORWARDED(client_says(&t[i], GET));
		FORWARDED(server_says(&t[i], REPLY));
	}
	FORWARDED(client_closes(&t[3]));
	FORWARDED(server_closes(&t[3]));
	for (int i = 0; i < 100 && flow_count() == SHARE; i++)
		nap(50);
	EXPECT(flow_count() == SHARE - 1 && flows_counted() == SHARE - 1);
	talk_open(&more);
	FORWARDED(client_says(&more, GET));
	EXPECT(flows_counted() == SHARE);
}

/* Flows of all kinds; the other port is 50000 + i. */
static void half_open(uint16_t i)
{
	struct talk t = talk_at((uint16_t)(50000 + i));

	FORWARDED(CLIENT(&t, .flags = SYN, .ack = 0));
	FORWARDED(SERVER(&t, .flags = SYN | ACK, .ack = 1001));
}

static void over(uint16_t i)
{
	struct talk t = talk_at((uint16_t)(50000 + i));

	talk_open(&t);
	FORWARDED(client_closes(&t));
	FORWARDED(server_closes(&t));
}

static void denied(uint16_t i)
{
	struct talk t = talk_at((uint16_t)(50000 + i));

	talk_open(&t);
	client_says(&t, BAD);
}

static void unanswered(uint16_t i)
{
	FORWARDED(run_from_host(
		PACKET(ETH(), IP4(), UDP(.sport = (uint16_t)(50000 + i), .dport = 53))));
}

static void answered(uint16_t i)
{
	unanswered(i);
	FORWARDED(run(FROM_POD, PACKET(POD_ETH, POD_IP4(),
				       UDP(.sport = 53, .dport = (uint16_t)(50000 + i)))));
}

static void open_for_long(uint16_t i)
{
	struct talk t = talk_at((uint16_t)(50000 + i));

	talk_open(&t);
}

static const struct {
	const char *what;
	void (*make)(uint16_t i);
	bool goes;
} kinds[] = {
	{"half-open", half_open, true},
	{"over", over, true},
	{"denied", denied, true},
	{"unanswered", unanswered, true},
	{"answered, not TCP", answered, true},
	{"open", open_for_long, false},
};

/*
 * Whatever is no open connection goes first when it was silent for some seconds; what is not
 * silent, and what is open, does not, however full it is.
 */
static void who_goes(size_t kind, bool table)
{
	uint16_t n = table ? FLOWS : SHARE, quiet = n / 2;
	struct talk more = talk_at(60000);

	control()->flows_share = table ? 2 * FLOWS : SHARE;
	for (uint16_t i = 0; i < n; i++)
		kinds[kind].make(i);
	EXPECT(flows_counted() == n);
	flows_age(50000, (uint16_t)(50000 + quiet), BPFAST_FLOWS_PRESSED_S);
	nap(1050);
	if (table)
		DROPPED(CLIENT(&more, .flags = SYN, .ack = 0), FLOW_TABLE_FULL);
	else
		DROPPED(CLIENT(&more, .flags = SYN, .ack = 0), ENDPOINT_FLOWS);
	if (kinds[kind].goes) {
		/* All of them, or until the endpoint is below three quarters. */
		wait_for_flows(table ? (size_t)(n - quiet) : SHARE - SHARE / 4);
		talk_open(&more);
		FORWARDED(client_says(&more, GET));
		return;
	}
	nap(100);
	wait_for_flows(n);
}

static void quota_reached(void **state)
{
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		print_message("%s\n", kinds[k].what);
		world_reset(state);
		policy(WEB);
		who_goes(k, false);
	}
}

static void table_full(void **state)
{
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k += 5) {
		print_message("%s\n", kinds[k].what);
		world_reset(state);
		policy(WEB);
		who_goes(k, true);
	}
}

/* Each way out of the table gives back exactly what was counted. */
static void counted(void **state)
{
	struct talk t = talk_at(50000), u = talk_at(50001);

	(void)state;
	policy(WEB);
	/* Seen by both hooks, sent again, answered: one flow. */
	talk_open(&t);
	FORWARDED(CLIENT(&t));
	EXPECT(flow_count() == 1 && flows_counted() == 1);
	/* The responder begins anew on the ports of one that is over. */
	FORWARDED(client_closes(&t));
	FORWARDED(server_closes(&t));
	DROPPED(SERVER(&t, .flags = SYN, .ack = 0), POLICY_DENIED);
	EXPECT(flow_count() == 0 && flows_counted() == 0);
	/* The permission is taken away. */
	talk_open(&u);
	EXPECT(flow_count() == 1 && flows_counted() == 1);
	policy("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
	       "metadata: {name: none, namespace: shop}\n"
	       "spec: {podSelector: {}, policyTypes: [Ingress, Egress]}\n");
	client_says(&u, GET);
	EXPECT(flow_count() == 0 && flows_counted() == 0);
	/* Silent for too long. */
	world_reset(state);
	policy(WEB);
	control()->other_idle_s = 1;
	for (uint16_t i = 0; i < 20; i++)
		half_open(i);
	EXPECT(flows_counted() == 20);
	for (int i = 0; i < 60 && flow_count(); i++)
		nap(100);
	wait_for_flows(0);
}

/* The node's whole table is full: another's flood is not counted against this endpoint. */
static void refused_by_the_table(void **state)
{
	(void)state;
	policy(OPEN);
	for (uint16_t i = 0; i < FLOWS; i++)
		unanswered(i);
	DROPPED(run_from_host(PACKET(ETH(), IP4(), UDP(.sport = 1999))), FLOW_TABLE_FULL);
	EXPECT(flows_counted() == FLOWS && flows_refused() == 0);
}

int cases_quota(void)
{
	const struct CMUnitTest tests[] = {
		CASE(holds),   CASE(quota_reached),	   CASE(table_full),
		CASE(counted), CASE(refused_by_the_table),
	};

	return cmocka_run_group_tests_name("quota", tests, NULL, NULL);
}

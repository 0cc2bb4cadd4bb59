// SPDX-License-Identifier: Apache-2.0
/* status, metrics, version */
#include <stdio.h>
#include <string.h>

#include "cli/answer.h"
#include "cli/cli.h"

static void print_fill(const char *what, long long used, long long max, const char *unit)
{
	printf("%-12s %lld of %lld%s (%.1f%%)\n", what, used, max, unit,
	       max ? 100.0 * (double)used / (double)max : 0.0);
}

static void print_flows(const json_t *f)
{
	print_fill("flows", num(f, "used"), num(f, "max"), "");
	printf("             %lld of %lld for one endpoint at most", num(f, "most"),
	       num(f, "per_endpoint_max"));
	if (num(f, "endpoints_full"))
		printf("; %lld endpoints have as many", num(f, "endpoints_full"));
	printf("\n");
}

static void print_agent(const json_t *s)
{
	const json_t *agent = json_object_get(s, "agent"), *kernel = json_object_get(s, "kernel");
	const json_t *policies = json_object_get(s, "policies");
	struct bf_text t = {0};

	bf_text_printf(&t, "agent        bpfastd %s, pid %lld, up %lld s%s\n",
		       text(agent, "version"), num(agent, "pid"), num(agent, "uptime_seconds"),
		       json_is_true(json_object_get(agent, "adopted"))
			       ? ", adopted what was in force"
			       : "");
	bf_text_printf(&t, "             pins %s, policies %s, metrics %s\n",
		       text(agent, "pin_dir"), text(agent, "policy_dir"),
		       text(agent, "metrics_listen"));
	bf_text_printf(&t, "kernel       Linux %s %s, hook %s%s%s\n", text(kernel, "release"),
		       text(kernel, "machine"), text(kernel, "hook"),
		       *text(kernel, "hook_why") ? ": " : "", text(kernel, "hook_why"));
	bf_text_printf(&t, "policies     %lld applied, %lld from the directory, %lld namespaces\n",
		       num(policies, "applied"), num(policies, "directory"),
		       num(policies, "namespaces"));
	bf_text_printf(&t, "revision     %lld, generation %lld in the kernel\n", num(s, "revision"),
		       num(s, "generation"));
	if (t.data)
		bf_cli_print(t.data);
	bf_text_free(&t);
}

/* Only after an upgrade that had something to carry. */
static void print_carried(const json_t *c)
{
	if (num(c, "flows") || num(c, "reset_unreadable"))
		printf("carried over %lld flows from the version before; %lld of them, in the "
		       "middle of a request head, and %lld others are reset once\n",
		       num(c, "flows"), num(c, "reset_in_head"), num(c, "reset_unreadable"));
}

static void print_traffic(const json_t *s)
{
	const json_t *p = json_object_get(s, "packets"), *h = json_object_get(s, "http"), *d;
	const json_t *drops = json_object_get(s, "drops");
	struct bf_table t = {0};
	char in[24], out[24], http[24], audited[24];
	size_t i;

	printf("packets      %lld in, %lld out forwarded\n", num(p, "ingress"), num(p, "egress"));
	printf("requests     %lld forwarded, %lld denied, %lld audited\n", num(h, "forwarded"),
	       num(h, "dropped"), num(h, "audited"));
	if (!json_array_size(drops)) {
		printf("drops        none\n");
		return;
	}
	printf("\n");
	bf_table_row(&t, 6, "REASON", "IN", "OUT", "REQUESTS", "AUDITED", "WHAT TO DO");
	json_array_foreach (drops, i, d) {
		snprintf(in, sizeof(in), "%lld", num(d, "ingress_packets"));
		snprintf(out, sizeof(out), "%lld", num(d, "egress_packets"));
		snprintf(http, sizeof(http), "%lld", num(d, "http_requests"));
		snprintf(audited, sizeof(audited), "%lld", num(d, "audited"));
		bf_table_row(&t, 6, text(d, "reason"), in, out, http, audited, text(d, "hint"));
	}
	bf_table_print(&t);
}

static int status(struct bf_cli *cli)
{
	const json_t *w;
	json_t *s;
	size_t i;
	int r = bf_cli_ask(cli, "status", NULL, &s);

	if (r)
		return r;
	if (cli->json) {
		bf_cli_print_json(s);
		json_decref(s);
		return BF_EXIT_DONE;
	}
	print_agent(s);
	printf("endpoints    %lld", num(s, "endpoints"));
	if (num(s, "containers"))
		printf(", %lld of them containers", num(s, "containers"));
	printf("\n");
	print_flows(json_object_get(s, "flows"));
	print_fill("tables", num(json_object_get(s, "arena"), "used_bytes"),
		   num(json_object_get(s, "arena"), "max_bytes"), " bytes");
	print_fill("retained", num(json_object_get(s, "retained"), "used_bytes"),
		   num(json_object_get(s, "retained"), "max_bytes"), " bytes");
	print_carried(json_object_get(s, "carried_over"));
	print_traffic(s);
	json_array_foreach (json_object_get(s, "warnings"), i, w) {
		printf("%swarning: ", i ? "" : "\n");
		bf_cli_print(json_string_value(w));
		printf("\n");
	}
	json_decref(s);
	return BF_EXIT_DONE;
}

static int metrics(struct bf_cli *cli)
{
	json_t *result;
	int r = bf_cli_ask(cli, "metrics", NULL, &result);

	if (r)
		return r;
	if (cli->json)
		bf_cli_print_json(result);
	else
		bf_cli_print(text(result, "text"));
	json_decref(result);
	return BF_EXIT_DONE;
}

static int version(struct bf_cli *cli)
{
	printf(cli->json ? "{\"version\": \"%s\"}\n" : "bpfast %s\n", BPFAST_VERSION);
	return BF_EXIT_DONE;
}

static const struct bf_option none[] = {{NULL, 0, NULL, false, NULL}};

const struct bf_cli_command bf_cli_status[] = {
	{"status", NULL, "", 0, 0, "agent, kernel features, table fill, drops and what to do", none,
	 status},
	{"metrics", NULL, "", 0, 0, "Prometheus metrics as text", none, metrics},
	{"version", NULL, "", 0, 0, "the version", none, version},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};

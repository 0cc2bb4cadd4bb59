// SPDX-License-Identifier: Apache-2.0
#include "observe/filter.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "observe/names.h"
#include "observe/record.h"

int bf_filter_init(struct bf_filter *filter, const char *verdict, const char *protocol,
		   const char *endpoint, struct bf_error *err)
{
	const char *slash;

	memset(filter, 0, sizeof(*filter));
	filter->verdict = filter->protocol = -1;
	if (verdict) {
		filter->verdict = bf_verdict_from_word(verdict);
		if (filter->verdict < 0)
			return bf_err(err, -EINVAL,
				      "verdict '%s' is not known: use forwarded, dropped or audit",
				      verdict);
	}
	if (protocol && !strcasecmp(protocol, "http")) {
		filter->http = true;
	} else if (protocol) {
		filter->protocol = bf_protocol_from_name(protocol);
		if (filter->protocol < 0)
			return bf_err(err, -EINVAL,
				      "protocol '%s' is not known: use http, tcp, udp, sctp, icmp, "
				      "icmpv6 "
				      "or a number",
				      protocol);
	}
	if (!endpoint)
		return 0;
	slash = strchr(endpoint, '/');
	filter->endpoint = strdup(slash ? slash + 1 : endpoint);
	if (slash)
		filter->namespace = strndup(endpoint, (size_t)(slash - endpoint));
	if (!filter->endpoint || (slash && !filter->namespace)) {
		bf_filter_free(filter);
		return bf_err(err, -ENOMEM, "no memory");
	}
	return 0;
}

void bf_filter_free(struct bf_filter *filter)
{
	free(filter->endpoint);
	free(filter->namespace);
	filter->endpoint = filter->namespace = NULL;
}

static bool is(const struct bf_filter *filter, const struct bf_view_endpoint *who)
{
	return who && !strcmp(who->name, filter->endpoint) &&
	       (!filter->namespace || !strcmp(who->namespace, filter->namespace));
}

bool bf_filter_matches(const struct bf_filter *filter, const struct bpfast_event *ev,
		       const struct bf_view *view)
{
	/* An attack has no verdict and no endpoint: only who filters nothing is told. */
	if (ev->type == BPFAST_EV_ATTACK)
		return filter->verdict < 0 && filter->protocol < 0 && !filter->http &&
		       !filter->endpoint;
	if (filter->verdict >= 0 && filter->verdict != ev->verdict)
		return false;
	if (filter->http && ev->type == BPFAST_EV_L3_L4)
		return false;
	if (filter->protocol >= 0 && filter->protocol != ev->protocol)
		return false;
	if (!filter->endpoint)
		return true;
	return is(filter, bf_view_by_slot(view, ev->endpoint)) ||
	       is(filter, bf_view_by_address(view, bf_record_local_is_source(ev) ? ev->destination
										 : ev->source));
}

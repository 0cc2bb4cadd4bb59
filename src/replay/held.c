// SPDX-License-Identifier: Apache-2.0
#include "replay/held.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool same_way(const struct bf_frame *a, const struct bf_frame *b)
{
	return a->source_port == b->source_port && a->destination_port == b->destination_port &&
	       !memcmp(a->source, b->source, 16) && !memcmp(a->destination, b->destination, 16);
}

static bool other_way(const struct bf_frame *a, const struct bf_frame *b)
{
	return a->source_port == b->destination_port && a->destination_port == b->source_port &&
	       !memcmp(a->source, b->destination, 16) && !memcmp(a->destination, b->source, 16);
}

bool bf_held_same(const struct bf_held *held, const struct bf_frame *f)
{
	return f->tcp && (same_way(&held->f, f) || other_way(&held->f, f));
}

int bf_held_add(struct bf_held_list *list, const uint8_t *frame, size_t len,
		const struct bf_frame *f, uint32_t reason, struct bf_held **held,
		struct bf_held **given_up)
{
	struct bf_held *new = malloc(sizeof(*new) + len), **end;

	*given_up = NULL;
	if (!new)
		return -ENOMEM;
	*new = (struct bf_held){.f = *f, .ack = f->ack, .reason = reason, .len = len};
	memcpy(new->frame, frame, len);
	for (end = &list->first; *end; end = &(*end)->next)
		;
	*end = *held = new;
	list->n++;
	if (list->n > BF_HELD_MAX) {
		*given_up = list->first;
		bf_held_remove(list, list->first);
	}
	return 0;
}

void bf_held_remove(struct bf_held_list *list, struct bf_held *held)
{
	struct bf_held **at = &list->first;

	while (*at && *at != held)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = held->next;
	list->n--;
}

static uint32_t later(uint32_t a, uint32_t b)
{
	return (int32_t)(b - a) > 0 ? b : a;
}

void bf_held_heard(struct bf_held_list *list, const struct bf_frame *f)
{
	const uint8_t fin_syn = BF_TCP_FIN | BF_TCP_SYN;
	struct bf_held *h;

	if (!f->tcp || f->tcp_flags & BF_TCP_RST)
		return;
	for (h = list->first; h; h = h->next) {
		if (same_way(&h->f, f) && f->tcp_flags & BF_TCP_ACK)
			h->ack = later(h->ack, f->ack);
		/* What came past a gap is not acknowledged. */
		else if (other_way(&h->f, f) && (int32_t)(h->ack - f->seq) >= 0)
			h->ack = later(h->ack, f->seq + (uint32_t)f->payload_len +
						       !!(f->tcp_flags & fin_syn));
	}
}

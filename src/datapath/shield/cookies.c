// SPDX-License-Identifier: Apache-2.0
/* Destinations whose SYNs are answered with cookies: the map is all there is of them. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "datapath/shield/internal.h"

static int read_all(int fd, struct bf_shield_cookie **out, size_t *n)
{
	struct bf_shield_cookie *all = calloc(BPFAST_SHIELD_COOKIES, sizeof(*all));
	const struct bpfast_shield_cookie_key *at = NULL;

	*out = NULL;
	*n = 0;
	if (!all)
		return -ENOMEM;
	while (*n < BPFAST_SHIELD_COOKIES && !bpf_map_get_next_key(fd, at, &all[*n].key)) {
		at = &all[*n].key;
		if (!bpf_map_lookup_elem(fd, at, &all[*n].c))
			(*n)++;
		else
			break;
	}
	*out = all;
	return 0;
}

int bf_shield_cookies(struct bf_shield *s, struct bf_shield_cookie **out, size_t *n)
{
	return read_all(s->map[BF_SHIELD_MAP_COOKIE], out, n);
}

int bf_shield_cookie_get(struct bf_shield *s, const struct bpfast_shield_cookie_key *key,
			 struct bpfast_shield_cookie *out)
{
	return bpf_map_lookup_elem(s->map[BF_SHIELD_MAP_COOKIE], key, out) < 0 ? -errno : 0;
}

void bf_shield_cookies_count(struct bf_shield *s)
{
	struct bf_shield_cookie *all;
	size_t n;

	if (bf_shield_cookies(s, &all, &n))
		n = BPFAST_SHIELD_COOKIES; /* one look more a SYN is better than none */
	else
		free(all);
	__atomic_store_n(&s->control->cookies, (uint32_t)n, __ATOMIC_RELEASE);
}

int bf_shield_cookie_set(struct bf_shield *s, const struct bpfast_shield_cookie_key *key,
			 const struct bpfast_shield_cookie *c, struct bf_error *err)
{
	if (bpf_map_update_elem(s->map[BF_SHIELD_MAP_COOKIE], key, c, BPF_ANY) < 0) {
		int ret = -errno;

		if (ret == -E2BIG)
			return bf_err(err, ret,
				      "cookies are on for %u destinations, and there is no room "
				      "for more",
				      BPFAST_SHIELD_COOKIES);
		return bf_err(err, ret, "cannot put the cookie's destination into force: %s",
			      strerror(-ret));
	}
	bf_shield_cookies_count(s);
	return 0;
}

int bf_shield_cookie_remove(struct bf_shield *s, const struct bpfast_shield_cookie_key *key)
{
	int ret = bpf_map_delete_elem(s->map[BF_SHIELD_MAP_COOKIE], key) < 0 ? -errno : 0;

	bf_shield_cookies_count(s);
	return ret;
}

struct pinned {
	struct bf_shield_cookie *all;
	size_t n;
};

static int of_layout(void *arg, const char *dir, const char *layout)
{
	struct pinned *p = arg;
	struct bf_shield_cookie *more;
	size_t n;
	int fd;

	fd = bf_pins_open(dir, layout, "maps", "bpfast_shck");
	if (fd < 0)
		return 0;
	if (!read_all(fd, &more, &n)) {
		struct bf_shield_cookie *all = realloc(p->all, (p->n + n + 1) * sizeof(*all));

		if (all) {
			memcpy(all + p->n, more, n * sizeof(*all));
			p->all = all;
			p->n += n;
		}
		free(more);
	}
	close(fd);
	return 0;
}

void bf_shield_cookies_pinned(const char *pin_dir, struct bf_shield_cookie **out, size_t *n)
{
	struct pinned p = {0};
	char dir[BF_PATH];

	if (!bf_pins_path(dir, pin_dir, BF_SHIELD_DIR, NULL, NULL))
		bf_pins_each(dir, of_layout, &p);
	*out = p.all;
	*n = p.n;
}

// SPDX-License-Identifier: Apache-2.0
/*
 * The agent's socket: whatever a client writes, in whichever pieces, each line gets a line of
 * JSON, and the agent is left as it was found. Nothing reaches the kernel: what the agent asks of
 * it is answered here.
 */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/log.h"
#include "agent/server.h"
#include "agent/shield/http.h"

/* --- instead of src/datapath ------------------------------------------------------------- */

static struct bpfast_control control;
static uint32_t installed;

int bf_datapath_install(struct bf_datapath *dp, const void *image, size_t len, uint32_t *generation,
			struct bf_error *err)
{
	(void)dp;
	if (bf_image_check(image, len, err))
		FUZZ_FAIL("an image that is none: %s", err->msg);
	*generation = ++installed;
	return 0;
}

const void *bf_datapath_image(struct bf_datapath *dp, size_t *len, uint32_t *generation)
{
	(void)dp, (void)len, (void)generation;
	return NULL;
}

int bf_datapath_attach(struct bf_datapath *dp, int ifindex, const struct bpfast_endpoint *endpoint,
		       struct bf_error *err)
{
	(void)dp, (void)ifindex, (void)endpoint;
	return bf_err(err, -ENODEV, "not here");
}

int bf_datapath_update(struct bf_datapath *dp, int ifindex, const struct bpfast_endpoint *endpoint,
		       struct bf_error *err)
{
	return bf_datapath_attach(dp, ifindex, endpoint, err);
}

int bf_datapath_detach(struct bf_datapath *dp, int ifindex, struct bf_error *err)
{
	(void)dp, (void)ifindex, (void)err;
	return 0;
}

int bf_datapath_precedes(struct bf_datapath *dp, int ifindex, char *name, size_t size)
{
	(void)dp, (void)ifindex, (void)size;
	*name = 0;
	return 0;
}

int bf_datapath_verify(struct bf_datapath *dp, int ifindex, const struct bpfast_endpoint *endpoint,
		       struct bf_error *err)
{
	return bf_datapath_attach(dp, ifindex, endpoint, err);
}

bool bf_datapath_is_attached(struct bf_datapath *dp, int ifindex)
{
	(void)dp, (void)ifindex;
	return false;
}

int bf_datapath_attached(struct bf_datapath *dp, int **out, size_t *n)
{
	(void)dp;
	*out = NULL;
	*n = 0;
	return 0;
}

struct bpfast_control *bf_datapath_control(struct bf_datapath *dp)
{
	(void)dp;
	return &control;
}

int bf_datapath_metrics(struct bf_datapath *dp, struct bpfast_metrics *out)
{
	(void)dp;
	memset(out, 0, sizeof(*out));
	return 0;
}

int bf_datapath_events(struct bf_datapath *dp, void (*fn)(void *arg, const struct bpfast_event *ev),
		       void *arg)
{
	(void)dp, (void)fn, (void)arg;
	return 0;
}

void bf_datapath_endpoint_flows(const struct bf_datapath *dp, uint16_t slot,
				struct bf_endpoint_flows *out)
{
	(void)dp, (void)slot;
	memset(out, 0, sizeof(*out));
}

int bf_datapath_status(struct bf_datapath *dp, struct bf_datapath_status *out)
{
	(void)dp;
	memset(out, 0, sizeof(*out));
	return 0;
}

/* --- shield: tables that are not in the kernel ------------------------------------------------- */

struct bf_shield {
	struct bpfast_shield_control control;
	void *image[BPFAST_SI_COUNT];
	size_t len[BPFAST_SI_COUNT];
};

static struct bf_shield shield;

bool bf_shield_pinned(const char *pin_dir)
{
	(void)pin_dir;
	return false;
}

int bf_shield_open(const char *pin_dir, bool force_clsact, int vouch_fd, bf_shield_rewrite *rewrite,
		   struct bf_shield **out, bool *adopted, struct bf_error *err)
{
	(void)pin_dir, (void)force_clsact, (void)vouch_fd, (void)rewrite, (void)err;
	*out = &shield;
	*adopted = false;
	return 0;
}

void bf_shield_close(struct bf_shield *s)
{
	for (int which = 0; s && which < BPFAST_SI_COUNT; which++) {
		free(s->image[which]);
		s->image[which] = NULL;
		s->len[which] = 0;
	}
}

int bf_shield_attach(struct bf_shield *s, int ifindex, enum bf_shield_want want,
		     enum bpfast_shield_mode mode, char *why, size_t size, uint32_t *holder,
		     struct bf_error *err)
{
	(void)s, (void)ifindex, (void)want, (void)mode, (void)why, (void)size;
	*holder = 7;
	return bf_err(err, -EBUSY, "not here");
}

int bf_shield_attach_by(struct bf_shield *s, uint8_t by, int ifindex, enum bf_shield_want want,
			enum bpfast_shield_mode mode, char *why, size_t size, uint32_t *holder,
			struct bf_error *err)
{
	(void)by;
	return bf_shield_attach(s, ifindex, want, mode, why, size, holder, err);
}

int bf_datapath_vouch_fd(const struct bf_datapath *dp)
{
	(void)dp;
	return -1;
}

int bf_datapath_from_pod_fd(const struct bf_datapath *dp)
{
	(void)dp;
	return -1;
}

void bf_shield_after(struct bf_shield *s, int from_pod_fd)
{
	(void)s, (void)from_pod_fd;
}

/* Nobody is blocked towards one pod, and there is no room for anybody. */
int bf_shield_bars(struct bf_shield *s, struct bf_shield_bar **out, size_t *n)
{
	(void)s;
	*out = NULL;
	*n = 0;
	return 0;
}

int bf_shield_bar_put(struct bf_shield *s, const struct bf_shield_bar *bar)
{
	(void)s, (void)bar;
	return -E2BIG;
}

int bf_shield_bar_remove(struct bf_shield *s, const struct bpfast_shield_bar_key *key)
{
	(void)s, (void)key;
	return 0;
}

/* No destination has cookies, and none can get them. */
int bf_shield_cookies(struct bf_shield *s, struct bf_shield_cookie **out, size_t *n)
{
	(void)s;
	*out = NULL;
	*n = 0;
	return 0;
}

int bf_shield_cookie_get(struct bf_shield *s, const struct bpfast_shield_cookie_key *key,
			 struct bpfast_shield_cookie *out)
{
	(void)s, (void)key, (void)out;
	return -ENOENT;
}

int bf_shield_cookie_set(struct bf_shield *s, const struct bpfast_shield_cookie_key *key,
			 const struct bpfast_shield_cookie *c, struct bf_error *err)
{
	(void)s, (void)key, (void)c;
	return bf_err(err, -ENOSPC, "not here");
}

int bf_shield_cookie_remove(struct bf_shield *s, const struct bpfast_shield_cookie_key *key)
{
	(void)s, (void)key;
	return -ENOENT;
}

int bf_shield_detach(struct bf_shield *s, int ifindex, struct bf_error *err)
{
	(void)s, (void)ifindex;
	return bf_err(err, -ENOENT, "not here");
}

bool bf_shield_alive(struct bf_shield *s, const struct bpfast_shield_device *device)
{
	(void)s, (void)device;
	return false;
}

struct bpfast_shield_control *bf_shield_control(struct bf_shield *s)
{
	return &s->control;
}

void bf_shield_set_limit(struct bpfast_shield_limit *limit, uint32_t rate, uint32_t burst)
{
	limit->rate = rate;
	limit->burst = burst;
}

void bf_shield_set_defaults(struct bpfast_shield_control *c)
{
	memset(c->limit, 0, sizeof(c->limit));
}

int bf_shield_install(struct bf_shield *s, enum bpfast_shield_image which, const void *image,
		      size_t len, struct bf_error *err)
{
	struct bf_shield_list list;

	(void)err;
	if (len && bf_shield_entries(image, len, &list))
		FUZZ_FAIL("an image that is none");
	if (len)
		bf_shield_list_free(&list);
	free(s->image[which]);
	s->image[which] = len ? malloc(len) : NULL;
	s->len[which] = len;
	if (len)
		memcpy(s->image[which], image, len);
	return 0;
}

const void *bf_shield_image(struct bf_shield *s, enum bpfast_shield_image which, size_t *len)
{
	*len = s->len[which];
	return s->image[which];
}

int bf_shield_counters(struct bf_shield *s, unsigned int slot, struct bpfast_shield_counters *out)
{
	(void)s, (void)slot;
	memset(out, 0, sizeof(*out));
	return 0;
}

int bf_shield_samples(struct bf_shield *s, struct bpfast_shield_sample **out, size_t *n)
{
	(void)s;
	*out = NULL;
	*n = 0;
	return 0;
}

int bf_shield_map(struct bf_shield *s, struct bf_shield_measure *out, struct bf_error *err)
{
	(void)s;
	memset(out, 0, sizeof(*out));
	out->cpus = 1;
	out->tag = calloc(BPFAST_DEST_SETS, sizeof(*out->tag));
	out->dest = calloc(BPFAST_DESTS, sizeof(*out->dest));
	out->adaptive = calloc(BPFAST_DESTS * BPFAST_MC_COUNT, sizeof(*out->adaptive));
	out->force = calloc(1, sizeof(*out->force));
	out->meter = calloc(BPFAST_DESTS, sizeof(*out->meter));
	out->cpu = calloc(1, sizeof(*out->cpu));
	out->packet = calloc(BPFAST_PACKETS, sizeof(*out->packet));
	out->dns = calloc(1, sizeof(*out->dns));
	out->dns_cpu = calloc(1, sizeof(*out->dns_cpu));
	if (out->tag && out->dest && out->adaptive && out->force && out->meter && out->cpu &&
	    out->packet && out->dns && out->dns_cpu)
		return 0;
	bf_shield_unmap(out);
	return bf_err(err, -ENOMEM, "no memory");
}

void bf_shield_unmap(struct bf_shield_measure *m)
{
	free(m->dns);
	free(m->dns_cpu);
	free(m->tag);
	free(m->dest);
	free(m->adaptive);
	free(m->force);
	free(m->meter);
	free(m->cpu);
	free(m->packet);
	memset(m, 0, sizeof(*m));
}

uint32_t bf_shield_now(void)
{
	return 1000;
}

/* --- */

static struct bf_agent agent = {.run_fd = -1};
static char run_dir[] = "/tmp/bpfast-fuzz-XXXXXX";

static void remove_run_dir(void)
{
	unlinkat(agent.run_fd, BF_SOCKET_FILE, 0);
	unlinkat(agent.run_fd, BF_STATE_FILE, 0);
	rmdir(run_dir);
}

static void add_endpoint(const char *text)
{
	json_t *args = json_loads(text, 0, NULL);
	struct bf_error err = {""};
	struct bf_local *l;

	if (!args || bf_local_from_json(args, &l, &err) ||
	    bf_endpoints_add(&agent.endpoints, l, &err))
		FUZZ_FAIL("the endpoint: %s", err.msg);
	json_decref(args);
}

/* Also after an input that changed it. */
static void as_it_was(void)
{
	struct bf_error err = {""};

	bf_agent_shield_close(&agent);
	bf_objects_free(&agent.applied);
	memset(&agent.applied, 0, sizeof(agent.applied));
	bf_endpoints_free(&agent.endpoints);
	memset(&agent.endpoints, 0, sizeof(agent.endpoints));
	add_endpoint("{\"name\": \"web\", \"namespace\": \"shop\", \"iface\": \"none0\","
		     " \"labels\": {\"app\": \"web\"}, \"ips\": [\"10.0.0.2\"], \"slot\": 0,"
		     " \"ifindex\": 99999}");
	if (bf_enforce(&agent, &agent.directory, &agent.applied, &err))
		FUZZ_FAIL("not as it was: %s", err.msg);
}

static void prepare(void)
{
	struct bf_error err = {""};

	bf_log_set_level(BF_LOG_ERROR);
	bf_shield_http_init(&agent);
	if (!mkdtemp(run_dir) || bf_config_init(&agent.config) || bf_loop_init(&agent.loop))
		FUZZ_FAIL("no agent");
	agent.run_fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	atexit(remove_run_dir);
	if (bf_recorder_init(&agent.recorder, 16) || bf_server_start(&agent, &err))
		FUZZ_FAIL("no server: %s", err.msg);
}

/* Events until there are none. */
static void settle(void)
{
	struct epoll_event ev;

	while (epoll_wait(agent.loop.fd, &ev, 1, 0) > 0) {
		struct bf_watch *watch = ev.data.ptr;

		watch->fn(watch->arg, ev.events);
	}
}

/* Every line that comes back is an object. Returns false at the end. */
static bool read_answers(int fd, char **answer, size_t *len)
{
	char buf[65536], *lf;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		*answer = realloc(*answer, *len + (size_t)n);
		memcpy(*answer + *len, buf, (size_t)n);
		*len += (size_t)n;
		while ((lf = memchr(*answer, '\n', *len))) {
			json_t *o = json_loadb(*answer, (size_t)(lf - *answer), 0, NULL);

			if (!json_is_object(o))
				FUZZ_FAIL("an answer: %.*s", (int)(lf - *answer), *answer);
			json_decref(o);
			*len -= (size_t)(lf + 1 - *answer);
			memmove(*answer, lf + 1, *len);
		}
	}
	return n < 0 && errno == EAGAIN;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	size_t cut[CUTS_MAX + 1], cuts, n = size - CUTS_BYTES, from = 0, len = 0;
	char *answer = NULL;
	int fd;

	if (size <= CUTS_BYTES)
		return 0;
	if (!agent.server)
		prepare();
	agent.loop.stop = false;
	as_it_was(); /* an input means the same every time */
	cuts = choose_cuts(data, n, cut);
	cut[cuts] = n;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/" BF_SOCKET_FILE, run_dir);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
		FUZZ_FAIL("no connection: %s", strerror(errno));
	for (size_t i = 0; i <= cuts; from = cut[i++]) {
		if (send(fd, data + CUTS_BYTES + from, cut[i] - from, MSG_NOSIGNAL | MSG_DONTWAIT) <
		    0)
			break;
		settle();
		if (!read_answers(fd, &answer, &len))
			break;
	}
	shutdown(fd, SHUT_WR);
	do
		settle();
	while (read_answers(fd, &answer, &len) && !agent.observers);
	if (len)
		FUZZ_FAIL("half an answer: %.*s", (int)len, answer);
	close(fd);
	settle();
	if (agent.observers || agent.frozen[0])
		FUZZ_FAIL("%u observers are left", agent.observers);
	free(answer);
	return 0;
}

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

int bf_datapath_status(struct bf_datapath *dp, struct bf_datapath_status *out)
{
	(void)dp;
	memset(out, 0, sizeof(*out));
	return 0;
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

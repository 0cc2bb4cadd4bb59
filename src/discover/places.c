// SPDX-License-Identifier: Apache-2.0
/* What was found, by network namespace. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "discover/find.h"

void bf_found_note(struct bf_found *found, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(found->notes, json_string(text));
}

void bf_found_stopped(struct bf_found *found, const char *runtime, const char *space,
		      const char *id, const char *name, const char *state)
{
	json_array_append_new(found->stopped,
			      json_pack("{s:s, s:s*, s:s, s:s, s:s}", "runtime", runtime,
					"runtime_namespace", space, "id", id, "name", name, "state",
					*state ? state : "stopped"));
}

static void free_container(struct bf_running *c)
{
	free(c->space);
	free(c->id);
	free(c->name);
	free(c->pod);
	free(c->pod_namespace);
	json_decref(c->labels);
}

void bf_found_free(struct bf_found *found)
{
	struct bf_place *p;
	size_t i;

	for (p = found->places; p < found->places + found->count; p++) {
		for (i = 0; i < p->container_count; i++)
			free_container(&p->containers[i]);
		for (i = 0; i < p->plug_count; i++)
			free(p->plugs[i].addrs);
		free(p->containers);
		free(p->plugs);
		free(p->netns);
		if (p->fd >= 0)
			close(p->fd);
	}
	free(found->places);
	json_decref(found->notes);
	json_decref(found->stopped);
	memset(found, 0, sizeof(*found));
}

struct bf_place *bf_found_place(struct bf_found *found, int fd)
{
	struct bf_place *more;
	struct stat st;
	size_t i;

	if (fd < 0 || fstat(fd, &st)) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	for (i = 0; i < found->count; i++) {
		if (found->places[i].ino == st.st_ino && found->places[i].dev == st.st_dev) {
			close(fd);
			return &found->places[i];
		}
	}
	if (found->count == found->cap) {
		more = realloc(found->places, (found->cap * 2 + 16) * sizeof(*more));
		if (!more) {
			close(fd);
			errno = ENOMEM;
			return NULL;
		}
		found->places = more;
		found->cap = found->cap * 2 + 16;
	}
	found->places[found->count] =
		(struct bf_place){.dev = st.st_dev, .ino = st.st_ino, .fd = fd};
	return &found->places[found->count++];
}

/* What runtimes note for themselves, and Kubernetes beside the labels of a pod. */
static bool is_theirs(const struct bf_running *c, const char *key)
{
	static const char *const theirs[] = {"io.containerd.", "containerd.io/",
					     "io.cri-containerd.", "nerdctl/"};
	static const char *const kubernetes[] = {"io.kubernetes.pod.", "io.kubernetes.container.",
						 "io.kubernetes.docker.", "io.kubernetes.sandbox.",
						 "annotation."};
	size_t i;

	for (i = 0; i < sizeof(theirs) / sizeof(*theirs); i++)
		if (!strncmp(key, theirs[i], strlen(theirs[i])))
			return true;
	for (i = 0; c->pod && i < sizeof(kubernetes) / sizeof(*kubernetes); i++)
		if (!strncmp(key, kubernetes[i], strlen(kubernetes[i])))
			return true;
	return false;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The others, sorted: some runtimes tell them in another order each time. NULL: no memory. */
static json_t *own_labels(const struct bf_running *c)
{
	const char **keys = calloc(json_object_size(c->labels) + 1, sizeof(*keys)), *key;
	json_t *own = keys ? json_object() : NULL, *value;
	size_t n = 0, i;

	json_object_foreach (c->labels, key, value)
		if (own && !is_theirs(c, key))
			keys[n++] = key;
	if (own)
		qsort(keys, n, sizeof(*keys), by_text);
	for (i = 0; i < n; i++)
		json_object_set(own, keys[i], json_object_get(c->labels, keys[i]));
	free(keys);
	return own;
}

void bf_found_container(struct bf_found *found, struct bf_running *c)
{
	struct bf_running *more;
	struct bf_place *p;
	json_t *labels;
	char path[64];
	size_t i;

	if (!c->id || !c->name)
		goto no_memory;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)c->pid);
	p = bf_found_place(found, open(path, O_RDONLY | O_CLOEXEC));
	if (!p) {
		/* It ended while we looked: then it does not run. */
		if (errno != ENOENT && errno != ESRCH) {
			bf_found_note(found, "container %.80s of %s cannot be looked into: %s",
				      c->name, c->runtime, strerror(errno));
			found->incomplete = true;
		}
		free_container(c);
		return;
	}
	/* Docker keeps its containers in a containerd; they come from Docker first, with their names. */
	for (i = 0; i < p->container_count; i++) {
		if (p->containers[i].pid == c->pid && !strcmp(p->containers[i].id, c->id)) {
			free_container(c);
			return;
		}
	}
	more = realloc(p->containers, (p->container_count + 1) * sizeof(*more));
	if (!more)
		goto no_memory;
	p->containers = more;
	if (c->labels) {
		labels = own_labels(c);
		json_decref(c->labels);
		c->labels = labels;
	}
	p->containers[p->container_count++] = *c;
	return;
no_memory:
	bf_found_note(found, "no memory for all that was found");
	found->incomplete = true;
	free_container(c);
}

const struct bf_running *bf_place_owner(const struct bf_place *p)
{
	const struct bf_running *c, *best = NULL;
	size_t i;

	for (i = 0; i < p->container_count; i++) {
		c = &p->containers[i];
		if (!best || c->sandbox > best->sandbox ||
		    (c->sandbox == best->sandbox &&
		     (c->joined < best->joined ||
		      (c->joined == best->joined && c->pid < best->pid))))
			best = c;
	}
	return best;
}

const char *bf_place_name(const struct bf_place *p, char *buf, size_t size)
{
	const struct bf_running *c = bf_place_owner(p);

	if (c)
		return c->pod ? c->pod : c->name;
	if (p->netns)
		return p->netns;
	snprintf(buf, size, "pid-%d", (int)p->pid);
	return buf;
}

const char *bf_place_runtime(const struct bf_place *p)
{
	const struct bf_running *c = bf_place_owner(p);

	return c ? c->runtime : p->netns ? "netns" : "process";
}

size_t bf_place_plugged(const struct bf_place *p)
{
	size_t i, n = 0;

	for (i = 0; i < p->plug_count; i++)
		n += p->plugs[i].host.ifindex > 0;
	return n;
}

const char *bf_place_why_not(const struct bf_place *p, char *buf, size_t size)
{
	size_t n = bf_place_plugged(p);

	if (n == 1)
		return NULL;
	if (p->host)
		snprintf(buf, size,
			 "uses the network of the node itself, so there is no interface of its "
			 "own to guard");
	else if (n)
		snprintf(buf, size, "has %zu interfaces on this node; say which with --iface", n);
	else if (!p->plug_count)
		snprintf(buf, size,
			 "has no network interface that leads to this node, so there is nothing "
			 "to guard");
	else
		snprintf(buf, size,
			 "has no veth whose other end is on this node (%s is %s%s), so it cannot "
			 "be guarded",
			 p->plugs[0].inside.name,
			 *p->plugs[0].inside.kind ? "of kind " : "not virtual",
			 p->plugs[0].inside.kind);
	return buf;
}

/*
 * Containers in the node's own namespace have only that in common: each is a place of its
 * own, and those of one pod are one.
 */
static int part_host(struct bf_found *found)
{
	struct bf_place host = found->places[0], *p, *more;
	struct bf_running *c, *list;
	size_t i, at;

	found->places[0] = found->places[--found->count];
	for (i = 0; i < host.container_count; i++) {
		c = &host.containers[i];
		for (at = 0; at < found->count; at++) {
			p = &found->places[at];
			if (p->host && c->pod && p->containers->pod &&
			    !strcmp(c->pod, p->containers->pod) &&
			    !strcmp(c->pod_namespace ? c->pod_namespace : "",
				    p->containers->pod_namespace ? p->containers->pod_namespace
								 : ""))
				break;
		}
		if (at == found->count) {
			more = realloc(found->places, (found->count + 1) * sizeof(*more));
			if (!more)
				break;
			found->places = more;
			found->cap = found->count + 1;
			found->places[found->count++] = (struct bf_place){
				.dev = host.dev, .ino = host.ino, .fd = -1, .host = true};
		}
		p = &found->places[at];
		list = realloc(p->containers, (p->container_count + 1) * sizeof(*list));
		if (!list)
			break;
		p->containers = list;
		p->containers[p->container_count++] = *c;
	}
	at = i;
	for (; i < host.container_count; i++)
		free_container(&host.containers[i]);
	i = host.container_count;
	free(host.containers);
	free(host.netns);
	close(host.fd);
	return at < i ? -ENOMEM : 0;
}

static int by_name(const void *a, const void *b)
{
	const struct bf_place *x = a, *y = b;
	char s[32], t[32];
	int r = (x->container_count == 0) - (y->container_count == 0);

	if (!r)
		r = (!x->container_count && !x->netns) - (!y->container_count && !y->netns);
	if (!r)
		r = strcmp(bf_place_name(x, s, sizeof(s)), bf_place_name(y, t, sizeof(t)));
	return r ? r : (x->ino > y->ino) - (x->ino < y->ino);
}

int bf_discover(const struct bf_discover_from *from, struct bf_found *found, struct bf_error *err)
{
	const char *state = from->containerd_state;
	struct rlimit files;
	struct bf_place *p;
	int r;

	memset(found, 0, sizeof(*found));
	found->notes = json_array();
	found->stopped = json_array();
	/* Each namespace keeps a descriptor open. */
	if (!getrlimit(RLIMIT_NOFILE, &files) && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	p = bf_found_place(found, open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
	if (!found->notes || !found->stopped || !p) {
		r = bf_err(err, -ENOENT, "cannot read /proc/self/ns/net: %s", strerror(errno));
		bf_found_free(found);
		return r;
	}
	p->host = true;
	/* Docker first: its containers are in a containerd too, without their names. */
	bf_find_docker(found, "docker",
		       from->docker_socket ? from->docker_socket : BF_DOCKER_SOCKET,
		       from->docker_socket);
	bf_find_docker(found, "podman",
		       from->podman_socket ? from->podman_socket : BF_PODMAN_SOCKET,
		       from->podman_socket);
	bf_find_containerd(found, state ? state : BF_CONTAINERD_STATE, from->containerd_socket,
			   state);
	if (!state && !from->containerd_socket)
		bf_find_containerd(found, BF_K3S_STATE, NULL, false);
	bf_find_netns(found, from->netns_dir ? from->netns_dir : BF_NETNS_DIR, from->netns_dir);
	bf_find_processes(found);
	r = bf_find_plugs(found, err);
	if (!r && part_host(found))
		r = bf_err(err, -ENOMEM, "no memory");
	if (r) {
		bf_found_free(found);
		return r;
	}
	qsort(found->places, found->count, sizeof(*found->places), by_name);
	return 0;
}

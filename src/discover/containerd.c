// SPDX-License-Identifier: Apache-2.0
/*
 * containerd. What runs stands in its state directory: a folder for each task, with the
 * OCI configuration and the process id. Labels are in its database, for which it is asked
 * (docs/design/discover.md). So containers are found also while containerd itself is away.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "discover/ask.h"
#include "discover/find.h"

#include "containerd.pb-c.h"

#define TASKS "io.containerd.runtime.v2.task"
#define CONFIG_MAX (4u << 20)
#define GRPC_HEAD 5

/* containerd, pkg/cri/annotations */
#define CRI "io.kubernetes.cri."

/* {id: {labels}} of one of containerd's namespaces; NULL after a note. */
static json_t *ask_labels(struct bf_found *found, struct bf_asker *a, const char *space)
{
	BfContainerd__ListContainersRequest request = BF_CONTAINERD__LIST_CONTAINERS_REQUEST__INIT;
	BfContainerd__ListContainerMessage *m;
	struct bf_answer answer;
	struct bf_error err;
	uint8_t none[1];
	json_t *all, *labels;
	size_t at, i, len;
	/* The call that answers container by container, so that no limit on a message is met. */
	int r = bf_ask_grpc(a, "/containerd.services.containers.v1.Containers/ListStream", space,
			    none, bf_containerd__list_containers_request__pack(&request, none),
			    &answer, &err);

	if (r) {
		bf_found_note(found, "labels of containerd's containers cannot be read: %s",
			      err.msg);
		found->incomplete = true;
		/* Whoever hangs or refuses is not asked again for each namespace. */
		bf_asker_close(a);
		return NULL;
	}
	all = json_object();
	for (at = 0; !r && at + GRPC_HEAD <= answer.len; at += GRPC_HEAD + len) {
		const uint8_t *head = answer.body + at;

		len = (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 |
		      head[4];
		m = head[0] || len > answer.len - at - GRPC_HEAD
			    ? NULL
			    : bf_containerd__list_container_message__unpack(NULL, len,
									    head + GRPC_HEAD);
		if (!m || !m->container) {
			r = -EPROTO;
		} else {
			labels = json_object();
			for (i = 0; i < m->container->n_labels; i++)
				json_object_set_new(labels, m->container->labels[i]->key,
						    json_string(m->container->labels[i]->value));
			json_object_set_new(all, m->container->id, labels);
		}
		if (m)
			bf_containerd__list_container_message__free_unpacked(m, NULL);
	}
	free(answer.body);
	if (!r)
		return all;
	bf_found_note(found, "what containerd says of its namespace %.80s is not understood",
		      space);
	found->incomplete = true;
	json_decref(all);
	return NULL;
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s && *s ? s : NULL;
}

static char *copy(const char *s)
{
	return s ? strdup(s) : NULL;
}

/* Of the network namespace in the configuration: given by path, and by another's process. */
static bool joined(const json_t *config)
{
	const json_t *all = json_object_get(json_object_get(config, "linux"), "namespaces"), *ns;
	size_t i;

	json_array_foreach (all, i, ns)
		if (text(ns, "type") && !strcmp(text(ns, "type"), "network"))
			return text(ns, "path") && !strncmp(text(ns, "path"), "/proc/", 6);
	return false;
}

/*
 * Whether the process is the container's: a folder outlives a shim that was killed, and
 * process ids are given again. A container's parent is its shim (or itself the shim,
 * where a machine is emulated); else its control group bears the name.
 */
static bool is_its_process(pid_t pid, const char *id)
{
	static const char shim[] = "containerd-shim";
	char name[64], *line, *paren, parent[24] = "0";
	bool is = false;
	size_t len;

	snprintf(name, sizeof(name), "/proc/%d/stat", (int)pid);
	if (bf_find_slurp(AT_FDCWD, name, 4096, &line, &len))
		return false;
	/* PID (COMMAND) STATE PARENT ...; proc(5) */
	paren = strrchr(line, ')');
	if (paren)
		sscanf(paren, ") %*c %20s", parent);
	is = strstr(line, shim);
	free(line);
	snprintf(name, sizeof(name), "/proc/%s/comm", parent);
	if (!is && !bf_find_slurp(AT_FDCWD, name, 4096, &line, &len)) {
		is = !strncmp(line, shim, sizeof(shim) - 1);
		free(line);
	}
	snprintf(name, sizeof(name), "/proc/%d/cgroup", (int)pid);
	if (!is && !bf_find_slurp(AT_FDCWD, name, 1 << 16, &line, &len)) {
		is = strstr(line, id);
		free(line);
	}
	return is;
}

static pid_t read_pid(int dir)
{
	char *line;
	size_t len;
	long pid;

	if (bf_find_slurp(dir, "init.pid", 64, &line, &len))
		return 0;
	pid = strtol(line, NULL, 10);
	free(line);
	return pid > 0 && pid <= 1 << 22 ? (pid_t)pid : 0;
}

static json_t *read_config(struct bf_found *found, int dir, const char *space, const char *id)
{
	json_t *config;
	json_error_t je;
	char *line;
	size_t len;
	int r = bf_find_slurp(dir, "config.json", CONFIG_MAX, &line, &len);

	if (r) {
		if (r != -ENOENT)
			bf_found_note(found,
				      "config.json of containerd's %.80s/%.80s cannot be read: %s",
				      space, id, strerror(-r));
		return NULL;
	}
	config = json_loadb(line, len, JSON_ALLOW_NUL, &je);
	free(line);
	if (!config)
		bf_found_note(found,
			      "config.json of containerd's %.80s/%.80s is not JSON (line %d: %s); "
			      "it is taken without its annotations",
			      space, id, je.line, je.text);
	return config;
}

static void one_task(struct bf_found *found, int tasks, const char *space, const char *id,
		     const json_t *labels)
{
	int dir = openat(tasks, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	json_t *config = dir < 0 ? NULL : read_config(found, dir, space, id);
	const json_t *notes = json_object_get(config, "annotations"), *own;
	const char *kind = text(notes, CRI "container-type"), *name;
	pid_t pid = dir < 0 ? 0 : read_pid(dir);
	struct bf_running c;

	if (dir < 0)
		return;
	close(dir);
	own = json_object_get(labels, id);
	name = text(notes, CRI "container-name");
	if (!name)
		name = text(own, "io.kubernetes.container.name");
	if (!name)
		name = text(own, "nerdctl/name");
	if (!name)
		name = id;
	if (!pid || !is_its_process(pid, id)) {
		bf_found_stopped(found, "containerd", space, id, name, "stopped");
		json_decref(config);
		return;
	}
	c = (struct bf_running){
		.runtime = "containerd",
		.space = strdup(space),
		.id = strdup(id),
		.name = strdup(name),
		.pod = copy(text(notes, CRI "sandbox-name")),
		.pod_namespace = copy(text(notes, CRI "sandbox-namespace")),
		.labels = labels ? own ? json_incref((json_t *)own) : json_object() : NULL,
		.pid = pid,
		.sandbox = kind && !strcmp(kind, "sandbox"),
		.joined = joined(config),
	};
	if (!c.pod)
		c.pod = copy(text(own, "io.kubernetes.pod.name"));
	if (c.pod && !c.pod_namespace)
		c.pod_namespace = copy(text(own, "io.kubernetes.pod.namespace"));
	json_decref(config);
	bf_found_container(found, &c);
}

/* What containerd knows but has no task for. */
static void stopped(struct bf_found *found, int tasks, const char *space, json_t *labels)
{
	const char *id;
	json_t *own;

	json_object_foreach (labels, id, own)
		if (tasks < 0 || faccessat(tasks, id, F_OK, 0))
			bf_found_stopped(found, "containerd", space, id,
					 text(own, "nerdctl/name") ? text(own, "nerdctl/name") : id,
					 "stopped");
}

static void one_space(struct bf_found *found, int dir, const char *space, struct bf_asker *a)
{
	int fd = openat(dir, space, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	json_t *labels = a->curl && fd >= 0 ? ask_labels(found, a, space) : NULL;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!d) {
		if (fd >= 0)
			close(fd);
		json_decref(labels);
		return;
	}
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			one_task(found, fd, space, e->d_name, labels);
	stopped(found, fd, space, labels);
	closedir(d);
	json_decref(labels);
}

void bf_find_containerd(struct bf_found *found, const char *state, const char *socket, bool wanted)
{
	char path[4096], usual[4096];
	struct bf_asker a = {0};
	struct bf_error err;
	struct dirent *e;
	DIR *d;
	int r;

	snprintf(path, sizeof(path), "%s/%s", state, TASKS);
	snprintf(usual, sizeof(usual), "%s/containerd.sock", state);
	d = opendir(path);
	if (!d) {
		/* Where nothing was run yet there is no such folder. A containerd whose socket is
		 * elsewhere has its state elsewhere, too. */
		r = errno;
		if (r != ENOENT ||
		    (wanted ? access(state, F_OK) != 0 : socket && strcmp(socket, usual))) {
			bf_found_note(found, "cannot read %s: %s%s", path, strerror(r),
				      wanted ? ""
					     : "; say with --containerd-state where "
					       "containerd keeps what runs");
			found->incomplete = true;
		}
		return;
	}
	r = bf_asker_open(&a, socket ? socket : usual, &err);
	if (r) {
		bf_found_note(found,
			      "labels of containerd's containers cannot be read: %s; give the "
			      "path of its socket with --containerd-socket",
			      err.msg);
		found->incomplete = true;
	}
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			one_space(found, dirfd(d), e->d_name, &a);
	closedir(d);
	bf_asker_close(&a);
}

// SPDX-License-Identifier: Apache-2.0
#include "cni/config.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUN_DIR "/run/bpfast"
#define TIMEOUT_MAX_S 110 /* a kubelet waits two minutes for the whole chain */

int bf_cni_err(struct bf_cni_error *err, int code, const char *details, const char *fmt, ...)
{
	va_list ap;

	err->code = code;
	va_start(ap, fmt);
	vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	snprintf(err->details, sizeof(err->details), "%s", details ? details : "");
	return code;
}

static bool supported(const char *version)
{
	return !strcmp(version, "1.0.0") || !strcmp(version, "1.1.0");
}

/* Of a network; the rule is the same as for a container id. */
static bool name_ok(const char *s)
{
	size_t i;

	for (i = 0; s[i]; i++) {
		bool alnum = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
			     (s[i] >= '0' && s[i] <= '9');

		if (!alnum && (!i || !strchr("_.-", s[i])))
			return false;
	}
	return i > 0 && i <= 253;
}

static int read_version(struct bf_cni_config *c, enum bf_cni_command command,
			struct bf_cni_error *err)
{
	const json_t *v = json_object_get(c->root, "cniVersion");
	const char *text = json_string_value(v);

	c->version = "";
	/* Without it, it is of the time before there were versions. */
	if (!v)
		text = "0.1.0";
	if (!text)
		return bf_cni_err(err, BF_CNI_DECODE, NULL, "cniVersion is not a text");
	if (supported(text))
		c->version = text;
	if (command == BF_CNI_VERSIONS)
		return 0;
	if (!supported(text))
		return bf_cni_err(err, BF_CNI_VERSION, "bpfast-cni supports 1.0.0 and 1.1.0",
				  "the configuration has cniVersion '%.40s'%s", text,
				  v ? "" : ", for it says none");
	if ((command == BF_CNI_STATUS || command == BF_CNI_GC) && strcmp(text, "1.1.0"))
		return bf_cni_err(err, BF_CNI_VERSION, "they came with CNI 1.1.0",
				  "STATUS and GC do not exist in cniVersion %s", text);
	return 0;
}

static int read_name(struct bf_cni_config *c, enum bf_cni_command command, struct bf_cni_error *err)
{
	const char *type = json_string_value(json_object_get(c->root, "type"));

	c->name = json_string_value(json_object_get(c->root, "name"));
	if (command == BF_CNI_DEL && !c->name)
		return 0;
	if (!c->name || !name_ok(c->name))
		return bf_cni_err(err, BF_CNI_CONFIG, NULL,
				  "the network's name '%.80s' is not valid: letters, digits, '_', "
				  "'.' and '-' are, beginning with a letter or digit",
				  c->name ? c->name : "");
	if (command != BF_CNI_DEL && (!type || strcmp(type, "bpfast-cni")))
		return bf_cni_err(err, BF_CNI_CONFIG, NULL,
				  "the plugin's type is '%.80s', not bpfast-cni", type ? type : "");
	return 0;
}

/* An absolute path without "..". */
static bool path_ok(const char *s)
{
	size_t len = strlen(s);

	return *s == '/' && len < 4000 && !strstr(s, "/../") &&
	       (len < 3 || strcmp(s + len - 3, "/.."));
}

static int read_run_dir(struct bf_cni_config *c, struct bf_cni_error *err)
{
	const json_t *v = json_object_get(c->root, "runDir");

	c->run_dir = v ? json_string_value(v) : RUN_DIR;
	if (!c->run_dir || !path_ok(c->run_dir))
		return bf_cni_err(err, BF_CNI_CONFIG, NULL,
				  "runDir: an absolute path without '..' is expected");
	return 0;
}

static int read_labels(struct bf_cni_config *c, struct bf_cni_error *err)
{
	const char *key;
	json_t *value;

	c->labels = json_object_get(c->root, "labels");
	if (!c->labels)
		return 0;
	if (!json_is_object(c->labels) || json_object_size(c->labels) > BF_CNI_LABELS_MAX)
		return bf_cni_err(err, BF_CNI_CONFIG, NULL,
				  "labels: an object of at most %d texts is expected",
				  BF_CNI_LABELS_MAX);
	json_object_foreach ((json_t *)c->labels, key, value)
		if (!json_is_string(value))
			return bf_cni_err(err, BF_CNI_CONFIG, NULL,
					  "labels: the value of '%.80s' is not a text", key);
	return 0;
}

static int read_settings(struct bf_cni_config *c, struct bf_cni_error *err)
{
	const json_t *policy = json_object_get(c->root, "failPolicy"),
		     *timeout = json_object_get(c->root, "timeoutSeconds"),
		     *file = json_object_get(c->root, "logFile"),
		     *level = json_object_get(c->root, "logLevel");
	const char *s = policy ? json_string_value(policy) : "closed";

	if (!s || (strcmp(s, "closed") && strcmp(s, "open")))
		return bf_cni_err(err, BF_CNI_CONFIG, NULL,
				  "failPolicy: 'closed' or 'open' is expected");
	c->fail_open = !strcmp(s, "open");
	if (timeout && (!json_is_integer(timeout) || json_integer_value(timeout) < 1 ||
			json_integer_value(timeout) > TIMEOUT_MAX_S))
		return bf_cni_err(err, BF_CNI_CONFIG, NULL,
				  "timeoutSeconds: a number from 1 to %d is expected",
				  TIMEOUT_MAX_S);
	if (timeout)
		c->timeout_ms = (unsigned int)json_integer_value(timeout) * 1000;
	c->log_file = json_string_value(file);
	if (file && (!c->log_file || !path_ok(c->log_file))) {
		c->log_file = NULL;
		return bf_cni_err(err, BF_CNI_CONFIG, NULL,
				  "logFile: an absolute path without '..' is expected");
	}
	s = level ? json_string_value(level) : "info";
	if (!s || (strcmp(s, "info") && strcmp(s, "debug")))
		return bf_cni_err(err, BF_CNI_CONFIG, NULL,
				  "logLevel: 'info' or 'debug' is expected");
	c->log_debug = !strcmp(s, "debug");
	return read_labels(c, err);
}

/* A slip in a setting's name must not leave a container with another policy than was meant. */
static int refuse_unknown(const struct bf_cni_config *c, struct bf_cni_error *err)
{
	static const char *const known[] = {
		"cniVersion", "name",	  "type",	   "args",   "capabilities",
		"prevResult", "runDir",	  "failPolicy",	   "labels", "timeoutSeconds",
		"logFile",    "logLevel", "runtimeConfig",
	};
	const char *key;
	json_t *value;
	char *text;
	size_t i;

	json_object_foreach (c->root, key, value) {
		for (i = 0; i < sizeof(known) / sizeof(*known) && strcmp(key, known[i]); i++)
			;
		/* What begins so is reserved for the protocol. */
		if (i < sizeof(known) / sizeof(*known) || !strncmp(key, "cni.dev/", 8))
			continue;
		text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
		bf_cni_err(err, BF_CNI_FIELD, NULL, "bpfast-cni has no setting %.80s: %.120s", key,
			   text ? text : "");
		free(text);
		return BF_CNI_FIELD;
	}
	return 0;
}

static int read_valid(struct bf_cni_config *c, struct bf_cni_error *err)
{
	static const char key[] = "cni.dev/valid-attachments";
	const json_t *v;
	size_t i;

	c->valid = json_object_get(c->root, key);
	/* libcni writes an empty list as null. A list that is not there says nothing at all. */
	if (json_is_null(c->valid)) {
		json_object_set_new(c->root, key, json_array());
		c->valid = json_object_get(c->root, key);
	}
	if (!json_is_array(c->valid))
		return bf_cni_err(err, BF_CNI_CONFIG, NULL, "GC: %s is missing, or not a list",
				  key);
	json_array_foreach (c->valid, i, v)
		if (!json_is_string(json_object_get(v, "containerID")) ||
		    !json_is_string(json_object_get(v, "ifname")))
			return bf_cni_err(err, BF_CNI_CONFIG, NULL,
					  "GC: entry %zu of %s has no containerID or no ifname", i,
					  key);
	return 0;
}

int bf_cni_config_read(struct bf_cni_config *c, enum bf_cni_command command, const char *text,
		       size_t len, struct bf_cni_error *err)
{
	bool lenient = command == BF_CNI_DEL || command == BF_CNI_VERSIONS;
	char where[JSON_ERROR_TEXT_LENGTH + 40];
	json_error_t je;
	int r;

	memset(c, 0, sizeof(*c));
	c->version = "";
	c->run_dir = RUN_DIR;
	c->timeout_ms = BF_CNI_TIMEOUT_S * 1000;
	if (len > BF_CNI_INPUT_MAX)
		return bf_cni_err(err, BF_CNI_DECODE, NULL,
				  "the configuration is longer than %u bytes", BF_CNI_INPUT_MAX);
	if (!len && lenient)
		return 0;
	c->root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &je);
	if (!json_is_object(c->root)) {
		snprintf(where, sizeof(where), "line %d, column %d: %s", je.line, je.column,
			 c->root ? "not an object" : je.text);
		bf_cni_config_free(c);
		return bf_cni_err(err, BF_CNI_DECODE, where,
				  "the configuration on stdin is not a JSON object");
	}
	r = read_version(c, command, err);
	if (!r && command == BF_CNI_VERSIONS)
		return 0;
	if (!r)
		r = read_name(c, command, err);
	if (!r)
		r = read_run_dir(c, err);
	c->prev = json_object_get(c->root, "prevResult");
	if (!r && command == BF_CNI_DEL) {
		struct bf_cni_error ignored;

		read_settings(c, &ignored);
		return 0;
	}
	if (!r)
		r = read_settings(c, err);
	if (!r)
		r = refuse_unknown(c, err);
	if (!r && command == BF_CNI_GC)
		r = read_valid(c, err);
	return r;
}

void bf_cni_config_free(struct bf_cni_config *c)
{
	json_decref(c->root);
	memset(c, 0, sizeof(*c));
	c->version = "";
}

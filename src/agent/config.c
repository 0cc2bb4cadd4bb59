// SPDX-License-Identifier: Apache-2.0
#include "agent/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "bpfast/limits.h"

#define CONFIG_MAX (1u << 20) /* bytes of a configuration file */

enum type { TEXT, NUMBER, SWITCH };

struct option {
	const char *name; /* flag without dashes, and key in the file */
	enum type type;
	size_t at; /* in struct bf_config */
	uint32_t min, max; /* of NUMBER */
	const char *meta, *help; /* help NULL: hidden */
};

#define AT(field) offsetof(struct bf_config, field)
static const struct option options[] = {
	{"run-dir", TEXT, AT(run_dir), 0, 0, "DIR", "socket and state (default /run/bpfast)"},
	{"pin-dir", TEXT, AT(pin_dir), 0, 0, "DIR",
	 "on a bpffs: what stays in force (default /sys/fs/bpf/bpfast)"},
	{"policy-dir", TEXT, AT(policy_dir), 0, 0, "DIR",
	 "policies that are watched (default /etc/bpfast/policies), or off"},
	{"log-dir", TEXT, AT(log_dir), 0, 0, "DIR",
	 "of records-file and log-file (default /var/log/bpfast)"},
	{"metrics-listen", TEXT, AT(metrics_listen), 0, 0, "ADDR:PORT",
	 "Prometheus metrics (default 127.0.0.1:9477), or off"},
	{"log-level", TEXT, AT(log_level), 0, 0, "LEVEL", "error, warn, info (default) or debug"},
	{"socket-group", TEXT, AT(socket_group), 0, 0, "GROUP",
	 "who may give commands besides root (default nobody)"},
	{"node-name", TEXT, AT(node_name), 0, 0, "NAME", "in records (default: the host's name)"},
	{"flows", NUMBER, AT(flows), 1024, 16777216, "N",
	 "connections followed at once (default 262144)"},
	{"flows-per-endpoint", NUMBER, AT(flows_per_endpoint), 16, 16777216, "N",
	 "of these, for one endpoint (default half of them)"},
	{"arena-mib", NUMBER, AT(arena_mib), 1, 1024, "N",
	 "MiB for policy tables, a power of two (default 32)"},
	{"retain-mib", NUMBER, AT(retain_mib), 8, 4096, "N",
	 "MiB for stream bytes that are not acknowledged yet (default 32)"},
	{"records", NUMBER, AT(records), 1, 16777216, "N",
	 "flow records kept in memory (default 65536)"},
	{"records-file", TEXT, AT(records_file), 0, 0, "NAME",
	 "flow records as JSON, a file of log-dir, such as flows.json (default off)"},
	{"records-file-mib", NUMBER, AT(records_file_mib), 0, 1048576, "N",
	 "MiB at which that file is rotated (default 64); 0: not by the agent"},
	{"records-file-backups", NUMBER, AT(records_file_backups), 0, 1000, "N",
	 "rotated files that are kept (default 5)"},
	{"log-file", TEXT, AT(log_file), 0, 0, "NAME",
	 "the agent's log, a file of log-dir, such as bpfastd.log (default off: stderr)"},
	{"log-file-mib", NUMBER, AT(log_file_mib), 0, 1048576, "N",
	 "MiB at which that file is rotated (default 16); 0: not by the agent"},
	{"log-file-backups", NUMBER, AT(log_file_backups), 0, 1000, "N",
	 "rotated files that are kept (default 5)"},
	{"records-per-second", NUMBER, AT(records_per_second), 0, 1000000, "N",
	 "records written a CPU while nobody observes (default 1000)"},
	{"tcp-idle", NUMBER, AT(tcp_idle_s), 10, 864000, "SECONDS",
	 "an open TCP connection is kept without a packet (default 7200)"},
	{"other-idle", NUMBER, AT(other_idle_s), 5, 86400, "SECONDS",
	 "the same for UDP, SCTP and ICMP (default 60)"},
	{"force-clsact", SWITCH, AT(force_clsact), 0, 0, NULL, NULL},
};
#define OPTIONS (sizeof(options) / sizeof(options[0]))

int bf_config_init(struct bf_config *config)
{
	memset(config, 0, sizeof(*config));
	config->run_dir = strdup("/run/bpfast");
	config->pin_dir = strdup("/sys/fs/bpf/bpfast");
	config->policy_dir = strdup("/etc/bpfast/policies");
	config->log_dir = strdup("/var/log/bpfast");
	config->metrics_listen = strdup("127.0.0.1:9477");
	config->log_level = strdup("info");
	config->records = 65536;
	config->records_file_mib = 64;
	config->log_file_mib = 16;
	config->records_file_backups = config->log_file_backups = 5;
	config->records_per_second = 1000;
	config->tcp_idle_s = 7200;
	config->other_idle_s = 60;
	if (!config->run_dir || !config->pin_dir || !config->policy_dir || !config->log_dir ||
	    !config->metrics_listen || !config->log_level) {
		bf_config_free(config);
		return -ENOMEM;
	}
	return 0;
}

void bf_config_free(struct bf_config *config)
{
	size_t i;

	for (i = 0; i < OPTIONS; i++)
		if (options[i].type == TEXT)
			free(*(char **)((char *)config + options[i].at));
	memset(config, 0, sizeof(*config));
}

static const struct option *find(const char *name, size_t len)
{
	size_t i;

	for (i = 0; i < OPTIONS; i++)
		if (strlen(options[i].name) == len && !memcmp(options[i].name, name, len))
			return &options[i];
	return NULL;
}

/* The words after "key:" or "--flag". err names the value, not the place. */
static int set(struct bf_config *config, const struct option *o, const char *value,
	       struct bf_error *err)
{
	void *field = (char *)config + o->at;
	unsigned long n;
	char *end, *copy;

	switch (o->type) {
	case SWITCH:
		if (strcmp(value, "true") && strcmp(value, "false"))
			return bf_err(err, -EINVAL, "%s: '%s' is neither true nor false", o->name,
				      value);
		*(bool *)field = !strcmp(value, "true");
		return 0;
	case NUMBER:
		errno = 0;
		n = strtoul(value, &end, 10);
		if (*value < '0' || *value > '9' || *end || errno || n < o->min || n > o->max)
			return bf_err(err, -EINVAL, "%s: '%s' is not a number from %u to %u",
				      o->name, value, o->min, o->max);
		*(uint32_t *)field = (uint32_t)n;
		return 0;
	case TEXT:
		if (!*value)
			return bf_err(err, -EINVAL, "%s: a value is needed", o->name);
		copy = strdup(value);
		if (!copy)
			return bf_err(err, -ENOMEM, "no memory");
		free(*(char **)field);
		*(char **)field = copy;
		return 0;
	}
	return -EINVAL;
}

static int at_mark(struct bf_error *err, const char *file, yaml_mark_t mark, const char *what)
{
	return bf_err(err, -EINVAL, "%s:%zu:%zu: %s", file, mark.line + 1, mark.column + 1, what);
}

static int read_pair(struct bf_config *config, const char *file, yaml_document_t *doc,
		     yaml_node_pair_t *pair, bool *seen, struct bf_error *err)
{
	yaml_node_t *key = yaml_document_get_node(doc, pair->key);
	yaml_node_t *value = yaml_document_get_node(doc, pair->value);
	const struct option *o;
	struct bf_error why;
	char what[300];
	int r;

	if (key->type != YAML_SCALAR_NODE)
		return at_mark(err, file, key->start_mark, "a key has to be a word");
	o = find((const char *)key->data.scalar.value, key->data.scalar.length);
	if (!o) {
		snprintf(what, sizeof(what), "unknown key '%.100s'; bpfastd --help lists them",
			 (const char *)key->data.scalar.value);
		return at_mark(err, file, key->start_mark, what);
	}
	if (seen[o - options]) {
		snprintf(what, sizeof(what), "key '%s' stands here twice", o->name);
		return at_mark(err, file, key->start_mark, what);
	}
	seen[o - options] = true;
	if (value->type != YAML_SCALAR_NODE ||
	    strlen((const char *)value->data.scalar.value) != value->data.scalar.length) {
		snprintf(what, sizeof(what), "%s: one plain value is needed", o->name);
		return at_mark(err, file, value->start_mark, what);
	}
	r = set(config, o, (const char *)value->data.scalar.value, &why);
	if (r == -EINVAL)
		return at_mark(err, file, value->start_mark, why.msg);
	return r ? bf_err(err, r, "%s", why.msg) : 0;
}

int bf_config_read(struct bf_config *config, const char *file, const char *text, size_t len,
		   struct bf_error *err)
{
	bool seen[OPTIONS] = {0};
	yaml_parser_t parser;
	yaml_document_t doc;
	yaml_node_pair_t *pair;
	yaml_node_t *root;
	int r = 0;

	if (!yaml_parser_initialize(&parser))
		return bf_err(err, -ENOMEM, "no memory");
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	if (!yaml_parser_load(&parser, &doc)) {
		r = at_mark(err, file, parser.problem_mark,
			    parser.problem ? parser.problem : "this is not YAML");
		yaml_parser_delete(&parser);
		return r;
	}
	root = yaml_document_get_root_node(&doc);
	if (root && root->type == YAML_MAPPING_NODE) {
		for (pair = root->data.mapping.pairs.start;
		     !r && pair < root->data.mapping.pairs.top; pair++)
			r = read_pair(config, file, &doc, pair, seen, err);
	} else if (root && !(root->type == YAML_SCALAR_NODE && !root->data.scalar.length)) {
		r = at_mark(err, file, root->start_mark, "lines of 'key: value' are expected");
	}
	yaml_document_delete(&doc);
	yaml_parser_delete(&parser);
	return r;
}

static int read_file(struct bf_config *config, const char *file, bool must, struct bf_error *err)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC), r;
	char *text;
	size_t len = 0;
	ssize_t n = 0;

	if (fd < 0 && errno == ENOENT && !must)
		return 0;
	if (fd < 0)
		return bf_err(err, -errno, "cannot read the configuration %s: %s", file,
			      strerror(errno));
	text = malloc(CONFIG_MAX + 1);
	while (text && len <= CONFIG_MAX && (n = read(fd, text + len, CONFIG_MAX + 1 - len)) > 0)
		len += (size_t)n;
	r = errno;
	close(fd);
	if (!text)
		return bf_err(err, -ENOMEM, "no memory");
	if (n < 0)
		r = bf_err(err, -r, "cannot read the configuration %s: %s", file, strerror(r));
	else if (len > CONFIG_MAX)
		r = bf_err(err, -EFBIG, "%s is longer than %u bytes, no configuration is", file,
			   CONFIG_MAX);
	else
		r = bf_config_read(config, file, text, len, err);
	free(text);
	return r;
}

static void help(void)
{
	char flag[40];
	size_t i;

	printf("Usage: bpfastd [OPTION]...\n"
	       "Holds the containers of this machine to their policies, in the kernel.\n\n"
	       "  %-28s %s\n",
	       "--config FILE", "settings (default " BF_CONFIG_FILE ", if it is there)");
	for (i = 0; i < OPTIONS; i++) {
		if (!options[i].help)
			continue;
		snprintf(flag, sizeof(flag), "--%s %s", options[i].name,
			 options[i].meta ? options[i].meta : "");
		printf("  %-28s %s\n", flag, options[i].help);
	}
	printf("  %-28s %s\n  %-28s %s\n\n", "--version", "print the version", "--help",
	       "print this");
	printf("The file has the same settings, a line each, such as `log-level: debug`.\n"
	       "Flags win over the file. SIGHUP opens files and reads policies again; SIGTERM ends "
	       "the\n"
	       "agent and leaves everything in force (`bpfast down` takes it away).\n");
}

/* "--name=value", or "--name" and the next word. NULL: it is missing. */
static const char *flag_value(int argc, char **argv, int *i)
{
	char *eq = strchr(argv[*i], '=');

	if (eq)
		return eq + 1;
	return *i + 1 < argc ? argv[++*i] : NULL;
}

/* pass 0 looks for --config, --help and --version, pass 1 sets the rest. */
static int flags(struct bf_config *config, int argc, char **argv, const char **file, int pass,
		 struct bf_error *err)
{
	const struct option *o;
	const char *name, *value;
	int i, r;

	for (i = 1; i < argc; i++) {
		bool is_config;

		name = argv[i];
		if (!strcmp(name, "--help") || !strcmp(name, "-h")) {
			help();
			return BF_CONFIG_DONE;
		}
		if (!strcmp(name, "--version")) {
			printf("bpfastd %s\n", BPFAST_VERSION);
			return BF_CONFIG_DONE;
		}
		if (strncmp(name, "--", 2))
			return bf_err(err, -EINVAL, "'%s' is not an option; see bpfastd --help",
				      name);
		name += 2;
		is_config = !strncmp(name, "config", strcspn(name, "=")) &&
			    strcspn(name, "=") == strlen("config");
		o = is_config ? NULL : find(name, strcspn(name, "="));
		if (!o && !is_config)
			return bf_err(err, -EINVAL, "'%s' is not an option; see bpfastd --help",
				      argv[i]);
		if (o && o->type == SWITCH && !strchr(name, '='))
			value = "true";
		else
			value = flag_value(argc, argv, &i);
		if (!value)
			return bf_err(err, -EINVAL, "--%s needs a value", name);
		if (is_config)
			*file = value;
		if (is_config || !pass)
			continue;
		r = set(config, o, value, err);
		if (r)
			return r;
	}
	return BF_CONFIG_RUN;
}

int bf_config_load(struct bf_config *config, int argc, char **argv, struct bf_error *err)
{
	const char *file = NULL;
	int r = flags(config, argc, argv, &file, 0, err);

	if (r)
		return r;
	r = read_file(config, file ? file : BF_CONFIG_FILE, file != NULL, err);
	if (r)
		return r;
	r = flags(config, argc, argv, &file, 1, err);
	if (!r && config->arena_mib & (config->arena_mib - 1))
		return bf_err(err, -EINVAL, "arena-mib: %u is not a power of two, such as 32 or 64",
			      config->arena_mib);
	if (!r && config->flows && config->flows_per_endpoint > config->flows)
		return bf_err(err, -EINVAL,
			      "flows-per-endpoint: %u is more than there are in all: flows is %u",
			      config->flows_per_endpoint, config->flows);
	return r;
}

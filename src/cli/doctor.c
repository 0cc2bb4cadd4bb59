// SPDX-License-Identifier: Apache-2.0
/* doctor: what may keep BPFast from working here, and what to do about it */
#include <cap-ng.h>
#include <errno.h>
#include <stdarg.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cli/cli.h"
#include "client/client.h"

enum health { FINE, NOTE, BAD };

struct report {
	json_t *findings;
	bool bad;
};

static void add(struct report *r, enum health health, const char *what, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static void add(struct report *r, enum health health, const char *what, const char *fmt, ...)
{
	static const char *const words[] = {"ok", "note", "bad"};
	char text[900];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->bad |= health == BAD;
	json_array_append_new(r->findings, json_pack("{s:s, s:s, s:s}", "check", what, "result",
						     words[health], "text", text));
}

static void check_kernel(struct report *r)
{
	struct utsname uts;
	int major = 0, minor = 0;

	if (uname(&uts) || sscanf(uts.release, "%d.%d", &major, &minor) != 2) {
		add(r, NOTE, "kernel", "its version cannot be read");
		return;
	}
	if (major < 6 || (major == 6 && minor < 1))
		add(r, BAD, "kernel", "Linux %s is below the floor of 6.1: upgrade the kernel",
		    uts.release);
	else if (major == 6 && minor < 6)
		add(r, FINE, "kernel", "Linux %s: without TCX (6.6), so clsact is used",
		    uts.release);
	else
		add(r, FINE, "kernel", "Linux %s", uts.release);
}

static void check_bpffs(struct report *r)
{
	struct statfs fs;

	if (!statfs("/sys/fs/bpf", &fs) && fs.f_type == BPF_FS_MAGIC)
		add(r, FINE, "bpffs", "mounted on /sys/fs/bpf");
	else
		add(r, NOTE, "bpffs",
		    "not mounted on /sys/fs/bpf; the agent tries to, or say: mount -t bpf bpf "
		    "/sys/fs/bpf");
}

static void check_caps(struct report *r)
{
	static const unsigned int needed[] = {CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON};
	struct bf_text missing = {0};
	size_t i;

	capng_get_caps_process();
	for (i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!capng_have_capability(CAPNG_EFFECTIVE, needed[i]))
			bf_text_printf(&missing, " cap_%s", capng_capability_to_name(needed[i]));
	if (missing.len)
		add(r, NOTE, "capabilities", "missing here:%s; run doctor as root to see all",
		    missing.data);
	else
		add(r, FINE, "capabilities", "cap_bpf, cap_net_admin and cap_perfmon are there");
	bf_text_free(&missing);
}

static void check_jit(struct report *r)
{
	FILE *f = fopen("/proc/sys/net/core/bpf_jit_enable", "re");
	int on = -1;

	if (!f)
		return;
	if (fscanf(f, "%d", &on) != 1)
		on = -1;
	fclose(f);
	if (on == 0)
		add(r, NOTE, "jit",
		    "the BPF JIT is off, which makes everything slow: sysctl -w "
		    "net.core.bpf_jit_enable=1");
	else if (on > 0)
		add(r, FINE, "jit", "on");
}

static void check_tools(struct report *r)
{
	static const char *const places[] = {"/usr/sbin", "/sbin",	     "/usr/bin",
					     "/bin",	  "/usr/local/sbin", "/usr/local/bin"};
	static const char *const tools[] = {"ip", "tc", "bpftool"};
	struct bf_text missing = {0};
	char path[64];
	size_t i, k;

	for (i = 0; i < sizeof(tools) / sizeof(tools[0]); i++) {
		for (k = 0; k < sizeof(places) / sizeof(places[0]); k++) {
			snprintf(path, sizeof(path), "%s/%s", places[k], tools[i]);
			if (!access(path, X_OK))
				break;
		}
		if (k == sizeof(places) / sizeof(places[0]))
			bf_text_printf(&missing, " %s", tools[i]);
	}
	if (missing.len)
		add(r, NOTE, "tools",
		    "useful for looking, but not needed:%s (packages iproute2 and bpftool)",
		    missing.data);
	else
		add(r, FINE, "tools", "ip, tc and bpftool are there");
	bf_text_free(&missing);
}

static void check_agent(struct bf_cli *cli, struct report *r)
{
	const json_t *kernel, *w, *flows;
	struct bf_error err;
	json_t *s;
	size_t i;
	int e = bf_call(cli->run_dir, "status", NULL, &s, &err);

	if (e) {
		add(r, e == -ENOENT ? NOTE : BAD, "agent", "%s", err.msg);
		json_decref(s);
		return;
	}
	kernel = json_object_get(s, "kernel");
	flows = json_object_get(s, "flows");
	add(r, FINE, "agent", "bpfastd %s answers",
	    json_string_value(json_object_get(json_object_get(s, "agent"), "version")));
	w = json_object_get(kernel, "hook_why");
	add(r, FINE, "hook", "%s%s%s", json_string_value(json_object_get(kernel, "hook")),
	    json_string_length(w) ? ": " : "", json_string_value(w));
	add(r, FINE, "tables", "flows %lld of %lld",
	    (long long)json_integer_value(json_object_get(flows, "used")),
	    (long long)json_integer_value(json_object_get(flows, "max")));
	json_array_foreach (json_object_get(s, "warnings"), i, w)
		add(r, BAD, "warning", "%s", json_string_value(w));
	json_decref(s);
}

static int doctor(struct bf_cli *cli)
{
	struct report r = {.findings = json_array()};
	struct bf_table t = {0};
	const json_t *f;
	size_t i;

	check_kernel(&r);
	check_bpffs(&r);
	check_caps(&r);
	check_jit(&r);
	check_tools(&r);
	check_agent(cli, &r);
	if (cli->json) {
		json_t *o = json_pack("{s:b, s:O}", "healthy", !r.bad, "findings", r.findings);

		bf_cli_print_json(o);
		json_decref(o);
	} else {
		bf_table_row(&t, 3, "RESULT", "CHECK", "WHAT");
		json_array_foreach (r.findings, i, f)
			bf_table_row(&t, 3, json_string_value(json_object_get(f, "result")),
				     json_string_value(json_object_get(f, "check")),
				     json_string_value(json_object_get(f, "text")));
		bf_table_print(&t);
	}
	json_decref(r.findings);
	return r.bad ? BF_EXIT_FAILED : BF_EXIT_DONE;
}

static const struct bf_option none[] = {{NULL, 0, NULL, false, NULL}};

const struct bf_cli_command bf_cli_doctor[] = {
	{"doctor", NULL, "", 0, 0, "look for what keeps BPFast from working here", none, doctor},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};

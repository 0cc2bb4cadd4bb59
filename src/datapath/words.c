// SPDX-License-Identifier: Apache-2.0
/* libbpf's words, for the sentence that tells of a failure. */
#include "datapath/internal.h"

#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char libbpf_said[200]; /* the first: what follows are its consequences */
static _Thread_local char verifier_said[200]; /* its last line before the statistics */

/* The line of the verifier's log that tells why; the log is cut to it in place. */
static char *verifier_line(char *log)
{
	char *end = strstr(log, "\nprocessed ");

	if (!end)
		end = strstr(log, "\n-- END PROG LOAD LOG");
	if (!end)
		return log;
	*end = '\0';
	end = strrchr(log, '\n');
	return end ? end + 1 : log;
}

static int keep_words(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char *text;

	if (level != LIBBPF_WARN || vasprintf(&text, fmt, ap) < 0)
		return 0;
	if (strstr(text, "BEGIN PROG LOAD LOG")) {
		snprintf(verifier_said, sizeof(verifier_said), "%s", verifier_line(text));
	} else if (!libbpf_said[0]) {
		text[strcspn(text, "\n")] = '\0';
		snprintf(libbpf_said, sizeof(libbpf_said), "%s", text);
	}
	/* For whoever mends the programs: the whole story. */
	if (getenv("BPFAST_LIBBPF_LOG"))
		fputs(text, stderr);
	free(text);
	return 0;
}

void bf_words_listen(void)
{
	libbpf_said[0] = verifier_said[0] = '\0';
	libbpf_set_print(keep_words);
}

const char *bf_words_of_libbpf(void)
{
	return libbpf_said;
}

const char *bf_words_of_verifier(void)
{
	return verifier_said;
}

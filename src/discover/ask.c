// SPDX-License-Identifier: Apache-2.0
#include "discover/ask.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/un.h>

#define CONNECT_MS 2000L
#define ANSWER_MS 10000L
#define ANSWER_MAX (64u << 20)
#define GRPC_HEAD 5

int bf_asker_open(struct bf_asker *a, const char *socket, struct bf_error *err)
{
	struct stat st;

	a->socket = socket;
	a->curl = NULL;
	if (strlen(socket) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return bf_err(err, -ENAMETOOLONG,
			      "%.60s... is too long for the path of a socket: at most %zu bytes",
			      socket, sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
	if (stat(socket, &st))
		return bf_err(err, -errno, "%s: %s", socket, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return bf_err(err, -ENOTSOCK, "%s is not a socket", socket);
	if (curl_global_init(CURL_GLOBAL_NOTHING) || !(a->curl = curl_easy_init()))
		return bf_err(err, -ENOMEM, "no memory");
	return 0;
}

void bf_asker_close(struct bf_asker *a)
{
	if (a->curl)
		curl_easy_cleanup(a->curl);
	a->curl = NULL;
}

static size_t on_body(char *bytes, size_t one, size_t n, void *arg)
{
	struct bf_answer *out = arg;
	size_t cap = out->cap;
	uint8_t *more;

	n *= one;
	if (out->len + n > ANSWER_MAX) {
		out->failed = -EFBIG;
		return 0;
	}
	while (out->len + n + 1 > cap)
		cap = cap ? cap * 2 : 1 << 16;
	if (cap != out->cap) {
		more = realloc(out->body, cap);
		if (!more) {
			out->failed = -ENOMEM;
			return 0;
		}
		out->body = more;
		out->cap = cap;
	}
	memcpy(out->body + out->len, bytes, n);
	out->len += n;
	out->body[out->len] = 0;
	return n;
}

/* Trailers come this way too. */
static size_t on_header(char *bytes, size_t one, size_t n, void *arg)
{
	static const char status[] = "grpc-status:", says[] = "grpc-message:";
	struct bf_answer *out = arg;
	char line[256];

	n *= one;
	snprintf(line, sizeof(line), "%.*s", (int)(n < 255 ? n : 255), bytes);
	line[strcspn(line, "\r\n")] = 0;
	if (!strncasecmp(line, status, sizeof(status) - 1))
		out->grpc = strtol(line + sizeof(status) - 1, NULL, 10);
	if (!strncasecmp(line, says, sizeof(says) - 1))
		snprintf(out->grpc_says, sizeof(out->grpc_says), "%.199s", line + sizeof(says) - 1);
	return n;
}

static int perform(struct bf_asker *a, const char *path, struct curl_slist *headers,
		   struct bf_answer *out, struct bf_error *err)
{
	char url[600];
	CURLcode c;

	*out = (struct bf_answer){.grpc = -1};
	if ((size_t)snprintf(url, sizeof(url), "http://runtime%s", path) >= sizeof(url))
		return bf_err(err, -ENAMETOOLONG, "what is to be asked is too long");
	curl_easy_setopt(a->curl, CURLOPT_URL, url);
	curl_easy_setopt(a->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(a->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(a->curl, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	curl_easy_setopt(a->curl, CURLOPT_TIMEOUT_MS, ANSWER_MS);
	curl_easy_setopt(a->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(a->curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(a->curl, CURLOPT_WRITEDATA, out);
	curl_easy_setopt(a->curl, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(a->curl, CURLOPT_HEADERDATA, out);
	c = curl_easy_setopt(a->curl, CURLOPT_UNIX_SOCKET_PATH, a->socket);
	if (!c)
		c = curl_easy_perform(a->curl);
	if (!c)
		curl_easy_getinfo(a->curl, CURLINFO_RESPONSE_CODE, &out->status);
	/* So that an empty answer is a text too. */
	if (!c && !out->body && !on_body((char *)"\n", 1, 1, out))
		c = CURLE_OUT_OF_MEMORY;
	if (!c)
		return 0;
	free(out->body);
	out->body = NULL;
	if (out->failed == -EFBIG)
		return bf_err(err, -EFBIG, "%s answers with more than %u bytes", a->socket,
			      ANSWER_MAX);
	if (c == CURLE_COULDNT_CONNECT)
		return bf_err(err, -ECONNREFUSED, "nobody answers at %s", a->socket);
	return bf_err(err, c == CURLE_OPERATION_TIMEDOUT ? -ETIMEDOUT : -EIO,
		      "%s does not answer as it should: %s", a->socket, curl_easy_strerror(c));
}

int bf_ask_http(struct bf_asker *a, const char *path, struct bf_answer *out, struct bf_error *err)
{
	return perform(a, path, NULL, out, err);
}

int bf_ask_grpc(struct bf_asker *a, const char *method, const char *space, const void *message,
		size_t len, struct bf_answer *out, struct bf_error *err)
{
	static const char *const always[] = {"content-type: application/grpc", "te: trailers",
					     "expect:"};
	uint8_t *body = malloc(GRPC_HEAD + len);
	struct curl_slist *headers = NULL, *more;
	char header[256];
	size_t i;
	int r = 0;

	/* https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md */
	snprintf(header, sizeof(header), "containerd-namespace: %.200s", space);
	for (i = 0; i <= sizeof(always) / sizeof(*always) && body; i++) {
		more = curl_slist_append(headers, i ? always[i - 1] : header);
		if (!more)
			break;
		headers = more;
	}
	if (!body || i <= sizeof(always) / sizeof(*always)) {
		r = bf_err(err, -ENOMEM, "no memory");
		goto out;
	}
	body[0] = 0;
	for (i = 0; i < 4; i++)
		body[1 + i] = (uint8_t)(len >> (24 - 8 * i));
	memcpy(body + GRPC_HEAD, message, len);
	curl_easy_setopt(a->curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
	curl_easy_setopt(a->curl, CURLOPT_POSTFIELDSIZE, (long)(GRPC_HEAD + len));
	curl_easy_setopt(a->curl, CURLOPT_POSTFIELDS, body);
	r = perform(a, method, headers, out, err);
	if (!r && (out->status != 200 || out->grpc)) {
		r = bf_err(err, -EPROTO, "%s refuses: HTTP status %ld, gRPC status %ld%s%s",
			   a->socket, out->status, out->grpc, *out->grpc_says ? "," : "",
			   out->grpc_says);
		free(out->body);
		out->body = NULL;
	}
out:
	curl_slist_free_all(headers);
	free(body);
	return r;
}

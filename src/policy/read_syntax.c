// SPDX-License-Identifier: Apache-2.0
#include "policy/read_syntax.h"

#include <arpa/inet.h>
#include <string.h>

static bool lower_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool letter_or_digit(char c)
{
	return lower_or_digit(c) || (c >= 'A' && c <= 'Z');
}

static bool dns_label(const char *s, size_t n)
{
	if (!n || n > 63 || !lower_or_digit(s[0]) || !lower_or_digit(s[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!lower_or_digit(s[i]) && s[i] != '-')
			return false;
	return true;
}

static bool dns_name(const char *s, size_t n)
{
	if (!n || n > 253)
		return false;
	for (;;) {
		const char *dot = memchr(s, '.', n);
		size_t part = dot ? (size_t)(dot - s) : n;

		if (!dns_label(s, part))
			return false;
		if (!dot)
			return true;
		s += part + 1;
		n -= part + 1;
	}
}

bool bf_is_dns_label(const char *s)
{
	return dns_label(s, strlen(s));
}

bool bf_is_dns_name(const char *s)
{
	return dns_name(s, strlen(s));
}

static bool qualified_name(const char *s, size_t n)
{
	if (!n || n > 63 || !letter_or_digit(s[0]) || !letter_or_digit(s[n - 1]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!letter_or_digit(s[i]) && s[i] != '-' && s[i] != '_' && s[i] != '.')
			return false;
	return true;
}

bool bf_is_label_key(const char *s)
{
	const char *slash = strchr(s, '/');

	if (!slash)
		return qualified_name(s, strlen(s));
	return dns_name(s, (size_t)(slash - s)) && qualified_name(slash + 1, strlen(slash + 1));
}

bool bf_is_label_value(const char *s)
{
	return !*s || qualified_name(s, strlen(s));
}

bool bf_is_port_name(const char *s)
{
	size_t n = strlen(s);
	bool letter = false;

	if (!n || n > 15 || s[0] == '-' || s[n - 1] == '-')
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!lower_or_digit(s[i]) && s[i] != '-')
			return false;
		if (s[i] == '-' && s[i + 1] == '-')
			return false;
		letter |= s[i] >= 'a' && s[i] <= 'z';
	}
	return letter;
}

bool bf_is_header_name(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!s[i] || (!letter_or_digit(s[i]) && !strchr("!#$%&'*+-.^_`|~", s[i])))
			return false;
	return len;
}

bool bf_parse_number(const char *s, unsigned long max, unsigned long *out)
{
	unsigned long n = 0;

	if (!*s || (s[0] == '0' && s[1]))
		return false;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return false;
		n = n * 10 + (unsigned long)(*s - '0');
		if (n > max)
			return false;
	}
	*out = n;
	return true;
}

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

enum bf_cidr_error bf_parse_cidr(const char *s, bool bare, struct bf_cidr *out)
{
	const char *slash = strchr(s, '/');
	size_t n = slash ? (size_t)(slash - s) : strlen(s);
	char addr[INET6_ADDRSTRLEN];
	unsigned long bits, max;

	if (n >= sizeof(addr))
		return BF_CIDR_NO_ADDRESS;
	memcpy(addr, s, n);
	addr[n] = 0;
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, addr, out->addr + 12) == 1) {
		memcpy(out->addr, mapped, sizeof(mapped));
		max = 32;
	} else if (inet_pton(AF_INET6, addr, out->addr) == 1) {
		max = 128;
		if (!memcmp(out->addr, mapped, sizeof(mapped)))
			return BF_CIDR_MAPPED;
	} else {
		return BF_CIDR_NO_ADDRESS;
	}
	bits = max;
	if (slash) {
		if (!bf_parse_number(slash + 1, max, &bits))
			return BF_CIDR_BAD_PREFIX;
	} else if (!bare) {
		return BF_CIDR_NO_PREFIX;
	}
	out->len = (uint8_t)(128 - max + bits);
	for (unsigned int i = out->len; i < 128; i++)
		out->addr[i / 8] &= (uint8_t)~(0x80u >> (i % 8));
	return BF_CIDR_OK;
}

bool bf_cidr_is_ipv4(const struct bf_cidr *c)
{
	return c->len >= 96 && !memcmp(c->addr, mapped, sizeof(mapped));
}

bool bf_cidr_contains(const struct bf_cidr *outer, const struct bf_cidr *inner)
{
	if (inner->len < outer->len)
		return false;
	for (unsigned int i = 0; i < outer->len; i++)
		if ((outer->addr[i / 8] ^ inner->addr[i / 8]) & (0x80u >> (i % 8)))
			return false;
	return true;
}

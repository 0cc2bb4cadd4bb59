/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_POLICY_READ_SYNTAX_H
#define BF_POLICY_READ_SYNTAX_H
/* What names, labels, ports and addresses may look like. No state. */
#include "policy/model.h"

/* RFC 1123 label: up to 63 of a-z 0-9 -, no - at an end. Names of namespaces. */
bool bf_is_dns_label(const char *s);
/* RFC 1123 subdomain: labels with dots between, up to 253. Names of objects. */
bool bf_is_dns_name(const char *s);
/* Kubernetes label key: [subdomain/]name, name up to 63 of A-Z a-z 0-9 - _ . */
bool bf_is_label_key(const char *s);
/* Kubernetes label value: like the key's name, or empty. */
bool bf_is_label_value(const char *s);
/* Port name, RFC 6335 section 5.1: up to 15 of a-z 0-9 -, a letter, no two - together. */
bool bf_is_port_name(const char *s);
/* Header field name: a token, RFC 9110 section 5.6.2. */
bool bf_is_header_name(const char *s, size_t len);

/* Decimal without sign and leading zeroes, at most max. */
bool bf_parse_number(const char *s, unsigned long max, unsigned long *out);

enum bf_cidr_error {
	BF_CIDR_OK,
	BF_CIDR_NO_ADDRESS, /* what is before the / is no address */
	BF_CIDR_NO_PREFIX, /* there is no / */
	BF_CIDR_BAD_PREFIX, /* what follows the / is no length of this address family */
	BF_CIDR_MAPPED, /* ::ffff:a.b.c.d: has to be written as IPv4 */
};

/*
 * "10.0.0.0/8", "2001:db8::/32" to a model CIDR. Bits past the prefix are
 * cleared. bare: an address alone is taken for itself.
 */
enum bf_cidr_error bf_parse_cidr(const char *s, bool bare, struct bf_cidr *out);
bool bf_cidr_is_ipv4(const struct bf_cidr *c);
/* Whether inner lies within outer. */
bool bf_cidr_contains(const struct bf_cidr *outer, const struct bf_cidr *inner);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_OBSERVE_NAMES_H
#define BF_OBSERVE_NAMES_H
/* Words for numbers, each from its one table in include/bpfast. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

const char *bf_reason_word(unsigned int reason); /* "unknown" past the table */
const char *bf_reason_hint(unsigned int reason); /* "" where there is none */
const char *bf_verdict_word(unsigned int verdict); /* "FORWARDED" ... */
int bf_verdict_from_word(const char *word); /* without case; -EINVAL */

/* "TCP", "UDP", "SCTP", "ICMPv4", "ICMPv6", or NULL. */
const char *bf_protocol_name(unsigned int protocol);
/* A name (without case; "icmp" too) or a number 0..255; -EINVAL. */
int bf_protocol_from_name(const char *name);

/* Text of an address, IPv4-mapped ones as IPv4. size: at least 46. */
const char *bf_address_text(const uint8_t addr[16], char *buf, size_t size);
/* 0, or -EINVAL: not an address. IPv4 becomes ::ffff:a.b.c.d */
int bf_address_parse(const char *text, uint8_t addr[16]);
bool bf_address_is4(const uint8_t addr[16]);
bool bf_address_link_local(const uint8_t addr[16]); /* fe80::/10 */

#endif

// SPDX-License-Identifier: Apache-2.0
#include "observe/names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bpfast/reasons.h"

static const struct {
	const char *word, *hint;
} reasons[] = {
#define BPFAST_X(sym, word, hint) {word, hint},
	BPFAST_REASONS(BPFAST_X)
#undef BPFAST_X
};

static const char *const verdicts[] = {
#define BPFAST_X(sym, word) word,
	BPFAST_VERDICTS(BPFAST_X)
#undef BPFAST_X
};

static const struct {
	uint8_t number;
	const char *name;
} protocols[] = {
	{IPPROTO_TCP, "TCP"},	  {IPPROTO_UDP, "UDP"},	      {IPPROTO_SCTP, "SCTP"},
	{IPPROTO_ICMP, "ICMPv4"}, {IPPROTO_ICMPV6, "ICMPv6"}, {IPPROTO_ICMP, "ICMP"},
};

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

const char *bf_reason_word(unsigned int reason)
{
	return reason < BPFAST_R_COUNT ? reasons[reason].word : "unknown";
}

const char *bf_reason_hint(unsigned int reason)
{
	return reason < BPFAST_R_COUNT ? reasons[reason].hint : "";
}

const char *bf_verdict_word(unsigned int verdict)
{
	return verdict < BPFAST_V_COUNT ? verdicts[verdict] : "UNKNOWN";
}

int bf_verdict_from_word(const char *word)
{
	int i;

	for (i = 0; i < BPFAST_V_COUNT; i++)
		if (!strcasecmp(word, verdicts[i]))
			return i;
	return -EINVAL;
}

const char *bf_protocol_name(unsigned int protocol)
{
	size_t i;

	for (i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
		if (protocols[i].number == protocol)
			return protocols[i].name;
	return NULL;
}

int bf_protocol_from_name(const char *name)
{
	char *end;
	long n;
	size_t i;

	for (i = 0; i < sizeof(protocols) / sizeof(protocols[0]); i++)
		if (!strcasecmp(protocols[i].name, name))
			return protocols[i].number;
	if (*name < '0' || *name > '9')
		return -EINVAL;
	n = strtol(name, &end, 10);
	if (*end || n > 255)
		return -EINVAL;
	return (int)n;
}

bool bf_address_is4(const uint8_t addr[16])
{
	return !memcmp(addr, mapped, sizeof(mapped));
}

bool bf_address_link_local(const uint8_t addr[16])
{
	return addr[0] == 0xfe && (addr[1] & 0xc0) == 0x80;
}

const char *bf_address_text(const uint8_t addr[16], char *buf, size_t size)
{
	const char *s;
	char *at = buf;
	int i;

	if (!bf_address_is4(addr) || size < 16) {
		s = inet_ntop(AF_INET6, addr, buf, (socklen_t)size);
		return s ? s : "";
	}
	/* Records come by the hundred thousand a second: inet_ntop() goes by printf. */
	for (i = 12; i < 16; i++) {
		unsigned int n = addr[i];

		if (n >= 100)
			*at++ = (char)('0' + n / 100);
		if (n >= 10)
			*at++ = (char)('0' + n / 10 % 10);
		*at++ = (char)('0' + n % 10);
		*at++ = i < 15 ? '.' : 0;
	}
	return buf;
}

int bf_address_parse(const char *text, uint8_t addr[16])
{
	uint8_t v4[4];

	if (inet_pton(AF_INET, text, v4) == 1) {
		memcpy(addr, mapped, sizeof(mapped));
		memcpy(addr + 12, v4, 4);
		return 0;
	}
	return inet_pton(AF_INET6, text, addr) == 1 ? 0 : -EINVAL;
}

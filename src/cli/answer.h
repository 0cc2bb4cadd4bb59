/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_CLI_ANSWER_H
#define BF_CLI_ANSWER_H
/* Members of what the agent answers. */
#include <jansson.h>

/* "" where it is none. Of o. */
static inline const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* 0 where it is none. */
static inline long long num(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_AGENT_LOG_H
#define BF_AGENT_LOG_H
/*
 * The log: lines of `time level message key=value ...`, on stderr. Values are
 * quoted where they need it, so that a line cannot be forged from outside.
 */
enum bf_log_level { BF_LOG_ERROR, BF_LOG_WARN, BF_LOG_INFO, BF_LOG_DEBUG };

int bf_log_level_parse(const char *name); /* enum bf_log_level or -EINVAL */
void bf_log_set_level(enum bf_log_level level);

/*
 * From here on lines go to this file, which the caller keeps; errors, and what the
 * file does not take, to stderr too. NULL: to stderr again.
 */
struct bf_rotated;
void bf_log_to(struct bf_rotated *file);

/* message, then pairs of const char * key, value; ends with NULL. */
void bf_log(enum bf_log_level level, const char *message, ...) __attribute__((sentinel));

#define bf_log_error(...) bf_log(BF_LOG_ERROR, __VA_ARGS__, (char *)0)
#define bf_log_warn(...) bf_log(BF_LOG_WARN, __VA_ARGS__, (char *)0)
#define bf_log_info(...) bf_log(BF_LOG_INFO, __VA_ARGS__, (char *)0)
#define bf_log_debug(...) bf_log(BF_LOG_DEBUG, __VA_ARGS__, (char *)0)

/* Decimal text in a ring of small buffers: good for one bf_log() call. */
const char *bf_num(long long n);

#endif

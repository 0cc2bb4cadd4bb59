/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_CNI_LOG_H
#define BF_CNI_LOG_H
/*
 * What happened, for people: as a line of JSON in the configured file, and what they should hear of
 * also on stderr, which runtimes keep. stdout belongs to the protocol.
 */
#include "cni/config.h"

enum bf_cni_level { BF_CNI_DEBUG, BF_CNI_INFO, BF_CNI_WARN, BF_CNI_ERROR };

/* Where the file cannot be used that is said on stderr, and the work goes on. config, env: may be NULL. */
void bf_cni_log(const struct bf_cni_config *config, const struct bf_cni_env *env,
		enum bf_cni_level level, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif

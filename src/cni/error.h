/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_CNI_ERROR_H
#define BF_CNI_ERROR_H
/*
 * Errors as CNI has them: a code, a sentence, and details that may be empty.
 * Codes below 100 are those of the specification (1.1.0, section 2, "Error").
 */
enum bf_cni_code {
	BF_CNI_OK = 0,
	BF_CNI_VERSION = 1, /* incompatible version */
	BF_CNI_FIELD = 2, /* unsupported field in the network configuration */
	BF_CNI_ENVIRONMENT = 4, /* invalid environment variable */
	BF_CNI_IO = 5,
	BF_CNI_DECODE = 6, /* not JSON */
	BF_CNI_CONFIG = 7, /* invalid network configuration */
	BF_CNI_TRY_AGAIN = 11,
	BF_CNI_UNAVAILABLE = 50, /* STATUS: an ADD would fail */
	BF_CNI_REFUSED = 100, /* the agent refused; it has no code for why */
	BF_CNI_NOT_GUARDED = 101, /* CHECK: not as it should be */
};

struct bf_cni_error {
	int code;
	char msg[512];
	char details[512];
};

/* Fills err and returns code. details: NULL or a text. */
int bf_cni_err(struct bf_cni_error *err, int code, const char *details, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif

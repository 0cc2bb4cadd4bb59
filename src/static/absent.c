// SPDX-License-Identifier: Apache-2.0
/*
 * For STATIC=1 alone: stands for every function of TLS and D-Bus libraries that
 * archives of the distribution refer to and that nobody calls, for we serve no TLS
 * and capture from no device. The Makefile reads their names from the archives.
 */
#include <stdlib.h>

void bf_absent(void);
void bf_absent(void)
{
	abort();
}

/* libmicrohttpd calls these as the program begins and ends, whether TLS is served or not. */
int bf_nothing(void);
int bf_nothing(void)
{
	return 0;
}

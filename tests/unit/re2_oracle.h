/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RE2_ORACLE_H
#define RE2_ORACLE_H
/* RE2 as it is, behind C functions, to compare with. */
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct oracle;

/* NULL: RE2 refuses the expression; *too_large tells refusals for size alone. */
struct oracle *oracle_new(const char *text, size_t len, bool fold, bool *too_large);
bool oracle_match(const struct oracle *oracle, const char *input, size_t len);
void oracle_free(struct oracle *oracle);

#ifdef __cplusplus
}
#endif
#endif

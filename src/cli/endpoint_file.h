/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_CLI_ENDPOINT_FILE_H
#define BF_CLI_ENDPOINT_FILE_H
/* Who the endpoints are, for commands that work without an agent. */
#include "agent/endpoints.h"

/*
 * Adds the endpoints of a file: what `bpfast endpoint list -o json` prints, a bare list of
 * these, or what `kubectl get pods -o json` prints (pods without an address, or with the
 * node's, are left out). 0, or -errno with err.
 */
int bf_cli_endpoint_file(const char *file, struct bf_endpoints *out, struct bf_error *err);

/* Adds "[NAMESPACE/]NAME=ADDR[,ADDR...][,KEY=VALUE...]". */
int bf_cli_endpoint_word(const char *word, struct bf_endpoints *out, struct bf_error *err);

#endif

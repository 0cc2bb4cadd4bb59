/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_SENSITIVITY_H
#define BF_SENSITIVITY_H
/* How little of an attack is enough: for the detector, in policies and commands, and in the agent's tables. */

/* The higher, the less. The numbers stand in pinned maps. */
enum bf_sensitivity { BF_SENS_DEFAULT, BF_SENS_LOW, BF_SENS_MEDIUM, BF_SENS_HIGH, BF_SENS_COUNT };

/* What people may say: the first is BF_SENS_LOW. Ends with NULL. */
extern const char *const bf_sensitivity_words[BF_SENS_COUNT];

/* What holds: DEFAULT, and what is none, is medium. */
const char *bf_sensitivity_word(unsigned int sensitivity);

#endif

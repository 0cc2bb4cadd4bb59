// SPDX-License-Identifier: Apache-2.0
#include "base/sensitivity.h"

#include <stddef.h>

const char *const bf_sensitivity_words[BF_SENS_COUNT] = {"low", "medium", "high", NULL};

const char *bf_sensitivity_word(unsigned int sensitivity)
{
	if (sensitivity < BF_SENS_LOW || sensitivity >= BF_SENS_COUNT)
		sensitivity = BF_SENS_MEDIUM;
	return bf_sensitivity_words[sensitivity - BF_SENS_LOW];
}

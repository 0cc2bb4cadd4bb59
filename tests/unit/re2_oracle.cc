// SPDX-License-Identifier: Apache-2.0
#include "re2_oracle.h"

#include <memory>

#include <re2/re2.h>

struct oracle {
	RE2 re;

	oracle(const re2::StringPiece &text, const RE2::Options &options) : re(text, options)
	{
	}
};

struct oracle *oracle_new(const char *text, size_t len, bool fold, bool *too_large)
{
	RE2::Options options;

	options.set_log_errors(false);
	options.set_case_sensitive(!fold);
	options.set_max_mem(64 << 20);
	auto made = std::make_unique<oracle>(re2::StringPiece(text, len), options);
	*too_large = made->re.error_code() == RE2::ErrorPatternTooLarge;
	return made->re.ok() ? made.release() : nullptr;
}

bool oracle_match(const struct oracle *oracle, const char *input, size_t len)
{
	return RE2::FullMatch(re2::StringPiece(input, len), oracle->re);
}

void oracle_free(struct oracle *oracle)
{
	delete oracle;
}

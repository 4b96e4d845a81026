/* What is logged while a target runs, checked line by line. */
#ifndef FUZZ_LOG_H
#define FUZZ_LOG_H

#include <assert.h>

#include "base/log.h"

/* A sink: a line is one line, and a quoted value ends where it should. */
static inline void check_log(void *data, enum log_level level, const char *line)
{
	unsigned quotes = 0;

	(void)data;
	(void)level;
	for (; *line != '\0'; line++) {
		assert((unsigned char)*line >= ' ');
		quotes += *line == '"';
	}
	assert(quotes % 2 == 0);
}

#endif

#include "base/log.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#define LINE_SIZE 1024

/* Set once, before other threads exist. */
static log_sink *log_to;
static void *log_data;
static enum log_level log_max = LOG_INFO;

void log_set_sink(log_sink *sink, void *data, enum log_level max)
{
	log_to = sink;
	log_data = data;
	log_max = max;
}

void log_event(enum log_level level, const char *what, const char *format, ...)
{
	char line[LINE_SIZE];
	va_list arguments;
	int size;

	if (log_to == NULL || level > log_max)
		return;
	size = snprintf(line, sizeof line, "%s ", what);
	if (size > 0 && (size_t)size < sizeof line) {
		va_start(arguments, format);
		vsnprintf(line + size, sizeof line - (size_t)size, format, arguments);
		va_end(arguments);
	}
	log_to(log_data, level, line);
}

const char *log_level_name(enum log_level level)
{
	static const char *const names[LOG_LEVELS] = { "error", "warning", "info", "debug" };

	return level < LOG_LEVELS ? names[level] : "?";
}

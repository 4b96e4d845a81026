/* The sink of events. "2026-01-02T03:04:05.678Z info unit.committed unit=pg-1 epoch=7", in one write() so that lines of two
 * threads never mix. Under journald each line begins with its priority ("<6>") instead of the time, which the journal has. */
#include "daemon/log.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

static bool log_to_journal; /* written before the first thread starts */

/* JOURNAL_STREAM names the socket that journald reads; it is inherited by children whose stderr goes elsewhere. */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	struct stat status;
	char mine[64];

	if (stream == NULL || fstat(STDERR_FILENO, &status) < 0)
		return false;
	snprintf(mine, sizeof(mine), "%llu:%llu", (unsigned long long)status.st_dev, (unsigned long long)status.st_ino);
	return strcmp(stream, mine) == 0;
}

static size_t log_write_time(char *out, size_t room)
{
	struct timespec now;
	struct tm utc;
	char seconds[32];
	int length;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &utc);
	length = snprintf(out, room, "%s.%03ldZ ", seconds, now.tv_nsec / 1000000);
	return length < 0 ? 0 : (size_t)length;
}

static void daemon_log_sink(void *data, enum log_level level, const char *line)
{
	static const char *const priorities[LOG_LEVELS] = { "<3>", "<4>", "<6>", "<7>" };
	char text[LINE_MAX_BYTES];
	size_t at;
	int length;

	(void)data;
	if (log_to_journal)
		at = (size_t)snprintf(text, sizeof(text), "%s", priorities[level]);
	else
		at = log_write_time(text, sizeof(text));
	length = snprintf(text + at, sizeof(text) - at - 1, "%s %s", log_level_name(level), line);
	if (length < 0)
		return;
	at += (size_t)length < sizeof(text) - at - 1 ? (size_t)length : sizeof(text) - at - 2;
	/* What came from outside must not forge a second line. */
	for (size_t i = 0; i < at; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			text[i] = '?';
	text[at++] = '\n';
	if (write(STDERR_FILENO, text, at) < 0)
		return; /* nobody left to tell */
}

void daemon_log_open(enum log_level max)
{
	log_to_journal = stderr_is_journal();
	log_set_sink(daemon_log_sink, NULL, max);
}

/* LISTEN_PID and LISTEN_FDS, as sd_listen_fds(3) describes: no library is needed for that. */
#include "daemon/activation.h"

#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

/* A number in decimal and nothing else. */
static bool number_of(const char *name, unsigned long max, unsigned long *out_number)
{
	const char *text = getenv(name);
	char *end;

	if (text == NULL || text[0] < '0' || text[0] > '9')
		return false;
	*out_number = strtoul(text, &end, 10);
	return *end == '\0' && *out_number <= max;
}

unsigned activation_take(void)
{
	unsigned long pid, count;
	bool given = number_of("LISTEN_PID", 0x7fffffff, &pid) && pid == (unsigned long)getpid() &&
		     number_of("LISTEN_FDS", 1024, &count);

	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return given ? (unsigned)count : 0;
}

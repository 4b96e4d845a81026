/* A wall clock that is wrong by OFFSITE_SKEW_S seconds, for a program that has this library in LD_PRELOAD.
 *
 * The monotonic clock is left alone: it has no meaning outside a machine, and is all that a time namespace could shift.
 * Debian's libfaketime does the same and much more, but asks for the time while it is being initialised, and so hangs
 * under AddressSanitizer, which intercepts that call before it can answer. This one has no state but a number, and asks
 * the kernel itself. */
#include <stddef.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t skew_s;

__attribute__((constructor)) static void read_skew(void)
{
	const char *text = getenv("OFFSITE_SKEW_S");

	skew_s = text == NULL ? 0 : (time_t)strtol(text, NULL, 10);
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *out_now)
{
	int result = (int)syscall(SYS_clock_gettime, clock, out_now);

	if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		out_now->tv_sec += skew_s;
	return result;
}

__attribute__((visibility("default"))) time_t time(time_t *out_now)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (out_now != NULL)
		*out_now = now.tv_sec;
	return now.tv_sec;
}

__attribute__((visibility("default"))) int gettimeofday(struct timeval *restrict out_now, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	*out_now = (struct timeval){ .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
	return 0;
}

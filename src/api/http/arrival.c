/* How long requests may take to arrive. The library's own limit is for idle connections: whoever sends a byte now and then
 * would hold a connection for as long as he likes.
 *
 * The library (0.9.75) refuses an answer between the head of a request and the end of its body. So a late one can be told so
 * only when the rest of it has come, and what does not come is cut off. */
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "api/http/http.h"
#include "api/http/internal.h"
#include "base/memory.h"

struct http_arrival {
	struct list link; /* while a request arrives */
	int socket;       /* borrowed of the connection */
	uint64_t begin_ms;
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

#ifdef OFFSITE_HOLD
/* For tests, as src/control/hold.h: they cannot wait for minutes. */
static uint64_t limit_ms(const char *variable, unsigned usual_s)
{
	const char *told = getenv(variable);

	return told == NULL ? usual_s * UINT64_C(1000) : strtoull(told, NULL, 10);
}
#else
#define limit_ms(variable, usual_s) ((usual_s) * UINT64_C(1000))
#endif

void http_arrivals_init(struct http_arrivals *arrivals)
{
	list_init(&arrivals->open);
	arrivals->late_ms = limit_ms("OFFSITE_HOLD_LATE_MS", HTTP_ARRIVAL_S);
	arrivals->cut_ms = limit_ms("OFFSITE_HOLD_CUT_MS", HTTP_CUT_S);
}

struct http_arrival *http_arrival_new(int socket)
{
	struct http_arrival *arrival = memory_new(1, sizeof(*arrival));

	list_init(&arrival->link);
	arrival->socket = socket;
	return arrival;
}

void http_arrival_free(struct http_arrival *arrival)
{
	list_remove(&arrival->link);
	free(arrival);
}

/* At the end of the list, which so is in the order of their limits. */
void http_arrival_begin(struct http_arrivals *arrivals, struct http_arrival *arrival)
{
	list_remove(&arrival->link);
	arrival->begin_ms = now_ms();
	list_append(&arrivals->open, &arrival->link);
}

bool http_arrival_end(const struct http_arrivals *arrivals, struct http_arrival *arrival)
{
	list_remove(&arrival->link);
	return now_ms() - arrival->begin_ms < arrivals->late_ms;
}

int http_arrivals_timeout(const struct http_arrivals *arrivals)
{
	const struct http_arrival *first = container_of(arrivals->open.next, struct http_arrival, link);
	uint64_t passed_ms;

	if (list_is_empty(&arrivals->open))
		return -1;
	passed_ms = now_ms() - first->begin_ms;
	return passed_ms >= arrivals->cut_ms ? 0 : (int)(arrivals->cut_ms - passed_ms);
}

void http_arrivals_cut(struct http_arrivals *arrivals)
{
	uint64_t now = now_ms();

	list_for_each(entry, &arrivals->open) {
		const struct http_arrival *arrival = container_of(entry, struct http_arrival, link);

		if (now - arrival->begin_ms < arrivals->cut_ms)
			break;
		list_remove(entry);
		shutdown(arrival->socket, SHUT_RDWR); /* the library sees its end, and closes it */
	}
}

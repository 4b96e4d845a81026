/* The line to one peer, as far as a limit of bytes a second goes: all links of all shards to that peer share it.
 *
 * The known cure for many senders under one limit is a token bucket; the same bucket without a lock is one number, the time up
 * to which the line is spoken for. Who sends moves it on by what his bytes take at the limit; who finds it in the future waits
 * until then. A frame goes as soon as the time has come, however large it is: so the line is overdrawn by what is sent at the
 * same time, and that is made up for before the next. A line that was idle is not in debt to anybody: no more than
 * PACE_BURST_NS of it is made up for.
 *
 * All zero: a line without a limit. Any thread; the engines borrow it. */
#ifndef REPL_PACE_LINE_H
#define REPL_PACE_LINE_H

#include <stdatomic.h>
#include <stdint.h>

#define PACE_BURST_NS UINT64_C(100000000) /* at a limit the line is idle for no longer than it takes to send so much */

struct pace_line {
	_Atomic uint64_t limit;    /* bytes a second, 0: none */
	_Atomic uint64_t taken_ns; /* spoken for up to then */
};

/* From `now_ns` on. The same limit once more changes nothing. */
void pace_line_limit(struct pace_line *line, uint64_t bytes_per_second, uint64_t now_ns);
/* When the next frame may be sent: 0, now, or a time after `now_ns`. */
uint64_t pace_line_free_ns(struct pace_line *line, uint64_t now_ns);
/* So many bytes are being sent. */
void pace_line_take(struct pace_line *line, uint64_t bytes, uint64_t now_ns);

#endif

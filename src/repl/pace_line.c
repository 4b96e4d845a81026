/* Nothing else rests on these two numbers, so their order among other memory does not matter. A limit that changes while another
 * shard takes is off by that one frame. */
#include "repl/pace_line.h"

#define SECOND_NS UINT64_C(1000000000)

void pace_line_limit(struct pace_line *line, uint64_t bytes_per_second, uint64_t now_ns)
{
	if (atomic_exchange_explicit(&line->limit, bytes_per_second, memory_order_relaxed) != bytes_per_second)
		atomic_store_explicit(&line->taken_ns, now_ns, memory_order_relaxed);
}

uint64_t pace_line_free_ns(struct pace_line *line, uint64_t now_ns)
{
	uint64_t taken_ns;

	if (atomic_load_explicit(&line->limit, memory_order_relaxed) == 0)
		return 0;
	taken_ns = atomic_load_explicit(&line->taken_ns, memory_order_relaxed);
	return taken_ns < now_ns ? 0 : taken_ns + 1;
}

void pace_line_take(struct pace_line *line, uint64_t bytes, uint64_t now_ns)
{
	uint64_t limit = atomic_load_explicit(&line->limit, memory_order_relaxed);
	uint64_t taken_ns = atomic_load_explicit(&line->taken_ns, memory_order_relaxed), next_ns;

	if (limit == 0)
		return;
	do {
		next_ns = (taken_ns + PACE_BURST_NS < now_ns ? now_ns - PACE_BURST_NS : taken_ns) + bytes * SECOND_NS / limit;
	} while (!atomic_compare_exchange_weak_explicit(&line->taken_ns, &taken_ns, next_ns, memory_order_relaxed,
							memory_order_relaxed));
}

/* One run: a random schedule from a seed, judged by the oracle. */
#ifndef SIM_SCHEDULE_H
#define SIM_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

struct schedule_result {
	bool passed;
	char why[400];
	uint64_t events, writes, checks, kills, power_losses, link_breaks, operations, failovers, switchovers, scrubs;
};

void schedule_run(uint64_t seed, struct schedule_result *out_result);

#endif

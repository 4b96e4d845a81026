/* One run: a random schedule from a seed, judged by the oracle. */
#ifndef SIM_SCHEDULE_H
#define SIM_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

struct schedule_result {
	bool passed;
	char why[400];
	uint64_t events, writes, checks, kills, power_losses, link_breaks, operations, failovers, switchovers;
	uint64_t scrubs, faults, renewals, growths, looks; /* looks: at what is kept of a divergence */
};

/* A short history (first copy, cycles, failover, reprotect, switchover, stop, failover, cancel) in which a process dies at its
 * file or frame boundary number `boundary` (0: none does); gives how many boundaries the history has. */
uint64_t schedule_run_boundary(uint64_t seed, uint64_t boundary, bool power, struct schedule_result *out_result);
void schedule_run(uint64_t seed, struct schedule_result *out_result);

#endif

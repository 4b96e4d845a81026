/* What EVS calls the states of pairs and groups: one table over control's (state.c). SDRS's words of replication, faults and
 * progress are the same. The control thread. */
#ifndef API_HUAWEI_STATE_H
#define API_HUAWEI_STATE_H

#include <stdbool.h>

#include "control/control.h"

struct huawei;

#define HUAWEI_NEVER_SYNCED (-1)

/* Texts are constants. */
struct huawei_state {
	const char *status;             /* "available" */
	const char *replication_status; /* "copying" */
	const char *fault_level;        /* could one fail over now? "0", "2": one should, "5": not possible */
	const char *failure_detail;     /* eight digits when the status is "error", else NULL */
	int progress;                   /* percent, or HUAWEI_NEVER_SYNCED */
};

struct huawei_state huawei_state_of_pair(const struct huawei *huawei, const struct control_pair *pair);
struct huawei_state huawei_state_of_group(const struct huawei *huawei, const struct control_group *group);
/* The status alone, for lists. */
const char *huawei_status_of_pair(const struct control_brief *pair);
const char *huawei_status_of_group(const struct huawei *huawei, const struct control_brief *group);

/* Who leads is whom the record calls the destination: after a failover, until the record's direction is turned. */
bool huawei_is_failed_over(enum pair_state state, bool switching);

#endif

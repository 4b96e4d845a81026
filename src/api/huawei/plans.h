/* The plans of what takes several operations of control/: see jobs/jobs.h. Those of groups are shared by EVS and SDRS. */
#ifndef API_HUAWEI_PLANS_H
#define API_HUAWEI_PLANS_H

#include "jobs/jobs.h"

/* Input {"group": id}. Each ends once the change of sides is done, not when all is copied: that shows in the group. */
extern const struct job_plan huawei_plan_start, huawei_plan_stop, huawei_plan_reverse, huawei_plan_failover,
	huawei_plan_reprotect;

/* EVS's. Input {"group": id, "add": [pair's id], "remove": [...], "name": text, "description": text}; all but the group may be
 * missing. What a creation has added is taken out again when it fails. */
extern const struct job_plan huawei_plan_create_group, huawei_plan_update_group;

/* Input {"group": id, "pairs": [[pair's id, bytes]]}: both disks of each grow. */
extern const struct job_plan huawei_plan_extend;

/* Whether a job that changes sides got as far as changing anything: what was refused before leaves all as it was. */
bool huawei_job_began(const struct job *job);

/* For steps: the group as it is now, but for its pairs' ids; false when it is gone. */
bool huawei_plan_group(const struct job_run *run, const char *id, struct control_group *out_group);

#endif

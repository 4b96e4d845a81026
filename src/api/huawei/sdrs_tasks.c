/* Jobs as SDRS tells of them, and its task centre: what failed, and nobody has seen to yet. */
#include <microhttpd.h>
#include <string.h>

#include "api/huawei/sdrs.h"
#include "base/error.h"

static void put_id(json_t *object, const char *name, const char *id)
{
	char uuid[HUAWEI_UUID_SIZE];

	if (id[0] == '\0')
		return;
	huawei_uuid(id, uuid);
	json_object_set_new(object, name, json_string(uuid));
}

static const char *first_of(const char *one, const char *other)
{
	return one[0] != '\0' ? one : other;
}

static const char *pair_of(const struct job *job)
{
	return first_of(job_made(job, "pair"), job_input(job, "pair"));
}

static const char *group_of(const struct job *job)
{
	return first_of(job_made(job, "group"), job_input(job, "group"));
}

/* --- one job --- */

/* Texts only: a client decodes them so. */
static json_t *entities_of(const struct job *job)
{
	const char *disk = job_input(job, "disk"), *peer_disk = job_made(job, "peer_disk");
	json_t *entities = json_object();

	put_id(entities, "server_group_id", group_of(job));
	put_id(entities, "replication_pair_id", pair_of(job));
	if (disk[0] != '\0' && peer_disk[0] != '\0') {
		char source[HUAWEI_UUID_SIZE], destination[HUAWEI_UUID_SIZE];

		huawei_uuid(disk, source);
		huawei_uuid(peer_disk, destination);
		json_object_set_new(entities, "volume_ids", json_sprintf("%s,%s", source, destination));
	}
	put_id(entities, "protected_instance_id", job_input(job, "instance"));
	put_id(entities, "native_server_id", job_input(job, "server"));
	return entities;
}

static const char *status_of(const struct job *job)
{
	if (job->state == JOB_RUNNING)
		return job->step == 0 && !job->undoing ? "INIT" : "RUNNING";
	return job->state == JOB_DONE ? "SUCCESS" : "FAIL";
}

static const char *code_of(const struct job *job)
{
	const struct sdrs_work *work = sdrs_work_of(job);

	return work == NULL ? huawei_refusal_of(HUAWEI_SDRS, job->refusal).code : work->code;
}

void sdrs_show_job(struct huawei_call *call)
{
	const struct job *job = jobs_find(call->huawei->jobs, call->arguments[0]);
	const struct sdrs_work *work = job == NULL ? NULL : sdrs_work_of(job);
	json_t *row;

	if (job == NULL) {
		huawei_fail(call, MHD_HTTP_NOT_FOUND, "SDRS.0408", "There is no job %s.", call->arguments[0]);
		return;
	}
	if (!huawei_may(call, "ebs:DescribeDiskReplicaGroups", CONTROL_RESOURCE_GROUP,
			group_of(job)[0] == '\0' ? NULL : group_of(job)))
		return;
	row = json_pack("{s:s, s:s, s:s, s:o, s:o}", "job_id", job->id, "job_type", work == NULL ? job->plan->name : work->type,
			"status", status_of(job), "begin_time", huawei_time_of_job(job->begun_ms), "entities", entities_of(job));
	json_object_set_new(row, "end_time", job->state == JOB_RUNNING ? json_string("") : huawei_time_of_job(job->ended_ms));
	json_object_set_new(row, "error_code", job->state == JOB_FAILED ? json_string(code_of(job)) : json_null());
	json_object_set_new(row, "fail_reason", job->state == JOB_FAILED ? json_string(job->text) : json_null());
	huawei_answer(call, MHD_HTTP_OK, row);
}

/* --- what failed --- */

static const char *const kinds[] = {
	[SDRS_GROUP] = "server_groups", [SDRS_PAIR] = "replications", [SDRS_INSTANCE] = "protected_instances",
};

static const struct sdrs_work *failure_of(const struct job *job)
{
	return job->state == JOB_FAILED && !job->dismissed ? sdrs_work_of(job) : NULL;
}

struct failure_filter {
	const char *failure, *kind, *name; /* or NULL */
	char group[CONTROL_ID_SIZE];       /* "": none */
};

/* What it is called: as it was asked for, or as it is now. */
static const char *name_of(struct huawei *huawei, const struct job *job, char room[CONTROL_NAME_SIZE])
{
	const char *name = job_input(job, "name");
	struct control_group group;

	if (name[0] != '\0' || !huawei_find_group(huawei->control, job->object, &group))
		return name;
	memcpy(room, group.name, CONTROL_NAME_SIZE);
	free(group.pairs);
	return room;
}

/* Without a filter, what failed of groups themselves; of a group, what failed inside it. */
static bool is_wanted(const struct failure_filter *filter, const struct job *job, const struct sdrs_work *work, const char *name)
{
	bool right_kind = filter->kind != NULL ? strcmp(filter->kind, kinds[work->about]) == 0 :
						 (work->about == SDRS_GROUP) == (filter->group[0] == '\0');

	return right_kind && (filter->group[0] == '\0' || strcmp(filter->group, group_of(job)) == 0) &&
	       (filter->failure == NULL || strcmp(filter->failure, work->failure) == 0) &&
	       (filter->name == NULL || strstr(name, filter->name) != NULL);
}

static json_t *failure_row(const struct job *job, const struct sdrs_work *work, const char *name)
{
	const char *ids[] = { [SDRS_GROUP] = group_of(job), [SDRS_PAIR] = pair_of(job),
			      [SDRS_INSTANCE] = job_input(job, "instance") };
	json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:s}", "job_id", job->id, "job_type", work->type,
				"job_status", "FAIL", "resource_name", name, "resource_type", kinds[work->about], "failure_status",
				work->failure, "begin_time", huawei_time_of_job(job->begun_ms), "error_code", work->code,
				"fail_reason", job->text);

	put_id(row, "resource_id", ids[work->about]);
	if (json_object_get(row, "resource_id") == NULL)
		json_object_set_new(row, "resource_id", json_null());
	return row;
}

void sdrs_list_failures(struct huawei_call *call)
{
	const char *group = huawei_given(call, "server_group_id");
	struct failure_filter filter = { .failure = huawei_given(call, "failure_status"), .kind = huawei_given(call, "resource_type"),
					 .name = huawei_given(call, "resource_name") };
	const struct list *all = jobs_all(call->huawei->jobs);
	uint64_t limit, offset, count = 0;
	char room[CONTROL_NAME_SIZE];
	json_t *rows;

	if (!huawei_read_number(call, "limit", 0, 1000, 1000, "SDRS.0221", &limit) ||
	    !huawei_read_number(call, "offset", 0, UINT32_MAX, 0, "SDRS.0222", &offset))
		return;
	if (group != NULL)
		huawei_id(CONTROL_RESOURCE_GROUP, group, filter.group);
	rows = json_array();
	for (struct list *entry = all->prev; entry != all; entry = entry->prev) {
		const struct job *job = container_of(entry, struct job, entry);
		const struct sdrs_work *work = failure_of(job);
		const char *name = work == NULL ? "" : name_of(call->huawei, job, room);

		if (work == NULL || !is_wanted(&filter, job, work, name))
			continue;
		if (count++ >= offset && json_array_size(rows) < limit)
			json_array_append_new(rows, failure_row(job, work, name));
	}
	sdrs_answer_list(call, "failure_jobs", count, rows);
}

void sdrs_dismiss_failure(struct huawei_call *call)
{
	const struct job *job = jobs_find(call->huawei->jobs, call->arguments[0]);
	struct error error;

	if (job == NULL || failure_of(job) == NULL)
		huawei_fail(call, MHD_HTTP_NOT_FOUND, "SDRS.0408", "There is no failed task %s.", call->arguments[0]);
	else if (!huawei_may(call, "ebs:ModifyDiskReplicaGroup", CONTROL_RESOURCE_GROUP,
			     group_of(job)[0] == '\0' ? NULL : group_of(job)))
		return;
	else if (jobs_dismiss(call->huawei->jobs, job, &error) < 0)
		huawei_refuse(call, REFUSE_STORAGE, error.text);
	else
		huawei_accept(call, MHD_HTTP_NO_CONTENT);
}

/* All of them, or (`group` not NULL) those inside a group. */
static void dismiss(struct huawei_call *call, const char *group)
{
	const struct list *all = jobs_all(call->huawei->jobs);
	struct error error;

	for (struct list *entry = all->next; entry != all; entry = entry->next) {
		const struct job *job = container_of(entry, struct job, entry);
		const struct sdrs_work *work = failure_of(job);

		if (work == NULL || (group != NULL && (work->about == SDRS_GROUP || strcmp(group_of(job), group) != 0)))
			continue;
		if (jobs_dismiss(call->huawei->jobs, job, &error) < 0) {
			huawei_refuse(call, REFUSE_STORAGE, error.text);
			return;
		}
	}
	huawei_accept(call, MHD_HTTP_NO_CONTENT);
}

void sdrs_dismiss_failures(struct huawei_call *call)
{
	dismiss(call, NULL);
}

void sdrs_dismiss_failures_of_group(struct huawei_call *call)
{
	dismiss(call, call->arguments[0]);
}

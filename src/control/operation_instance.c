/* Instances: what disks are attached to, by name. No machine is behind one; whoever runs the machines gives them these
 * ids. One that RUN_INSTANCES made is a record of this site; one that an attachment names is there as long as that. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "control/internal.h"

#define NUMBER_DIGITS 2u /* at the end of an id: which of those made together */

void control_instance_id(const char *first, uint32_t index, char out[CONTROL_ID_SIZE])
{
	size_t length = strlen(first) < NUMBER_DIGITS ? 0 : strlen(first) - NUMBER_DIGITS;

	snprintf(out, CONTROL_ID_SIZE, "%.*s%02u", (int)length, first, index % CONTROL_INSTANCES_MAX);
}

void operate_run_instances(struct call *call)
{
	const struct control_request *request = &call->request;
	struct instance_record *made[CONTROL_INSTANCES_MAX];
	uint32_t count = request->amount == 0 ? 1 : request->amount;
	struct error error = { 0 };
	char first[CONTROL_ID_SIZE];

	if (!call_is_here(call))
		return;
	control_make_id("i-", first);
	control_instance_id(first, 0, call->made_id);
	for (uint32_t i = 0; i < count; i++) {
		struct instance_record *instance = memory_new(1, sizeof *instance);

		control_instance_id(first, i, instance->id);
		memcpy(instance->name, request->name, sizeof instance->name);
		memcpy(instance->description, request->description, sizeof instance->description);
		memcpy(instance->resource_group, request->resource_group, sizeof instance->resource_group);
		instance->tags = request->tags == NULL ? NULL : json_deep_copy(request->tags);
		instance->created_s = control_now_s();
		made[i] = instance;
	}
	if (instances_make(call->control, made, count, &error) < 0)
		call_end_error(call, &error);
	else
		call_end(call, REFUSE_NONE, "%s", "");
}

static bool can_delete(struct call *call, const char *id)
{
	const struct disk_record *disk = disk_of_instance(call->control, id);

	if (call_is_of_this_region(call) && disk != NULL)
		call_end(call, REFUSE_INSTANCE_IN_USE, "disk %s is attached to instance %s: detach it first", disk->id, id);
	else if (instance_find(call->control, id) == NULL || !call_is_of_this_region(call))
		call_seek(call, REFUSE_NO_SUCH_INSTANCE, "there is no instance %s at site %s", id,
			  call->control->config.site.zone);
	else
		return true;
	return false;
}

void operate_delete_instances(struct call *call)
{
	const struct control_request *request = &call->request;
	size_t count = request->instance[0] != 0 ? 1 : json_array_size(request->ids);
	struct error error = { 0 };

	if (count == 0) {
		call_end(call, REFUSE_MISSING_PARAMETER, "give an instance's id, or a list of them");
		return;
	}
	for (size_t i = 0; i < 2 * count; i++) {
		const char *id = request->instance[0] != 0 ? request->instance :
				 json_string_value(json_array_get(request->ids, i % count));
		struct instance_record *instance = instance_find(call->control, id);

		if (i < count) {
			if (!can_delete(call, id))
				return;
			continue;
		}
		/* An id that was given twice has gone already. */
		if (instance != NULL && instance_forget(call->control, instance, &error) < 0) {
			call_end_error(call, &error);
			return;
		}
	}
	call_end(call, REFUSE_NONE, "%s", "");
}

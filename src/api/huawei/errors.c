/* control/'s refusals in the words of each family, and the bodies that its clients read: Cinder's and EVS's have the
 * fault's name, and the gateway's two members behind it; SDRS's and Keystone's an "error", SDRS's the same two members.
 * Sources: the facts, section 5, and the seed's table of statuses. */
#include <microhttpd.h>
#include <stddef.h>

#include "api/huawei/internal.h"

struct line {
	struct {
		unsigned status;
		const char *code;
	} volumes, replication, sdrs;
	const char *sentence;
};

/* Status and code for volumes, EVS replication and SDRS. A state that forbids something is 400 for Cinder and SDRS, 409 for EVS
 * replication. */
#define LINE(name, status_v, code_v, status_r, code_r, status_s, code_s, text) \
	[REFUSE_##name] = { { status_v, code_v }, { status_r, code_r }, { status_s, code_s }, text }

static const struct line lines[REFUSALS] = {
	LINE(NONE, 500, "EVS.5500", 500, "EVS.5500", 500, "SDRS.0013", "An internal error."),
	LINE(BAD_PARAMETER, 400, "EVS.5400", 400, "EVS.5400", 400, "SDRS.0201", "A parameter has a bad value."),
	LINE(MISSING_PARAMETER, 400, "EVS.5400", 400, "EVS.5400", 400, "SDRS.0201", "A parameter is missing."),
	LINE(NO_SUCH_REGION, 404, "EVS.5404", 404, "EVS.5404", 404, "SDRS.0203", "There is no such region here."),
	LINE(NO_SUCH_ZONE, 400, "EVS.1036", 400, "EVS.1036", 400, "SDRS.0203", "There is no such availability zone here."),
	LINE(NO_SUCH_DISK, 404, "EVS.5404", 404, "EVS.5404", 404, "SDRS.0211", "There is no such disk."),
	LINE(NO_SUCH_PAIR, 404, "EVS.5404", 404, "EVS.5404", 404, "SDRS.1608", "There is no such replication pair."),
	LINE(NO_SUCH_GROUP, 404, "EVS.5404", 404, "EVS.5404", 404, "SDRS.1013", "There is no such group."),
	LINE(NO_SUCH_RESOURCE, 404, "EVS.5404", 404, "EVS.5404", 404, "SDRS.0201", "There is no such thing."),
	LINE(NO_SUCH_INSTANCE, 404, "EVS.5404", 404, "EVS.5404", 404, "SDRS.1320", "There is no such instance."),
	LINE(INSTANCE_IN_USE, 400, "EVS.5400", 409, "EVS.5400", 400, "SDRS.1301", "Disks are attached to the instance."),
	LINE(TAG_QUOTA, 413, "EVS.5413", 413, "EVS.5413", 400, "SDRS.2202", "That would be too many of them."),
	LINE(INVALID_STATUS, 400, "EVS.1048", 409, "EVS.5400", 400, "SDRS.1002", "The present state does not allow this."),
	LINE(NOT_ALLOWED, 400, "EVS.5400", 409, "EVS.5400", 400, "SDRS.1002", "This is not allowed now."),
	LINE(DISK_STATUS, 400, "EVS.1048", 409, "EVS.1048", 400, "SDRS.1801", "The disk's state does not allow this."),
	LINE(DISK_IN_USE, 400, "EVS.1047", 409, "EVS.1047", 400, "SDRS.1801", "The disk is attached."),
	LINE(DISK_STILL_ATTACHED, 400, "EVS.1048", 409, "EVS.1048", 400, "SDRS.1801", "Detach the disk first."),
	LINE(DISK_DETACHED, 400, "EVS.1048", 409, "EVS.1048", 400, "SDRS.1804", "The disk is attached to nothing."),
	LINE(DISK_NOT_ATTACHED, 400, "EVS.1048", 409, "EVS.1048", 400, "SDRS.1804", "The disk is not attached to that instance."),
	LINE(DISK_IN_PAIR, 400, "EVS.2089", 409, "EVS.2089", 400, "SDRS.1811", "The disk is in a replication pair."),
	LINE(DISK_SIZE, 400, "EVS.1010", 400, "EVS.1010", 400, "SDRS.0201", "The size is not acceptable."),
	LINE(DISK_TOO_SMALL, 400, "EVS.1015", 400, "EVS.1015", 400, "SDRS.0201", "The new size must be larger than the present one."),
	LINE(DISK_TOO_LARGE, 400, "EVS.1010", 400, "EVS.1010", 400, "SDRS.0201", "No disk has more than 64 TiB."),
	LINE(DISK_SIZES_DIFFER, 400, "EVS.5400", 400, "EVS.5400", 400, "SDRS.1814", "The two disks differ in size."),
	LINE(DISK_EXISTS, 409, "EVS.5400", 409, "EVS.5400", 400, "SDRS.1812", "That file is a disk already, or exists."),
	LINE(SAME_SITE, 400, "EVS.1036", 400, "EVS.1036", 400, "SDRS.1810", "Both disks are in the same availability zone."),
	LINE(STANDBY_ATTACHED, 400, "EVS.1048", 409, "EVS.1048", 400, "SDRS.1801", "Detach the disk of the DR site first."),
	LINE(NEVER_SYNCED, 400, "EVS.5400", 409, "EVS.5400", 400, "SDRS.1830", "The first synchronization is not complete."),
	LINE(MANUAL_SYNC_LIMIT, 400, "EVS.5400", 409, "EVS.5400", 400, "SDRS.1002", "Single synchronizations must be further apart."),
	LINE(NO_PAIR_IN_GROUP, 400, "EVS.5400", 409, "EVS.5400", 400, "SDRS.1002", "The group has no replication pair."),
	LINE(GROUP_HAS_PAIR, 400, "EVS.5400", 409, "EVS.5400", 400, "SDRS.1010", "The group still has replication pairs."),
	LINE(PAIR_IN_GROUP, 400, "EVS.5400", 409, "EVS.5400", 400, "SDRS.1601", "The pair is in a group."),
	LINE(PAIR_IN_ANOTHER_GROUP, 400, "EVS.5400", 409, "EVS.5400", 400, "SDRS.1601", "The pair is in another group."),
	LINE(PAIR_NOT_IN_GROUP, 400, "EVS.5400", 409, "EVS.5400", 400, "SDRS.1611", "The pair is not in that group."),
	LINE(PAIRS_EXCEED, 413, "EVS.5413", 413, "EVS.5413", 400, "SDRS.0306", "The group is full."),
	LINE(GROUP_STATUS_ADD, 400, "EVS.5400", 409, "EVS.5400", 400, "SDRS.1002", "The group's state does not allow adding."),
	LINE(GROUP_STATUS_REMOVE, 400, "EVS.5400", 409, "EVS.5400", 400, "SDRS.1002", "The group's state does not allow removing."),
	LINE(PAIR_STATUS_ADD, 400, "EVS.5400", 409, "EVS.5400", 400, "SDRS.1601", "The pair's state does not allow adding it."),
	LINE(PAIR_STATUS_REMOVE, 400, "EVS.5400", 409, "EVS.5400", 400, "SDRS.1601", "The pair's state forbids removing it."),
	LINE(STATUS_CONFLICT, 400, "EVS.5400", 409, "EVS.5400", 400, "SDRS.1002", "The states of pair and group differ."),
	LINE(ZONE_CONFLICT, 400, "EVS.1036", 400, "EVS.1036", 400, "SDRS.1026", "Pair and group lie in different zones."),
	LINE(ON_PRIMARY, 400, "EVS.5400", 409, "EVS.5400", 400, "SDRS.1002", "Ask at the DR site."),
	LINE(ON_STANDBY, 400, "EVS.5400", 409, "EVS.5400", 400, "SDRS.1002", "Ask at the production site."),
	LINE(TOKEN_MISMATCH, 409, "EVS.5400", 409, "EVS.5400", 400, "SDRS.0201", "This was asked for with other parameters."),
	LINE(TOKEN_RUNNING, 409, "EVS.5400", 409, "EVS.5400", 400, "SDRS.1002", "This is being done already."),
	LINE(PEER_UNREACHABLE, 504, "EVS.5504", 504, "EVS.5504", 504, "SDRS.0008", "The other site does not answer."),
	LINE(PEER_ANSWER, 502, "EVS.5502", 502, "EVS.5502", 502, "SDRS.0008", "The other site's answer is not understood."),
	LINE(NO_SPACE, 413, "EVS.1042", 413, "EVS.5413", 413, "SDRS.0301", "No space is left."),
	LINE(STORAGE, 500, "EVS.2002", 500, "EVS.2002", 500, "SDRS.0013", "The storage refused."),
	LINE(INTERNAL, 500, "EVS.5500", 500, "EVS.5500", 500, "SDRS.0013", "An internal error."),
};

struct huawei_refusal huawei_refusal_of(enum huawei_family family, enum refusal refusal)
{
	const struct line *line = &lines[refusal];

	if (family == HUAWEI_SDRS)
		return (struct huawei_refusal){ line->sdrs.status, line->sdrs.code, line->sentence };
	if (family == HUAWEI_REPLICATION)
		return (struct huawei_refusal){ line->replication.status, line->replication.code, line->sentence };
	return (struct huawei_refusal){ line->volumes.status, line->volumes.code, line->sentence };
}

/* What goes with a status: the title (Keystone's), the fault's name (Cinder's), and the codes when there is no better one. */
static const struct status {
	unsigned status;
	const char *title, *fault, *evs, *sdrs;
} statuses[] = {
	{ 400, "Bad Request", "badRequest", "EVS.5400", "SDRS.0201" },
	{ 401, "Unauthorized", "unauthorized", "APIGW.0301", "APIGW.0301" },
	{ 403, "Forbidden", "forbidden", "EVS.5403", "SDRS.0005" },
	{ 404, "Not Found", "itemNotFound", "EVS.5404", "SDRS.0201" },
	{ 405, "Method Not Allowed", "badMethod", "EVS.5405", "SDRS.0206" },
	{ 408, "Request Timeout", "requestTimeout", "EVS.5408", "SDRS.0008" },
	{ 409, "Conflict", "conflictingRequest", "EVS.5400", "SDRS.1002" },
	{ 413, "Request Entity Too Large", "overLimit", "EVS.5413", "SDRS.0301" },
	{ 415, "Unsupported Media Type", "badMediaType", "EVS.5415", "SDRS.0201" },
	{ 500, "Internal Server Error", "computeFault", "EVS.5500", "SDRS.0013" },
	{ 501, "Not Implemented", "notImplemented", "EVS.5501", "SDRS.0206" },
	{ 502, "Bad Gateway", "badGateway", "EVS.5502", "SDRS.0008" },
	{ 503, "Service Unavailable", "serviceUnavailable", "EVS.5503", "SDRS.0013" },
	{ 504, "Gateway Timeout", "gatewayTimeout", "EVS.5504", "SDRS.0008" },
};

static const struct status *status_find(unsigned number)
{
	for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (statuses[i].status == number)
			return &statuses[i];
	return status_find(MHD_HTTP_INTERNAL_SERVER_ERROR);
}

const char *huawei_status_code(enum huawei_family family, unsigned status)
{
	return family == HUAWEI_SDRS ? status_find(status)->sdrs : status_find(status)->evs;
}

json_t *huawei_error_body(const struct huawei_call *call)
{
	const struct status *status = status_find(call->status);
	const char *root = call->family == HUAWEI_VOLUMES || call->family == HUAWEI_REPLICATION ? status->fault : "error";
	json_t *body = json_object(), *error = json_object();

	/* The first member is the one that OpenStack's clients look at. */
	if (call->family == HUAWEI_SDRS && call->status != MHD_HTTP_UNAUTHORIZED)
		json_object_set_new(error, "code", json_string(call->code));
	else
		json_object_set_new(error, "code", json_integer(call->status));
	if (call->family == HUAWEI_IDENTITY)
		json_object_set_new(error, "title", json_string(status->title));
	json_object_set_new(error, "message", json_string(call->message));
	json_object_set_new(body, root, error);
	if (call->family == HUAWEI_IDENTITY)
		return body;
	json_object_set_new(body, "error_code", json_string(call->code));
	json_object_set_new(body, "error_msg", json_string(call->message));
	json_object_set_new(body, "request_id", json_string(call->request_id));
	return body;
}

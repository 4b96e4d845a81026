/* Every refusal in the words of the dialect: code and HTTP status of EBS and of ECS, and a sentence. A test proves that no
 * refusal lacks its line. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/aliyun/internal.h"
#include "base/text.h"

struct line {
	struct {
		const char *code;
		unsigned status;
	} products[ALIYUN_ECS + 1]; /* the others' operations never reach control/ */
	const char *sentence;
};

#define DENIED "OperationDenied"
#define INVALID_STATUS DENIED ".InvalidStatus"
#define LINE(name, ebs, ebs_status, ecs, ecs_status, sentence) \
	[REFUSE_##name] = { { [ALIYUN_EBS] = { ebs, ebs_status }, [ALIYUN_ECS] = { ecs, ecs_status } }, sentence }

static const struct line lines[REFUSALS] = {
	LINE(NONE, "OK", 200, "OK", 200, "Accepted."),
	LINE(BAD_PARAMETER, "InvalidParameter", 400, "InvalidParameter", 400, "A parameter has a bad value."),
	LINE(MISSING_PARAMETER, "MissingParameter", 400, "MissingParameter", 400, "A mandatory parameter is missing."),
	LINE(NO_SUCH_REGION, "InvalidRegionId.NotFound", 404, "InvalidRegionId.NotFound", 404, "There is no such region."),
	LINE(NO_SUCH_ZONE, "InvalidParameter", 400, "InvalidZoneId.NotFound", 404, "There is no such zone."),
	LINE(NO_SUCH_DISK, "NoSuchResource", 404, "InvalidDiskId.NotFound", 404, "There is no such disk."),
	LINE(NO_SUCH_PAIR, "NoSuchResource", 404, "NoSuchResource", 404, "There is no such pair."),
	LINE(NO_SUCH_GROUP, "NoSuchResource", 404, "NoSuchResource", 404, "There is no such group."),
	LINE(NO_SUCH_RESOURCE, "InvalidResourceId.NotFound", 404, "InvalidResourceId.NotFound", 404, "There is no such resource."),
	LINE(NO_SUCH_INSTANCE, "NoSuchResource", 404, "InvalidInstanceId.NotFound", 404, "There is no such instance."),
	LINE(INSTANCE_IN_USE, DENIED, 403, "DependencyViolation", 403, "Disks are attached to it: detach them first."),
	LINE(TAG_QUOTA, DENIED ".QuotaExceed", 400, "QuotaExceed.TagsPerResource", 400, "A resource has 20 tags at most."),
	LINE(INVALID_STATUS, INVALID_STATUS, 403, "IncorrectDiskStatus", 403, "The present state does not allow this."),
	LINE(NOT_ALLOWED, DENIED, 403, DENIED, 403, "This is not allowed."),
	LINE(DISK_STATUS, DENIED, 403, "IncorrectDiskStatus", 403, "The disk's state does not allow this."),
	LINE(DISK_IN_USE, DENIED, 403, "InvalidDisk.InUse", 404, "The disk is attached already."),
	LINE(DISK_STILL_ATTACHED, DENIED, 403, "DiskStillAttached", 403, "The disk is attached: detach it first."),
	LINE(DISK_DETACHED, DENIED, 403, "InvalidDisk.AlreadyDetached", 404, "The disk is attached to nothing."),
	LINE(DISK_NOT_ATTACHED, DENIED, 403, "DependencyViolation", 403, "The disk is not attached to that instance."),
	LINE(DISK_IN_PAIR, DENIED, 403, "IncorrectDiskStatus.InReplication", 400, "The disk is in a pair."),
	LINE(DISK_SIZE, "InvalidParameter", 400, "InvalidSize.ValueNotSupported", 400, "The size is not acceptable."),
	LINE(DISK_TOO_SMALL, "InvalidParameter", 400, "InvalidDiskSize.TooSmall", 403, "A disk cannot become smaller."),
	LINE(DISK_TOO_LARGE, "InvalidParameter", 400, "InvalidDiskSize.TooLarge", 403, "No disk has more than 64 TiB."),
	LINE(DISK_SIZES_DIFFER, DENIED, 403, DENIED, 403, "The two disks differ in size."),
	LINE(DISK_EXISTS, DENIED, 403, "InvalidParameter.Conflict", 400, "That file is a disk already, or exists."),
	LINE(SAME_SITE, DENIED, 403, DENIED, 403, "Both disks are in the same zone."),
	LINE(STANDBY_ATTACHED, DENIED ".StandbyDeviceAttached", 400, "IncorrectDiskStatus", 403,
	     "The secondary disk is attached: detach it first."),
	LINE(NEVER_SYNCED, INVALID_STATUS, 403, INVALID_STATUS, 403, "The first full sync is not complete."),
	LINE(MANUAL_SYNC_LIMIT, DENIED ".ManualSyncLimit", 403, DENIED, 403, "One-shot syncs must be further apart."),
	LINE(NO_PAIR_IN_GROUP, DENIED ".NoPairInGroup", 403, DENIED, 403, "The group has no pair."),
	LINE(GROUP_HAS_PAIR, DENIED ".GroupHasPair", 403, DENIED, 403, "The group is not empty: remove its pairs first."),
	LINE(PAIR_IN_GROUP, DENIED, 403, DENIED, 403, "The pair is in a group: operate on the group."),
	LINE(PAIR_IN_ANOTHER_GROUP, DENIED ".PairInAnotherGroup", 403, DENIED, 403, "The pair is in another group."),
	LINE(PAIR_NOT_IN_GROUP, DENIED ".PairNotInGroup", 403, DENIED, 403, "The pair is not in that group."),
	LINE(PAIRS_EXCEED, DENIED ".PairsExceedInGroup", 403, DENIED, 403, "The group is full."),
	LINE(GROUP_STATUS_ADD, DENIED ".GroupStatusCannotAddPair", 403, DENIED, 403, "The group's state forbids adding."),
	LINE(GROUP_STATUS_REMOVE, DENIED ".GroupStatusCannotRemovePair", 403, DENIED, 403, "The group's state forbids removing."),
	LINE(PAIR_STATUS_ADD, DENIED ".PairStatusCannotAddToGroup", 403, DENIED, 403, "The pair's state forbids adding it."),
	LINE(PAIR_STATUS_REMOVE, DENIED ".PairStatusCannotRemoveFromGroup", 403, DENIED, 403,
	     "The pair's state forbids removing it."),
	LINE(STATUS_CONFLICT, DENIED ".PairGroupStatusConflict", 403, DENIED, 403, "The states of pair and group differ."),
	LINE(ZONE_CONFLICT, DENIED ".PairGroupAZoneConflict", 403, DENIED, 403, "Pair and group lie between different zones."),
	LINE(ON_PRIMARY, DENIED ".OperateNotAllowedForPrimary", 403, DENIED, 403, "Ask at the secondary site."),
	LINE(ON_STANDBY, DENIED ".OperateNotAllowedForStandby", 403, DENIED, 403, "Ask at the primary site."),
	LINE(TOKEN_MISMATCH, "IdempotentParameterMismatch", 400, "IdempotentParameterMismatch", 400,
	     "This ClientToken was used with other parameters."),
	LINE(TOKEN_RUNNING, "LastTokenProcessing", 403, "IdempotentProcessing", 403,
	     "A request with this ClientToken still runs."),
	LINE(PEER_UNREACHABLE, "RequestTimeout", 504, "RequestTimeout", 504, "The other site does not answer."),
	LINE(PEER_ANSWER, "InternalError", 502, "InternalError", 502, "The other site's answer is not understood."),
	LINE(NO_SPACE, DENIED ".QuotaExceed", 403, "QuotaExceed", 403, "No space is left."),
	LINE(STORAGE, "InternalError", 500, "InternalError", 500, "The storage refused."),
	LINE(INTERNAL, "InternalError", 500, "InternalError", 500, "An internal error."),
};

bool aliyun_fail(struct aliyun_error *error, unsigned status, const char *code, const char *format, ...)
{
	va_list arguments;

	error->status = status;
	snprintf(error->code, sizeof(error->code), "%s", code);
	va_start(arguments, format);
	vsnprintf(error->message, sizeof(error->message), format, arguments);
	va_end(arguments);
	text_clean(error->message);
	return false;
}

void aliyun_error_clear(struct aliyun_error *error)
{
	json_decref(error->detail);
	free(error->tail);
	*error = (struct aliyun_error){ 0 };
}

void aliyun_refuse(struct aliyun_error *error, enum aliyun_product product, enum refusal refusal, const char *text)
{
	const struct line *line = &lines[refusal];

	aliyun_fail(error, line->products[product].status, line->products[product].code, "%s",
		    text[0] == '\0' ? line->sentence : text);
}

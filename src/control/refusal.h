/* Every reason to refuse an operation, once. A dialect maps each to its own code, HTTP status and sentence (errors.c of its
 * folder), and a test proves that none is missing. */
#ifndef CONTROL_REFUSAL_H
#define CONTROL_REFUSAL_H

/* name, what it means (for logs and peers) */
#define REFUSAL_LIST(X) \
	X(NONE, "accepted") \
	X(BAD_PARAMETER, "a parameter has a bad value") \
	X(MISSING_PARAMETER, "a parameter is missing") \
	X(NO_SUCH_REGION, "no such region") \
	X(NO_SUCH_ZONE, "no such zone") \
	X(NO_SUCH_DISK, "no such disk") \
	X(NO_SUCH_PAIR, "no such pair") \
	X(NO_SUCH_GROUP, "no such group") \
	X(NO_SUCH_RESOURCE, "no such resource") \
	X(NO_SUCH_INSTANCE, "no such instance") \
	X(INSTANCE_IN_USE, "disks are attached to the instance") \
	X(TAG_QUOTA, "too many tags") \
	X(INVALID_STATUS, "not allowed in the present state") \
	X(NOT_ALLOWED, "not allowed") \
	X(DISK_STATUS, "the disk's state forbids it") \
	X(DISK_IN_USE, "the disk is attached") \
	X(DISK_STILL_ATTACHED, "the disk is attached, and has to be detached first") \
	X(DISK_DETACHED, "the disk is attached to nothing") \
	X(DISK_NOT_ATTACHED, "the disk is not attached to that instance") \
	X(DISK_IN_PAIR, "the disk is in a pair already") \
	X(DISK_SIZE, "the disk's size is not acceptable") \
	X(DISK_TOO_SMALL, "the new size is below the present one") \
	X(DISK_TOO_LARGE, "the new size is beyond the limit") \
	X(DISK_SIZES_DIFFER, "the two disks differ in size") \
	X(DISK_EXISTS, "that file is a disk already, or exists") \
	X(SAME_SITE, "both disks are at the same site") \
	X(STANDBY_ATTACHED, "the secondary disk is attached") \
	X(NEVER_SYNCED, "the first full sync is not complete") \
	X(MANUAL_SYNC_LIMIT, "one-shot syncs too frequent") \
	X(NO_PAIR_IN_GROUP, "the group has no pair") \
	X(GROUP_HAS_PAIR, "the group is not empty") \
	X(PAIR_IN_GROUP, "the pair is in a group: operate on the group") \
	X(PAIR_IN_ANOTHER_GROUP, "the pair is in another group") \
	X(PAIR_NOT_IN_GROUP, "the pair is not in that group") \
	X(PAIRS_EXCEED, "the group is full") \
	X(GROUP_STATUS_ADD, "the group's state forbids adding") \
	X(GROUP_STATUS_REMOVE, "the group's state forbids removing") \
	X(PAIR_STATUS_ADD, "the pair's state forbids adding it") \
	X(PAIR_STATUS_REMOVE, "the pair's state forbids removing it") \
	X(STATUS_CONFLICT, "states of pair and group differ") \
	X(ZONE_CONFLICT, "region or zone of pair and group differ") \
	X(ON_PRIMARY, "not on the primary site") \
	X(ON_STANDBY, "not on the secondary site") \
	X(TOKEN_MISMATCH, "this client token was used with other parameters") \
	X(TOKEN_RUNNING, "a request with this client token still runs") \
	X(PEER_UNREACHABLE, "the other site does not answer") \
	X(PEER_ANSWER, "the other site's answer is not understood") \
	X(NO_SPACE, "no space left") \
	X(STORAGE, "the storage refused") \
	X(INTERNAL, "an internal error")

enum refusal {
#define X(name, text) REFUSE_##name,
	REFUSAL_LIST(X)
#undef X
	REFUSALS,
};

const char *refusal_name(enum refusal refusal);
const char *refusal_text(enum refusal refusal);

#endif

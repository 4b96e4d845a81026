/* The actions spoken: one row each, with its parameters. From these rows come parsing, the errors for what is missing or bad,
 * and the answer. Parameters that have no row are ignored, as the cloud does (SDKs add some). */
#include <string.h>

#include "api/aliyun/parameters.h"

#define FIELD(field) offsetof(struct control_request, field), sizeof(((struct control_request *)NULL)->field)
#define ROW(name, kind, required, field) { name, kind, required, FIELD(field), NULL }
#define NEEDS(name, kind, field) ROW(name, kind, true, field)
#define TAKES(name, kind, field) ROW(name, kind, false, field)
#define ONE_OF(name, kind, field, words) { name, kind, false, FIELD(field), &(words) }
#define LIST(...) (const struct aliyun_parameter[]) { __VA_ARGS__, { 0 } }

#define REGION NEEDS("RegionId", ALIYUN_ID, region)
#define TOKEN TAKES("ClientToken", ALIYUN_TOKEN, client_token)
#define PAIR NEEDS("ReplicaPairId", ALIYUN_ID, pair)
#define GROUP NEEDS("ReplicaGroupId", ALIYUN_ID, group)
#define DISK NEEDS("DiskId", ALIYUN_ID, disk)
#define INSTANCE NEEDS("InstanceId", ALIYUN_ID, instance)
#define ANY_REGION TAKES("RegionId", ALIYUN_ID, region)
#define DIRECTION \
	REGION, NEEDS("SourceZoneId", ALIYUN_ID, zone), NEEDS("DestinationRegionId", ALIYUN_ID, peer_region), \
	NEEDS("DestinationZoneId", ALIYUN_ID, peer_zone)
#define TERMS \
	TAKES("Description", ALIYUN_DESCRIPTION, description), TAKES("RPO", ALIYUN_SECONDS, rpo_s), \
	TAKES("Bandwidth", ALIYUN_COUNT, bandwidth), TAKES("EnableRtc", ALIYUN_FLAG, enable_rtc), TOKEN
#define WITH_INSTANCE TAKES("DeleteWithInstance", ALIYUN_CHOICE, delete_with_instance)
#define LABELS TAKES("ResourceGroupId", ALIYUN_ID, resource_group), TAKES("Tag", ALIYUN_TAGS, tags)
#define RESOURCES NEEDS("ResourceType", ALIYUN_RESOURCE_TYPE, resource), NEEDS("ResourceId", ALIYUN_LIST, ids)

#define CHANGE(action, product, operation, id_name, ...) \
	{ action, product, LIST(__VA_ARGS__), operation, id_name, NULL, false }
#define READ(action, product, function) { action, product, NULL, CONTROL_OPERATIONS, NULL, function, true }
#define RAM_READ(action, function) READ(action, ALIYUN_RAM, function)
#define RAM(action, function) { action, ALIYUN_RAM, NULL, CONTROL_OPERATIONS, NULL, function, false }
#define EBS(action, operation, ...) CHANGE(action, ALIYUN_EBS, operation, NULL, __VA_ARGS__)
#define ECS(action, operation, ...) CHANGE(action, ALIYUN_ECS, operation, NULL, __VA_ARGS__)

static const struct aliyun_words charges = { "InvalidParameter", 400, { "PREPAY", "POSTPAY" } };
static const struct aliyun_words periods = { "InvalidParameter", 400, { "1", "2", "3", "6", "12", "24", "36", "60" } };
static const struct aliyun_words units = { "InvalidParameter", 400, { "Month" } };
static const struct aliyun_words levels = { "InvalidPerformanceLevel.Malformed", 400, { "PL0", "PL1", "PL2", "PL3" } };
static const struct aliyun_words caches = { "InvalidParameter", 400, { CONTROL_CACHE_NONE, CONTROL_CACHE_WRITEBACK } };
static const struct aliyun_words categories = {
	"InvalidDiskCategory.ValueNotSupported", 400,
	{ "cloud", "cloud_efficiency", "cloud_ssd", "cloud_essd", "cloud_auto", "cloud_essd_entry", "elastic_ephemeral_*" },
};
/* There are none: a disk made of one would be empty. */
static const struct aliyun_words snapshots = { "InvalidSnapshotId.NotFound", 404, { NULL } };

static const struct aliyun_operation operations[] = {
	READ("DescribeRegions", ALIYUN_EBS, aliyun_describe_regions),
	READ("DescribeDiskReplicaPairs", ALIYUN_EBS, aliyun_describe_pairs),
	READ("DescribeDiskReplicaPairProgress", ALIYUN_EBS, aliyun_describe_progress),
	READ("DescribeDiskReplicaGroups", ALIYUN_EBS, aliyun_describe_groups),
	CHANGE("CreateDiskReplicaPair", ALIYUN_EBS, CONTROL_CREATE_PAIR, "ReplicaPairId", DIRECTION, DISK,
	       NEEDS("DestinationDiskId", ALIYUN_ID, peer_disk), TAKES("PairName", ALIYUN_NAME, name),
	       ONE_OF("ChargeType", ALIYUN_WORD, charge_type, charges), ONE_OF("Period", ALIYUN_NUMBER, period, periods),
	       ONE_OF("PeriodUnit", ALIYUN_CHECKED, period, units), TERMS, LABELS),
	EBS("ModifyDiskReplicaPair", CONTROL_MODIFY_PAIR, REGION, PAIR, TAKES("PairName", ALIYUN_NAME, name), TERMS),
	EBS("StartDiskReplicaPair", CONTROL_START_PAIR, REGION, PAIR, TAKES("OneShot", ALIYUN_FLAG, one_shot), TOKEN),
	EBS("StopDiskReplicaPair", CONTROL_STOP_PAIR, REGION, PAIR, TOKEN),
	EBS("FailoverDiskReplicaPair", CONTROL_FAILOVER_PAIR, REGION, PAIR, TOKEN),
	EBS("ReprotectDiskReplicaPair", CONTROL_REPROTECT_PAIR, REGION, PAIR,
	    TAKES("ReverseReplicate", ALIYUN_NO_FLAG, cancel), TOKEN),
	EBS("SwitchoverDiskReplicaPair", CONTROL_SWITCHOVER_PAIR, REGION, PAIR, TOKEN), /* Offsite's own */
	EBS("DiscardDiskReplicaPairDivergence", CONTROL_DISCARD_PAIR, REGION, PAIR, TOKEN), /* Offsite's own */
	EBS("PreviewDiskReplicaPair", CONTROL_PREVIEW_PAIR, REGION, PAIR), /* Offsite's own */
	EBS("ScrubDiskReplicaPair", CONTROL_SCRUB_PAIR, REGION, PAIR, TOKEN), /* Offsite's own */
	EBS("DeleteDiskReplicaPair", CONTROL_DELETE_PAIR, REGION, PAIR, TOKEN),
	CHANGE("CreateDiskReplicaGroup", ALIYUN_EBS, CONTROL_CREATE_GROUP, "ReplicaGroupId", DIRECTION,
	       TAKES("GroupName", ALIYUN_NAME, name), TERMS, LABELS),
	EBS("ModifyDiskReplicaGroup", CONTROL_MODIFY_GROUP, REGION, GROUP, TAKES("GroupName", ALIYUN_NAME, name), TERMS),
	EBS("AddDiskReplicaPair", CONTROL_ADD_PAIR, REGION, GROUP, PAIR, TOKEN),
	EBS("RemoveDiskReplicaPair", CONTROL_REMOVE_PAIR, REGION, GROUP, PAIR, TOKEN),
	EBS("StartDiskReplicaGroup", CONTROL_START_GROUP, REGION, GROUP, TAKES("OneShot", ALIYUN_FLAG, one_shot), TOKEN),
	EBS("StopDiskReplicaGroup", CONTROL_STOP_GROUP, REGION, GROUP, TOKEN),
	EBS("FailoverDiskReplicaGroup", CONTROL_FAILOVER_GROUP, REGION, GROUP, TOKEN),
	EBS("ReprotectDiskReplicaGroup", CONTROL_REPROTECT_GROUP, REGION, GROUP,
	    TAKES("ReverseReplicate", ALIYUN_NO_FLAG, cancel), TOKEN),
	EBS("SwitchoverDiskReplicaGroup", CONTROL_SWITCHOVER_GROUP, REGION, GROUP, TOKEN), /* Offsite's own */
	EBS("DiscardDiskReplicaGroupDivergence", CONTROL_DISCARD_GROUP, REGION, GROUP, TOKEN), /* Offsite's own */
	EBS("PreviewDiskReplicaGroup", CONTROL_PREVIEW_GROUP, REGION, GROUP), /* Offsite's own */
	EBS("ScrubDiskReplicaGroup", CONTROL_SCRUB_GROUP, REGION, GROUP, TOKEN), /* Offsite's own */
	EBS("DeleteDiskReplicaGroup", CONTROL_DELETE_GROUP, REGION, GROUP, TOKEN),
	/* Offsite's own: how fast the site of that zone may be shipped to, 0 for no limit. */
	EBS("ModifyOffsitePeer", CONTROL_LIMIT_PEER, ANY_REGION, NEEDS("ZoneId", ALIYUN_ID, zone),
	    NEEDS("BytesPerSecond", ALIYUN_COUNT, size)),
	READ("ListReplicaEdgeSupported", ALIYUN_EBS, aliyun_list_edges),
	READ("ListTagResources", ALIYUN_EBS, aliyun_list_tags),
	EBS("TagResources", CONTROL_TAG, REGION, RESOURCES, NEEDS("Tag", ALIYUN_TAGS, tags), TOKEN),
	EBS("UntagResources", CONTROL_UNTAG, REGION, RESOURCES, TAKES("TagKey", ALIYUN_LIST, keys), TAKES("All", ALIYUN_FLAG, all),
	    TOKEN),
	EBS("ChangeResourceGroup", CONTROL_CHANGE_RESOURCE_GROUP, REGION, NEEDS("ResourceType", ALIYUN_RESOURCE_TYPE, resource),
	    NEEDS("ResourceId", ALIYUN_ID, name), NEEDS("NewResourceGroupId", ALIYUN_ID, resource_group), TOKEN),
	READ("StartPairDrill", ALIYUN_EBS, aliyun_no_drills),
	READ("ClearPairDrill", ALIYUN_EBS, aliyun_no_drills),
	READ("DescribePairDrills", ALIYUN_EBS, aliyun_no_drills),
	READ("StartReplicaGroupDrill", ALIYUN_EBS, aliyun_no_drills),
	READ("ClearReplicaGroupDrill", ALIYUN_EBS, aliyun_no_drills),
	READ("DescribeReplicaGroupDrills", ALIYUN_EBS, aliyun_no_drills),
	READ("DescribeRegions", ALIYUN_ECS, aliyun_describe_ecs_regions),
	READ("DescribeZones", ALIYUN_ECS, aliyun_describe_zones),
	READ("ListTagResources", ALIYUN_ECS, aliyun_list_disk_tags),
	ECS("TagResources", CONTROL_TAG, REGION, RESOURCES, NEEDS("Tag", ALIYUN_TAGS, tags)),
	ECS("UntagResources", CONTROL_UNTAG, REGION, RESOURCES, TAKES("TagKey", ALIYUN_LIST, keys), TAKES("All", ALIYUN_FLAG, all)),
	ECS("ModifyDiskAttribute", CONTROL_MODIFY_DISK, TAKES("DiskId", ALIYUN_ID, disk),
	    TAKES("DiskIds", ALIYUN_LIST, ids), ANY_REGION, TAKES("DiskName", ALIYUN_NAME, name),
	    TAKES("Description", ALIYUN_DESCRIPTION, description), WITH_INSTANCE,
	    TAKES("DeleteAutoSnapshot", ALIYUN_CHOICE, delete_auto_snapshot),
	    TAKES("EnableAutoSnapshot", ALIYUN_CHOICE, enable_auto_snapshot),
	    ONE_OF("OffsiteCache", ALIYUN_WORD, cache, caches)),
	READ("DescribeDisks", ALIYUN_ECS, aliyun_describe_disks),
	/* Offsite's own: OffsiteSizeBytes (instead of GiB), OffsitePath (a raw file or block device to be adopted in place),
	 * OffsiteCache. */
	CHANGE("CreateDisk", ALIYUN_ECS, CONTROL_CREATE_DISK, "DiskId", REGION, TAKES("ZoneId", ALIYUN_ID, zone),
	       TAKES("Size", ALIYUN_GIB, size), TAKES("OffsiteSizeBytes", ALIYUN_COUNT, size),
	       TAKES("OffsitePath", ALIYUN_PATH, path), TAKES("DiskName", ALIYUN_NAME, name),
	       TAKES("Description", ALIYUN_DESCRIPTION, description),
	       ONE_OF("DiskCategory", ALIYUN_WORD, category, categories),
	       ONE_OF("PerformanceLevel", ALIYUN_WORD, performance, levels), ONE_OF("OffsiteCache", ALIYUN_WORD, cache, caches),
	       ONE_OF("SnapshotId", ALIYUN_CHECKED, disk, snapshots), TAKES("InstanceId", ALIYUN_ID, instance), LABELS,
	       TOKEN),
	ECS("AttachDisk", CONTROL_ATTACH_DISK, DISK, INSTANCE, ANY_REGION, TAKES("Device", ALIYUN_TOKEN, device),
	    WITH_INSTANCE),
	ECS("DetachDisk", CONTROL_DETACH_DISK, DISK, INSTANCE, ANY_REGION),
	ECS("DeleteDisk", CONTROL_DELETE_DISK, DISK, ANY_REGION),
	ECS("ResizeDisk", CONTROL_RESIZE_DISK, DISK, ANY_REGION, TAKES("NewSize", ALIYUN_GIB, size),
	    TAKES("OffsiteSizeBytes", ALIYUN_COUNT, size), TOKEN),
	CHANGE("RunInstances", ALIYUN_ECS, CONTROL_RUN_INSTANCES, NULL, REGION, TAKES("ZoneId", ALIYUN_ID, zone),
	       TAKES("InstanceName", ALIYUN_NAME, name), TAKES("Description", ALIYUN_DESCRIPTION, description),
	       TAKES("Amount", ALIYUN_AMOUNT, amount), LABELS, TOKEN),
	READ("DescribeInstances", ALIYUN_ECS, aliyun_describe_instances),
	ECS("DeleteInstance", CONTROL_DELETE_INSTANCES, INSTANCE, ANY_REGION, TOKEN),
	ECS("DeleteInstances", CONTROL_DELETE_INSTANCES, REGION, NEEDS("InstanceId", ALIYUN_LIST, ids), TOKEN),
	RAM("CreateUser", aliyun_create_user),
	RAM_READ("GetUser", aliyun_get_user),
	RAM_READ("ListUsers", aliyun_list_users),
	RAM("DeleteUser", aliyun_delete_user),
	RAM("CreateAccessKey", aliyun_create_key),
	RAM_READ("ListAccessKeys", aliyun_list_keys),
	RAM("UpdateAccessKey", aliyun_update_key),
	RAM("DeleteAccessKey", aliyun_delete_key),
	RAM("CreatePolicy", aliyun_create_policy),
	RAM_READ("GetPolicy", aliyun_get_policy),
	RAM_READ("ListPolicies", aliyun_list_policies),
	RAM("DeletePolicy", aliyun_delete_policy),
	RAM("AttachPolicyToUser", aliyun_attach_to_user),
	RAM("DetachPolicyFromUser", aliyun_detach_from_user),
	RAM_READ("ListPoliciesForUser", aliyun_list_user_policies),
	RAM("CreateRole", aliyun_create_role),
	RAM_READ("GetRole", aliyun_get_role),
	RAM_READ("ListRoles", aliyun_list_roles),
	RAM("DeleteRole", aliyun_delete_role),
	RAM("AttachPolicyToRole", aliyun_attach_to_role),
	RAM("DetachPolicyFromRole", aliyun_detach_from_role),
	RAM_READ("ListPoliciesForRole", aliyun_list_role_policies),
	{ "AssumeRole", ALIYUN_STS, NULL, CONTROL_OPERATIONS, NULL, aliyun_assume_role, false },
	READ("GetCallerIdentity", ALIYUN_STS, aliyun_get_caller),
};

const char *aliyun_product_name(enum aliyun_product product)
{
	static const char *const names[ALIYUN_PRODUCTS] = { [ALIYUN_EBS] = "ebs", [ALIYUN_ECS] = "ecs", [ALIYUN_RAM] = "ram",
							    [ALIYUN_STS] = "sts" };

	return names[product];
}

const struct aliyun_operation *aliyun_find_operation(enum aliyun_product product, const char *action)
{
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		if (operations[i].product == product && strcmp(operations[i].action, action) == 0)
			return &operations[i];
	return NULL;
}

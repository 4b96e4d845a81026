/* What can be read: pages of disks, pairs and groups, from this site's own copies. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "control/internal.h"

#define PAGE_MAX 500u

static bool is_given(const char *text)
{
	return text != NULL && text[0] != 0;
}

static bool in_ids(const struct control_filter *filter, const char *id)
{
	for (size_t i = 0; i < filter->id_count; i++) {
		if (strcmp(filter->ids[i], id) == 0)
			return true;
	}
	return filter->ids == NULL;
}

static struct control_site site_of(struct control *control, const char *zone)
{
	const struct peer *peer = peer_find(control, zone);
	struct control_site site;

	if (peer != NULL)
		return peer->site;
	if (strcmp(zone, control->config.site.zone) == 0)
		return control->config.site;
	memset(&site, 0, sizeof site); /* a peer that has left the configuration */
	snprintf(site.name, sizeof site.name, "%s", zone);
	snprintf(site.zone, sizeof site.zone, "%s", zone);
	return site;
}

static bool is_in_region(struct control *control, const char *zone, const char *region)
{
	const struct control_site *here = &control->config.site;
	const struct peer *peer = strcmp(zone, here->zone) == 0 ? NULL : peer_find(control, zone);

	if (peer == NULL && strcmp(zone, here->zone) != 0)
		return false; /* a peer that has left the configuration */
	return strcmp(peer == NULL ? here->region : peer->site.region, region) == 0;
}

/* Whether row `index` of the matches is on the page. */
static bool on_page(const struct control_filter *filter, size_t index)
{
	return index >= filter->first && index - filter->first < filter->count && index - filter->first < PAGE_MAX;
}

static size_t page_room(const struct control_filter *filter)
{
	return filter->count < PAGE_MAX ? filter->count : PAGE_MAX;
}

/* Of a pair in a group, the group's. */
const struct replica *unit_of(struct control *control, const struct replica *replica)
{
	const struct replica *group = replica->group[0] == 0 ? NULL : replica_find(control, replica->group, true);

	return group != NULL ? group : replica;
}

int control_list_disks(struct control *control, const struct control_filter *filter, struct control_list *out_list)
{
	*out_list = (struct control_list){ .disks = memory_new(page_room(filter), sizeof(struct control_disk)) };
	list_for_each(entry, &control->disks) {
		const struct disk_record *disk = container_of(entry, struct disk_record, entry);
		const struct replica *pair = replica_of_disk(control, disk->id);
		struct control_disk *row;

		if (!in_ids(filter, disk->id) ||
		    (is_given(filter->name_part) && strstr(disk->name, filter->name_part) == NULL) ||
		    (is_given(filter->region) && strcmp(filter->region, control->config.site.region) != 0) ||
		    (is_given(filter->zone) && strcmp(filter->zone, control->config.site.zone) != 0) ||
		    (is_given(filter->resource_group) && strcmp(filter->resource_group, disk->resource_group) != 0) ||
		    (filter->tags != NULL && !tags_match(disk->tags, filter->tags)) ||
		    (is_given(filter->instance) && strcmp(filter->instance, disk->instance) != 0) ||
		    (filter->state >= 0 && disk->state != (uint64_t)filter->state))
			continue;
		if (!on_page(filter, out_list->total++))
			continue;
		row = &out_list->disks[out_list->count++];
		memcpy(row->id, disk->id, sizeof row->id);
		memcpy(row->name, disk->name, sizeof row->name);
		memcpy(row->description, disk->description, sizeof row->description);
		memcpy(row->region, control->config.site.region, sizeof row->region);
		memcpy(row->zone, control->config.site.zone, sizeof row->zone);
		memcpy(row->kind, disk->kind, sizeof row->kind);
		memcpy(row->path, disk->path, sizeof row->path);
		memcpy(row->category, disk->category, sizeof row->category);
		memcpy(row->instance, disk->instance, sizeof row->instance);
		memcpy(row->failure, disk->failure, sizeof row->failure);
		snprintf(row->pair, sizeof row->pair, "%s", pair == NULL ? "" : pair->id);
		row->diverged_kept = pair != NULL && unit_of(control, pair)->status.divergence_kept;
		row->adopted = disk->adopted;
		row->tags = disk->tags;
		memcpy(row->resource_group, disk->resource_group, sizeof row->resource_group);
		row->size = disk->size;
		row->state = (enum disk_state)disk->state;
		row->created_s = disk->created_s;
		row->attached_s = disk->attached_s;
		row->detached_s = disk->detached_s;
	}
	return 0;
}

static bool replica_matches(struct control *control, const struct control_filter *filter, const struct replica *replica)
{
	bool here_source = is_source(control, replica);

	if (!in_ids(filter, replica->id) || replica->state == PAIR_CREATING || (replica->unit_gone && replica->peer_gone))
		return false;
	if (is_given(filter->name_part) && strstr(replica->name, filter->name_part) == NULL)
		return false;
	if (is_given(filter->region)) {
		bool is_production = is_in_region(control, replica->source, filter->region);
		bool is_backup = is_in_region(control, replica->destination, filter->region);

		if (filter->site == CONTROL_SITE_ANY ? !is_production && !is_backup :
		    filter->site == CONTROL_SITE_PRODUCTION ? !is_production : !is_backup)
			return false;
	} else if (filter->site != CONTROL_SITE_ANY && here_source != (filter->site == CONTROL_SITE_PRODUCTION)) {
		return false;
	}
	if (is_given(filter->resource_group) && strcmp(filter->resource_group, replica->resource_group) != 0)
		return false;
	if (filter->tags != NULL && !tags_match(replica->tags, filter->tags))
		return false;
	if (is_given(filter->group) && strcmp(strcmp(filter->group, "-") == 0 ? "" : filter->group, replica->group) != 0)
		return false;
	return filter->state < 0 || replica->state == (uint64_t)filter->state;
}

/* While nothing has changed since the recovery point it is as good as now; the status told last may be some time old. */
static uint64_t recovery_of(const struct unit_status *status, uint64_t told_ms)
{
	return status->idle ? status->recovery_wall_ms + (control_now_ms() - told_ms) : status->recovery_wall_ms;
}

uint64_t recovery_age_of(const struct unit_status *status, uint64_t told_ms)
{
	if (status->recovery_epoch == 0 || status->idle)
		return 0;
	return status->recovery_age_ms + (control_now_ms() - told_ms);
}

static void fill_pair(struct control *control, const struct replica *replica, struct control_pair *row)
{
	const struct replica *group = replica->group[0] == 0 ? NULL : replica_find(control, replica->group, true);

	memcpy(row->id, replica->id, sizeof row->id);
	memcpy(row->name, replica->name, sizeof row->name);
	memcpy(row->description, replica->description, sizeof row->description);
	memcpy(row->group, replica->group, sizeof row->group);
	snprintf(row->group_name, sizeof row->group_name, "%s", group == NULL ? "" : group->name);
	memcpy(row->message, group == NULL ? replica->message : group->message, sizeof row->message);
	memcpy(row->source_disk, replica->source_disk, sizeof row->source_disk);
	memcpy(row->destination_disk, replica->destination_disk, sizeof row->destination_disk);
	memcpy(row->charge_type, replica->charge_type, sizeof row->charge_type);
	row->state = (enum pair_state)replica->state;
	row->source = site_of(control, replica->source);
	row->destination = site_of(control, replica->destination);
	row->primary = site_of(control, replica->primary);
	row->standby = site_of(control, replica->standby);
	row->here_is_production = is_source(control, replica);
	row->size = replica->size;
	row->tags = replica->tags;
	memcpy(row->resource_group, replica->resource_group, sizeof row->resource_group);
	row->rpo_s = (uint32_t)replica->rpo_s;
	row->bandwidth = replica->bandwidth;
	row->enable_rtc = replica->enable_rtc;
	row->created_s = replica->created_s;
	row->status = unit_of(control, replica)->status;
	row->recovery_ms = recovery_of(&row->status, unit_of(control, replica)->told_ms);
	row->status.recovery_age_ms = recovery_age_of(&row->status, unit_of(control, replica)->told_ms);
}

int control_list_pairs(struct control *control, const struct control_filter *filter, struct control_list *out_list)
{
	*out_list = (struct control_list){ .pairs = memory_new(page_room(filter), sizeof(struct control_pair)) };
	list_for_each(entry, &control->replicas) {
		const struct replica *replica = container_of(entry, struct replica, entry);

		if (!replica->is_group && replica_matches(control, filter, replica) && on_page(filter, out_list->total++))
			fill_pair(control, replica, &out_list->pairs[out_list->count++]);
	}
	return 0;
}

static void fill_group(struct control *control, const struct replica *replica, struct control_group *row)
{
	struct replica *members[ENGINE_UNIT_DISKS_MAX];

	memcpy(row->id, replica->id, sizeof row->id);
	memcpy(row->name, replica->name, sizeof row->name);
	memcpy(row->description, replica->description, sizeof row->description);
	memcpy(row->message, replica->message, sizeof row->message);
	row->state = (enum pair_state)replica->state;
	row->tags = replica->tags;
	memcpy(row->resource_group, replica->resource_group, sizeof row->resource_group);
	row->source = site_of(control, replica->source);
	row->destination = site_of(control, replica->destination);
	row->primary = site_of(control, replica->primary);
	row->standby = site_of(control, replica->standby);
	row->here_is_production = is_source(control, replica);
	row->rpo_s = (uint32_t)replica->rpo_s;
	row->bandwidth = replica->bandwidth;
	row->enable_rtc = replica->enable_rtc;
	row->created_s = replica->created_s;
	row->status = replica->status;
	row->recovery_ms = recovery_of(&row->status, replica->told_ms);
	row->status.recovery_age_ms = recovery_age_of(&row->status, replica->told_ms);
	row->pair_count = replica_members(control, replica->id, members, ENGINE_UNIT_DISKS_MAX);
	row->pairs = memory_new(row->pair_count, sizeof row->pairs[0]);
	for (uint32_t i = 0; i < row->pair_count && i < ENGINE_UNIT_DISKS_MAX; i++)
		memcpy(row->pairs[i], members[i]->id, CONTROL_ID_SIZE);
}

int control_list_groups(struct control *control, const struct control_filter *filter, struct control_list *out_list)
{
	*out_list = (struct control_list){ .groups = memory_new(page_room(filter), sizeof(struct control_group)) };
	list_for_each(entry, &control->replicas) {
		const struct replica *replica = container_of(entry, struct replica, entry);

		if (replica->is_group && replica_matches(control, filter, replica) && on_page(filter, out_list->total++))
			fill_group(control, replica, &out_list->groups[out_list->count++]);
	}
	return 0;
}

void control_list_free(struct control_list *list)
{
	for (size_t i = 0; list->groups != NULL && i < list->count; i++)
		free(list->groups[i].pairs);
	free(list->disks);
	free(list->pairs);
	free(list->groups);
	*list = (struct control_list){ 0 };
}

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

/* An id that was given twice asks for one row. */
static bool is_repeated(const struct control_filter *filter, size_t index)
{
	for (size_t i = 0; i < index; i++) {
		if (strcmp(filter->ids[i], filter->ids[index]) == 0)
			return true;
	}
	return false;
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

/* A filter, with all that can be decided before the first row. */
struct query {
	struct control *control;
	const struct control_filter *filter;
	bool here;                /* the region and the zone asked for, if any, are this site's */
	uint64_t tags_mark;
	const struct list *group; /* the pairs of the group asked for; NULL: no group is, or it has none */
	int16_t region_at[CONTROL_PEERS_MAX + 1]; /* 1 for each site (0 here, i + 1 the i-th peer) in the region asked for */
};

static struct query query_of(struct control *control, const struct control_filter *filter)
{
	const struct control_site *here = &control->config.site;
	struct query query = { .control = control, .filter = filter };

	query.here = (!is_given(filter->region) || strcmp(filter->region, here->region) == 0) &&
		     (!is_given(filter->zone) || strcmp(filter->zone, here->zone) == 0);
	query.tags_mark = tags_mark_of(filter->tags);
	if (is_given(filter->group))
		query.group = index_find(&control->pairs_by_group, filter->group);
	for (size_t i = 0; is_given(filter->region) && i <= control->config.peer_count; i++)
		query.region_at[i] = strcmp(i == 0 ? here->region : control->peers[i - 1].site.region, filter->region) == 0;
	return query;
}

static bool has_tags(const struct query *query, json_t *tags, uint64_t mark)
{
	return query->filter->tags == NULL ||
	       ((mark & query->tags_mark) == query->tags_mark && tags_match(tags, query->filter->tags));
}

static bool disk_matches(const struct query *query, const struct disk_record *disk)
{
	const struct control_filter *filter = query->filter;

	return query->here && has_tags(query, disk->tags, disk->tags_mark) &&
	       (filter->state < 0 || disk->state == (uint64_t)filter->state) &&
	       (!is_given(filter->name_part) || strstr(disk->name, filter->name_part) != NULL) &&
	       (!is_given(filter->resource_group) || strcmp(filter->resource_group, disk->resource_group) == 0) &&
	       (!is_given(filter->instance) || strcmp(filter->instance, disk->instance) == 0) &&
	       (!is_given(filter->category) || strcmp(filter->category, disk->category) == 0 ||
		(filter->or_no_category && disk->category[0] == 0));
}

void fill_disk(struct control *control, const struct disk_record *disk, struct control_disk *row)
{
	const struct replica *pair = replica_of_disk(control, disk->id);

	memcpy(row->id, disk->id, sizeof row->id);
	memcpy(row->name, disk->name, sizeof row->name);
	memcpy(row->description, disk->description, sizeof row->description);
	memcpy(row->region, control->config.site.region, sizeof row->region);
	memcpy(row->zone, control->config.site.zone, sizeof row->zone);
	memcpy(row->kind, disk->kind, sizeof row->kind);
	memcpy(row->path, disk->path, sizeof row->path);
	memcpy(row->category, disk->category, sizeof row->category);
	memcpy(row->performance, disk->performance, sizeof row->performance);
	memcpy(row->cache, disk->cache, sizeof row->cache);
	memcpy(row->instance, disk->instance, sizeof row->instance);
	memcpy(row->device, disk->device, sizeof row->device);
	memcpy(row->failure, disk->failure, sizeof row->failure);
	snprintf(row->pair, sizeof row->pair, "%s", pair == NULL ? "" : pair->id);
	row->diverged_kept = pair != NULL && unit_of(control, pair)->status.divergence_kept;
	row->adopted = disk->adopted;
	row->delete_with_instance = disk->delete_with_instance;
	row->delete_auto_snapshot = disk->delete_auto_snapshot;
	row->enable_auto_snapshot = disk->enable_auto_snapshot;
	row->tags = disk->tags;
	memcpy(row->resource_group, disk->resource_group, sizeof row->resource_group);
	row->size = disk->size;
	row->state = (enum disk_state)disk->state;
	row->created_s = disk->created_s;
	row->attached_s = disk->attached_s;
	row->detached_s = disk->detached_s;
}

static void take_disk(const struct query *query, const struct disk_record *disk, struct control_list *list)
{
	if (disk != NULL && disk_matches(query, disk) && on_page(query->filter, list->total++))
		fill_disk(query->control, disk, &list->disks[list->count++]);
}

int control_list_disks(struct control *control, const struct control_filter *filter, struct control_list *out_list)
{
	*out_list = (struct control_list){ .disks = memory_new(page_room(filter), sizeof(struct control_disk)) };
	const struct query query = query_of(control, filter);
	const struct disk_record *disk;

	for (size_t i = 0; i < filter->id_count; i++) {
		if (!is_repeated(filter, i))
			take_disk(&query, disk_find(control, filter->ids[i]), out_list);
	}
	if (filter->ids != NULL)
		return 0;
	for (size_t at = 0; (disk = rows_next(&control->disks, &at)) != NULL;)
		take_disk(&query, disk, out_list);
	return 0;
}

void control_sum_disks(struct control *control, size_t *out_count, uint64_t *out_bytes)
{
	const struct disk_record *disk;

	*out_count = 0;
	*out_bytes = 0;
	for (size_t at = 0; (disk = rows_next(&control->disks, &at)) != NULL;) {
		++*out_count;
		*out_bytes += disk->size;
	}
}

static bool is_at(const struct query *query, int16_t site)
{
	return site >= 0 && query->region_at[site] != 0;
}

static bool role_matches(const struct query *query, const struct replica *replica)
{
	enum control_site_filter site = query->filter->site;

	if (is_given(query->filter->region)) {
		bool is_production = is_at(query, replica->source_at), is_backup = is_at(query, replica->destination_at);

		return site == CONTROL_SITE_ANY ? is_production || is_backup :
		       site == CONTROL_SITE_PRODUCTION ? is_production : is_backup;
	}
	return site == CONTROL_SITE_ANY || (replica->source_at == 0) == (site == CONTROL_SITE_PRODUCTION);
}

static bool is_listed(const struct replica *replica)
{
	return replica->state != PAIR_CREATING && !(replica->unit_gone && replica->peer_gone);
}

/* What stands together in the record is asked first. */
static bool replica_matches(const struct query *query, const struct replica *replica)
{
	const struct control_filter *filter = query->filter;

	if (!is_listed(replica) || !role_matches(query, replica) ||
	    (filter->state >= 0 && replica->state != (uint64_t)filter->state))
		return false;
	if (is_given(filter->group) && (strcmp(filter->group, "-") == 0 ? replica->by_group.shelf != NULL :
					query->group == NULL || !index_is_in(&replica->by_group, query->group)))
		return false;
	return has_tags(query, replica->tags, replica->tags_mark) &&
	       (!is_given(filter->name_part) || strstr(replica->name, filter->name_part) != NULL) &&
	       (!is_given(filter->resource_group) || strcmp(filter->resource_group, replica->resource_group) == 0);
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
	row->rpo_s = (uint32_t)unit_of(control, replica)->rpo_s;
	row->bandwidth = replica->bandwidth;
	row->period = (uint32_t)replica->period;
	row->enable_rtc = unit_of(control, replica)->enable_rtc;
	row->created_s = replica->created_s;
	row->updated_s = replica->updated_s;
	row->switching = unit_of(control, replica)->change == CHANGE_SWITCHOVER;
	row->status = unit_of(control, replica)->status;
	row->recovery_ms = recovery_of(&row->status, unit_of(control, replica)->told_ms);
	row->status.recovery_age_ms = recovery_age_of(&row->status, unit_of(control, replica)->told_ms);
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
	row->updated_s = replica->updated_s;
	row->switching = replica->change == CHANGE_SWITCHOVER;
	row->kept = replica->kept;
	row->status = replica->status;
	row->recovery_ms = recovery_of(&row->status, replica->told_ms);
	row->status.recovery_age_ms = recovery_age_of(&row->status, replica->told_ms);
	row->pair_count = replica_members(control, replica->id, members, ENGINE_UNIT_DISKS_MAX);
	row->pairs = memory_new(row->pair_count, sizeof row->pairs[0]);
	for (uint32_t i = 0; i < row->pair_count && i < ENGINE_UNIT_DISKS_MAX; i++)
		memcpy(row->pairs[i], members[i]->id, CONTROL_ID_SIZE);
}

static void take(const struct query *query, const struct replica *replica, bool is_group, struct control_list *list)
{
	if (replica == NULL || replica->is_group != is_group || !replica_matches(query, replica) ||
	    !on_page(query->filter, list->total++))
		return;
	if (is_group)
		fill_group(query->control, replica, &list->groups[list->count++]);
	else
		fill_pair(query->control, replica, &list->pairs[list->count++]);
}

static void list_replicas(struct control *control, const struct control_filter *filter, bool is_group, struct control_list *list)
{
	const struct query query = query_of(control, filter);
	const struct replica *replica;

	for (size_t i = 0; i < filter->id_count; i++) {
		if (!is_repeated(filter, i))
			take(&query, unit_owner(control, filter->ids[i]), is_group, list);
	}
	if (filter->ids != NULL)
		return;
	for (size_t at = 0; (replica = rows_next(&control->replicas, &at)) != NULL;)
		take(&query, replica, is_group, list);
}

int control_list_pairs(struct control *control, const struct control_filter *filter, struct control_list *out_list)
{
	*out_list = (struct control_list){ .pairs = memory_new(page_room(filter), sizeof(struct control_pair)) };
	list_replicas(control, filter, false, out_list);
	return 0;
}

int control_list_groups(struct control *control, const struct control_filter *filter, struct control_list *out_list)
{
	*out_list = (struct control_list){ .groups = memory_new(page_room(filter), sizeof(struct control_group)) };
	list_replicas(control, filter, true, out_list);
	return 0;
}

void control_each(struct control *control, bool is_group, void (*visit)(void *data, const struct control_brief *brief),
		  void *data)
{
	const struct replica *replica, *unit;

	for (size_t at = 0; (replica = rows_next(&control->replicas, &at)) != NULL;) {
		if (replica->is_group != is_group || !is_listed(replica))
			continue;
		unit = unit_of(control, replica);
		visit(data, &(struct control_brief){
			.id = replica->id, .name = replica->name, .group = replica->group, .source = replica->source,
			.destination = replica->destination, .source_disk = replica->source_disk,
			.destination_disk = replica->destination_disk, .state = (enum pair_state)replica->state,
			.created_s = replica->created_s, .updated_s = replica->updated_s,
			.switching = unit->change == CHANGE_SWITCHOVER, .rpo_s = (uint32_t)unit->rpo_s,
			.recovery_age_ms = recovery_age_of(&unit->status, unit->told_ms) });
	}
}

static bool instance_matches(const struct query *query, const struct instance_record *instance)
{
	const struct control_filter *filter = query->filter;
	bool named = is_given(filter->name_part) || is_given(filter->resource_group) || filter->tags != NULL;

	if (instance == NULL) /* an id and no more */
		return query->here && !named;
	return query->here && has_tags(query, instance->tags, instance->tags_mark) &&
	       (!is_given(filter->name_part) || strstr(instance->name, filter->name_part) != NULL) &&
	       (!is_given(filter->resource_group) || strcmp(filter->resource_group, instance->resource_group) == 0);
}

static void fill_instance(struct control *control, const char *id, const struct instance_record *instance,
			  struct control_instance *row)
{
	struct list *disks = index_find(&control->disks_by_instance, id);
	uint32_t count = 0;

	snprintf(row->id, sizeof row->id, "%s", id);
	memcpy(row->region, control->config.site.region, sizeof row->region);
	memcpy(row->zone, control->config.site.zone, sizeof row->zone);
	if (instance != NULL) {
		memcpy(row->name, instance->name, sizeof row->name);
		memcpy(row->description, instance->description, sizeof row->description);
		memcpy(row->resource_group, instance->resource_group, sizeof row->resource_group);
		row->tags = instance->tags;
		row->created_s = instance->created_s;
	}
	if (disks == NULL)
		return;
	list_for_each(entry, disks)
		count++;
	row->disks = memory_new(count, sizeof row->disks[0]);
	list_for_each(entry, disks) {
		const struct disk_record *disk = container_of(entry, struct disk_record, by_instance.entry);

		memcpy(row->disks[row->disk_count++], disk->id, CONTROL_ID_SIZE);
		if (instance == NULL && (row->created_s == 0 || disk->attached_s < row->created_s))
			row->created_s = disk->attached_s;
	}
}

static void take_instance(const struct query *query, const char *id, const struct instance_record *instance,
			  struct control_list *list)
{
	if (instance_matches(query, instance) && on_page(query->filter, list->total++))
		fill_instance(query->control, id, instance, &list->instances[list->count++]);
}

/* First those that were made, then those that are only named, in the order of the first disk of each. */
int control_list_instances(struct control *control, const struct control_filter *filter, struct control_list *out_list)
{
	*out_list = (struct control_list){ .instances = memory_new(page_room(filter), sizeof(struct control_instance)) };
	const struct query query = query_of(control, filter);
	const struct instance_record *instance;
	const struct disk_record *disk;

	for (size_t i = 0; i < filter->id_count; i++) {
		instance = instance_find(control, filter->ids[i]);
		if (!is_repeated(filter, i) && (instance != NULL || disk_of_instance(control, filter->ids[i]) != NULL))
			take_instance(&query, filter->ids[i], instance, out_list);
	}
	if (filter->ids != NULL)
		return 0;
	for (size_t at = 0; (instance = rows_next(&control->instances, &at)) != NULL;)
		take_instance(&query, instance->id, instance, out_list);
	for (size_t at = 0; (disk = rows_next(&control->disks, &at)) != NULL;) {
		if (disk == disk_of_instance(control, disk->instance) && instance_find(control, disk->instance) == NULL)
			take_instance(&query, disk->instance, NULL, out_list);
	}
	return 0;
}

void control_list_free(struct control_list *list)
{
	for (size_t i = 0; list->groups != NULL && i < list->count; i++)
		free(list->groups[i].pairs);
	for (size_t i = 0; list->instances != NULL && i < list->count; i++)
		free(list->instances[i].disks);
	free(list->instances);
	free(list->disks);
	free(list->pairs);
	free(list->groups);
	*list = (struct control_list){ 0 };
}

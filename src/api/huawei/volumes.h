/* Private to volumes*.c: Cinder's volumes, which are control's disks of all sites.
 *
 * An operation on one is asked of control/ with the region and zone of its own; so the disk is looked for first, everywhere, and
 * what is read of it is the truth of that moment: control/ checks again. The control thread. */
#ifndef API_HUAWEI_VOLUMES_H
#define API_HUAWEI_VOLUMES_H

#include "api/huawei/internal.h"

#define VOLUMES_VERSION_MAX "3.70" /* the microversion whose forms are kept to */

struct volume_work;
typedef void volume_step(struct huawei_call *call, struct volume_work *work);

/* The call's state, made by volume_work. */
struct volume_work {
	struct control_disk disk;       /* as found; its tags belong to it */
	struct control_request request; /* to be filled; cleared with the work */
	json_t *value;                  /* of the action, or of the body; borrowed from the call */
	volume_step *then;
};

struct volume_work *volume_work(struct huawei_call *call);
/* Finds the disk (control's id) at whatever site, and goes on with `then`; 404 when there is none, 504 when a site that may have
 * it does not answer. */
void volume_find(struct huawei_call *call, const char *id, volume_step *then);
/* The same for the first argument of the path. */
void volume_find_argument(struct huawei_call *call, volume_step *then);
/* Asks control/ for the operation on the work's disk, the request's other fields being filled; goes on with `then` when it was
 * done, else the call ends with the refusal. */
void volume_ask(struct huawei_call *call, enum control_operation operation, volume_step *then);
/* Steps that end a call. */
void volume_accepted(struct huawei_call *call, struct volume_work *work);  /* 202 */
void volume_done(struct huawei_call *call, struct volume_work *work);      /* 200, no body */

/* --- volumes_row.c: how things look --- */

/* "in-use", "error", ... */
const char *volume_status(const struct control_disk *disk);
json_t *volume_row(struct huawei_call *call, const struct control_disk *disk);
json_t *volume_summary(struct huawei_call *call, const struct control_disk *disk); /* id, name, links */
/* An attachment has no record of its own: a disk has at most one, and its id is made of the disk's. */
json_t *volume_attachment(struct huawei_call *call, const struct control_disk *disk);
json_t *volume_attachment_summary(struct huawei_call *call, const struct control_disk *disk);
void volume_attachment_uuid(const char *id, char out[HUAWEI_UUID_SIZE]);
/* The disk's id (control's), of a text that is an attachment's; false: it is none. */
bool volume_of_attachment(const char *text, char out[CONTROL_ID_SIZE]);
/* Where to reach the disk's export; NULL: it is not at this site, or nothing is served here. */
json_t *volume_connection(const struct huawei_call *call, const struct control_disk *disk);

/* --- handlers --- */

/* volumes_list.c */
void volumes_list(struct huawei_call *call);
void volumes_list_detail(struct huawei_call *call);
void attachments_list(struct huawei_call *call);
void attachments_list_detail(struct huawei_call *call);

/* volumes_attach.c */
void volume_act(struct huawei_call *call);
void attachment_show(struct huawei_call *call);
void attachment_create(struct huawei_call *call);
void attachment_update(struct huawei_call *call);
void attachment_delete(struct huawei_call *call);
void attachment_act(struct huawei_call *call);

/* volumes_tags.c */
void metadata_list(struct huawei_call *call);
void metadata_add(struct huawei_call *call);
void metadata_replace(struct huawei_call *call);
void metadata_show_one(struct huawei_call *call);
void metadata_set_one(struct huawei_call *call);
void metadata_delete_one(struct huawei_call *call);

/* volumes_site.c: what is true of the service, whatever volumes there are */
void volumes_root(struct huawei_call *call);
void volumes_version(struct huawei_call *call);
void volumes_types(struct huawei_call *call);
void volumes_type(struct huawei_call *call);
void volumes_zones(struct huawei_call *call);
void volumes_quotas(struct huawei_call *call);
void volumes_limits(struct huawei_call *call);
void volumes_no_extensions(struct huawei_call *call);
void volumes_no_snapshots(struct huawei_call *call);
void volumes_no_snapshot(struct huawei_call *call);
void volumes_make_no_snapshot(struct huawei_call *call);
/* The type a volume gets that asks for this one ("": for none); NULL: there is no such type. */
const char *volume_type(const char *name);

#endif

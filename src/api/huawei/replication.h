/* Private to replication*.c: EVS's replication pairs and consistency groups, which are control's pairs and groups.
 *
 * They are read from this site's own copies; a change is done by the site whose work it is. What a handler checks is the truth of
 * that moment: control/ checks again. The control thread. */
#ifndef API_HUAWEI_REPLICATION_H
#define API_HUAWEI_REPLICATION_H

#include "api/huawei/internal.h"

#define REPLICATION_TEXT_SIZE 256 /* of names and descriptions, in bytes with the final zero */
#define REPLICATION_MODEL "hypermetro"
#define REPLICATION_MODEL_SIZE 32

/* A text of control's; one that is not UTF-8, of an old catalog, is shown empty. */
void replication_put_text(json_t *row, const char *name, const char *text);
/* A failure of the call unless it is REPLICATION_MODEL. */
bool replication_model_fits(struct huawei_call *call, const char *model);
/* Of the two zones, the one in charge: the group's or pair's "priority_station". */
const char *replication_station(enum pair_state state, bool switching, const char *source, const char *destination);

/* replication_list.c: the page that the query asks for; its ids are freed by the caller. False: the call has failed. */
bool replication_page(struct huawei_call *call, bool is_group, struct huawei_page *out_page);

/* replication_group.c, replication_action.c: handlers */
void replication_create_group(struct huawei_call *call);
void replication_delete_group(struct huawei_call *call);
void replication_list_groups(struct huawei_call *call);
void replication_show_group(struct huawei_call *call);
void replication_update_group(struct huawei_call *call);
void replication_act(struct huawei_call *call);
/* replication_pair.c */
void replication_create_pair(struct huawei_call *call);
void replication_delete_pair(struct huawei_call *call);
void replication_list_pairs(struct huawei_call *call);
void replication_show_pair(struct huawei_call *call);

/* The group of the path's first argument, while no job is at work on it; false: the call has failed. Its pairs' ids are freed by
 * the caller. */
bool replication_find_idle_group(struct huawei_call *call, struct control_group *out_group);

#endif

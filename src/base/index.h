/* Records found by a text they have: an id, a group's id, a disk's. Several may share one. In memory, beside the lists that own
 * the records; uthash inside. */
#ifndef BASE_INDEX_H
#define BASE_INDEX_H

#include "base/list.h"

#define INDEX_KEY_SIZE 96

struct index_shelf;

/* Begins as zeros, and holds nothing when its last node is nowhere. */
struct index {
	struct index_shelf *shelves;
};

/* A record's place in one index; begins as zeros. */
struct index_node {
	struct list entry; /* of the shelf */
	struct index_shelf *shelf; /* NULL: nowhere */
};

/* Puts it where the key says, from wherever it was; "" is nowhere. The key is copied. */
void index_put(struct index *index, struct index_node *node, const char *key);
/* A list of struct index_node.entry with this key, oldest first; NULL: there is none. */
struct list *index_find(const struct index *index, const char *key);
/* Whether the node is in that list. */
bool index_is_in(const struct index_node *node, const struct list *found);

#endif

#include "base/index.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/text.h"

#define uthash_fatal(message) abort()
#define HASH_FUNCTION(key, size, out) ((out) = (unsigned)hash_xxh3(key, size))
#include <uthash.h>

struct index_shelf {
	char key[INDEX_KEY_SIZE];
	struct list nodes;
	UT_hash_handle hh;
};

static struct index_shelf *shelf_find(const struct index *index, const char *key)
{
	struct index_shelf *shelf;

	HASH_FIND_STR(index->shelves, key, shelf);
	return shelf;
}

static void take_off(struct index *index, struct index_node *node)
{
	struct index_shelf *shelf = node->shelf;

	list_remove(&node->entry);
	node->shelf = NULL;
	if (!list_is_empty(&shelf->nodes))
		return;
	HASH_DEL(index->shelves, shelf);
	free(shelf);
}

void index_put(struct index *index, struct index_node *node, const char *key)
{
	struct index_shelf *shelf;

	if (node->shelf != NULL && strcmp(node->shelf->key, key) == 0)
		return;
	if (node->shelf != NULL)
		take_off(index, node);
	if (key[0] == 0)
		return;
	shelf = shelf_find(index, key);
	if (shelf == NULL) {
		shelf = memory_new(1, sizeof *shelf);
		text_copy(shelf->key, sizeof shelf->key, key);
		list_init(&shelf->nodes);
		HASH_ADD_STR(index->shelves, key, shelf);
	}
	list_append(&shelf->nodes, &node->entry);
	node->shelf = shelf;
}

struct list *index_find(const struct index *index, const char *key)
{
	struct index_shelf *shelf = shelf_find(index, key);

	return shelf == NULL ? NULL : &shelf->nodes;
}

bool index_is_in(const struct index_node *node, const struct list *found)
{
	return node->shelf != NULL && &node->shelf->nodes == found;
}

/* Records in the order of their making, to be walked often and fast: an array of pointers, so that the walk reads ahead. It owns
 * none of them. A place is never given to another record, so that a walk may remove what it meets. */
#ifndef CONTROL_ROWS_H
#define CONTROL_ROWS_H

#include <stddef.h>

struct rows {
	struct row_slot {
		void *record;  /* NULL: gone */
		size_t *place; /* in the record: its slot, from 1; 0: in none */
	} *slots;
	size_t count, room, gone;
	size_t compacted; /* how often rows have moved */
};

/* Adds it at the end, unless it has a place. Not during a walk. */
void rows_add(struct rows *rows, void *record, size_t *place);
void rows_remove(struct rows *rows, size_t *place);
void rows_clear(struct rows *rows);

/* The next record at or after *at, which goes on behind it; NULL at the end. Begin with 0. */
static inline void *rows_next(const struct rows *rows, size_t *at)
{
	while (*at < rows->count) {
		void *record = rows->slots[(*at)++].record;

		if (*at + 16 < rows->count)
			__builtin_prefetch(rows->slots[*at + 16].record);
		if (record != NULL)
			return record;
	}
	return NULL;
}

#endif

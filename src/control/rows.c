#include "control/rows.h"

#include <stdlib.h>

#include "base/memory.h"

static void close_gaps(struct rows *rows)
{
	size_t kept = 0;

	for (size_t i = 0; i < rows->count; i++) {
		if (rows->slots[i].record == NULL)
			continue;
		rows->slots[kept] = rows->slots[i];
		*rows->slots[kept].place = kept + 1;
		kept++;
	}
	rows->count = kept;
	rows->gone = 0;
	rows->compacted++;
}

void rows_add(struct rows *rows, void *record, size_t *place)
{
	if (*place != 0)
		return;
	if (rows->count == rows->room && rows->gone > rows->room / 2)
		close_gaps(rows);
	if (rows->count == rows->room) {
		rows->room = 2 * rows->room + 16;
		rows->slots = memory_resize(rows->slots, rows->room, sizeof *rows->slots);
	}
	rows->slots[rows->count++] = (struct row_slot){ .record = record, .place = place };
	*place = rows->count;
}

void rows_remove(struct rows *rows, size_t *place)
{
	if (*place == 0)
		return;
	rows->slots[*place - 1] = (struct row_slot){ 0 };
	rows->gone++;
	*place = 0;
}

void rows_clear(struct rows *rows)
{
	free(rows->slots);
	*rows = (struct rows){ 0 };
}

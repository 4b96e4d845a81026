#include "cli/table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"

void table_init(struct table *table, const char *const *headings)
{
	*table = (struct table){ 0 };
	while (headings[table->columns] != NULL && table->columns < TABLE_COLUMNS_MAX)
		table->columns++;
	for (unsigned i = 0; i < table->columns; i++)
		table_add(table, "%s", headings[i]);
}

void table_add(struct table *table, const char *format, ...)
{
	va_list arguments;

	if (table->rows == table->room) {
		table->room = table->room == 0 ? 64 : 2 * table->room;
		table->cells = memory_resize(table->cells, table->room, sizeof table->cells[0]);
	}
	va_start(arguments, format);
	vsnprintf(table->cells[table->rows], TABLE_CELL_SIZE, format, arguments);
	va_end(arguments);
	text_clean(table->cells[table->rows++]); /* names are anybody's, and terminals obey control characters */
}

/* Columns a text takes: UTF-8 continuation bytes take none. */
static int text_width(const char *text)
{
	int width = 0;

	for (; *text != 0; text++)
		width += ((unsigned char)*text & 0xc0) != 0x80;
	return width;
}

void table_print(struct table *table, FILE *out)
{
	int widths[TABLE_COLUMNS_MAX] = { 0 };

	for (unsigned i = 0; i < table->rows; i++) {
		int width = text_width(table->cells[i]);

		if (width > widths[i % table->columns])
			widths[i % table->columns] = width;
	}
	for (unsigned i = 0; i < table->rows; i++) {
		unsigned column = i % table->columns;
		const char *cell = table->cells[i];

		if (column + 1 == table->columns)
			fprintf(out, "%s\n", cell);
		else
			fprintf(out, "%s%*s  ", cell, widths[column] - text_width(cell), "");
	}
	free(table->cells);
	*table = (struct table){ 0 };
}

const char *text_size(uint64_t bytes, char out[32])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes;
	unsigned unit = 0;

	while (value >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
		value /= 1024;
		unit++;
	}
	if (unit == 0 || value >= 100 || value - (double)(uint64_t)value < 0.05)
		snprintf(out, 32, "%.0f %s", value, units[unit]);
	else
		snprintf(out, 32, "%.1f %s", value, units[unit]);
	return out;
}

const char *text_age(uint64_t ms, char out[32])
{
	uint64_t seconds = ms / 1000;

	if (ms < 10000)
		snprintf(out, 32, "%llu.%llu s", (unsigned long long)seconds, (unsigned long long)(ms % 1000 / 100));
	else if (seconds < 120)
		snprintf(out, 32, "%llu s", (unsigned long long)seconds);
	else if (seconds < 7200)
		snprintf(out, 32, "%llu min", (unsigned long long)seconds / 60);
	else if (seconds < 48 * 3600)
		snprintf(out, 32, "%llu h", (unsigned long long)seconds / 3600);
	else
		snprintf(out, 32, "%llu d", (unsigned long long)seconds / 86400);
	return out;
}

uint64_t text_parse_size(const char *text)
{
	static const char units[] = "KMGT";
	char *end;
	uint64_t value = strtoull(text, &end, 10);
	const char *unit = *end == 0 ? NULL : strchr(units, *end & ~0x20);

	if (text[0] < '0' || text[0] > '9' || value == 0)
		return 0;
	if (*end == 0)
		return value;
	if (unit == NULL || (strcmp(end + 1, "") != 0 && strcmp(end + 1, "iB") != 0 && strcmp(end + 1, "B") != 0))
		return 0;
	for (long shift = 10 * (unit - units + 1); shift > 0; shift--) {
		if (value > UINT64_MAX / 2)
			return 0;
		value *= 2;
	}
	return value;
}

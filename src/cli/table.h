/* What people read: aligned tables, sizes, ages. Pure but for the printing. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdint.h>
#include <stdio.h>

#define TABLE_COLUMNS_MAX 10
#define TABLE_CELL_SIZE 128

struct table {
	unsigned columns, rows, room;
	char (*cells)[TABLE_CELL_SIZE]; /* row by row; the first row is the heading */
};

/* Headings, ended by NULL. */
void table_init(struct table *table, const char *const *headings);
/* The next cell, left to right, row by row. */
void table_add(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints and frees. */
void table_print(struct table *table, FILE *out);

/* "1.5 GiB"; "12 s", "3 min", "2 h", "5 d". */
const char *text_size(uint64_t bytes, char out[32]);
const char *text_age(uint64_t ms, char out[32]);
/* "10G", "512M", "1048576": bytes; 0 when it is no size. */
uint64_t text_parse_size(const char *text);

#endif

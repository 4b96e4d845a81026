/* Short texts in fixed room: copied whole, or cut off at the end; always with their final zero. Times as texts. Pure. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `size` is the room of `out`, the final zero included; at least 1. */
void text_copy(char *out, size_t size, const char *text);

/* The same, for a value between quotes in the log: what would end it there becomes '?'. */
void text_copy_quotable(char *out, size_t size, const char *text);

/* "2026-01-02T03:04:05Z", exactly so, of a day that there is: seconds since 1970. */
bool text_parse_time(const char *text, int64_t *out_s);
#define TEXT_TIME_SIZE 32
/* The same, written; years up to 9999. */
void text_write_time(int64_t seconds, char out[TEXT_TIME_SIZE]);

/* In place: each control character, and each byte that is no part of a UTF-8 character (one cut off in the middle, too), becomes
 * '?'. For sentences that quote what an outsider sent. */
void text_clean(char *text);

#endif

/* Files of secrets and settings, read whole. Blocks: for the start, and for the control thread. */
#ifndef DAEMON_SMALL_FILE_H
#define DAEMON_SMALL_FILE_H

#include <stddef.h>
#include <sys/stat.h>

struct error;

/* Reads a file of at most `max` bytes (-EFBIG above); gives the text, which ends with a zero byte that is not counted, and the
 * file's status. */
int small_file_read(const char *path, size_t max, char **out_text, size_t *out_size, struct stat *out_status,
		    struct error *error);

#endif

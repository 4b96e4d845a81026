/* New files of this folder take the place of old ones so that a power cut leaves one or the other, whole. Any thread. */
#ifndef AUTH_FILE_H
#define AUTH_FILE_H

/* Makes what was written to `fd`, the file at `from`, stable, and gives it the name `to`, for good. Waits for the disk. 0 or a
 * negative errno, with which `to` may already be the new file; `fd` stays open. */
int file_settle(int fd, const char *from, const char *to);

#endif

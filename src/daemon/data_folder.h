/* The data folder of one offsited: made when missing, held by one process at a time.
 *
 *     DATA/lock  uuid  credentials  catalog.sqlite  disks/  units/  nbd.sock
 *
 * Synchronous; main thread, before the shard starts. */
#ifndef DAEMON_DATA_FOLDER_H
#define DAEMON_DATA_FOLDER_H

#include <stddef.h>

#include "base/error.h"
#include "daemon/config.h"

struct data_folder {
	char path[CONFIG_PATH_SIZE]; /* absolute */
	char uuid[40];
	int lock_fd;
};

/* Makes what is missing (0700), takes the lock, reads or makes the uuid. The lock ends with the process or the fini. */
int data_folder_init(struct data_folder *folder, const char *path, struct error *error);
void data_folder_fini(struct data_folder *folder);

/* The folder on tmpfs where memory that outlives the process is kept: the configured one, or /run/offsite/<uuid>; where /run is
 * not on tmpfs or may not be written, XDG_RUNTIME_DIR/offsite/<uuid> or one in /dev/shm. Makes it (0700). */
int data_folder_find_run(const struct data_folder *folder, const char *configured, char out_path[CONFIG_PATH_SIZE],
			 struct error *error);

/* Writes DATA/credentials (0600), whole or not at all. */
int data_folder_write_credentials(const struct data_folder *folder, const char *endpoint, const char *key_id,
				  const char *key_secret, struct error *error);
/* Reads one value back from DATA/credentials; -ENOENT when it is not there. */
int data_folder_read_credential(const struct data_folder *folder, const char *name, char *out_value, size_t size);

#endif

/* See data_folder.h. */
#include "daemon/data_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/memory.h"

#define ADVICE "give another with --dir, or make it one that this user may write"

/* Makes the folder and those above it. */
static int folder_make(const char *path, struct error *error)
{
	char part[CONFIG_PATH_SIZE];
	size_t length = strlen(path);

	if (length >= sizeof(part))
		return error_set(error, -ENAMETOOLONG, "the folder's path is longer than %zu characters", sizeof(part) - 1);
	for (size_t i = 1; i <= length; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdir(part, i == length ? 0700 : 0755) < 0 && errno != EEXIST)
			return error_set_errno(error, -errno, "cannot make the folder %.150s", part);
	}
	return 0;
}

static int folder_sync(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int code = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd) < 0)
		code = -errno;
	close(fd);
	return code;
}

/* Replaces DATA/name by `text`: a reader sees the old file or the whole new one, also after a power cut. */
static int file_replace(const struct data_folder *folder, const char *name, const char *text, struct error *error)
{
	char path[CONFIG_PATH_SIZE + 64], fresh[CONFIG_PATH_SIZE + 64];
	size_t length = strlen(text);
	int code = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", folder->path, name);
	snprintf(fresh, sizeof(fresh), "%s/%s.new", folder->path, name);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return error_set_errno(error, -errno, "cannot write %.150s", fresh);

	ssize_t written = write(fd, text, length);

	if (written < 0 || fsync(fd) < 0)
		code = -errno;
	else if ((size_t)written != length)
		code = -ENOSPC;
	close(fd);
	if (code == 0 && rename(fresh, path) < 0)
		code = -errno;
	if (code == 0)
		code = folder_sync(folder->path);
	if (code < 0)
		return error_set_errno(error, code, "cannot write %.150s", path);
	return 0;
}

static int lock_refused(const struct data_folder *folder, int fd, int code, struct error *error)
{
	char pid[24] = "";
	ssize_t got;

	if (code != -EWOULDBLOCK)
		return error_set_errno(error, code, "cannot lock the data folder %.150s", folder->path);
	got = pread(fd, pid, sizeof(pid) - 1, 0);
	pid[got > 0 ? strcspn(pid, "\n") : 0] = '\0';
	return error_set(error, -EBUSY, "the data folder %.150s is in use by another offsited (process %s): stop it first, or "
			 "give another folder with --dir", folder->path, pid[0] == '\0' ? "unknown" : pid);
}

static int lock_take(struct data_folder *folder, struct error *error)
{
	char path[CONFIG_PATH_SIZE + 64];
	int fd;

	snprintf(path, sizeof(path), "%s/lock", folder->path);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set_errno(error, -errno, "cannot write in the data folder %.120s (" ADVICE ")", folder->path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		int code = lock_refused(folder, fd, -errno, error);

		close(fd);
		return code;
	}
	/* Who holds it, for the message above only: nothing depends on it. */
	if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0) {
		int code = error_set_errno(error, -errno, "cannot write %.150s", path);

		close(fd);
		return code;
	}
	folder->lock_fd = fd;
	return 0;
}

static bool uuid_is_good(const char *uuid)
{
	return strlen(uuid) == 36 && strspn(uuid, "0123456789abcdef-") == 36;
}

static int uuid_make(struct data_folder *folder, struct error *error)
{
	uint8_t bytes[16];
	char hex[33], text[48];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return error_set_errno(error, -EIO, "cannot get random bytes");
	bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40); /* version 4, RFC 9562 */
	bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
	hash_to_hex(bytes, sizeof(bytes), hex);
	snprintf(folder->uuid, sizeof(folder->uuid), "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16, hex + 20);
	snprintf(text, sizeof(text), "%s\n", folder->uuid);
	return file_replace(folder, "uuid", text, error);
}

static int uuid_find(struct data_folder *folder, struct error *error)
{
	char path[CONFIG_PATH_SIZE + 64];
	int fd;
	ssize_t got;

	snprintf(path, sizeof(path), "%s/uuid", folder->path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return uuid_make(folder, error);
	if (fd < 0)
		return error_set_errno(error, -errno, "cannot read %.150s", path);
	got = read(fd, folder->uuid, sizeof(folder->uuid) - 1);
	close(fd);
	folder->uuid[got > 0 ? got : 0] = '\0';
	folder->uuid[strcspn(folder->uuid, "\n")] = '\0';
	if (!uuid_is_good(folder->uuid))
		return error_set(error, -EINVAL, "%.150s does not hold a uuid: was it edited?", path);
	return 0;
}

static int data_folder_find(struct data_folder *folder, const char *path, struct error *error)
{
	AUTO_FREE char *real = NULL;
	int code = folder_make(path, error);

	if (code < 0) {
		error_wrap(error, "data folder");
		return code;
	}
	real = realpath(path, NULL);
	if (real == NULL)
		return error_set_errno(error, -errno, "cannot find the data folder %.150s", path);
	if (strlen(real) >= sizeof(folder->path))
		return error_set(error, -ENAMETOOLONG, "the data folder's path is longer than %zu characters",
				 sizeof(folder->path) - 1);
	memcpy(folder->path, real, strlen(real) + 1);
	return 0;
}

static int data_folder_make_disks(const struct data_folder *folder, struct error *error)
{
	char path[CONFIG_PATH_SIZE + 64];

	snprintf(path, sizeof(path), "%s/disks", folder->path);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_set_errno(error, -errno, "cannot make %.150s", path);
	if (folder_sync(folder->path) < 0)
		return error_set_errno(error, -EIO, "cannot sync %.150s", folder->path);
	return 0;
}

int data_folder_init(struct data_folder *folder, const char *path, struct error *error)
{
	struct stat status;
	int code;

	*folder = (struct data_folder){ .lock_fd = -1 };
	if (stat(path, &status) == 0 && !S_ISDIR(status.st_mode))
		return error_set(error, -ENOTDIR, "the data folder %.150s is not a folder: " ADVICE, path);
	code = data_folder_find(folder, path, error);
	if (code == 0)
		code = lock_take(folder, error);
	if (code == 0)
		code = uuid_find(folder, error);
	if (code == 0)
		code = data_folder_make_disks(folder, error);
	if (code < 0)
		data_folder_fini(folder);
	return code;
}

void data_folder_fini(struct data_folder *folder)
{
	if (folder->lock_fd >= 0)
		close(folder->lock_fd);
	folder->lock_fd = -1;
}

/* --- the folder on tmpfs --- */

/* /dev/shm is everybody's: a folder that another user laid there first is not used. */
static int run_check_owner(const char *path, struct error *error)
{
	struct stat status;

	if (lstat(path, &status) < 0)
		return error_set_errno(error, -errno, "cannot look at %.150s", path);
	if (!S_ISDIR(status.st_mode) || (status.st_uid != getuid() && status.st_uid != 0))
		return error_set(error, -EPERM, "%.150s belongs to another user: give \"run = PATH\" on tmpfs in [site]", path);
	return 0;
}

static bool is_tmpfs(const char *path)
{
	struct statfs status;

	return statfs(path, &status) == 0 && status.f_type == TMPFS_MAGIC;
}

int data_folder_find_run(const struct data_folder *folder, const char *configured, char out_path[CONFIG_PATH_SIZE],
			 struct error *error)
{
	const char *user = getenv("XDG_RUNTIME_DIR");
	char base[CONFIG_PATH_SIZE];
	int length;

	if (configured[0] != '\0') {
		snprintf(out_path, CONFIG_PATH_SIZE, "%s", configured);
		return folder_make(configured, error);
	}
	/* The choice must be the same at each start, else the kept change maps are not found (and all marked extents are
	 * compared): it depends on rights and file systems only. */
	if (is_tmpfs("/run") && (mkdir("/run/offsite", 0755) == 0 || access("/run/offsite", W_OK) == 0))
		snprintf(base, sizeof(base), "/run/offsite");
	else if (user != NULL && user[0] == '/' && strlen(user) < 200 && is_tmpfs(user) && access(user, W_OK) == 0)
		snprintf(base, sizeof(base), "%s/offsite", user);
	else
		snprintf(base, sizeof(base), "/dev/shm/offsite-%u", (unsigned)getuid());
	length = snprintf(out_path, CONFIG_PATH_SIZE, "%s/%s", base, folder->uuid);
	if (length < 0 || length >= CONFIG_PATH_SIZE)
		return error_set(error, -ENAMETOOLONG, "the run folder's path is too long");

	int code = folder_make(out_path, error);

	return code < 0 ? code : run_check_owner(base, error);
}

/* --- credentials --- */

int data_folder_write_credentials(const struct data_folder *folder, const char *endpoint, const char *key_id,
				  const char *key_secret, struct error *error)
{
	char text[1024];
	int length = snprintf(text, sizeof(text),
			      "# Made by offsited. Whoever reads this file may do everything at this site.\n"
			      "endpoint=%s\naccess_key_id=%s\naccess_key_secret=%s\n", endpoint, key_id, key_secret);
	int code;

	if (length < 0 || (size_t)length >= sizeof(text))
		return error_set(error, -EINVAL, "the credentials are too long to be written");
	code = file_replace(folder, "credentials", text, error);
	memory_wipe(text, sizeof(text));
	return code;
}

struct credential_reading {
	const char *name;
	char *out_value;
	size_t size;
	bool found;
};

static int credential_found(void *user, const char *section, const char *name, const char *value)
{
	struct credential_reading *reading = user;

	(void)section;
	if (strcmp(name, reading->name) == 0 && strlen(value) < reading->size) {
		memcpy(reading->out_value, value, strlen(value) + 1);
		reading->found = true;
	}
	return 1;
}

int data_folder_read_credential(const struct data_folder *folder, const char *name, char *out_value, size_t size)
{
	struct credential_reading reading = { .name = name, .out_value = out_value, .size = size };
	char path[CONFIG_PATH_SIZE + 64];

	snprintf(path, sizeof(path), "%s/credentials", folder->path);
	if (ini_parse(path, credential_found, &reading) < 0 || !reading.found)
		return -ENOENT;
	return 0;
}

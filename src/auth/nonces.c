#include "auth/nonces.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/file.h"
#include "base/error.h"
#include "base/memory.h"

#define MAGIC "OFSN"
#define VERSION 1u
#define HEADER_SIZE 4096u
#define PATH_SIZE 4096

struct header {
	char magic[4];
	uint32_t version;
	uint64_t places;
};

struct place {
	uint64_t hash;
	int64_t used_s;
};

struct nonces {
	char path[PATH_SIZE];
	int64_t limit_s;
	int fd;
	bool dirty;
	uint8_t *map;
	struct place *table;
	uint64_t places, taken;
};

static size_t file_size(uint64_t places)
{
	return HEADER_SIZE + (size_t)places * sizeof(struct place);
}

static void unmap(struct nonces *nonces)
{
	if (nonces->map != NULL)
		munmap(nonces->map, file_size(nonces->places));
	if (nonces->fd >= 0)
		close(nonces->fd);
	nonces->map = NULL;
	nonces->fd = -1;
}

static int map(struct nonces *nonces, int fd, uint64_t places)
{
	uint8_t *bytes = mmap(NULL, file_size(places), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (bytes == MAP_FAILED)
		return -errno;
	nonces->fd = fd;
	nonces->map = bytes;
	nonces->table = (void *)(bytes + HEADER_SIZE);
	nonces->places = places;
	return 0;
}

/* Really written, so that a full disk is met here, and a later sync has no blocks to find. */
static int fill(int fd, uint64_t places)
{
	const struct header header = { .magic = MAGIC, .version = VERSION, .places = places };
	static const uint8_t zeros[65536];
	int result = 0;

	for (size_t at = 0, size = file_size(places); at < size && result == 0;) {
		ssize_t done = pwrite(fd, zeros, size - at < sizeof zeros ? size - at : sizeof zeros, (off_t)at);

		if (done <= 0)
			result = done < 0 ? -errno : -EIO;
		else
			at += (size_t)done;
	}
	if (result == 0 && pwrite(fd, &header, sizeof header, 0) != (ssize_t)sizeof header)
		result = -EIO;
	return result;
}

static bool is_live(const struct nonces *nonces, const struct place *place, int64_t now_s)
{
	return place->used_s != 0 && place->used_s >= now_s - nonces->limit_s;
}

/* The hash's place, or the one that ends the search for it. */
static struct place *find(const struct nonces *nonces, uint64_t hash)
{
	uint64_t at = hash & (nonces->places - 1);

	while (nonces->table[at].used_s != 0 && nonces->table[at].hash != hash)
		at = (at + 1) & (nonces->places - 1);
	return &nonces->table[at];
}

/* A new file with what is live in `old`, in its place once it is stable. */
static int make(struct nonces *nonces, uint64_t places, const struct nonces *old, int64_t now_s)
{
	char path[PATH_SIZE + 8];
	int fd, result;

	snprintf(path, sizeof path, "%s.new", nonces->path);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	result = fill(fd, places);
	if (result == 0)
		result = map(nonces, fd, places);
	if (result < 0) {
		close(fd);
		return result;
	}
	for (uint64_t i = 0; old != NULL && i < old->places; i++) {
		if (is_live(old, &old->table[i], now_s)) {
			*find(nonces, old->table[i].hash) = old->table[i];
			nonces->taken++;
		}
	}
	result = msync(nonces->map, file_size(places), MS_SYNC) < 0 ? -errno : file_settle(fd, path, nonces->path);
	if (result < 0)
		unmap(nonces);
	return result;
}

static int load(struct nonces *nonces, int fd)
{
	struct header header;
	struct stat status;
	int result;

	if (pread(fd, &header, sizeof header, 0) != (ssize_t)sizeof header || fstat(fd, &status) < 0 ||
	    memcmp(header.magic, MAGIC, sizeof header.magic) != 0 || header.version != VERSION ||
	    header.places < NONCES_PLACES_MIN || header.places > NONCES_PLACES_MAX || (header.places & (header.places - 1)) != 0 ||
	    (uint64_t)status.st_size != file_size(header.places))
		return -EBADMSG;
	result = map(nonces, fd, header.places);
	for (uint64_t i = 0; result == 0 && i < nonces->places; i++)
		nonces->taken += nonces->table[i].used_s != 0;
	if (result == 0 && nonces->taken == nonces->places)
		return -EBADMSG; /* a search would not end */
	return result;
}

int nonces_open(const char *path, int64_t limit_s, struct nonces **out_nonces, struct error *error)
{
	struct nonces *nonces = memory_new(1, sizeof *nonces);
	int fd, result;

	nonces->limit_s = limit_s;
	nonces->fd = -1;
	snprintf(nonces->path, sizeof nonces->path, "%s", path);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		result = load(nonces, fd);
	else
		result = errno == ENOENT ? make(nonces, NONCES_PLACES_MIN, NULL, 0) : -errno;
	if (result == 0) {
		*out_nonces = nonces;
		return 0;
	}
	if (fd >= 0 && nonces->fd < 0)
		close(fd);
	nonces_close(nonces);
	if (result == -EBADMSG)
		return error_set(error, result, "%s is damaged: remove it, and no call signed before that is repeated by anybody "
				 "for half an hour", path);
	return error_set_errno(error, result, "cannot open %s", path);
}

void nonces_close(struct nonces *nonces)
{
	unmap(nonces);
	free(nonces);
}

/* Room again: what is not live is left behind. */
static int renew(struct nonces *nonces, int64_t now_s)
{
	struct nonces made = { .limit_s = nonces->limit_s, .fd = -1 };
	uint64_t live = 0, places = NONCES_PLACES_MIN;
	int result;

	for (uint64_t i = 0; i < nonces->places; i++)
		live += is_live(nonces, &nonces->table[i], now_s);
	while (places < 4 * live)
		places *= 2;
	if (places > NONCES_PLACES_MAX && 2 * live >= NONCES_PLACES_MAX)
		return -ENOSPC;
	snprintf(made.path, sizeof made.path, "%s", nonces->path);
	result = make(&made, places < NONCES_PLACES_MAX ? places : NONCES_PLACES_MAX, nonces, now_s);
	if (result < 0)
		return result;
	unmap(nonces);
	*nonces = made;
	return 0;
}

int nonces_use(struct nonces *nonces, uint64_t hash, int64_t now_s)
{
	struct place *place = find(nonces, hash);

	if (is_live(nonces, place, now_s))
		return -EEXIST;
	if (place->used_s == 0 && 2 * nonces->taken >= nonces->places) {
		int result = renew(nonces, now_s);

		if (result < 0)
			return result;
		place = find(nonces, hash);
	}
	nonces->taken += place->used_s == 0;
	*place = (struct place){ .hash = hash, .used_s = now_s };
	nonces->dirty = true;
	return 0;
}

int nonces_settle(struct nonces *nonces)
{
	if (nonces->dirty && fdatasync(nonces->fd) < 0)
		return -EIO;
	nonces->dirty = false;
	return 0;
}

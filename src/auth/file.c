#include "auth/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <unistd.h>

#include "base/memory.h"

int file_settle(int fd, const char *from, const char *to)
{
	AUTO_FREE char *path = memory_copy_text(to);
	int folder, result = 0;

	if (fsync(fd) < 0 || rename(from, to) < 0)
		return -errno;
	folder = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* the name is the folder's */
	if (folder < 0)
		return -errno;
	if (fsync(folder) < 0)
		result = -errno;
	close(folder);
	return result;
}

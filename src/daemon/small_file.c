#include "daemon/small_file.h"

#include <errno.h>
#include <stdio.h>

#include "base/error.h"
#include "base/memory.h"

int small_file_read(const char *path, size_t max, char **out_text, size_t *out_size, struct stat *out_status,
		    struct error *error)
{
	FILE *stream = fopen(path, "re");
	AUTO_FREE char *text = NULL;
	size_t size;
	int code = 0;

	if (stream == NULL)
		return error_set_errno(error, -errno, "cannot read %s", path);
	text = memory_new(max + 2, 1);
	size = fread(text, 1, max + 1, stream);
	if (ferror(stream) || fstat(fileno(stream), out_status) < 0)
		code = error_set_errno(error, -(errno != 0 ? errno : EIO), "cannot read %s", path);
	else if (size > max)
		code = error_set(error, -EFBIG, "%s is longer than %zu bytes", path, max);
	fclose(stream);
	if (code < 0)
		return code;
	*out_text = steal(text);
	*out_size = size;
	return 0;
}

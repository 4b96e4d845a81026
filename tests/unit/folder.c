#include "folder.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
	(void)status;
	(void)kind;
	(void)at;
	return remove(path);
}

void folder_remove(const char *path)
{
	assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

int folder_set_up(void **state)
{
	static char path[64];

	snprintf(path, sizeof(path), "/tmp/offsite-unit-XXXXXX");
	*state = mkdtemp(path);
	return *state == NULL;
}

int folder_tear_down(void **state)
{
	folder_remove(*state);
	return 0;
}

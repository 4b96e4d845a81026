/* A row of an operation's table: a parameter, its kind, and where it goes. Private to api/aliyun. */
#ifndef API_ALIYUN_PARAMETERS_H
#define API_ALIYUN_PARAMETERS_H

#include "api/aliyun/internal.h"

enum aliyun_value {
	ALIYUN_ID,
	ALIYUN_NAME,        /* rule N1 */
	ALIYUN_DESCRIPTION, /* rule N3 */
	ALIYUN_TOKEN,
	ALIYUN_PATH,
	ALIYUN_WORD,
	ALIYUN_FLAG,    /* bool */
	ALIYUN_NO_FLAG, /* bool: the opposite of what is given */
	ALIYUN_SECONDS, /* uint32_t */
	ALIYUN_COUNT,   /* uint64_t */
	ALIYUN_GIB,     /* uint64_t bytes */
	ALIYUN_VALUES,
};

struct aliyun_parameter {
	const char *name; /* NULL ends the table */
	enum aliyun_value kind;
	bool required;
	size_t offset; /* in struct control_request */
	size_t size;
};

#endif

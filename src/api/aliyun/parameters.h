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
	ALIYUN_NUMBER,  /* uint32_t, one of the row's words */
	ALIYUN_AMOUNT,  /* uint32_t: of instances */
	ALIYUN_CHOICE,  /* uint32_t: enum control_choice */
	ALIYUN_CHECKED, /* and dropped */
	ALIYUN_LIST,    /* json_t *: NAME.1, NAME.2, ... */
	ALIYUN_TAGS,    /* json_t *: Tag.N.Key, Tag.N.Value */
	ALIYUN_RESOURCE_TYPE, /* uint32_t: enum control_resource */
	ALIYUN_VALUES,
};

/* All that a value may be, and a NULL. A word that ends in '*' stands for all that begin so. */
struct aliyun_words {
	const char *code; /* of the refusal of another */
	unsigned status;
	const char *words[16];
};

struct aliyun_parameter {
	const char *name; /* NULL ends the table */
	enum aliyun_value kind;
	bool required;
	size_t offset; /* in struct control_request */
	size_t size;
	const struct aliyun_words *words; /* or NULL: any */
};

/* Of a request, not of one value of it. What they give belongs to the caller, also when they fail. */
bool aliyun_read_list(const struct http_request *request, const char *name, json_t **out_list, struct aliyun_error *error);
/* As a filter a tag may have any value: then it is null. NULL when there is none. */
bool aliyun_read_tags(const struct http_request *request, bool is_filter, json_t **out_tags, struct aliyun_error *error);
bool aliyun_read_resource_type(const struct http_request *request, uint32_t *out_type, struct aliyun_error *error);
/* [{TagKey, TagValue}] */
json_t *aliyun_tags_row(json_t *tags);

#endif

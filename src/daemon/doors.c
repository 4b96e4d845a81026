#include "daemon/doors.h"

#include <assert.h>

#include "daemon/config.h"

static void door_on_request(void *data, struct http_request *request)
{
	const struct door *door = data;
	const struct receiver *receivers = door->doors->receivers;
	enum dialect dialect = door->dialect == DIALECTS ? doors_choose(request) : door->dialect;

	if (receivers[dialect].on_request == NULL)
		dialect = DIALECT_ALIYUN;
	receivers[dialect].on_request(receivers[dialect].data, request);
}

static int door_open(struct doors *doors, const char *address, enum dialect dialect, const char *key, struct error *error)
{
	struct door *door = &doors->rows[doors->count];

	if (address[0] == '\0')
		return 0;
	assert(doors->count < DIALECTS); /* by config_check */
	door->doors = doors;
	door->dialect = dialect;
	if (http_server_new(address, door_on_request, door, &door->server, error) < 0)
		return error_wrap(error, "[api] %s", key);
	doors->count++;
	return 0;
}

int doors_open(struct doors *doors, const struct config *config, struct error *error)
{
	enum dialect rest = config->api_aliyun[0] != '\0' ? DIALECT_HUAWEI :
			    config->api_huawei[0] != '\0' ? DIALECT_ALIYUN : DIALECTS;
	int code = door_open(doors, config->api_listen, rest, "listen", error);

	if (code == 0)
		code = door_open(doors, config->api_aliyun, DIALECT_ALIYUN, "aliyun", error);
	if (code == 0)
		code = door_open(doors, config->api_huawei, DIALECT_HUAWEI, "huawei", error);
	return code;
}

void doors_stop(struct doors *doors)
{
	for (size_t i = 0; i < doors->count; i++)
		http_server_stop(doors->rows[i].server);
}

void doors_free(struct doors *doors)
{
	while (doors->count > 0)
		http_server_free(doors->rows[--doors->count].server);
}

const char *doors_address(const struct doors *doors, enum dialect dialect)
{
	size_t i = 0;

	while (doors->rows[i].dialect != dialect && doors->rows[i].dialect != DIALECTS)
		i++;
	assert(i < doors->count);
	return http_server_address(doors->rows[i].server);
}

#include "nbd_remote.h"

#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/memory.h"
#include "nbd_request.h"

/* --- bytes --- */

void remote_put(struct remote *remote, const void *bytes, size_t size)
{
	if (size == 0)
		return;
	remote->ahead = memory_resize(remote->ahead, remote->ahead_size + size, 1);
	memcpy(remote->ahead + remote->ahead_size, bytes, size);
	remote->ahead_size += size;
}

void remote_flush(struct remote *remote)
{
	size_t done = 0;

	while (done < remote->ahead_size) {
		ssize_t now;

		if (remote->secure)
			now = gnutls_record_send(remote->tls, remote->ahead + done, remote->ahead_size - done);
		else
			now = send(remote->fd, remote->ahead + done, remote->ahead_size - done, MSG_NOSIGNAL);
		if (now <= 0)
			fail_msg("the server takes nothing: %zd", now);
		done += (size_t)now;
	}
	remote->ahead_size = 0;
}

void remote_wait_taken(const struct remote *remote)
{
	int left = 1;

	for (unsigned tries = 0; left > 0; tries++) {
		assert_true(tries < 10000);
		assert_int_equal(ioctl(remote->fd, SIOCOUTQ, &left), 0);
		poll(NULL, 0, 1);
	}
}

void remote_send(struct remote *remote, const void *bytes, size_t size)
{
	remote_put(remote, bytes, size);
	remote_flush(remote);
}

/* After new keys GnuTLS says that it should be asked again. */
static ssize_t receive_some(struct remote *remote, void *bytes, size_t size)
{
	ssize_t now = GNUTLS_E_AGAIN;

	if (!remote->secure)
		return recv(remote->fd, bytes, size, 0);
	for (unsigned tries = 0; now == GNUTLS_E_AGAIN && tries < 2; tries++)
		now = gnutls_record_recv(remote->tls, bytes, size);
	return now;
}

void remote_receive(struct remote *remote, void *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t now = receive_some(remote, (uint8_t *)bytes + done, size - done);

		if (now <= 0)
			fail_msg("the server says nothing: %zd", now);
		done += (size_t)now;
	}
}

void remote_expect_end(struct remote *remote)
{
	uint8_t byte;

	if (receive_some(remote, &byte, 1) > 0)
		fail_msg("the server goes on");
}

/* --- life --- */

void remote_start_tls(struct remote *remote)
{
	gnutls_datum_t key = { (unsigned char *)(uintptr_t)REMOTE_PSK_KEY, sizeof REMOTE_PSK_KEY - 1 };

	remote_put_option(remote, NBD_OPT_STARTTLS, NULL, 0);
	remote_flush(remote);
	remote_expect_reply(remote, NBD_OPT_STARTTLS, NBD_REP_ACK, NULL, 0);
	assert_int_equal(gnutls_init(&remote->tls, GNUTLS_CLIENT), 0);
	assert_int_equal(gnutls_priority_set_direct(remote->tls, "NORMAL:-KX-ALL:+ECDHE-PSK:+DHE-PSK:+PSK", NULL), 0);
	assert_int_equal(gnutls_psk_allocate_client_credentials(&remote->psk), 0);
	assert_int_equal(gnutls_psk_set_client_credentials(remote->psk, REMOTE_PSK_NAME, &key, GNUTLS_PSK_KEY_HEX), 0);
	assert_int_equal(gnutls_credentials_set(remote->tls, GNUTLS_CRD_PSK, remote->psk), 0);
	gnutls_transport_set_int(remote->tls, remote->fd);
	assert_int_equal(gnutls_handshake(remote->tls), 0);
	remote->secure = true;
}

void remote_update_keys(struct remote *remote)
{
	assert_int_equal(gnutls_session_key_update(remote->tls, GNUTLS_KU_PEER), 0);
}

void remote_open(struct remote *remote, const char *path, bool secure)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct timeval limit = { .tv_sec = REMOTE_LIMIT_S };
	uint8_t greeting[18], flags[4];

	*remote = (struct remote){ .fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	setsockopt(remote->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(remote->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	assert_int_equal(connect(remote->fd, (struct sockaddr *)(void *)&address, sizeof address), 0);
	remote_receive(remote, greeting, sizeof greeting);
	put_be32(flags, NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES);
	remote_send(remote, flags, sizeof flags);
	if (secure)
		remote_start_tls(remote);
}

void remote_close(struct remote *remote)
{
	if (remote->tls != NULL)
		gnutls_deinit(remote->tls);
	if (remote->psk != NULL)
		gnutls_psk_free_client_credentials(remote->psk);
	close(remote->fd);
	free(remote->ahead);
	*remote = (struct remote){ .fd = -1 };
}

/* --- options --- */

void remote_put_option(struct remote *remote, uint32_t option, const void *data, size_t size)
{
	uint8_t header[16];

	put_be64(header, NBD_OPTION_MAGIC);
	put_be32(header + 8, option);
	put_be32(header + 12, (uint32_t)size);
	remote_put(remote, header, sizeof header);
	remote_put(remote, data, size);
}

void remote_put_info(struct remote *remote, uint32_t option, const char *name)
{
	uint8_t data[300] = { 0 };
	size_t size = strlen(name);

	put_be32(data, (uint32_t)size);
	memcpy(data + 4, name, size);
	remote_put_option(remote, option, data, 4 + size + 2);
}

size_t remote_expect_reply(struct remote *remote, uint32_t option, uint32_t type, void *data, size_t room)
{
	uint8_t header[20], rest[1024];
	uint32_t size;

	remote_receive(remote, header, sizeof header);
	assert_int_equal(get_be64(header), NBD_OPTION_REPLY_MAGIC);
	assert_int_equal(get_be32(header + 8), option);
	assert_int_equal(get_be32(header + 12), type);
	size = get_be32(header + 16);
	assert_true(size <= sizeof rest);
	remote_receive(remote, rest, size);
	if (data != NULL)
		memcpy(data, rest, size < room ? size : room);
	return size;
}

void remote_expect_info(struct remote *remote, uint32_t option)
{
	remote_expect_reply(remote, option, NBD_REP_INFO, NULL, 0);
	remote_expect_reply(remote, option, NBD_REP_ACK, NULL, 0);
}

void remote_go(struct remote *remote, const char *name)
{
	remote_put_info(remote, NBD_OPT_GO, name);
	remote_flush(remote);
	remote_expect_info(remote, NBD_OPT_GO);
}

/* --- requests --- */

uint64_t remote_put_request(struct remote *remote, uint16_t type, uint64_t offset, uint32_t length)
{
	uint8_t header[NBD_REQUEST_SIZE];

	nbd_request_encode(header, type, ++remote->cookie, offset, length);
	remote_put(remote, header, sizeof header);
	return remote->cookie;
}

uint64_t remote_next_reply(struct remote *remote)
{
	uint8_t reply[NBD_SIMPLE_REPLY_SIZE];

	remote_receive(remote, reply, sizeof reply);
	assert_int_equal(get_be32(reply), NBD_SIMPLE_REPLY_MAGIC);
	assert_int_equal(get_be32(reply + 4), NBD_SUCCESS);
	return get_be64(reply + 8);
}

void remote_write(struct remote *remote, uint64_t offset, const void *bytes, uint32_t size)
{
	uint64_t cookie = remote_put_request(remote, NBD_CMD_WRITE, offset, size);

	remote_send(remote, bytes, size);
	assert_int_equal(remote_next_reply(remote), cookie);
}

void remote_read(struct remote *remote, uint64_t offset, void *bytes, uint32_t size)
{
	uint64_t cookie = remote_put_request(remote, NBD_CMD_READ, offset, size);

	remote_flush(remote);
	assert_int_equal(remote_next_reply(remote), cookie);
	remote_receive(remote, bytes, size);
}

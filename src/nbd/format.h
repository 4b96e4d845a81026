/* Numbers of the NBD protocol (document "proto.md" of the NBD project; section names in the comments). Big endian on the wire. */
#ifndef NBD_FORMAT_H
#define NBD_FORMAT_H

#include <stdint.h>

/* "Fixed newstyle negotiation" */
#define NBD_MAGIC UINT64_C(0x4e42444d41474943)        /* NBDMAGIC */
#define NBD_OPTION_MAGIC UINT64_C(0x49484156454f5054) /* IHAVEOPT */
#define NBD_OPTION_REPLY_MAGIC UINT64_C(0x3e889045565a9)

/* "Handshake flags", "Client flags": the same bits */
#define NBD_FLAG_FIXED_NEWSTYLE 1u
#define NBD_FLAG_NO_ZEROES 2u

/* "Option types" */
enum nbd_option {
	NBD_OPT_EXPORT_NAME = 1, NBD_OPT_ABORT = 2, NBD_OPT_LIST = 3, NBD_OPT_STARTTLS = 5, NBD_OPT_INFO = 6, NBD_OPT_GO = 7,
	NBD_OPT_STRUCTURED_REPLY = 8, NBD_OPT_LIST_META_CONTEXT = 9, NBD_OPT_SET_META_CONTEXT = 10,
	NBD_OPT_EXTENDED_HEADERS = 11,
};

/* "Option reply types" */
#define NBD_REP_ACK 1u
#define NBD_REP_SERVER 2u
#define NBD_REP_INFO 3u
#define NBD_REP_META_CONTEXT 4u
#define NBD_REP_ERR(n) (UINT32_C(0x80000000) + (n))
#define NBD_REP_ERR_UNSUP NBD_REP_ERR(1)
#define NBD_REP_ERR_POLICY NBD_REP_ERR(2)
#define NBD_REP_ERR_INVALID NBD_REP_ERR(3)
#define NBD_REP_ERR_TLS_REQD NBD_REP_ERR(5)
#define NBD_REP_ERR_UNKNOWN NBD_REP_ERR(6)
#define NBD_REP_ERR_SHUTDOWN NBD_REP_ERR(7)
#define NBD_REP_ERR_TOO_BIG NBD_REP_ERR(9)
#define NBD_REP_ERR_EXT_HEADER_REQD NBD_REP_ERR(10)

/* "NBD_INFO_..." */
#define NBD_INFO_EXPORT 0u
#define NBD_INFO_NAME 1u
#define NBD_INFO_DESCRIPTION 2u
#define NBD_INFO_BLOCK_SIZE 3u

/* "Transmission flags" */
#define NBD_FLAG_HAS_FLAGS 1u
#define NBD_FLAG_READ_ONLY 2u
#define NBD_FLAG_SEND_FLUSH 4u
#define NBD_FLAG_SEND_FUA 8u
#define NBD_FLAG_ROTATIONAL 16u
#define NBD_FLAG_SEND_TRIM 32u
#define NBD_FLAG_SEND_WRITE_ZEROES 64u
#define NBD_FLAG_SEND_DF 128u
#define NBD_FLAG_CAN_MULTI_CONN 256u
#define NBD_FLAG_SEND_CACHE 1024u
#define NBD_FLAG_SEND_FAST_ZERO 2048u

/* "Request message", compact and extended; "Simple reply message", "Structured reply chunk message", "Extended reply chunk
 * message" */
#define NBD_REQUEST_MAGIC UINT32_C(0x25609513)
#define NBD_REQUEST_SIZE 28u
#define NBD_EXTENDED_REQUEST_MAGIC UINT32_C(0x21e41c71)
#define NBD_EXTENDED_REQUEST_SIZE 32u
#define NBD_SIMPLE_REPLY_MAGIC UINT32_C(0x67446698)
#define NBD_SIMPLE_REPLY_SIZE 16u
#define NBD_CHUNK_MAGIC UINT32_C(0x668e33ef)
#define NBD_CHUNK_SIZE 20u
#define NBD_EXTENDED_CHUNK_MAGIC UINT32_C(0x6e8a278c)
#define NBD_EXTENDED_CHUNK_SIZE 32u

#define NBD_CMD_READ 0u
#define NBD_CMD_WRITE 1u
#define NBD_CMD_DISC 2u
#define NBD_CMD_FLUSH 3u
#define NBD_CMD_TRIM 4u
#define NBD_CMD_CACHE 5u
#define NBD_CMD_WRITE_ZEROES 6u
#define NBD_CMD_BLOCK_STATUS 7u

#define NBD_CMD_FLAG_FUA 1u
#define NBD_CMD_FLAG_NO_HOLE 2u
#define NBD_CMD_FLAG_DF 4u
#define NBD_CMD_FLAG_REQ_ONE 8u
#define NBD_CMD_FLAG_FAST_ZERO 16u
#define NBD_CMD_FLAG_PAYLOAD_LEN 32u

#define NBD_CHUNK_FLAG_DONE 1u
#define NBD_CHUNK_NONE 0u
#define NBD_CHUNK_OFFSET_DATA 1u
#define NBD_CHUNK_OFFSET_HOLE 2u
#define NBD_CHUNK_BLOCK_STATUS 5u
#define NBD_CHUNK_BLOCK_STATUS_EXT 6u
#define NBD_CHUNK_ERROR 32769u
#define NBD_CHUNK_ERROR_OFFSET 32770u

/* "base:allocation" */
#define NBD_STATE_HOLE 1u
#define NBD_STATE_ZERO 2u

/* "Error values" */
#define NBD_SUCCESS 0u
#define NBD_EPERM 1u
#define NBD_EIO 5u
#define NBD_ENOMEM 12u
#define NBD_EINVAL 22u
#define NBD_ENOSPC 28u
#define NBD_EOVERFLOW 75u
#define NBD_ENOTSUP 95u
#define NBD_ESHUTDOWN 108u

#endif

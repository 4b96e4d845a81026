/* "TLS support": before TLS, a session that demands it answers nothing else; at TLS, all that was said in the clear is forgotten,
 * since it may have been said by somebody between the client and us. */
#include <assert.h>

#include "nbd/internal.h"

void nbd_session_offer_tls(struct nbd_session *session, enum nbd_tls mode)
{
	assert(session->state == SESSION_CLIENT_FLAGS);
	session->tls = mode;
}

bool starttls_permits(struct nbd_session *session)
{
	if (session->tls != NBD_TLS_REQUIRED || session->secured)
		return true;
	switch (session->option) {
	case NBD_OPT_STARTTLS:
	case NBD_OPT_ABORT:
		return true;
	case NBD_OPT_EXPORT_NAME: /* has no way to be refused */
		session_end(session, "asked for an export without TLS");
		return false;
	default:
		negotiation_reply(session, NBD_REP_ERR_TLS_REQD, "this server demands TLS");
		return false;
	}
}

void starttls_begin(struct nbd_session *session, uint32_t size)
{
	if (session->tls == NBD_TLS_OFF) {
		negotiation_reply(session, NBD_REP_ERR_POLICY, "TLS is off at this server");
	} else if (session->secured) {
		negotiation_reply(session, NBD_REP_ERR_INVALID, "this connection has TLS already");
	} else if (size != 0) {
		negotiation_reply(session, NBD_REP_ERR_INVALID, "the option STARTTLS has no data");
	} else if (session_available(session) > 0) {
		/* A client waits for the answer. What follows in the clear was put there by another, to be taken for the client's. */
		session_end(session, "bytes in the clear after STARTTLS");
	} else {
		negotiation_reply(session, NBD_REP_ACK, "");
		session->state = SESSION_STARTTLS;
	}
}

bool nbd_session_upgrading(const struct nbd_session *session)
{
	return session->state == SESSION_STARTTLS;
}

void nbd_session_secured(struct nbd_session *session)
{
	assert(session->state == SESSION_STARTTLS && session_available(session) == 0);
	session->secured = true;
	session->structured = session->extended = false;
	session->mapped[0] = 0;
	session->state = SESSION_OPTION;
}

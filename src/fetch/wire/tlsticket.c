#include "fetch/wire/tlsticket.h"

#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/file.h"
#include "link/link.h"

/* More than all authorities of the world together; a bigger file is bound by its name alone. */
#define FILE_SIZE_MAX ((size_t)16 * 1024 * 1024)

static struct {
	struct digest settings;
	bool is_bound;
	struct secret offered; /* what GnuTLS packed */
	bool has_failed;
} ticket;

/* With its length in front: no two lists of texts run together to the same octets. */
static void
add_octets(struct digest_state *state, const void *data, size_t len)
{
	uint64_t count = len;

	digest_add(state, &count, sizeof count);
	digest_add(state, data, len);
}

static void
add_text(struct digest_state *state, const char *text)
{
	digest_add(state, text != NULL ? "+" : "-", 1);
	add_octets(state, text != NULL ? text : "", text != NULL ? strlen(text) : 0);
}

/* By what is in it: another file of that name and time must not pass for it. */
static void
add_file(struct digest_state *state, const char *path)
{
	struct buf content = {0};
	struct error err;

	add_text(state, path);
	if (path != NULL && file_read_whole(path, FILE_SIZE_MAX, &content, NULL, &err) == 0)
		add_octets(state, buf_data(&content), content.len);
	else
		add_text(state, NULL);
	if (content.base != NULL)
		secret_wipe(content.base, content.size);
	buf_release(&content);
}

void
tlsticket_bind(const struct account *account)
{
	struct digest_state *state = digest_new();
	const uint32_t numbers[] = {account->port, account->tls, account->pin_only};

	add_text(state, POPHAUL_VERSION);
	add_text(state, gnutls_check_version(NULL));
	add_text(state, account->host);
	add_octets(state, numbers, sizeof numbers);
	add_text(state, account->user);
	add_text(state, account->authorize_as);
	add_text(state, account->tls_host);
	add_text(state, account->tls_priority);
	for (char **pin = account->pin; pin != NULL && *pin != NULL; pin++)
		add_text(state, *pin);
	add_file(state, account->tls_trust_file);
	add_file(state, account->tls_crl_file);
	add_file(state, account->tls_cert);
	add_file(state, account->tls_key);
	digest_finish(state, &ticket.settings);
	digest_free(state);
	ticket.is_bound = true;
}

void
tlsticket_offer(struct secret *kept)
{
	const size_t head_len = sizeof ticket.settings;

	if (ticket.is_bound && kept->len > head_len &&
		memcmp(kept->data, &ticket.settings, head_len) == 0)
		secret_set(&ticket.offered, kept->data + head_len, kept->len - head_len);
	secret_release(kept);
}

int
tlsticket_use(gnutls_session_t session)
{
	int code;

	if (!secret_is_set(&ticket.offered))
		return 0;
	code = gnutls_session_set_data(session, ticket.offered.data, ticket.offered.len);
	secret_release(&ticket.offered);
	return code == 0 ? 1 : -1;
}

bool
tlsticket_make(gnutls_session_t session, struct secret *out)
{
	bool is_late = gnutls_protocol_get_version(session) >= GNUTLS_TLS1_3;
	const size_t head_len = sizeof ticket.settings;
	gnutls_datum_t data = {0};

	/* Without one GnuTLS would wait for it, or give four octets that mean nothing. */
	if (!ticket.is_bound ||
		(is_late &&
			(gnutls_session_get_flags(session) & GNUTLS_SFLAGS_SESSION_TICKET) == 0))
		return false;
	if (gnutls_session_get_data2(session, &data) != 0)
		return false;
	if (data.size != 0 && head_len + data.size <= LINK_TICKET_MAX) {
		secret_make(out, head_len + data.size);
		memcpy(out->data, &ticket.settings, head_len);
		memcpy(out->data + head_len, data.data, data.size);
	}
	secret_wipe(data.data, data.size);
	gnutls_free(data.data);
	return secret_is_set(out);
}

void
tlsticket_failed(void)
{
	ticket.has_failed = true;
}

bool
tlsticket_take_failure(void)
{
	bool has_failed = ticket.has_failed;

	ticket.has_failed = false;
	return has_failed;
}

#include "deliver/dest/dest.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

struct dest {
	const struct dest_ops *ops;
	void *self;
};

static const struct {
	const char *prefix;
	enum account_dest_kind kind;
	const struct dest_ops *ops;
} kinds[] = {
	{"maildir:", ACCOUNT_DEST_MAILDIR, &dest_maildir_ops},
	{"mbox:",    ACCOUNT_DEST_MBOX,    &dest_mbox_ops   },
	{"pipe:",    ACCOUNT_DEST_PIPE,    &dest_pipe_ops   },
};

#define KIND_COUNT (sizeof kinds / sizeof *kinds)

struct dest *
dest_open(const struct account *account, int64_t owner, struct error *err)
{
	const struct dest_ops *ops = NULL;
	struct dest *dest;
	void *self;

	for (size_t i = 0; i < KIND_COUNT; i++) {
		if (kinds[i].kind == account->dest.kind)
			ops = kinds[i].ops;
	}
	if (ops == NULL) {
		error_set(err, ERROR_CONFIG, "no destination: nothing says where to deliver");
		return NULL;
	}
	self = ops->open(account, owner, err);
	if (self == NULL)
		return NULL;
	dest = xcalloc(1, sizeof *dest);
	dest->ops = ops;
	dest->self = self;
	return dest;
}

void
dest_close(struct dest *dest)
{
	if (dest == NULL)
		return;
	dest->ops->close(dest->self);
	free(dest);
}

const struct dest_limits *
dest_limits(const struct dest *dest)
{
	return &dest->ops->limits;
}

void
dest_sweep(struct dest *dest)
{
	if (dest->ops->sweep != NULL)
		dest->ops->sweep(dest->self);
}

void
dest_set_background(struct dest *dest, struct link *link, size_t max)
{
	if (dest->ops->set_background != NULL)
		dest->ops->set_background(dest->self, link, max);
}

int
dest_begin(struct dest *dest, struct error *err)
{
	return dest->ops->begin(dest->self, err);
}

int
dest_write(struct dest *dest, const void *data, size_t len, struct error *err)
{
	return dest->ops->write(dest->self, data, len, err);
}

int
dest_end(struct dest *dest, const char *sender, struct error *err)
{
	return dest->ops->end(dest->self, sender, err);
}

void
dest_abandon(struct dest *dest)
{
	dest->ops->abandon(dest->self);
}

int
dest_prepare(struct dest *dest, struct error *err)
{
	return dest->ops->prepare(dest->self, err);
}

const char *
dest_token(struct dest *dest, size_t index)
{
	return dest->ops->token(dest->self, index);
}

int
dest_publish(struct dest *dest, size_t index, struct error *err)
{
	return dest->ops->publish(dest->self, index, err);
}

int
dest_seal(struct dest *dest, struct error *err)
{
	return dest->ops->seal(dest->self, err);
}

void
dest_finish(struct dest *dest)
{
	dest->ops->finish(dest->self);
}

int
dest_recover(const struct account *account, const char *text, struct dest_claim *claims,
	size_t count, struct error *err)
{
	for (size_t i = 0; i < count; i++)
		claims[i].delivered = false;
	if (text == NULL)
		text = account->dest.text;
	for (size_t i = 0; text != NULL && i < KIND_COUNT; i++) {
		size_t len = strlen(kinds[i].prefix);

		if (strncmp(text, kinds[i].prefix, len) != 0 || kinds[i].ops->recover == NULL)
			continue;
		if (kinds[i].ops->recover(account, text + len, claims, count, err) != 0)
			return error_prefix(err, "cannot finish what an earlier session left");
	}
	return 0;
}

static bool
is_sender_octet(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		(c != '\0' && strchr("._+-=@", c) != NULL);
}

void
dest_clean_sender(const void *data, size_t len, char out[static DEST_SENDER_MAX])
{
	const unsigned char *octets = data;
	bool clean = len > 0 && len < DEST_SENDER_MAX && octets[0] != '-';

	for (size_t i = 0; clean && i < len; i++)
		clean = is_sender_octet(octets[i]);
	if (!clean) {
		data = DEST_SENDER_UNKNOWN;
		len = strlen(DEST_SENDER_UNKNOWN);
	}
	memcpy(out, data, len);
	out[len] = '\0';
}

#include "deliver/dest/pipe.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/quote.h"
#include "base/xalloc.h"
#include "deliver/dest/spool.h"

/* What a command gets between SIGTERM and SIGKILL. */
#define KILL_GRACE_MS 2000

/* Between two polls that the kernel has no memory for. */
#define POLL_PAUSE_NS (50 * 1000 * 1000)

/* A shell's statuses for a command that it cannot run; child.h uses them too. */
#define STATUS_NOT_EXECUTABLE 126
#define STATUS_NOT_FOUND      127

/* Reads of PIPE_OUTPUT_MAX octets that empty a full pipe. */
#define READS_AT_ONCE 16

struct pipe {
	const struct account *account;
	char *environment; /* POPHAUL_ACCOUNT=… */
	struct spool spool;
	bool staged;
	char sender[DEST_SENDER_MAX];
	struct link *background;
	size_t background_max;
};

static void pipe_close(void *self);

static void *
pipe_open(const struct account *account, int64_t owner, struct error *err)
{
	struct pipe *p = xcalloc(1, sizeof *p);

	(void)owner;
	p->account = account;
	p->environment = xasprintf("POPHAUL_ACCOUNT=%s", account->name);
	if (spool_open(&p->spool, err) == 0)
		return p;
	pipe_close(p);
	return NULL;
}

static void
pipe_close(void *self)
{
	struct pipe *p = self;

	spool_close(&p->spool);
	free(p->environment);
	free(p);
}

static void
pipe_set_background(void *self, struct link *link, size_t max)
{
	struct pipe *p = self;

	p->background = link;
	p->background_max = max;
}

/*
 * A spool of its own for each message: a process that an earlier command has left behind may still
 * read the earlier one, and would take this message's octets from under its command.
 */
static int
pipe_begin(void *self, struct error *err)
{
	struct pipe *p = self;

	assert(!p->staged);
	spool_close(&p->spool);
	return spool_open(&p->spool, err);
}

static int
pipe_write(void *self, const void *data, size_t len, struct error *err)
{
	struct pipe *p = self;

	return spool_write(&p->spool, data, len, err);
}

static int
pipe_end(void *self, const char *sender, struct error *err)
{
	struct pipe *p = self;

	memcpy(p->sender, sender, strlen(sender) + 1);
	if (spool_flush(&p->spool, err) != 0)
		return -1;
	p->staged = true;
	return 0;
}

static void
pipe_abandon(void *self)
{
	/* The next pipe_begin() takes a new spool. */
	(void)self;
}

static int
pipe_prepare(void *self, struct error *err)
{
	struct pipe *p = self;

	return spool_rewind(&p->spool, err);
}

static const char *
pipe_token(void *self, size_t index)
{
	(void)self;
	(void)index;
	return NULL;
}

static char *
expand_word(const struct pipe *p, const char *word)
{
	struct buf out = {0};

	for (; *word != '\0'; word++) {
		const char *value = NULL;

		if (*word == '%' && word[1] == 'a')
			value = p->account->name;
		else if (*word == '%' && word[1] == 'u')
			value = p->account->user != NULL ? p->account->user : "";
		else if (*word == '%' && word[1] == 'h')
			value = p->account->host != NULL ? p->account->host : "";
		else if (*word == '%' && word[1] == 's')
			value = p->sender;
		else if (*word == '%' && word[1] == '%')
			value = "%";
		if (value == NULL) {
			buf_append(&out, word, 1);
			continue;
		}
		buf_append_string(&out, value);
		word++;
	}
	return buf_take_string(&out);
}

static char **
expand_argv(const struct pipe *p)
{
	char *const *words = p->account->dest.argv;
	size_t count = 0;
	char **argv;

	while (words[count] != NULL)
		count++;
	argv = xcalloc(count + 1, sizeof *argv);
	for (size_t i = 0; i < count; i++)
		argv[i] = expand_word(p, words[i]);
	return argv;
}

static void
free_argv(char **argv)
{
	for (size_t i = 0; argv[i] != NULL; i++)
		free(argv[i]);
	free(argv);
}

/*
 * Take what the command has printed; false at its end. What is too much is read
 * and dropped, but never more than a pipe holds: a command that prints without
 * end, or a child that it left behind, must not keep us from the clock.
 */
static bool
read_output(const struct child *child, struct buf *output)
{
	char chunk[PIPE_OUTPUT_MAX];
	ssize_t n = 1;

	for (int reads = 0; n > 0 && reads < READS_AT_ONCE; reads++) {
		size_t room = PIPE_OUTPUT_MAX - output->len;

		n = read(child->output, chunk, sizeof chunk);
		if (n > 0)
			buf_append(output, chunk, (size_t)n < room ? (size_t)n : room);
	}
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* Wait for the command's end, reading its output and the link. False when its time is up. */
static bool
watch(struct pipe *p, const struct child *child, struct buf *output)
{
	static const struct timespec pause = {.tv_nsec = POLL_PAUSE_NS};
	int64_t deadline = clock_monotonic_ms() + p->account->pipe_timeout_ms;
	bool has_output = true, has_link = p->background != NULL;
	struct error ignored;

	for (;;) {
		bool wants_link = has_link && link_buffered(p->background) < p->background_max;
		struct pollfd watched[] = {
			{.fd = child->pidfd,                             .events = POLLIN},
			{.fd = has_output ? child->output : -1,          .events = POLLIN},
			{.fd = wants_link ? link_fd(p->background) : -1, .events = POLLIN},
		};

		/* Without memory for it: the command goes on all the same, and may yet deliver. */
		if (poll(watched, 3, clock_poll_timeout(deadline)) < 0 && errno != EINTR)
			nanosleep(&pause, NULL);
		if (watched[1].revents != 0)
			has_output = read_output(child, output);
		/* A fetcher that is gone is told of by the next to read the link. */
		if (watched[2].revents != 0)
			has_link = link_fill(p->background, &ignored) >= 0;
		if (watched[0].revents != 0) {
			read_output(child, output);
			return true;
		}
		if (clock_monotonic_ms() >= deadline)
			return false;
	}
}

static enum error_class
classify(int status)
{
	if (!WIFEXITED(status))
		return ERROR_DELIVERY_TEMP;
	switch (WEXITSTATUS(status)) {
	case EX_TEMPFAIL:
		return ERROR_DELIVERY_TEMP;
	case EX_CONFIG:
	case STATUS_NOT_EXECUTABLE:
	case STATUS_NOT_FOUND:
		return ERROR_CONFIG;
	default:
		return ERROR_DELIVERY_PERM;
	}
}

/* How the command failed, and what it said to that. */
static int
explain(enum error_class class, const char *command, const char *how, const struct buf *output,
	struct error *err)
{
	char quoted[QUOTE_SIZE];
	size_t len = output->len;
	const char *text = buf_data(output);

	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	return error_set(err, class, "command '%s' %s%s%s", command, how, len != 0 ? ": " : "",
		quote_bytes(quoted, text, len));
}

static int
run(struct pipe *p, char *const *argv, struct error *err)
{
	const char *const extra[] = {p->environment, NULL};
	struct child_spec spec = {.argv = argv, .input = p->spool.fd, .extra = extra};
	struct buf output = {0};
	struct child child;
	char how[128];
	int status, result = 0;

	if (child_spawn(&spec, &child, err) != 0)
		return -1;
	if (!watch(p, &child, &output)) {
		child_kill(&child, KILL_GRACE_MS);
		snprintf(how, sizeof how, "was killed: it took longer than %lld s",
			(long long)(p->account->pipe_timeout_ms / 1000));
		result = explain(ERROR_DELIVERY_TEMP, argv[0], how, &output, err);
	} else if (child_reap(&child, &status, err) != 0) {
		result = -1;
	} else if (!WIFEXITED(status) || WEXITSTATUS(status) != EX_OK) {
		child_describe_status(status, how, sizeof how);
		result = explain(classify(status), argv[0], how, &output, err);
	}
	buf_release(&output);
	return result;
}

static int
pipe_publish(void *self, size_t index, struct error *err)
{
	struct pipe *p = self;
	char **argv;
	int result;

	assert(index == 0 && p->staged);
	argv = expand_argv(p);
	result = run(p, argv, err);
	free_argv(argv);
	return result;
}

static int
pipe_seal(void *self, struct error *err)
{
	(void)self;
	(void)err;
	return 0;
}

static void
pipe_finish(void *self)
{
	struct pipe *p = self;

	p->staged = false;
}

const struct dest_ops dest_pipe_ops = {
	.limits = {1, 64 << 20, {8, 4 << 20}},
	.open = pipe_open,
	.close = pipe_close,
	.begin = pipe_begin,
	.write = pipe_write,
	.end = pipe_end,
	.abandon = pipe_abandon,
	.prepare = pipe_prepare,
	.token = pipe_token,
	.publish = pipe_publish,
	.seal = pipe_seal,
	.finish = pipe_finish,
	.set_background = pipe_set_background,
};

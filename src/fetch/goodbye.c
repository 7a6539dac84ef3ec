#include "fetch/goodbye.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "fetch/dot.h"
#include "fetch/pop3.h"

/* A server that deletes nothing has little to do at QUIT. */
#define ANSWER_MS 5000

/* Nearly all hang up at once behind their answer; those that wait for us to do it are not waited for. */
#define LINGER_MS 1000

/* No goodbye is so long. */
#define GOODBYE_MAX ((size_t)64 * 1024)

void
goodbye_say(struct conn *conn)
{
	struct error err;

	pop3_queue_quit(conn);
	if (conn_flush(conn, &err) != 0)
		log_verbose("at QUIT: %s", err.text);
}

static const char *
end_of_line(const struct conn *conn)
{
	size_t len;
	const char *text = conn_peek(conn, &len);

	return memchr(text, '\n', len);
}

static size_t
heard(const struct conn *conn)
{
	size_t len;

	conn_peek(conn, &len);
	return len;
}

/* All that comes, until the server hangs up or has said enough. */
static void
listen_to_end(struct conn *conn)
{
	struct conn_wait wait = {.other_fd = -1, .wants_input = true};
	bool is_answered = false;
	struct error err;

	wait.deadline = clock_monotonic_ms() + ANSWER_MS;
	while (heard(conn) <= GOODBYE_MAX) {
		if (conn_wait(conn, &wait, &err) != 0 || wait.timed_out)
			return;
		if (wait.has_output && conn_flush(conn, &err) != 0)
			return;
		if (wait.has_input && conn_fill(conn, &err) < 0)
			return;
		if (!is_answered && end_of_line(conn) != NULL) {
			is_answered = true;
			wait.deadline = clock_monotonic_ms() + LINGER_MS;
		}
	}
}

/* Behind its first line it goes on to an end mark, as a message does. */
static bool
is_text(const struct conn *conn)
{
	const char *end = end_of_line(conn);
	size_t len;
	const char *text = conn_peek(conn, &len);
	char out[GOODBYE_MAX + DOT_OUT_EXTRA];
	size_t out_len;
	struct dot dot;

	if (end == NULL)
		return false;
	if (len > GOODBYE_MAX)
		return true;
	dot_init(&dot);
	(void)!dot_feed(&dot, end + 1, len - (size_t)(end + 1 - text), out, &out_len);
	return dot_is_done(&dot);
}

int
goodbye_hear(struct conn *conn, struct error *err)
{
	goodbye_say(conn);
	listen_to_end(conn);
	if (!is_text(conn))
		return 0;
	return error_set(err, ERROR_PROTOCOL,
		"a whole text came in answer to QUIT: the replies were not those to the commands");
}

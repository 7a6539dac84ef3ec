/*
 * The deliverer against a fetcher that is played here: sessions over one
 * maildrop, deaths at any moment, and a fetcher that has been taken over.
 */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "check.h"
#include "link/bound.h"
#include "deliver/breaks.h"
#include "deliver/deliverer.h"
#include "deliver/state/broken.h"
#include "deliver/state/ticket.h"
#include "deliver/state/uidl.h"

#define MAIL_MAX 64

/* A message on the played server. */
struct mail {
	const char *uid;
	const char *text;
	uint64_t octets; /* as listed; 0: the text's */
	bool is_gone;
};

enum trick {
	TRICK_NONE,
	TRICK_DIE_AFTER_BODIES, /* the connection is lost before anything was deleted */
	TRICK_CUT,              /* in the middle of the last message */
	TRICK_NO_QUIT,          /* all is deleted, QUIT gets no answer */
	TRICK_UNANSWERED,       /* all is deleted, and the connection is lost behind QUIT */
	TRICK_REFUSE,           /* -ERR to the first RETR */
	TRICK_AUTH,             /* the login is refused */
	TRICK_UNDELETED,        /* -ERR to each DELE */
	TRICK_TOKEN,            /* the token is refused, and a fresh one asked for */
	TRICK_NO_TOKEN,         /* the same, and there is none */
	TRICK_TICKET,           /* one for the next TLS session */
	TRICK_LEAVE_OUT,        /* the last message, and all is said to be well */
	TRICK_DATA_FIRST,       /* from here on: a fetcher that was taken over */
	TRICK_BEGIN_TWICE,
	TRICK_BEGIN_UNLISTED,
	TRICK_BEGIN_UNPLANNED,
	TRICK_END_OTHER,
	TRICK_NO_END,
	TRICK_DELETE_UNSETTLED,
	TRICK_GONE_ALONE,
	TRICK_ROW_TWICE,
	TRICK_ROWS_MISSING,
	TRICK_RESULT_FIRST,
	TRICK_ROWS_BEFORE_LISTING,
	TRICK_NO_SERVER,
	TRICK_GARBAGE,
	TRICK_TOKEN_TWICE,
	TRICK_TOKEN_LATE,
	TRICK_TOKEN_LISTED,
	TRICK_TICKET_TWICE,
	TRICK_TICKET_HUGE,
	TRICK_TICKET_EARLY,
	TRICK_LEAVE_OPEN, /* the same, but for its beginning */
	TRICK_COUNT
};

static struct mail mails[MAIL_MAX];
static size_t mail_count;
static bool has_uidl = true;
static int64_t login_delay;
static char root[] = "/tmp/pophaul-deliverer-XXXXXX";
static struct error err;
static struct account account;
static struct link_report report;
static char out_text[65536];     /* what went to standard output */
static unsigned renewals;        /* how often a fresh token was got */
static bool has_no_token;        /* and whether that failed */
static struct secret handed_out; /* to the last fetcher */

static void
fake_send(struct link *link)
{
	struct error ignored;

	if (link_flush_all(link, clock_monotonic_ms() + 10000, &ignored) != 0)
		_exit(2);
}

static struct link_frame
fake_wait(struct link *link)
{
	struct link_frame frame;
	struct error why;

	fake_send(link);
	if (link_wait(link, &frame, clock_monotonic_ms() + 10000, NULL, &why) != 1)
		_exit(3);
	return frame;
}

static void
fake_ask_token(struct link *link, enum trick trick)
{
	const char *wanted = trick == TRICK_NO_TOKEN ? "" : "fresh";
	struct link_frame frame;

	link_put_value(link, LINK_PHASE, LINK_PHASE_CONNECTED);
	link_put(link, LINK_WANT_TOKEN);
	frame = fake_wait(link);
	if (frame.type != LINK_TOKEN || frame.data_len != strlen(wanted) ||
		memcmp(frame.data, wanted, frame.data_len) != 0)
		_exit(5);
}

static void
fake_list(struct link *link, enum trick trick)
{
	struct link_server server = {.login_delay = login_delay};
	uint64_t sizes[2 * MAIL_MAX];
	uint64_t rows = 0;

	if (trick == TRICK_TOKEN || trick == TRICK_NO_TOKEN || trick == TRICK_TOKEN_TWICE)
		fake_ask_token(link, trick);
	if (trick == TRICK_TOKEN_TWICE)
		link_put(link, LINK_WANT_TOKEN);
	link_put_value(link, LINK_PHASE, LINK_PHASE_CONNECTED);
	if (trick != TRICK_TOKEN_LISTED)
		link_put_value(link, LINK_PHASE, LINK_PHASE_LOGGED_IN);
	if (trick == TRICK_TOKEN_LATE)
		link_put(link, LINK_WANT_TOKEN);
	if (trick == TRICK_RESULT_FIRST)
		link_put_result(link, &(struct link_result){.ok = true}, "");
	if (trick != TRICK_ROWS_BEFORE_LISTING)
		link_put_value(link, LINK_LISTING, has_uidl);
	if (trick == TRICK_TOKEN_LISTED)
		link_put(link, LINK_WANT_TOKEN);
	if (trick == TRICK_TICKET_EARLY)
		link_put_data(link, LINK_TICKET, "ticket", 6);
	for (size_t i = 0; i < mail_count; i++) {
		struct link_row row = {.number = (uint32_t)i + 1,
			.uidl = has_uidl ? mails[i].uid : "",
			.uidl_len = has_uidl ? strlen(mails[i].uid) : 0};

		if (mails[i].is_gone)
			continue;
		for (int n = trick == TRICK_ROW_TWICE ? 2 : 1; n > 0; n--) {
			link_put_row(link, &row);
			sizes[rows++] =
				mails[i].octets != 0 ? mails[i].octets : strlen(mails[i].text);
		}
	}
	link_put_data(link, LINK_SIZES, sizes, rows * sizeof *sizes);
	if (trick != TRICK_NO_SERVER)
		link_put_server(link, &server);
	link_put_value(link, LINK_LISTED, rows + (trick == TRICK_ROWS_MISSING));
}

/* More than any message may have; the deliverer is to hang up before that. */
static void
fake_endless(struct link *link)
{
	static const char text[LINK_PAYLOAD_MAX];

	for (uint64_t sent = 0; sent < 2 * bound_message_octets(0); sent += sizeof text) {
		link_put_data(link, LINK_DATA, text, sizeof text);
		fake_send(link);
	}
}

static void
fake_body(struct link *link, uint32_t number, enum trick trick)
{
	const char *text = mails[number - 1].text;
	size_t half = strlen(text) / 2;

	if (trick == TRICK_DATA_FIRST)
		link_put_data(link, LINK_DATA, "x", 1);
	link_put_number(link, LINK_BEGIN, number);
	if (trick == TRICK_BEGIN_TWICE)
		link_put_number(link, LINK_BEGIN, number);
	link_put_data(link, LINK_DATA, text, half);
	link_put_data(link, LINK_DATA, text + half, strlen(text) - half);
	if (trick == TRICK_NO_END)
		fake_endless(link);
	link_put_number(link, LINK_END, trick == TRICK_END_OTHER ? number + 1 : number);
}

/* QUIT is only sent once the deliverer has agreed. */
static void
fake_quit(struct link *link, enum trick trick)
{
	link_put(link, LINK_QUITTING);
	while (fake_wait(link).type != LINK_AGREED)
		continue;
	if (trick != TRICK_UNANSWERED)
		link_put(link, LINK_GONE);
}

static void
fake_abuse(struct link *link, enum trick trick)
{
	static const char huge[LINK_TICKET_MAX + 1];

	if (trick == TRICK_BEGIN_UNLISTED)
		link_put_number(link, LINK_BEGIN, 4711);
	if (trick == TRICK_DELETE_UNSETTLED)
		link_put_number(link, LINK_DELETED, 1);
	if (trick == TRICK_GONE_ALONE)
		link_put(link, LINK_GONE);
	if (trick == TRICK_TICKET || trick == TRICK_TICKET_TWICE)
		link_put_data(link, LINK_TICKET, "ticket", 6);
	if (trick == TRICK_TICKET_TWICE)
		link_put_data(link, LINK_TICKET, "ticket", 6);
	if (trick == TRICK_TICKET_HUGE)
		link_put_data(link, LINK_TICKET, huge, sizeof huge);
	if (trick == TRICK_GARBAGE && write(link_fd(link), "\377\377\377\377garbage!", 12) != 12)
		_exit(4);
}

/* Bodies of what is planned; then each settlement: the messages to delete in `doomed`. */
static size_t
fake_transfer(struct link *link, enum trick trick, uint32_t *doomed)
{
	uint32_t wanted[MAIL_MAX];
	size_t count = 0, deletions = 0, sent = 0;
	struct link_frame frame;

	while ((frame = fake_wait(link)).type != LINK_PLANNED) {
		if (frame.type == LINK_ACTION && frame.u.verb == LINK_VERB_FETCH)
			wanted[count++] = frame.number;
		else if (frame.type == LINK_ACTION && frame.u.verb == LINK_VERB_DELETE)
			doomed[deletions++] = frame.number;
		else if (frame.type == LINK_ACTION && trick != TRICK_LEAVE_OUT)
			link_put_text(link, LINK_HEAD, frame.number, "Subject: a\33[31m\n\n", 17);
	}
	fake_abuse(link, trick);
	for (size_t i = 0; i < count; i++) {
		if (trick == TRICK_REFUSE && i == 0) {
			link_put_text(link, LINK_REFUSED, wanted[i], "no\33", 3);
			continue;
		}
		if (trick == TRICK_LEAVE_OUT && i == count - 1)
			continue;
		if (trick == TRICK_LEAVE_OPEN && i == count - 1) {
			link_put_number(link, LINK_BEGIN, wanted[i]);
			continue;
		}
		if (trick == TRICK_CUT && i == count - 1) {
			link_put_number(link, LINK_BEGIN, wanted[i]);
			link_put_data(link, LINK_DATA, "half", 4);
			link_put_number(link, LINK_CUT, wanted[i]);
			continue;
		}
		fake_body(link, wanted[i], trick);
		/* Several groups a session. */
		if (++sent % 8 == 0) {
			link_put(link, LINK_DRAINED);
			fake_send(link);
		}
	}
	if (trick == TRICK_BEGIN_UNPLANNED && count == 0)
		link_put_number(link, LINK_BEGIN, 1);
	if (sent != 0)
		link_put(link, LINK_DRAINED);
	while (sent != 0) {
		frame = fake_wait(link);
		if (frame.type != LINK_SETTLED)
			continue;
		sent--;
		if (frame.u.outcome == LINK_OUTCOME_DELETE)
			doomed[deletions++] = frame.number;
	}
	return deletions;
}

/* The fetcher's process. It says by its exit status how many messages were deleted for good. */
static _Noreturn void
be_fetcher(int fd, enum trick trick)
{
	struct link *link;
	struct link_result result = {.ok = true};
	uint32_t doomed[MAIL_MAX];
	unsigned gone = 0;
	size_t count;

	/* The deliverer's lock must end with it. */
	syscall(SYS_close_range, STDERR_FILENO + 1U, (unsigned)fd - 1U, 0U);
	syscall(SYS_close_range, (unsigned)fd + 1U, ~0U, 0U);
	link = link_new(fd);
	if (trick == TRICK_AUTH) {
		result = (struct link_result){.class = ERROR_AUTH};
		link_put_result(link, &result, "login refused: \33[31m");
		fake_send(link);
		_exit(100);
	}
	fake_list(link, trick);
	count = fake_transfer(link, trick, doomed);
	if (trick == TRICK_CUT || trick == TRICK_DIE_AFTER_BODIES)
		result = (struct link_result){.class = ERROR_NET};
	for (size_t i = 0; i < count && result.ok; i++) {
		if (trick == TRICK_UNDELETED)
			link_put_text(link, LINK_UNDELETED, doomed[i], "no", 2);
		else
			link_put_number(link, LINK_DELETED, doomed[i]);
		gone++;
	}
	if (trick == TRICK_NO_QUIT || trick == TRICK_UNDELETED)
		gone = 0;
	if (gone != 0)
		fake_quit(link, trick);
	if (trick == TRICK_UNANSWERED)
		result = (struct link_result){.class = ERROR_NET};
	link_put_result(link, &result, result.ok ? "" : "connection lost");
	fake_send(link);
	_exit(100 + (int)gone);
}

static void
take_output(struct link *poller)
{
	struct link_frame frame;
	struct error ignored;
	size_t len = 0;

	while (link_fill(poller, &ignored) > 0)
		continue;
	while (link_next(poller, &frame, &ignored) > 0) {
		if (frame.type != LINK_TEXT || len + frame.data_len >= sizeof out_text)
			continue;
		memcpy(out_text + len, frame.data, frame.data_len);
		len += frame.data_len;
	}
	out_text[len] = '\0';
}

static int
renew_token(const struct account *of, struct secret *token_out, struct error *why)
{
	CHECK(of == &account);
	renewals++;
	if (has_no_token)
		return error_set(why, ERROR_AUTH, "token-command 'x': exited with status 1");
	secret_set(token_out, "fresh", 5);
	return 0;
}

static int
run_mode(enum deliverer_mode mode, enum trick trick, bool verbose)
{
	char *state = xasprintf("%s/state", root);
	struct deliverer_settings settings = {
		.mode = mode, .state_dir = state, .verbose = verbose, .renew_token = renew_token};
	struct deliverer *deliverer = deliverer_open(&account, &settings, &err);
	struct link *fetcher, *poller, *reader;
	int ends[2], texts[2], result = -1, status;
	pid_t pid;

	report = (struct link_report){0};
	if (deliverer == NULL)
		goto out;
	deliverer_take_ticket(deliverer, &handed_out);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, texts) == 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		be_fetcher(ends[1], trick);
	}
	close(ends[1]);
	fetcher = link_new(ends[0]);
	poller = link_new(texts[0]);
	reader = link_new(texts[1]);
	result = deliverer_run(deliverer, fetcher, poller, &report, &err);
	take_output(reader);
	link_free(fetcher);
	link_free(poller);
	link_free(reader);
	CHECK(waitpid(pid, &status, 0) == pid);
	deliverer_free(deliverer);
out:
	free(state);
	return result;
}

static int
run(enum trick trick)
{
	return run_mode(DELIVERER_FETCH, trick, false);
}

static int
remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

/* A fresh account on a fresh server. */
static void
start(enum account_dest_kind kind, enum account_keep_kind keep)
{
	char *below = xasprintf("%s/mail", root), *state = xasprintf("%s/state", root);

	nftw(below, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	nftw(state, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	free(below);
	free(state);
	free(account.dest.path);
	free(account.dest.text);
	account = (struct account){
		.name = (char *)"home",
		.user = (char *)"jane",
		.host = (char *)"pop.example.org",
		.timeout_ms = 2000,
		.connect_timeout_ms = 2000,
		.pipe_timeout_ms = 5000,
		.lock_timeout_ms = 2000,
	};
	account.keep.kind = keep;
	account.dest.kind = kind;
	account.dest.path = xasprintf("%s/mail", root);
	account.dest.text =
		xasprintf("%s:%s/mail", kind == ACCOUNT_DEST_MAILDIR ? "maildir" : "mbox", root);
	mail_count = 0;
	has_uidl = true;
	login_delay = 0;
}

static void
arrive(const char *uid, const char *text)
{
	mails[mail_count++] = (struct mail){.uid = uid, .text = text};
}

/* How many times `text` stands in the mailbox: files of new/, or the mbox. */
static size_t
count_in(const char *path, const char *text)
{
	struct buf data = {0};
	size_t count = 0;
	const char *p, *end;

	CHECK(file_read_whole(path, 1 << 30, &data, NULL, &err) == 0);
	p = buf_data(&data);
	end = p + data.len;
	while ((p = memmem(p, (size_t)(end - p), text, strlen(text))) != NULL) {
		count++;
		p++;
	}
	buf_release(&data);
	return count;
}

static size_t
copies_of(const char *text)
{
	char *path = xasprintf("%s/mail/new", root), *file;
	const struct dirent *entry;
	size_t count = 0;
	DIR *dir;

	if (account.dest.kind == ACCOUNT_DEST_MBOX) {
		count = access(account.dest.path, F_OK) == 0 ? count_in(account.dest.path, text)
							     : 0;
		free(path);
		return count;
	}
	dir = opendir(path);
	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		file = xasprintf("%s/%s", path, entry->d_name);
		count += count_in(file, text);
		free(file);
	}
	if (dir != NULL)
		closedir(dir);
	free(path);
	return count;
}

static void
test_keeps_and_deletes(enum account_dest_kind kind)
{
	start(kind, ACCOUNT_KEEP_FOREVER);
	arrive("a", "Subject: one\n\nunique-one\n");
	arrive("b", "Return-Path: <x@y.z>\n\nunique-two\n");
	CHECK(run(TRICK_NONE) == 0);
	CHECK(report.fetched == 2 && report.deleted == 0 && report.left == 2);
	CHECK(copies_of("unique-one") == 1 && copies_of("unique-two") == 1);
	if (kind == ACCOUNT_DEST_MBOX)
		CHECK(copies_of("From x@y.z ") == 1 && copies_of("From MAILER-DAEMON ") == 1);
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 0 && report.left == 2);
	arrive("c", "unique-three\n");
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 1 && report.left == 3);
	account.keep.kind = ACCOUNT_KEEP_NEVER;
	CHECK(run(TRICK_NO_QUIT) == 0 && report.fetched == 0 && report.deleted == 0);
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 0 && report.deleted == 3);
	CHECK(report.left == 0 && copies_of("unique-three") == 1);
	/*
	 * What was deleted and is still listed is known; once a listing was without it, it is new.
	 */
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 0 && report.deleted == 3);
	mails[2].is_gone = true;
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 0 && report.deleted == 2);
	mails[2].is_gone = false;
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 1 && report.deleted == 3);
	CHECK(copies_of("unique-one") == 1 && copies_of("unique-three") == 2);
}

static void
test_digest_decides(void)
{
	/* Renumbered: new ids for old messages. */
	start(ACCOUNT_DEST_MAILDIR, ACCOUNT_KEEP_FOREVER);
	arrive("a", "unique-one\n");
	arrive("b", "unique-two\n");
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 2);
	mails[0].uid = "n1";
	mails[1].uid = "n2";
	arrive("n3", "unique-three\n");
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 1);
	CHECK(copies_of("unique-one") == 1 && copies_of("unique-three") == 1);
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 0);

	/* An id used again for another message, which is to be deleted: fetched, delivered. */
	mails[0].text = "unique-other-message\n";
	account.keep.kind = ACCOUNT_KEEP_NEVER;
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 1 && report.deleted == 3);
	CHECK(copies_of("unique-other-message") == 1);

	/* One id for several messages. */
	start(ACCOUNT_DEST_MAILDIR, ACCOUNT_KEEP_FOREVER);
	arrive("same", "unique-one\n");
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 1);
	arrive("same", "unique-two\n");
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 1);
	CHECK(copies_of("unique-one") == 1 && copies_of("unique-two") == 1);
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 0);
	mails[0].is_gone = true;
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 0);
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 0);

	/* No ids, and a session that ended before QUIT. */
	start(ACCOUNT_DEST_MAILDIR, ACCOUNT_KEEP_NEVER);
	has_uidl = false;
	arrive("", "unique-one\n");
	arrive("", "unique-two\n");
	arrive("", "unique-two\n");
	CHECK(run(TRICK_DIE_AFTER_BODIES) == -1 && err.class == ERROR_NET);
	CHECK(report.fetched == 3 && copies_of("unique-two") == 2);
	arrive("", "unique-three\n");
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 1 && report.deleted == 4);
	CHECK(copies_of("unique-one") == 1 && copies_of("unique-two") == 2);
	account.keep.kind = ACCOUNT_KEEP_FOREVER;
	CHECK(run(TRICK_NONE) == -1 && err.class == ERROR_CONFIG && report.fetched == 0);
}

static void
test_failures(void)
{
	start(ACCOUNT_DEST_MAILDIR, ACCOUNT_KEEP_NEVER);
	arrive("a", "unique-one\n");
	arrive("b", "unique-two\n");
	CHECK(run(TRICK_CUT) == -1 && err.class == ERROR_NET);
	CHECK(report.fetched == 1 && report.failed == 1 && copies_of("unique-one") == 1);
	CHECK(copies_of("half") == 0);
	CHECK(run(TRICK_REFUSE) == 0 && report.fetched == 0 && report.failed == 1);
	CHECK(report.deleted == 1);
	mails[0].is_gone = true;
	CHECK(run(TRICK_UNDELETED) == 0 && report.fetched == 1 && report.deleted == 0);
	CHECK(report.failed == 1);
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 0 && report.deleted == 1);
	CHECK(copies_of("unique-two") == 1);

	/* Three refused logins, and the account is left alone. */
	for (int i = 0; i < 3; i++)
		CHECK(run(TRICK_AUTH) == -1 && err.class == ERROR_AUTH);
	CHECK(strchr(err.text, '\33') == NULL);
	CHECK(run(TRICK_NONE) == -1 && err.class == ERROR_BUSY);
	CHECK(strstr(err.text, "pophaul home") != NULL);

	start(ACCOUNT_DEST_MAILDIR, ACCOUNT_KEEP_FOREVER);
	login_delay = 3600;
	CHECK(run(TRICK_NONE) == 0);
	CHECK(run(TRICK_NONE) == -1 && err.class == ERROR_BUSY);
}

/*
 * Of a fetcher that tells more than a day nothing is recorded; nor is it believed of an old state.
 */
static void
test_login_delay_has_a_bound(void)
{
	char *dir = xasprintf("%s/state", root);
	struct uidl *uidl;

	start(ACCOUNT_DEST_MAILDIR, ACCOUNT_KEEP_FOREVER);
	login_delay = INT64_MAX;
	CHECK(run(TRICK_NONE) == -1 && err.class == ERROR_BUG);
	login_delay = 0;
	CHECK(run(TRICK_NONE) == 0);
	uidl = uidl_open(dir, account.name, UIDL_LOCKED, NULL, &err);
	if (CHECK(uidl != NULL)) {
		uidl_add_login(uidl, clock_wall_seconds() - LINK_LOGIN_DELAY_MAX - 1, INT64_MAX);
		CHECK(uidl_commit(uidl, &err) == 0);
	}
	uidl_close(uidl);
	CHECK(run(TRICK_NONE) == 0);
	free(dir);
}

/* How many messages are noted as ones that break sessions. */
static size_t
count_broken(void)
{
	char *dir = xasprintf("%s/state", root);
	struct uidl *uidl = uidl_open(dir, account.name, UIDL_READ_ONLY, NULL, &err);
	size_t count = SIZE_MAX;

	if (CHECK(uidl != NULL))
		count = uidl_broken(uidl)->count;
	uidl_close(uidl);
	free(dir);
	return count;
}

/* A child that ends by this signal or, for 0, with the status of one that has no more memory. */
static pid_t
start_dying(int signal_number)
{
	pid_t pid = fork();

	if (pid == 0) {
		if (signal_number != 0)
			raise(signal_number);
		_exit(71);
	}
	return pid;
}

static void
test_whose_fault_it_is(void)
{
	static const struct {
		enum error_class class;
		int signal_number;
		bool is_to_blame;
	} cases[] = {
		{ERROR_NET,           0,       true },
		{ERROR_TIMEOUT,       0,       true },
		{ERROR_TLS,           0,       true },
		{ERROR_PROTOCOL,      0,       true },
		{ERROR_SYSTEM,        SIGKILL, true },
		{ERROR_SYSTEM,        0,       false},
		{ERROR_BUG,           SIGKILL, false},
		{ERROR_INTERRUPTED,   SIGKILL, false},
		{ERROR_BUSY,          0,       false},
		{ERROR_DELIVERY_TEMP, 0,       false},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct error failure = {.class = cases[i].class};
		pid_t pid = start_dying(cases[i].signal_number);

		CHECK(breaks_is_to_blame(&failure, pid) == cases[i].is_to_blame);
		/* It is still there to be reaped. */
		CHECK(waitpid(pid, NULL, 0) == pid);
	}
	CHECK(!breaks_is_to_blame(&(struct error){.class = ERROR_SYSTEM}, 0));
}

/* Whatever it sends: ERROR_BUG or its like, no mail lost, and the next session is whole. */
static void
test_fetcher_taken_over(void)
{
	for (int trick = TRICK_DATA_FIRST; trick < TRICK_COUNT; trick++) {
		start(ACCOUNT_DEST_MAILDIR, ACCOUNT_KEEP_NEVER);
		arrive("a", "unique-one\n");
		arrive("b", "unique-two\n");
		if (trick == TRICK_BEGIN_UNPLANNED) {
			account.keep.kind = ACCOUNT_KEEP_FOREVER;
			CHECK(run(TRICK_NONE) == 0);
		}
		if (!CHECK(run((enum trick)trick) == -1 && err.class == ERROR_BUG))
			fprintf(stderr, "trick %d: %s\n", trick, err.text);
		CHECK(report.deleted == 0);
		CHECK(count_broken() == 0);
		CHECK(run(TRICK_NONE) == 0);
		CHECK(copies_of("unique-one") == 1 && copies_of("unique-two") == 1);
	}
}

/* The ticket that is kept, and when it was born; it is gone then. */
static bool
has_ticket_of(int64_t *born_out)
{
	char *state = xasprintf("%s/state", root);
	struct secret kept = {0};
	bool is_there = ticket_take(state, account.name, &kept, born_out, &err) == 0 &&
		kept.len == 6 && memcmp(kept.data, "ticket", 6) == 0;

	secret_release(&kept);
	free(state);
	return is_there;
}

static bool
has_ticket(void)
{
	int64_t born;

	return has_ticket_of(&born);
}

/* One of an earlier session. */
static void
leave_ticket(int64_t born)
{
	char *state = xasprintf("%s/state", root);
	struct secret ticket = {0};

	secret_set(&ticket, "before", 6);
	CHECK(ticket_keep(state, account.name, &ticket, born, &err) == 0);
	secret_release(&ticket);
	free(state);
}

/*
 * What a session that went on leaves is as old as what it went on with; the fetcher's word has no
 * part in it. What is a day old, or not born yet, is handed to nobody.
 */
static void
test_age_of_ticket(void)
{
	enum { DAY = 86400, MARGIN = 60 };
	const int64_t now = clock_wall_seconds();
	const struct {
		int64_t born;
		bool is_good;
	} cases[] = {
		{now - 1,            true },
		{now - DAY + MARGIN, true },
		{now - DAY,          false},
		{now - 100 * DAY,    false},
		{now + MARGIN,       false},
		{0,                  false},
		{-1,                 false},
		{INT64_MIN + now,    false},
		{INT64_MAX,          false},
	};
	int64_t born;

	start(ACCOUNT_DEST_MAILDIR, ACCOUNT_KEEP_FOREVER);
	arrive("a", "unique-one\n");
	CHECK(run(TRICK_TICKET) == 0 && !secret_is_set(&handed_out));
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		leave_ticket(cases[i].born);
		CHECK(run(TRICK_TICKET) == 0);
		CHECK(secret_is_set(&handed_out) == cases[i].is_good);
		secret_release(&handed_out);
		if (!CHECK(has_ticket_of(&born)))
			continue;
		CHECK(cases[i].is_good ? born == cases[i].born : born >= now && born < now + DAY);
	}
}

/* It stays for the next session, once, unless this one has failed or was only to look. */
static void
test_ticket(void)
{
	start(ACCOUNT_DEST_MAILDIR, ACCOUNT_KEEP_FOREVER);
	arrive("a", "unique-one\n");
	CHECK(run_mode(DELIVERER_LIST, TRICK_TICKET, false) == 0 && !has_ticket());
	CHECK(run(TRICK_TICKET) == 0 && has_ticket() && !has_ticket());
	CHECK(run(TRICK_TICKET_TWICE) == -1 && err.class == ERROR_BUG && !has_ticket());
	CHECK(run(TRICK_TICKET_HUGE) == -1 && err.class == ERROR_BUG && !has_ticket());
}

/* What did not come is told of, even if the fetcher does not; what has come counts. */
static void
test_left_out(void)
{
	start(ACCOUNT_DEST_MAILDIR, ACCOUNT_KEEP_FOREVER);
	arrive("a", "unique-one\n");
	CHECK(run_mode(DELIVERER_LIST, TRICK_LEAVE_OUT, false) == 0);
	CHECK(run_mode(DELIVERER_LIST, TRICK_LEAVE_OUT, true) == -1 && err.class == ERROR_BUG);
	arrive("b", "unique-two\n");
	arrive("c", "unique-three\n");
	CHECK(run(TRICK_LEAVE_OUT) == -1 && err.class == ERROR_BUG);
	CHECK_STR(err.text,
		"the fetcher says that all is well, and 1 message that it was to fetch "
		"did not come");
	CHECK(report.fetched == 2 && copies_of("unique-two") == 1);
	CHECK(run(TRICK_LEAVE_OPEN) == -1 && err.class == ERROR_BUG);
	CHECK(count_broken() == 0);
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 1 && copies_of("unique-three") == 1);
}

/* Whoever has taken the fetcher over makes no command run but the token's, and that once. */
static void
test_fresh_token(void)
{
	static const enum trick tricks[] = {
		TRICK_TOKEN_TWICE, TRICK_TOKEN_LATE, TRICK_TOKEN_LISTED};
	char *command[] = {(char *)"x", NULL};

	start(ACCOUNT_DEST_MAILDIR, ACCOUNT_KEEP_FOREVER);
	account.token_command = command;
	arrive("a", "unique-one\n");
	renewals = 0;
	CHECK(run(TRICK_TOKEN) == 0 && renewals == 1);
	CHECK(run(TRICK_TOKEN) == 0 && renewals == 2);
	has_no_token = true;
	CHECK(run(TRICK_NO_TOKEN) == 0 && renewals == 3);
	has_no_token = false;
	for (size_t i = 0; i < sizeof tricks / sizeof *tricks; i++) {
		renewals = 0;
		CHECK(run(tricks[i]) == -1 && err.class == ERROR_BUG);
		CHECK(strstr(err.text, "out of turn") != NULL);
		CHECK(renewals == (tricks[i] == TRICK_TOKEN_TWICE));
	}
	account.token_command = NULL;
	account.token_file = (char *)"/x";
	CHECK(run(TRICK_TOKEN) == 0 && renewals == 1);
	account.token_file = NULL;
	renewals = 0;
	CHECK(run(TRICK_TOKEN) == -1 && err.class == ERROR_BUG && renewals == 0);
}

static void
test_pipe(void)
{
	static const struct {
		const char *script;
		unsigned fetched, failed;
		int result;
		enum error_class class;
	} scripts[] = {
		{"cat >>%s/out",				    3, 0, 0,  0           },
		{"cat >%s/last; exec grep -qv unique-two <%s/last", 2, 1, 0,  0           },
		{"exit 75; %s %s",                                  0, 3, 0,  0           },
		{"exit 127; %s %s",                                 0, 1, -1, ERROR_CONFIG},
	};

	for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
		char *script;

		start(ACCOUNT_DEST_PIPE, ACCOUNT_KEEP_NEVER);
		script = xasprintf(scripts[i].script, root, root);
		account.dest.argv = (char *[]){(char *)"sh", (char *)"-c", script, NULL};
		arrive("a", "unique-one\n");
		arrive("b", "unique-two\n");
		arrive("c", "unique-three\n");
		CHECK(run(TRICK_NONE) == scripts[i].result);
		CHECK(scripts[i].result == 0 || err.class == scripts[i].class);
		CHECK(report.fetched == scripts[i].fetched);
		CHECK(report.deleted == scripts[i].fetched);
		CHECK(report.failed >= scripts[i].failed);
		free(script);
		account.dest.argv = NULL;
	}
}

static void
test_shows(void)
{
	char *state = xasprintf("%s/state", root), *mail = xasprintf("%s/mail", root);

	start(ACCOUNT_DEST_MAILDIR, ACCOUNT_KEEP_NEVER);
	arrive("a\33b", "unique-one\n");
	arrive("c", "unique-two\n");
	CHECK(run_mode(DELIVERER_LIST, TRICK_NONE, false) == 0);
	CHECK(strstr(out_text, "a\\x1bb  new\n") != NULL && strchr(out_text, '\33') == NULL);
	CHECK(run_mode(DELIVERER_LIST, TRICK_NONE, true) == 0);
	CHECK(strstr(out_text, "Subject: a\\x1b[31m\n") != NULL && strchr(out_text, '\33') == NULL);
	CHECK(run_mode(DELIVERER_DRY_RUN, TRICK_NONE, false) == 0);
	CHECK(strstr(out_text, "fetch and delete: new\n") != NULL);
	CHECK(strstr(out_text, "would fetch 2 messages (22 octets)") != NULL);
	CHECK(access(state, F_OK) != 0 && access(mail, F_OK) != 0);
	account.keep.kind = ACCOUNT_KEEP_FOREVER;
	CHECK(run(TRICK_NONE) == 0);
	CHECK(run_mode(DELIVERER_LIST, TRICK_NONE, false) == 0);
	CHECK(strstr(out_text, "c  seen\n") != NULL);
	free(state);
	free(mail);
}

/*
 * What would be done after an empty listing, or a QUIT that was never answered, is shown and not
 * done.
 */
static void
test_shows_doubts(void)
{
	start(ACCOUNT_DEST_MAILDIR, ACCOUNT_KEEP_FOREVER);
	arrive("a", "unique-one\n");
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 1);
	mails[0].is_gone = true;
	CHECK(run(TRICK_NONE) == 0);
	mails[0].is_gone = false;
	for (int i = 0; i < 2; i++)
		CHECK(run_mode(DELIVERER_DRY_RUN, TRICK_NONE, false) == 0);
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 0 && copies_of("unique-one") == 1);

	start(ACCOUNT_DEST_MAILDIR, ACCOUNT_KEEP_NEVER);
	arrive("a", "unique-one\n");
	CHECK(run(TRICK_UNANSWERED) == -1 && report.fetched == 1 && report.deleted == 0);
	for (int i = 0; i < 2; i++)
		CHECK(run_mode(DELIVERER_DRY_RUN, TRICK_NONE, false) == 0);
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 0 && report.deleted == 1);
	CHECK(copies_of("unique-one") == 1);
}

static void
test_received(void)
{
	start(ACCOUNT_DEST_MAILDIR, ACCOUNT_KEEP_FOREVER);
	arrive("a", "unique-one\n");
	account.received = true;
	CHECK(run(TRICK_NONE) == 0);
	CHECK(copies_of("Received: from pop.example.org (POP3 server)\n\tby ") == 1);
	CHECK(copies_of("with POP3 for home;\n\t") == 1);
	/* It is no part of the digest: without it the message is still the same. */
	account.received = false;
	mails[0].uid = "b";
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 0);
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 0);
	CHECK(copies_of("unique-one") == 1);
}

/*
 * Sessions killed at any moment, until one comes to its end: every message is there exactly once.
 */
static void
test_killed(enum account_dest_kind kind, enum account_keep_kind keep)
{
	char uids[MAIL_MAX][16], texts[MAIL_MAX][64];
	unsigned kills = 0;

	start(kind, keep);
	for (int i = 0; i < 40; i++) {
		snprintf(uids[i], sizeof uids[i], "uid-%d", i);
		snprintf(texts[i], sizeof texts[i], "Subject: %d\n\nFrom unique-%d-end\n", i, i);
		arrive(uids[i], texts[i]);
	}
	for (long microseconds = 100;; microseconds += 10 + microseconds / 24) {
		struct timespec nap = {.tv_nsec = microseconds * 1000};
		pid_t pid = fork();
		int status;

		if (pid == 0) {
			setpgid(0, 0);
			run(TRICK_DIE_AFTER_BODIES);
			_exit((int)err.class);
		}
		setpgid(pid, pid);
		nanosleep(&nap, NULL);
		kill(-pid, SIGKILL);
		CHECK(waitpid(pid, &status, 0) == pid);
		if (WIFSIGNALED(status)) {
			kills++;
			continue;
		}
		/*
		 * The lock may live a moment longer in the fetcher that was killed with its
		 * deliverer.
		 */
		if (WEXITSTATUS(status) == ERROR_BUSY)
			continue;
		CHECK(WEXITSTATUS(status) == ERROR_NET);
		break;
	}
	CHECK(kills > 0);
	CHECK(run(TRICK_NONE) == 0 && report.fetched == 0);
	for (int i = 0; i < 40; i++) {
		char needle[32];

		snprintf(needle, sizeof needle, "unique-%d-end", i);
		if (!CHECK(copies_of(needle) == 1))
			fprintf(stderr, "%s: %zu copies after %u kills\n", needle,
				copies_of(needle), kills);
	}
}

int
main(void)
{
	struct log_settings quiet = {.level = LOG_LEVEL_ERROR};

	log_init(&quiet);
	CHECK(mkdtemp(root) != NULL);
	test_keeps_and_deletes(ACCOUNT_DEST_MAILDIR);
	test_keeps_and_deletes(ACCOUNT_DEST_MBOX);
	test_digest_decides();
	test_failures();
	test_login_delay_has_a_bound();
	test_whose_fault_it_is();
	test_fetcher_taken_over();
	test_ticket();
	test_age_of_ticket();
	test_left_out();
	test_fresh_token();
	test_pipe();
	test_shows();
	test_shows_doubts();
	test_received();
	test_killed(ACCOUNT_DEST_MAILDIR, ACCOUNT_KEEP_FOREVER);
	test_killed(ACCOUNT_DEST_MAILDIR, ACCOUNT_KEEP_NEVER);
	test_killed(ACCOUNT_DEST_MBOX, ACCOUNT_KEEP_FOREVER);
	nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	free(account.dest.path);
	free(account.dest.text);
	return check_done();
}

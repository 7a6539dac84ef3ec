/*
 * The destinations behind struct dest_ops: Maildir, mbox, pipe, driven as the
 * group commit drives them, and their recovery from every state that a dead
 * session can leave.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/xalloc.h"
#include "check.h"
#include "deliver/dest/dest.h"
#include "deliver/dest/dotlock.h"
#include "deliver/dest/maildir.h"
#include "deliver/dest/mbox_file.h"
#include "deliver/dest/spool.h"

static char root[] = "/tmp/pophaul-dest-XXXXXX";
static struct error err;

static char *
in_root(const char *name)
{
	return xasprintf("%s/%s", root, name);
}

static void
read_file(const char *path, struct buf *out)
{
	buf_clear(out);
	CHECK(file_read_whole(path, 64 << 20, out, NULL, &err) == 0);
}

static void
write_file(const char *path, const char *data, size_t len)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0 && file_write_all(fd, data, len, path, &err) == 0);
	CHECK(file_close(fd, path, &err) == 0);
}

static void
check_file(const char *path, const char *want)
{
	struct buf got = {0};

	read_file(path, &got);
	CHECK_BYTES(buf_data(&got), got.len, want, strlen(want));
	buf_release(&got);
}

/* How many entries a folder has; the name of one of them in `name` (may be NULL). */
static size_t
count_entries(const char *path, char *name, size_t size)
{
	DIR *dir = opendir(path);
	const struct dirent *entry;
	size_t count = 0;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		if (name != NULL)
			snprintf(name, size, "%s", entry->d_name);
		count++;
	}
	CHECK(dir != NULL);
	if (dir != NULL)
		closedir(dir);
	return count;
}

static struct account
account_of(enum account_dest_kind kind, const char *kind_name, char *path)
{
	struct account account = {
		.name = (char *)"home",
		.user = (char *)"jane",
		.host = (char *)"pop.example.org",
		.pipe_timeout_ms = 10000,
		.lock_timeout_ms = 200,
	};

	account.dest.kind = kind;
	account.dest.path = path;
	account.dest.text = path != NULL ? xasprintf("%s:%s", kind_name, path) : NULL;
	return account;
}

static void
stage(struct dest *dest, const char *data, size_t len, size_t piece)
{
	CHECK(dest_begin(dest, &err) == 0);
	for (size_t at = 0; at < len; at += piece)
		CHECK(dest_write(dest, data + at, len - at < piece ? len - at : piece, &err) == 0);
	CHECK(dest_end(dest, "jane@example.org", &err) == 0);
}

static void
commit(struct dest *dest, size_t count)
{
	CHECK(dest_prepare(dest, &err) == 0);
	for (size_t i = 0; i < count; i++)
		CHECK(dest_publish(dest, i, &err) == 0);
	CHECK(dest_seal(dest, &err) == 0);
	dest_finish(dest);
}

static void
test_maildir_delivers(void)
{
	char *path = in_root("Mail/box"), *new = in_root("Mail/box/new"),
	     *tmp = in_root("Mail/box/tmp"), *file;
	struct account account = account_of(ACCOUNT_DEST_MAILDIR, "maildir", path);
	struct dest *dest = dest_open(&account, 1, &err);
	static const char text[] = "Subject: x\n\nbody \0 with NUL\nlast\n";
	char name[256] = "", token[512];
	struct buf got = {0};
	struct stat st;

	CHECK(dest != NULL);
	CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0700);
	CHECK(stat(tmp, &st) == 0 && (st.st_mode & 0777) == 0700);
	stage(dest, text, sizeof text - 1, 1);
	CHECK(dest_begin(dest, &err) == 0 && dest_write(dest, "gone", 4, &err) == 0);
	dest_abandon(dest);
	CHECK(count_entries(tmp, NULL, 0) == 1 && count_entries(new, NULL, 0) == 0);
	CHECK(dest_prepare(dest, &err) == 0);
	snprintf(token, sizeof token, "%s", dest_token(dest, 0));
	CHECK(dest_publish(dest, 0, &err) == 0 && dest_seal(dest, &err) == 0);
	dest_finish(dest);
	CHECK(count_entries(tmp, NULL, 0) == 0 && count_entries(new, name, sizeof name) == 1);
	CHECK_STR(name, token);
	/* 33 octets with 4 LF: 37 with CRLF. */
	CHECK(strstr(name, ",S=33,W=37") != NULL && strchr(name, ':') == NULL);
	file = xasprintf("%s/%s", new, name);
	read_file(file, &got);
	CHECK_BYTES(buf_data(&got), got.len, text, sizeof text - 1);
	CHECK(stat(file, &st) == 0 && (st.st_mode & 0777) == 0600);

	/* More than are made durable one by one; then a second group, whose indices start anew. */
	for (int i = 0; i < 20; i++)
		stage(dest, text, sizeof text - 1, 7);
	commit(dest, 20);
	stage(dest, "", 0, 1);
	commit(dest, 1);
	CHECK(count_entries(new, NULL, 0) == 22 && count_entries(tmp, NULL, 0) == 0);

	/* A name that is taken fails its message alone and is not overwritten. */
	stage(dest, text, sizeof text - 1, 100);
	stage(dest, text, sizeof text - 1, 100);
	CHECK(dest_prepare(dest, &err) == 0);
	free(file);
	file = xasprintf("%s/%s", new, dest_token(dest, 0));
	write_file(file, "other", 5);
	CHECK(dest_publish(dest, 0, &err) == -1 && err.class == ERROR_DELIVERY_TEMP);
	CHECK(dest_publish(dest, 1, &err) == 0 && dest_seal(dest, &err) == 0);
	dest_finish(dest);
	check_file(file, "other");
	CHECK(count_entries(tmp, NULL, 0) == 1);
	dest_close(dest);

	/* Staged and never prepared: removed. */
	dest = dest_open(&account, 1, &err);
	stage(dest, text, sizeof text - 1, 100);
	dest_close(dest);
	CHECK(count_entries(tmp, NULL, 0) == 1);

	buf_release(&got);
	free(file);
	free(account.dest.text);
	free(path);
	free(new);
	free(tmp);
}

static void
test_maildir_folders(void)
{
	char *path = in_root("Mail/box/.Lists.foo"),
	     *mark = in_root("Mail/box/.Lists.foo/maildirfolder"),
	     *outside = in_root("Mail/box/maildirfolder"), *file = in_root("file"),
	     *below = in_root("file/x");
	struct account account = account_of(ACCOUNT_DEST_MAILDIR, "maildir", path);
	struct account bad = account_of(ACCOUNT_DEST_MAILDIR, "maildir", below);
	struct dest *dest = dest_open(&account, 1, &err);

	CHECK(dest != NULL && access(mark, F_OK) == 0 && access(outside, F_OK) != 0);
	dest_close(dest);
	write_file(file, "", 0);
	CHECK(dest_open(&bad, 1, &err) == NULL && err.class == ERROR_CREATE);
	free(bad.dest.text);
	free(account.dest.text);
	free(path);
	free(mark);
	free(outside);
	free(file);
	free(below);
}

static void
put_at(const char *folder, const char *part, const char *name)
{
	char *path = xasprintf("%s/%s/%s", folder, part, name);

	write_file(path, "12345", 5);
	free(path);
}

/* What recovery says to a token, with files of these names in the three folders. */
static void
check_claim(const struct account *account, const char *token, bool delivered, int line)
{
	struct dest_claim claim = {.token = token, .delivered = !delivered};

	for (int round = 0; round < 2; round++) {
		if (dest_recover(account, NULL, &claim, 1, &err) != 0 ||
			claim.delivered != delivered)
			check_that(false, __FILE__, line, token);
		else
			check_that(true, __FILE__, line, token);
	}
}

static bool
tells_birth(const char *path)
{
	struct statx st;

	return statx(AT_FDCWD, path, 0, STATX_BTIME, &st) == 0 && (st.stx_mask & STATX_BTIME) != 0;
}

static void
test_maildir_recovers(void)
{
	char *path = in_root("rec"), *tmp = in_root("rec/tmp"), *nowhere = in_root("nowhere");
	struct account account = account_of(ACCOUNT_DEST_MAILDIR, "maildir", path);
	struct account missing = account_of(ACCOUNT_DEST_MAILDIR, "maildir", nowhere);
	struct dest *dest = dest_open(&account, 1, &err);
	char young[5][128], old[2][128], unique[160];
	/* No name is of a time before the Maildir was made. */
	long long now = (long long)time(NULL) + 1;

	for (int i = 0; i < 5; i++)
		snprintf(young[i], sizeof young[i], "%lld.M1P1Q%dRaA1.h,S=5,W=5", now, i);
	for (int i = 0; i < 2; i++)
		snprintf(old[i], sizeof old[i], "%lld.M1P1Q%dRaA1.h,S=5,W=5", now - 40 * 3600, i);
	put_at(path, "new", young[0]);
	snprintf(unique, sizeof unique, "%lld.M1P1Q1RaA1.h", now);
	put_at(path, "tmp", unique);
	/* A file system that needs link and unlink, and a death between the two. */
	snprintf(unique, sizeof unique, "%lld.M1P1Q2RaA1.h", now);
	put_at(path, "tmp", unique);
	put_at(path, "new", young[2]);
	snprintf(unique, sizeof unique, "%s:2,S", young[3]);
	put_at(path, "cur", unique);
	snprintf(unique, sizeof unique, "%s:2,", old[0]);
	put_at(path, "cur", unique);

	check_claim(&account, young[0], true, __LINE__);  /* in new/ */
	check_claim(&account, young[1], false, __LINE__); /* in tmp/ only */
	check_claim(&account, young[2], true, __LINE__);  /* in both */
	check_claim(&account, young[3], true, __LINE__);  /* in cur/, read */
	check_claim(&account, young[4], true, __LINE__);  /* a reader has moved it away */
	check_claim(&account, old[0], true, __LINE__);    /* old, in cur/ */
	check_claim(&account, old[1], false,
		__LINE__); /* old, nowhere: a cleaner may have been there */
	/* A name of a time when this tmp/ was not there yet, where the file system tells that. */
	snprintf(unique, sizeof unique, "%lld.M1P1Q4RaA1.h,S=5,W=5", now - 60);
	check_claim(&account, unique, !tells_birth(tmp), __LINE__);
	check_claim(&account, "../../etc/passwd,", false, __LINE__);
	check_claim(&account, "nonsense", false, __LINE__);
	check_claim(&missing, young[0], false, __LINE__);
	CHECK(access(nowhere, F_OK) != 0);
	CHECK(count_entries(tmp, NULL, 0) == 2);
	dest_close(dest);
	free(account.dest.text);
	free(missing.dest.text);
	free(path);
	free(tmp);
	free(nowhere);
}

/*
 * A session that is killed with messages staged leaves files that only its state's next session
 * removes.
 */
static void
test_maildir_sweeps(void)
{
	char *path = in_root("sweep"), *tmp = in_root("sweep/tmp");
	struct account account = account_of(ACCOUNT_DEST_MAILDIR, "maildir", path);
	struct dest *dest;
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		dest = dest_open(&account, 1, &err);
		stage(dest, "a\n", 2, 2);
		stage(dest, "b\n", 2, 2);
		kill(getpid(), SIGKILL);
	}
	CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
	put_at(path, "tmp", "1.M1P1Q1.foreign");
	CHECK(count_entries(tmp, NULL, 0) == 3);
	dest = dest_open(&account, 2, &err);
	dest_sweep(dest);
	CHECK(count_entries(tmp, NULL, 0) == 3);
	dest_close(dest);
	dest = dest_open(&account, 1, &err);
	CHECK(count_entries(tmp, NULL, 0) == 3);
	dest_sweep(dest);
	CHECK(count_entries(tmp, NULL, 0) == 1);
	dest_close(dest);
	free(account.dest.text);
	free(path);
	free(tmp);
}

static const struct {
	const char *in, *out;
} quoting[] = {
	{"",		     "\n"		      },
	{"a\n",		  "a\n\n"                   },
	{"no end",               "no end\n\n"              },
	{"From a\n",             ">From a\n\n"             },
	{"x\nFrom a\n>From b\n", "x\n>From a\n>>From b\n\n"},
	{">>From \n> From\n",    ">>>From \n> From\n\n"    },
	{"From: a\nFrom\nFro",   "From: a\nFrom\nFro\n\n"  },
	{"xFrom a\n\nFFrom \n",  "xFrom a\n\nFFrom \n\n"   },
	{"a\r\nFrom b\r\n\n\n",  "a\r\n>From b\r\n\n\n\n"  },
	{">",		    ">\n\n"                   },
	{"F>From \nFr\nFrom \n", "F>From \nFr\n>From \n\n" },
};

static void
test_mbox_quotes(void)
{
	char *path = in_root("quoting");
	struct account account = account_of(ACCOUNT_DEST_MBOX, "mbox", path);
	struct dest *dest = dest_open(&account, 1, &err);
	struct buf got = {0};

	for (size_t i = 0; i < sizeof quoting / sizeof *quoting; i++) {
		size_t len = strlen(quoting[i].in);
		const char *text;

		for (size_t split = 0; split <= len; split++) {
			unlink(path);
			CHECK(dest_begin(dest, &err) == 0);
			CHECK(dest_write(dest, quoting[i].in, split, &err) == 0);
			CHECK(dest_write(dest, quoting[i].in + split, len - split, &err) == 0);
			CHECK(dest_end(dest, "a@b", &err) == 0);
			commit(dest, 1);
			read_file(path, &got);
			text = memchr(buf_data(&got), '\n', got.len);
			CHECK(text != NULL && strncmp(buf_data(&got), "From a@b ", 9) == 0);
			if (text == NULL)
				continue;
			text++;
			CHECK_BYTES(text, got.len - (size_t)(text - buf_data(&got)), quoting[i].out,
				strlen(quoting[i].out));
		}
		unlink(path);
		stage(dest, quoting[i].in, len, 1);
		commit(dest, 1);
	}
	dest_close(dest);
	buf_release(&got);
	free(account.dest.text);
	free(path);
}

static void
test_mbox_appends(void)
{
	static const struct {
		const char *before, *between;
	} tails[] = {
		{"",           ""    },
		{"From x",     "\n\n"},
		{"From x\n",   "\n"  },
		{"From x\n\n", ""    },
	};
	char *path = in_root("tails"), *lock = in_root("tails.lock");
	struct account account = account_of(ACCOUNT_DEST_MBOX, "mbox", path);
	struct dest *dest = dest_open(&account, 1, &err);
	struct buf got = {0};
	struct stat st;

	for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
		char *want =
			xasprintf("%s%sFrom jane@example.org ", tails[i].before, tails[i].between);

		write_file(path, tails[i].before, strlen(tails[i].before));
		CHECK(dest_begin(dest, &err) == 0 && dest_write(dest, "gone", 4, &err) == 0);
		dest_abandon(dest);
		stage(dest, "one\n", 4, 4);
		CHECK(dest_begin(dest, &err) == 0 && dest_write(dest, "gone\nFro", 8, &err) == 0);
		dest_abandon(dest);
		stage(dest, "two\n", 4, 4);
		CHECK(dest_prepare(dest, &err) == 0 && access(lock, F_OK) == 0);
		CHECK(dest_publish(dest, 0, &err) == 0 && dest_publish(dest, 1, &err) == 0);
		CHECK(dest_seal(dest, &err) == 0);
		dest_finish(dest);
		CHECK(access(lock, F_OK) != 0);
		read_file(path, &got);
		CHECK(got.len > strlen(want) && memcmp(buf_data(&got), want, strlen(want)) == 0);
		CHECK(memmem(buf_data(&got), got.len, "gone", 4) == NULL);
		CHECK(memmem(buf_data(&got), got.len, "\none\n\nFrom ", 11) != NULL);
		CHECK(memcmp(buf_data(&got) + got.len - 6, "\ntwo\n\n", 6) == 0);
		free(want);
	}
	unlink(path);
	stage(dest, "one\n", 4, 4);
	commit(dest, 1);
	CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
	dest_close(dest);
	buf_release(&got);
	free(account.dest.text);
	free(path);
	free(lock);
}

static void
test_mbox_locks(void)
{
	char *path = in_root("locked"), *lock = in_root("locked.lock"), *dir = in_root("a-folder");
	struct account account = account_of(ACCOUNT_DEST_MBOX, "mbox", path);
	struct account folder = account_of(ACCOUNT_DEST_MBOX, "mbox", dir);
	struct dest *dest = dest_open(&account, 1, &err);
	struct timespec times[2] = {{.tv_sec = time(NULL) - 600}, {.tv_sec = time(NULL) - 600}};
	struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int fd, ends[2], status;
	pid_t pid;
	char octet;

	CHECK(mkdir(dir, 0700) == 0);
	CHECK(dest_open(&folder, 1, &err) == NULL && err.class == ERROR_CREATE);

	/* A living lock without a number: busy, and nothing is written. */
	write_file(lock, "0", 1);
	stage(dest, "one\n", 4, 4);
	CHECK(dest_prepare(dest, &err) == -1 && err.class == ERROR_BUSY);
	dest_finish(dest);
	CHECK(access(lock, F_OK) == 0 && access(path, F_OK) != 0);
	/* An old one is taken away. */
	CHECK(utimensat(AT_FDCWD, lock, times, 0) == 0);
	stage(dest, "two\n", 4, 4);
	commit(dest, 1);
	CHECK(access(lock, F_OK) != 0);

	/* Another program's fcntl lock. */
	CHECK(pipe2(ends, O_CLOEXEC) == 0);
	pid = fork();
	if (pid == 0) {
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fcntl(fd, F_SETLK, &whole) != 0 || write(ends[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	CHECK(read(ends[0], &octet, 1) == 1);
	stage(dest, "four\n", 5, 5);
	CHECK(dest_prepare(dest, &err) == -1 && err.class == ERROR_BUSY);
	dest_finish(dest);
	CHECK(access(lock, F_OK) != 0);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	stage(dest, "five\n", 5, 5);
	commit(dest, 1);
	close(ends[0]);
	close(ends[1]);
	dest_close(dest);
	free(account.dest.text);
	free(folder.dest.text);
	free(path);
	free(lock);
	free(dir);
}

/*
 * A torn message of nearly a megabyte with `line` at one place in it: whether it is cut
 * off. The places are those where a search in pieces could overlook it.
 */
static void
check_big_torn_end(const char *line, bool is_cut)
{
	static const size_t places[] = {256 << 10, (256 << 10) - 4096, 2 * ((256 << 10) - 4096)};
	const size_t size = 900000, len = strlen(line);
	struct mbox_place place = {.len = size + 1000, .seconds = 1, .sender = "a"};
	char *path = in_root("big-torn"), *token = mbox_place_token(&place), *text;
	struct account account = account_of(ACCOUNT_DEST_MBOX, "mbox", path);
	char from[MBOX_FROM_SIZE];
	struct stat st;

	mbox_from_line(place.sender, place.seconds, from);
	text = xcalloc(size, 1);
	for (size_t i = 0; i < 3 * 60; i++) {
		size_t at = strlen(from) + places[i / 60] - 50 + i % 60;
		struct dest_claim claim = {.token = token};

		memset(text, 'x', size);
		memcpy(text, from, strlen(from));
		memcpy(text + at, line, len);
		write_file(path, text, size);
		CHECK(dest_recover(&account, NULL, &claim, 1, &err) == 0 && !claim.delivered);
		CHECK(stat(path, &st) == 0 && (size_t)st.st_size == (is_cut ? 0 : size));
	}
	unlink(path);
	free(account.dest.text);
	free(token);
	free(text);
	free(path);
}

/*
 * In a child, whose greatest size is that of this search: its exit status is 0 when that was small.
 */
static int
cut_huge_torn_end(void)
{
	struct mbox_place place = {.len = 400 << 20, .seconds = 1, .sender = "a"};
	char *path = in_root("huge-torn"), *token = mbox_place_token(&place), from[MBOX_FROM_SIZE];
	struct account account = account_of(ACCOUNT_DEST_MBOX, "mbox", path);
	struct dest_claim claim = {.token = token};
	struct rusage usage;
	struct stat st;

	mbox_from_line(place.sender, place.seconds, from);
	write_file(path, from, strlen(from));
	if (truncate(path, 300 << 20) != 0 || dest_recover(&account, NULL, &claim, 1, &err) != 0)
		return 1;
	if (stat(path, &st) != 0 || st.st_size != 0 || getrusage(RUSAGE_SELF, &usage) != 0)
		return 2;
	free(account.dest.text);
	free(token);
	free(path);
	return usage.ru_maxrss < 150 << 10 ? 0 : 3;
}

static void
test_mbox_searches_big_torn_ends(void)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(cut_huge_torn_end());
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	check_big_torn_end("From mta@b Mon Jan  5 10:00:00 2026\n", false);
	check_big_torn_end(">From mta@b Mon Jan  5 10:00:00 2026\n", true);
	check_big_torn_end("From here From there Tuesday\n", true);
}

/* Whether a lock with this text, touched just now or long ago, gives way; it is gone afterwards. */
static bool
gives_way(const char *path, bool is_old, const char *text)
{
	char *lock = xasprintf("%s.lock", path);
	struct timespec times[2] = {{.tv_sec = time(NULL) - 600}, {.tv_sec = time(NULL) - 600}};
	struct dotlock mine;
	bool taken;

	write_file(lock, text, strlen(text));
	CHECK(!is_old || utimensat(AT_FDCWD, lock, times, 0) == 0);
	taken = dotlock_take(&mine, path, clock_monotonic_ms() + 150, &err) == 0;
	CHECK(taken ? mine.path != NULL : err.class == ERROR_BUSY);
	dotlock_drop(&mine);
	CHECK((access(lock, F_OK) != 0) == taken);
	unlink(lock);
	free(lock);
	return taken;
}

/* Process numbers mean something on the machine that they are of. */
static void
test_dotlock_owners(void)
{
	char *path = in_root("shared"), host[HOST_NAME_MAX + 1] = "", *text[6];
	int status;
	pid_t dead = fork();

	if (dead == 0)
		_exit(0);
	waitpid(dead, &status, 0);
	CHECK(gethostname(host, sizeof host - 1) == 0);
	text[0] = xasprintf("%d:%s", (int)dead, host);
	text[1] = xasprintf("%d:%s\n", (int)dead, host);
	text[2] = xasprintf("%d:%s", (int)getpid(), host);
	text[3] = xasprintf("%d:%s.other.example", (int)dead, host);
	text[4] = xasprintf("%d\n", (int)dead);
	text[5] = xasprintf("%d:", (int)dead);
	for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
		CHECK(gives_way(path, false, text[i]) == (i < 2));
		CHECK(gives_way(path, true, text[i]));
		free(text[i]);
	}
	CHECK(!gives_way(path, false, ""));
	free(path);
}

static void
test_dotlock_says_who_and_stays_fresh(void)
{
	char *path = in_root("held"), *lock = in_root("held.lock"), host[HOST_NAME_MAX + 1] = "";
	struct timespec times[2] = {{.tv_sec = time(NULL) - 600}, {.tv_sec = time(NULL) - 600}};
	struct dotlock mine, other;
	struct stat st;
	char *want;

	CHECK(gethostname(host, sizeof host - 1) == 0);
	want = xasprintf("%d:%s\n", (int)getpid(), host);
	CHECK(dotlock_take(&mine, path, 0, &err) == 0);
	check_file(lock, want);
	/* Held for ten minutes, and touched: nobody takes it away. */
	CHECK(utimensat(AT_FDCWD, lock, times, 0) == 0);
	dotlock_refresh(&mine);
	CHECK(stat(lock, &st) == 0 && st.st_mtime == times[1].tv_sec);
	mine.touched_ms -= 60 * 1000;
	dotlock_refresh(&mine);
	CHECK(stat(lock, &st) == 0 && st.st_mtime > times[1].tv_sec + 300);
	CHECK(dotlock_take(&other, path, clock_monotonic_ms() + 150, &err) == -1);
	CHECK(err.class == ERROR_BUSY);
	dotlock_drop(&mine);
	CHECK(access(lock, F_OK) != 0);
	dotlock_refresh(&mine);
	dotlock_drop(&mine);
	free(want);
	free(lock);
	free(path);
}

static void
test_mbox_recovers(void)
{
	char *path = in_root("torn");
	struct account account = account_of(ACCOUNT_DEST_MBOX, "mbox", path);
	struct dest *dest = dest_open(&account, 1, &err);
	static const char other[] = "From mta@b Mon Jan  5 10:00:00 2026\nhello\n\n";
	char first[512], second[512], *changed;
	struct buf whole = {0};
	size_t before, between;

	write_file(path, "From x Mon Jan  5 10:00:00 2026\nold\n\n", 37);
	stage(dest, "one\nfrom From here\nFrom a Mon b\n", 32, 32);
	stage(dest, "two\n", 4, 4);
	CHECK(dest_prepare(dest, &err) == 0);
	snprintf(first, sizeof first, "%s", dest_token(dest, 0));
	snprintf(second, sizeof second, "%s", dest_token(dest, 1));
	before = 37;
	CHECK(dest_publish(dest, 0, &err) == 0 && dest_publish(dest, 1, &err) == 0);
	CHECK(dest_seal(dest, &err) == 0);
	dest_finish(dest);
	read_file(path, &whole);
	between = strtoull(second, NULL, 10);

	/* Cut off at every octet: what is whole is told, what is torn goes. */
	for (size_t len = before; len <= whole.len; len++) {
		struct dest_claim claims[] = {{.token = first}, {.token = second}};
		size_t left = len < between ? before : len < whole.len ? between : len;
		struct stat st;

		write_file(path, buf_data(&whole), len);
		CHECK(dest_recover(&account, NULL, claims, 2, &err) == 0);
		CHECK(claims[0].delivered == (len >= between));
		CHECK(claims[1].delivered == (len == whole.len));
		CHECK(stat(path, &st) == 0 && (size_t)st.st_size == left);
	}

	/* Another program has appended behind our torn end: nothing of it is ever cut. */
	for (size_t len = before; len < between; len++) {
		struct dest_claim claim = {.token = first};
		char *file = xmemdup0(buf_data(&whole), len + sizeof other);
		struct stat st;

		memcpy(file + len, other, sizeof other - 1);
		write_file(path, file, len + sizeof other - 1);
		CHECK(dest_recover(&account, NULL, &claim, 1, &err) == 0 && !claim.delivered);
		CHECK(stat(path, &st) == 0 && (size_t)st.st_size == len + sizeof other - 1);
		free(file);
	}

	/* One octet of ours was changed, or the file is another. */
	changed = xmemdup0(buf_data(&whole), whole.len);
	changed[between - 3] ^= 1;
	write_file(path, changed, whole.len);
	check_claim(&account, first, false, __LINE__);
	check_claim(&account, second, true, __LINE__);
	unlink(path);
	check_claim(&account, second, false, __LINE__);
	CHECK(access(path, F_OK) != 0);
	check_claim(&account, "1-2-3-4", false, __LINE__);
	check_claim(&account, "99999999999999999999-1-x-1-a", false, __LINE__);

	dest_close(dest);
	free(changed);
	buf_release(&whole);
	free(account.dest.text);
	free(path);
}

static void
run_pipe(const char *const *argv, const char *text, const char *sender, int want,
	enum error_class class, int line)
{
	struct account account = account_of(ACCOUNT_DEST_PIPE, "pipe", NULL);
	char cleaned[DEST_SENDER_MAX];
	struct dest *dest;
	int result;

	account.dest.argv = (char **)argv;
	account.pipe_timeout_ms = 1500;
	dest_clean_sender(sender, strlen(sender), cleaned);
	dest = dest_open(&account, 1, &err);
	for (int round = 0; round < 2; round++) {
		CHECK(dest_begin(dest, &err) == 0);
		CHECK(dest_write(dest, text, strlen(text), &err) == 0);
		CHECK(dest_end(dest, cleaned, &err) == 0);
		CHECK(dest_prepare(dest, &err) == 0 && dest_token(dest, 0) == NULL);
		result = dest_publish(dest, 0, &err);
		check_that(result == want && (want == 0 || err.class == class), __FILE__, line,
			argv[2] != NULL ? argv[2] : argv[0]);
		CHECK(dest_seal(dest, &err) == 0);
		dest_finish(dest);
	}
	dest_close(dest);
}

static void
test_pipe(void)
{
	static const struct {
		const char *command;
		int want;
		enum error_class class;
	} ends[] = {
		{"cat >/dev/null",                   0,  0                  },
		{"exit 0",			   0,  0                  },
		{"echo no room; exit 75",            -1, ERROR_DELIVERY_TEMP},
		{"exit 1",			   -1, ERROR_DELIVERY_PERM},
		{"exit 67",                          -1, ERROR_DELIVERY_PERM},
		{"exit 78",                          -1, ERROR_CONFIG       },
		{"exit 126",                         -1, ERROR_CONFIG       },
		{"kill -9 $$",                       -1, ERROR_DELIVERY_TEMP},
		{"head -c 100000 /dev/zero; exit 1", -1, ERROR_DELIVERY_PERM},
	};
	const char *const missing[] = {"/nonexistent/command", NULL, NULL};
	char *out = in_root("pipe.out"), *script;
	char *big = xcalloc(1, 3000001);

	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
		const char *argv[] = {"sh", "-c", ends[i].command, NULL};

		run_pipe(argv, "message\n", "a@b", ends[i].want, ends[i].class, __LINE__);
	}
	run_pipe(missing, "message\n", "a@b", -1, ERROR_CONFIG, __LINE__);
	CHECK(strstr(err.text, "/nonexistent/command") != NULL);
	{
		const char *argv[] = {"sh", "-c", "printf 'bad \\033[31m\\n'; exit 1", NULL};

		run_pipe(argv, "x", "a@b", -1, ERROR_DELIVERY_PERM, __LINE__);
		CHECK(strstr(err.text, "bad \\x1b[31m") != NULL);
	}
	{
		const char *argv[] = {
			"sh", "-c", NULL, "-", "%a", "%u", "x%h", "%s", "100%%", "%z", NULL};

		/* The script is a word too: its own % signs are doubled. */
		script = xasprintf(
			"printf '%%%%s|' \"$@\" \"$POPHAUL_ACCOUNT\" >%s; cat >>%s", out, out);
		argv[2] = script;
		run_pipe(argv, "the text\n", "bo.b+x@example.org", 0, 0, __LINE__);
		check_file(out,
			"home|jane|xpop.example.org|bo.b+x@example.org|100%|%z|home|the text\n");
		run_pipe(argv, "", "-rf", 0, 0, __LINE__);
		check_file(out, "home|jane|xpop.example.org|MAILER-DAEMON|100%|%z|home|");
	}
	/* Beyond what stays in memory; and a shorter one after it sees nothing of the longer. */
	free(script);
	script = xasprintf("cat >%s", out);
	{
		const char *argv[] = {"sh", "-c", script, NULL};
		struct stat st;

		memset(big, 'x', 3000000);
		run_pipe(argv, big, "a@b", 0, 0, __LINE__);
		CHECK(stat(out, &st) == 0 && st.st_size == 3000000);
		run_pipe(argv, "short", "a@b", 0, 0, __LINE__);
		check_file(out, "short");
	}
	free(script);
	free(big);
	free(out);
}

static void
test_pipe_time_limit(void)
{
	struct account account = account_of(ACCOUNT_DEST_PIPE, "pipe", NULL);
	const char *argv[] = {"sh", "-c",
		"trap '' TERM; echo stuck; while :; do sleep 1; done & wait; wait", NULL};
	struct dest *dest;

	account.dest.argv = (char **)argv;
	account.pipe_timeout_ms = 1000;
	dest = dest_open(&account, 1, &err);
	stage(dest, "x\n", 2, 2);
	CHECK(dest_prepare(dest, &err) == 0);
	CHECK(dest_publish(dest, 0, &err) == -1 && err.class == ERROR_DELIVERY_TEMP);
	CHECK_STR(err.text, "command 'sh' was killed: it took longer than 1 s: stuck");
	dest_finish(dest);
	dest_close(dest);
}

static void
test_sender(void)
{
	static const struct {
		const char *in, *out;
	} senders[] = {
		{"jane@example.org",   "jane@example.org"  },
		{"prvs=1=j+x_y-z.a@b", "prvs=1=j+x_y-z.a@b"},
		{"",                   DEST_SENDER_UNKNOWN },
		{"-o@b",               DEST_SENDER_UNKNOWN },
		{"a b",                DEST_SENDER_UNKNOWN },
		{"a;rm",               DEST_SENDER_UNKNOWN },
		{"$(x)@b",             DEST_SENDER_UNKNOWN },
		{"a/../b",             DEST_SENDER_UNKNOWN },
		{"j\303\244@b",        DEST_SENDER_UNKNOWN },
	};
	char out[DEST_SENDER_MAX], big[DEST_SENDER_MAX];

	for (size_t i = 0; i < sizeof senders / sizeof *senders; i++) {
		dest_clean_sender(senders[i].in, strlen(senders[i].in), out);
		CHECK_STR(out, senders[i].out);
	}
	memset(big, 'a', sizeof big);
	dest_clean_sender(big, sizeof big, out);
	CHECK_STR(out, DEST_SENDER_UNKNOWN);
	dest_clean_sender(big, sizeof big - 1, out);
	CHECK(strlen(out) == sizeof big - 1);
}

static void
test_spool(void)
{
	struct spool spool;
	char *big = xcalloc(1, 2 * SPOOL_MEMORY_MAX), octets[4];

	CHECK(spool_open(&spool, &err) == 0);
	CHECK(spool_write(&spool, "abcd", 4, &err) == 0 && spool_truncate(&spool, 2, &err) == 0);
	CHECK(spool_write(&spool, "xy", 2, &err) == 0 && spool_flush(&spool, &err) == 0);
	CHECK(spool_read_at(&spool, 0, octets, 4, &err) == 0);
	CHECK_BYTES(octets, 4, "abxy", 4);
	CHECK(!spool.on_disk);
	CHECK(spool_write(&spool, big, 2 * SPOOL_MEMORY_MAX, &err) == 0);
	CHECK(spool_flush(&spool, &err) == 0 && spool.on_disk);
	CHECK(spool_read_at(&spool, 0, octets, 4, &err) == 0);
	CHECK_BYTES(octets, 4, "abxy", 4);
	CHECK(spool_truncate(&spool, 3, &err) == 0 && spool_write(&spool, "z", 1, &err) == 0);
	CHECK(spool_flush(&spool, &err) == 0 && spool_read_at(&spool, 0, octets, 4, &err) == 0);
	CHECK_BYTES(octets, 4, "abxz", 4);
	CHECK(spool_read_at(&spool, 1, octets, 4, &err) == -1);
	CHECK(spool_truncate(&spool, 0, &err) == 0 && !spool.on_disk && spool.len == 0);
	spool_close(&spool);
	free(big);
}

static int
remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	return remove(path);
}

int
main(void)
{
	CHECK(mkdtemp(root) != NULL);
	test_maildir_delivers();
	test_maildir_folders();
	test_maildir_recovers();
	test_maildir_sweeps();
	test_mbox_quotes();
	test_mbox_appends();
	test_mbox_locks();
	test_mbox_searches_big_torn_ends();
	test_dotlock_owners();
	test_dotlock_says_who_and_stays_fresh();
	test_mbox_recovers();
	test_pipe();
	test_pipe_time_limit();
	test_sender();
	test_spool();
	nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	return check_done();
}

/*
 * What a dead session left half done, by any account of it: attempts of a case's making are
 * settled with a Maildir or an mbox that has some of them. Whatever the state says, what readers
 * can see is not touched, what is there counts as delivered, what is only staged does not, and
 * nothing is left to be settled again.
 *
 * A case begins with two octets: options, and what the mailbox has. The rest are lines of a state.
 */
#include "deliver/welcome.h"

#include "base/buf.h"
#include "deliver/dest/mbox_file.h"
#include "deliver/state/record.h"
#include "deliver/state/sum.h"
#include "folder.h"
#include "fuzz.h"
#include "world.h"

#define NAME "home"

/* A name that the corpus' tokens have, too: as it is staged, published, and seen by a reader. */
#define UNIQUE  "1795287500.x.host"
#define TOKEN   UNIQUE ",S=10"
#define IN_TMP  "mail/tmp/" UNIQUE
#define IN_NEW  "mail/new/" TOKEN
#define IN_CUR  "mail/cur/" TOKEN ":2,S"
#define MESSAGE "Subject: 1\n\n"

enum option { OPTION_MBOX = 1, OPTION_SUM = 2 };

/* Of the mailbox. For an mbox all octets are how much of the last message is there. */
enum has { HAS_TMP = 1, HAS_NEW = 2, HAS_CUR = 4 };

static void
write_text(const char *path, const char *text)
{
	folder_write(path, text, strlen(text));
}

static void
make_maildir(uint8_t has)
{
	REQUIRE(mkdir("mail", 0700) == 0 && mkdir("mail/tmp", 0700) == 0);
	REQUIRE(mkdir("mail/new", 0700) == 0 && mkdir("mail/cur", 0700) == 0);
	if (has & HAS_TMP)
		write_text(IN_TMP, MESSAGE);
	if (has & HAS_NEW)
		write_text(IN_NEW, MESSAGE);
	if (has & HAS_CUR)
		write_text(IN_CUR, MESSAGE);
}

/* Two messages, and the beginning of a third; the length of the two in `whole_out`. */
static void
make_mbox(uint8_t has, struct buf *out, size_t *whole_out)
{
	for (int i = 0; i < 3; i++) {
		char from[MBOX_FROM_SIZE];
		size_t len;

		*whole_out = out->len;
		mbox_from_line("jane@example.org", WORLD_BEGINNING - 100, from);
		buf_append_string(out, from);
		buf_append_string(out, MESSAGE "\n");
		len = out->len - *whole_out;
		if (i == 2 && has < len)
			out->len = *whole_out + has;
	}
	folder_write("mail", buf_data(out), out->len);
}

static void
check_mbox(const struct buf *before, size_t whole)
{
	char from[MBOX_FROM_SIZE];
	struct buf after = {0};
	struct error err;

	mbox_from_line("jane@example.org", WORLD_BEGINNING - 100, from);
	REQUIRE(file_read_whole("mail", 4096, &after, NULL, &err) == 0);
	REQUIRE(after.len <= before->len);
	REQUIRE(memcmp(buf_data(&after), buf_data(before), after.len) == 0);
	/* The end is cut only where a message begins, and never a message before another one. */
	REQUIRE(after.len == before->len || after.len == whole || after.len == whole / 2);
	REQUIRE(after.len >= whole || before->len - whole < strlen(from));
	buf_release(&after);
}

static void
check_maildir(uint8_t has)
{
	REQUIRE((access(IN_TMP, F_OK) == 0) == ((has & HAS_TMP) != 0));
	REQUIRE((access(IN_NEW, F_OK) == 0) == ((has & HAS_NEW) != 0));
	REQUIRE((access(IN_CUR, F_OK) == 0) == ((has & HAS_CUR) != 0));
}

/* The case's lines behind a good beginning; what says where it was going is ours. */
static void
write_state(uint8_t options, struct feed lines)
{
	struct buf out = {0};

	buf_printf(&out, "%s\ndest %s:mail\n", RECORD_FIRST_LINE,
		options & OPTION_MBOX ? "mbox" : "maildir");
	while (lines.len != 0) {
		const uint8_t *end = memchr(lines.data, '\n', lines.len);
		struct feed line =
			feed_take(&lines, end != NULL ? (size_t)(end - lines.data) + 1 : lines.len);

		if (line.len < 5 ||
			(memcmp(line.data, "dest ", 5) != 0 && memcmp(line.data, "sum ", 4) != 0))
			buf_append(&out, line.data, line.len);
	}
	if (options & OPTION_SUM && buf_data(&out)[out.len - 1] == '\n')
		buf_printf(&out, "sum %08x\n", sum_add(SUM_START, buf_data(&out), out.len));
	folder_write(NAME ".uidl", buf_data(&out), out.len);
	buf_release(&out);
}

/* How many of the attempts are surely delivered, and how many may be. */
static void
count_claims(const struct uidl *uidl, uint8_t has, size_t *least_out, size_t *most_out)
{
	*least_out = *most_out = 0;
	for (size_t i = 0; i < uidl_try_count(uidl); i++) {
		const struct uidl_try *try = uidl_try_at(uidl, i);
		bool is_ours = strncmp(try->token, UNIQUE ",", strlen(UNIQUE ",")) == 0;
		bool is_there = strcmp(try->token, TOKEN) == 0 && (has & (HAS_NEW | HAS_CUR)) != 0;
		bool must_not = try->in_doubt || (is_ours && (has & HAS_TMP) != 0);

		*least_out += is_there;
		*most_out += is_there || !must_not;
	}
}

static size_t
count_entries(struct uidl *uidl)
{
	size_t count = 0, at = 0;

	while (uidl_each(uidl, &at) != NULL)
		count++;
	return count;
}

static void
settle(const struct account *account, uint8_t options, uint8_t has)
{
	size_t tries, known, least, most, settled, delivered;
	struct error err = {.text = ""};
	struct uidl *uidl = uidl_open(".", NAME, UIDL_LOCKED, NULL, &err);

	REQUIRE(uidl != NULL);
	tries = uidl_try_count(uidl);
	known = count_entries(uidl);
	count_claims(uidl, has, &least, &most);
	REQUIRE(welcome_settle_tries(account, uidl, &settled, &delivered, &err) == 0);
	REQUIRE(settled == tries && uidl_try_count(uidl) == 0);
	REQUIRE(delivered <= tries && count_entries(uidl) == known + delivered);
	if ((options & OPTION_MBOX) == 0)
		REQUIRE(delivered >= least && delivered <= most);
	known = count_entries(uidl);
	uidl_close(uidl);
	uidl = uidl_open(".", NAME, UIDL_LOCKED, NULL, &err);
	REQUIRE(uidl != NULL && uidl_try_count(uidl) == 0 && count_entries(uidl) == known);
	uidl_close(uidl);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct feed feed = {data, size};
	uint8_t options = feed_octet(&feed), has = feed_octet(&feed);
	struct account account = {
		.name = (char *)NAME, .host = (char *)"pop.example.org", .lock_timeout_ms = 2000};
	struct buf mbox = {0};
	size_t whole = 0;
	/* The drivers name their files from where they were begun. */
	int here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char *folder = folder_make();

	world_reset();
	/* The state says where the mailbox is, and a case cannot know a path. */
	REQUIRE(here >= 0 && chdir(folder) == 0);
	account.dest.kind = options & OPTION_MBOX ? ACCOUNT_DEST_MBOX : ACCOUNT_DEST_MAILDIR;
	account.dest.path = (char *)"mail";
	account.dest.text = (char *)(options & OPTION_MBOX ? "mbox:mail" : "maildir:mail");
	if (options & OPTION_MBOX)
		make_mbox(has, &mbox, &whole);
	else
		make_maildir(has);
	write_state(options, feed);
	settle(&account, options, has);
	if (options & OPTION_MBOX)
		check_mbox(&mbox, whole);
	else
		check_maildir(has);
	buf_release(&mbox);
	REQUIRE(fchdir(here) == 0);
	close(here);
	folder_remove(folder);
	return 0;
}

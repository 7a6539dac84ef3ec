#include "base/privilege.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/file.h"
#include "base/quote.h"
#include "base/xalloc.h"

/* Who the process becomes that meets the network; the last one's number is the kernel's own. */
#define FETCHER_USER  "pophaul"
#define FALLBACK_USER "nobody"
#define FALLBACK_ID   65534

#define USER_PATH "/usr/local/bin:/usr/bin:/bin"

/* Capabilities are 64 bits, in two words. */
#define CAPABILITY_WORDS 2
#define BIT(capability)  (1U << (capability))

/*
 * What of root's environment is of use to others: language, time zone, and where Kerberos' realms
 * are.
 */
static const char *const KEPT[] = {"KRB5_CONFIG", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE",
	"LC_MESSAGES", "LC_TIME", "LC_COLLATE", "LC_NUMERIC", "TZ"};

#define KEPT_COUNT (sizeof(KEPT) / sizeof(KEPT[0]))

/* Who the fetcher becomes. */
static struct {
	bool is_looked_up;
	uid_t uid;
	gid_t gid;
} nobody = {.uid = FALLBACK_ID, .gid = FALLBACK_ID};

/* The folder for privilege_empty_root(); -1: there is none. */
static int empty_folder = -1;

int
privilege_find_user(const char *name, struct privilege_user *out, struct error *err)
{
	char quoted[QUOTE_SIZE];
	const struct passwd *entry;

	quote_bytes(quoted, name, strlen(name));
	errno = 0;
	entry = getpwnam(name);
	if (entry == NULL && errno != 0 && errno != ENOENT && errno != ESRCH)
		return error_set_errno(err, ERROR_CONFIG, "user '%s' cannot be looked up", quoted);
	if (entry == NULL)
		return error_set(err, ERROR_CONFIG, "there is no user '%s' on this system", quoted);
	if (entry->pw_name[0] == '.' || strchr(entry->pw_name, '/') != NULL)
		return error_set(err, ERROR_CONFIG, "user '%s' has no name for a folder", quoted);
	if (entry->pw_dir == NULL || entry->pw_dir[0] != '/')
		return error_set(err, ERROR_CONFIG, "user '%s' has no home folder", quoted);
	*out = (struct privilege_user){
		.name = xstrdup(entry->pw_name),
		.home = xstrdup(entry->pw_dir),
		.shell = xstrdup(entry->pw_shell != NULL && entry->pw_shell[0] == '/'
				? entry->pw_shell
				: "/bin/sh"),
		.uid = entry->pw_uid,
		.gid = entry->pw_gid,
	};
	return 0;
}

void
privilege_release_user(struct privilege_user *user)
{
	free(user->name);
	free(user->home);
	free(user->shell);
	*user = (struct privilege_user){0};
}

static int
set_capabilities(uint32_t low)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[CAPABILITY_WORDS] = {
		{.effective = low, .permitted = low}
        };

	return (int)syscall(SYS_capset, &header, sets);
}

static bool
has_capabilities(uint32_t low)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct sets[CAPABILITY_WORDS] = {{0}};

	return syscall(SYS_capget, &header, sets) == 0 && (sets[0].effective & low) == low;
}

bool
privilege_is_root(void)
{
	return geteuid() == 0 && has_capabilities(BIT(CAP_SETUID) | BIT(CAP_SETGID));
}

/* All three ids, and the capabilities of `low`; groups are set already. */
static int
set_ids(uid_t uid, gid_t gid, uint32_t low)
{
	if (setresgid(gid, gid, gid) != 0 || prctl(PR_SET_KEEPCAPS, low != 0, 0, 0, 0) != 0 ||
		setresuid(uid, uid, uid) != 0 || prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0 ||
		set_capabilities(low) != 0)
		return -1;
	/* The kernel makes who changes ids dumpable again where fs.suid_dumpable says so. */
	return prctl(PR_SET_DUMPABLE, 0);
}

/* What the manuals promise is looked at: a way back would undo everything. */
static bool
is_settled(uid_t uid, gid_t gid)
{
	uid_t uids[3];
	gid_t gids[3];

	if (getresuid(&uids[0], &uids[1], &uids[2]) != 0 ||
		getresgid(&gids[0], &gids[1], &gids[2]) != 0)
		return false;
	for (size_t i = 0; i < 3; i++) {
		if (uids[i] != uid || gids[i] != gid)
			return false;
	}
	return setresuid((uid_t)-1, 0, (uid_t)-1) != 0 && setresgid((gid_t)-1, 0, (gid_t)-1) != 0 &&
		setgroups(0, NULL) != 0;
}

static void
set_environment(const struct privilege_user *user)
{
	char *kept[KEPT_COUNT];

	for (size_t i = 0; i < KEPT_COUNT; i++) {
		const char *value = getenv(KEPT[i]);

		kept[i] = value != NULL ? xstrdup(value) : NULL;
	}
	clearenv();
	for (size_t i = 0; i < KEPT_COUNT; i++) {
		if (kept[i] != NULL)
			setenv(KEPT[i], kept[i], 1);
		free(kept[i]);
	}
	setenv("HOME", user->home, 1);
	setenv("USER", user->name, 1);
	setenv("LOGNAME", user->name, 1);
	setenv("SHELL", user->shell, 1);
	setenv("PATH", USER_PATH, 1);
}

/*
 * Whoever shares root's terminal types at its keyboard: TIOCSTI puts octets there for root's shell
 * to read. So there is none any more, and a message can still be written to it, nothing be read.
 */
static int
leave_terminal(struct error *err)
{
	int fd;

	if (setsid() < 0)
		return error_set_errno(err, ERROR_SYSTEM, "cannot leave root's terminal");
	if (file_stop_hearing_terminal())
		return 0;
	fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || dup2(fd, STDERR_FILENO) < 0) {
		error_set_errno(err, ERROR_SYSTEM, "cannot leave root's terminal");
		if (fd >= 0)
			close(fd);
		return -1;
	}
	close(fd);
	return 0;
}

int
privilege_become_user(const struct privilege_user *user, struct error *err)
{
	assert(user->uid != 0);
	if (leave_terminal(err) != 0)
		return -1;
	if (initgroups(user->name, user->gid) != 0 || set_ids(user->uid, user->gid, 0) != 0)
		return error_set_errno(err, ERROR_SYSTEM, "cannot become user '%s'", user->name);
	if (!is_settled(user->uid, user->gid))
		return error_set(err, ERROR_SYSTEM,
			"cannot become user '%s': the way back to root stays open", user->name);
	set_environment(user);
	umask(S_IRWXG | S_IRWXO);
	if (chdir(user->home) != 0 && chdir("/") != 0)
		return error_set_errno(err, ERROR_SYSTEM, "cannot enter '/'");
	return 0;
}

/* A folder that is removed again: nothing can be made in it, and no name leads there. */
static int
open_empty_folder(void)
{
	static const char *const PLACES[] = {"/run", "/tmp", "/var/tmp", "/dev/shm"};
	int fd = -1;

	for (size_t i = 0; i < sizeof(PLACES) / sizeof(PLACES[0]) && fd < 0; i++) {
		char *path = xasprintf("%s/pophaul-XXXXXX", PLACES[i]);

		if (mkdtemp(path) != NULL) {
			/* To enter it takes the right to search it. */
			if (chmod(path, S_IXUSR | S_IXGRP | S_IXOTH) == 0)
				fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (rmdir(path) != 0 && fd >= 0) {
				close(fd);
				fd = -1;
			}
		}
		free(path);
	}
	return fd;
}

void
privilege_find_nobody(void)
{
	const struct passwd *entry = getpwnam(FETCHER_USER);

	if (entry == NULL || entry->pw_uid == 0)
		entry = getpwnam(FALLBACK_USER);
	if (entry != NULL && entry->pw_uid != 0 && entry->pw_gid != 0) {
		nobody.uid = entry->pw_uid;
		nobody.gid = entry->pw_gid;
	}
	nobody.is_looked_up = true;
}

int
privilege_become_nobody(struct error *err)
{
	bool keeps_chroot = has_capabilities(BIT(CAP_SYS_CHROOT));

	if (!nobody.is_looked_up)
		privilege_find_nobody();
	if (leave_terminal(err) != 0)
		return -1;
	if (keeps_chroot)
		empty_folder = open_empty_folder();
	/*
	 * Only what may be lost for ever, in case anything is ever executed; not all may do that.
	 */
	for (int bit = 0; prctl(PR_CAPBSET_READ, bit, 0, 0, 0) >= 0; bit++)
		(void)prctl(PR_CAPBSET_DROP, bit, 0, 0, 0);
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (setgroups(0, NULL) != 0 ||
		set_ids(nobody.uid, nobody.gid, empty_folder >= 0 ? BIT(CAP_SYS_CHROOT) : 0) != 0)
		return error_set_errno(
			err, ERROR_SYSTEM, "cannot become an unprivileged user for the network");
	if (!is_settled(nobody.uid, nobody.gid))
		return error_set(err, ERROR_SYSTEM,
			"cannot become an unprivileged user for the network: the way back to root "
			"stays open");
	umask(S_IRWXG | S_IRWXO);
	return 0;
}

bool
privilege_empty_root(void)
{
	bool is_empty;

	if (empty_folder < 0)
		return false;
	is_empty = fchdir(empty_folder) == 0 && chroot(".") == 0;
	close(empty_folder);
	empty_folder = -1;
	return set_capabilities(0) == 0 && is_empty;
}

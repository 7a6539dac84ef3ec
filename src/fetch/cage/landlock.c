#include "fetch/cage/landlock.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Of later kernels than the headers we may be built with: linux/landlock.h of 6.12. */
#define ACCESS_FS_REFER     (1ULL << 13)
#define ACCESS_FS_TRUNCATE  (1ULL << 14)
#define ACCESS_FS_IOCTL_DEV (1ULL << 15)

#define ACCESS_NET_BIND_TCP    (1ULL << 0)
#define ACCESS_NET_CONNECT_TCP (1ULL << 1)

#define SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0)
#define SCOPE_SIGNAL               (1ULL << 1)

#define RULE_NET_PORT 2

#define ABI_WITH_REFER     2
#define ABI_WITH_TRUNCATE  3
#define ABI_WITH_NET       4
#define ABI_WITH_IOCTL_DEV 5
#define ABI_WITH_SCOPES    6

#define ACCESS_FS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)

#define ACCESS_FS_FIRST                                                                            \
	(ACCESS_FS_READ | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |             \
		LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |                   \
		LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |                       \
		LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |                       \
		LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |                     \
		LANDLOCK_ACCESS_FS_MAKE_SYM)

/* Kernels that know a part of them take the whole, as long as the rest is 0. */
struct ruleset {
	uint64_t access_fs;
	uint64_t access_net;
	uint64_t scopes;
};

struct port_rule {
	uint64_t access;
	uint64_t port;
};

static struct ruleset
known_to(int abi)
{
	struct ruleset rules = {.access_fs = ACCESS_FS_FIRST};

	if (abi >= ABI_WITH_REFER)
		rules.access_fs |= ACCESS_FS_REFER;
	if (abi >= ABI_WITH_TRUNCATE)
		rules.access_fs |= ACCESS_FS_TRUNCATE;
	if (abi >= ABI_WITH_NET)
		rules.access_net = ACCESS_NET_BIND_TCP | ACCESS_NET_CONNECT_TCP;
	if (abi >= ABI_WITH_IOCTL_DEV)
		rules.access_fs |= ACCESS_FS_IOCTL_DEV;
	if (abi >= ABI_WITH_SCOPES)
		rules.scopes = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL;
	return rules;
}

int
landlock_abi(struct error *err)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	if (abi >= 1)
		return (int)abi;
	if (errno == ENOSYS)
		error_set(err, ERROR_SYSTEM, "no Landlock: this kernel has none (Linux 5.13 has)");
	else if (errno == EOPNOTSUPP)
		error_set(err, ERROR_SYSTEM,
			"no Landlock: it is switched off (see lsm= of the kernel's command line)");
	else
		error_set_errno(
			err, ERROR_SYSTEM, "no Landlock: it is refused, as in some containers");
	return 0;
}

/* -1 and errno; what does not exist is no failure. */
static int
grant_path(int rules, const char *path, bool with_folders)
{
	struct landlock_path_beneath_attr rule = {
		.allowed_access = LANDLOCK_ACCESS_FS_READ_FILE,
		.parent_fd = open(path, O_PATH | O_CLOEXEC),
	};
	struct stat status;
	int result;

	if (rule.parent_fd < 0)
		return 0;
	result = fstat(rule.parent_fd, &status);
	if (result == 0 && S_ISDIR(status.st_mode))
		rule.allowed_access = with_folders ? ACCESS_FS_READ : 0;
	if (result == 0 && rule.allowed_access != 0)
		result = (int)syscall(
			SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	close(rule.parent_fd);
	return result;
}

static int
grant_port(int rules, uint16_t port)
{
	struct port_rule rule = {.access = ACCESS_NET_CONNECT_TCP, .port = port};

	return (int)syscall(SYS_landlock_add_rule, rules, RULE_NET_PORT, &rule, 0);
}

static int
grant_all(int rules, bool has_ports, const struct landlock_grants *grants)
{
	for (const char *const *path = grants->folders; path != NULL && *path != NULL; path++) {
		if (grant_path(rules, *path, true) != 0)
			return -1;
	}
	for (size_t i = 0; i < LANDLOCK_FILES_MAX; i++) {
		if (grants->files[i] != NULL && grant_path(rules, grants->files[i], false) != 0)
			return -1;
	}
	for (size_t i = 0; has_ports && i < grants->port_count; i++) {
		if (grant_port(rules, grants->ports[i]) != 0)
			return -1;
	}
	return 0;
}

int
landlock_close(const struct landlock_grants *grants, struct error *err)
{
	int abi = landlock_abi(err);
	struct ruleset denied = known_to(abi);
	int rules;

	if (abi == 0)
		return 0;
	if (grants->may_connect_anywhere)
		denied.access_net &= ~ACCESS_NET_CONNECT_TCP;
	rules = (int)syscall(SYS_landlock_create_ruleset, &denied, sizeof denied, 0);
	if (rules < 0 ||
		grant_all(rules, (denied.access_net & ACCESS_NET_CONNECT_TCP) != 0, grants) != 0 ||
		syscall(SYS_landlock_restrict_self, rules, 0) != 0) {
		error_set_errno(err, ERROR_SYSTEM, "no Landlock: it cannot be put in force");
		abi = 0;
	}
	if (rules >= 0)
		close(rules);
	return abi;
}

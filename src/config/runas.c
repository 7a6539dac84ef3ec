#include "config/runas.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/privilege.h"
#include "base/xalloc.h"

int
runas_parse(const char *name, struct account_user *out, struct error *err)
{
	struct privilege_user user;

	if (privilege_find_user(name, &user, err) != 0)
		return -1;
	if (user.uid != geteuid() && !privilege_is_root()) {
		privilege_release_user(&user);
		return error_set(err, ERROR_CONFIG,
			"only root can fetch mail for others, and this is not run by root");
	}
	free(out->name);
	free(out->home);
	*out = (struct account_user){
		.name = xstrdup(user.name), .home = xstrdup(user.home), .uid = user.uid};
	privilege_release_user(&user);
	return 0;
}

void
runas_set_home(const char *name)
{
	struct account_user user = {0};
	struct error ignored;

	/* Who cannot be is told where the value is set. */
	if (name != NULL && runas_parse(name, &user, &ignored) == 0 && user.uid != geteuid())
		file_set_home(user.home);
	else
		file_set_home(NULL);
	free(user.name);
	free(user.home);
}

#include "fetch/cage/sandbox.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "fetch/cage/filter.h"
#include "fetch/cage/landlock.h"
#include "fetch/cage/nss.h"

#define PORT_DNS 53

/*
 * What is read between the fork and the end of a login: by the name service and its modules,
 * GnuTLS, libsasl2 and libc. By name, since other accounts' passwords may lie beside them in /etc.
 * What systems other than this one have is skipped.
 */
static const char *const readable[] = {
	/* shared libraries, which are the modules of the name service */
	"/lib",
	"/lib32",
	"/lib64",
	"/usr/lib",
	"/usr/lib32",
	"/usr/lib64",
	"/usr/local/lib",
	"/usr/local/lib64",
	"/nix/store",
	"/gnu/store",
	"/etc/ld.so.cache",
	/* names */
	"/etc/gai.conf",
	"/etc/host.conf",
	"/etc/hostname",
	"/etc/hosts",
	"/etc/machine-info",
	"/etc/mdns.allow",
	"/etc/networks",
	"/etc/nsswitch.conf",
	"/etc/protocols",
	"/etc/resolv.conf",
	"/etc/samba/smb.conf",
	"/etc/services",
	"/etc/yp.conf",
	"/proc/sys/net",
	"/run/NetworkManager",
	"/run/connman",
	"/run/nscd",
	"/run/resolvconf",
	"/run/systemd/machines",
	"/run/systemd/resolve",
	"/usr/etc",
	"/var/lib/libvirt/dnsmasq",
	"/var/lib/sss/mc",
	"/var/yp/binding",
	/* TLS */
	"/etc/ca-certificates",
	"/etc/crypto-policies",
	"/etc/gnutls",
	"/etc/pki/ca-trust",
	"/etc/pki/tls/certs",
	"/etc/ssl/certs",
	"/etc/ssl/openssl.cnf",
	"/etc/pki/tls/openssl.cnf",
	"/usr/share/ca-certificates",
	"/usr/share/crypto-policies",
	/* chance, time */
	"/dev/random",
	"/dev/urandom",
	"/etc/localtime",
	"/usr/share/zoneinfo",
	NULL,
};

static void
say(struct sandbox_report *report, const char *step, int abi, const struct error *no_landlock,
	const struct error *no_seccomp)
{
	char landlock[sizeof "Landlock ABI 2147483647"];

	snprintf(landlock, sizeof landlock, "Landlock ABI %d", abi);
	snprintf(report->text, sizeof report->text, "%s: %s, %s", step,
		no_landlock != NULL ? no_landlock->text : landlock,
		no_seccomp != NULL ? no_seccomp->text : "seccomp");
}

static int
refuse(const struct error *why, struct error *err)
{
	*err = *why;
	return error_prefix(err, "sandbox = \"require\"");
}

/* One step; `require` wants both halves of it. */
static int
close_step(const struct account *account, enum filter_step step,
	const struct landlock_grants *grants, struct sandbox_report *report, struct error *err)
{
	struct error no_landlock, no_seccomp;
	int abi = landlock_close(grants, &no_landlock);
	bool is_filtered = filter_close(step, &no_seccomp) == 0;

	say(report, step == FILTER_LOGIN ? "step 1" : "step 2", abi, abi == 0 ? &no_landlock : NULL,
		is_filtered ? NULL : &no_seccomp);
	if (account->sandbox != ACCOUNT_SANDBOX_REQUIRE || (abi != 0 && is_filtered))
		return 0;
	return refuse(abi == 0 ? &no_landlock : &no_seccomp, err);
}

/* The login goes on without a cage, as long as there will be one. */
static int
leave_open(const struct account *account, struct sandbox_report *report, struct error *err)
{
	struct error why;

	snprintf(report->text, sizeof report->text,
		"step 1: left out, since this login needs files and sockets of its own");
	if (account->sandbox != ACCOUNT_SANDBOX_REQUIRE ||
		(landlock_abi(&why) != 0 && filter_probe(&why) == 0))
		return 0;
	return refuse(&why, err);
}

void
sandbox_prepare(void)
{
	filter_prepare();
}

static bool
is_off(const struct account *account, struct sandbox_report *report)
{
	if (account->sandbox != ACCOUNT_SANDBOX_OFF)
		return false;
	snprintf(report->text, sizeof report->text, "off, as configured");
	return true;
}

int
sandbox_close_files(const struct account *account, struct sandbox_report *report, struct error *err)
{
	const uint16_t ports[] = {account->port, PORT_DNS};
	const struct landlock_grants grants = {
		.folders = readable,
		.files = {getenv("HOSTALIASES")},
		.ports = ports,
		.port_count = sizeof ports / sizeof *ports,
		.may_connect_anywhere = nss_reach() == NSS_ANYWHERE,
	};

	if (is_off(account, report))
		return 0;
	if (account_needs_open_login(account))
		return leave_open(account, report, err);
	return close_step(account, FILTER_LOGIN, &grants, report, err);
}

int
sandbox_close_all(const struct account *account, struct sandbox_report *report, struct error *err)
{
	const struct landlock_grants nothing = {.folders = NULL};

	if (is_off(account, report))
		return 0;
	return close_step(account, FILTER_TRANSFER, &nothing, report, err);
}

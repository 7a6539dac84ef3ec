"""The programs that are compared. Each knows how to fetch a maildrop into a fresh place, and how to say
that it did: a run that delivered another number of messages than it should is no measurement."""

import mailbox
import os
import shutil
import subprocess

import ground
from ground import PASSWORD, USER


class Failed(Exception):
    """A run that did not do what it should: no figure of it counts."""


class Account:
    """Where mail comes from, and where it goes."""

    def __init__(self, port, certificates, kind="maildir", user=USER, count=0, mail=None):
        self.port, self.certificates, self.kind, self.user, self.count = port, certificates, kind, user, count
        self.mail = mail  # the folder of Dovecot's users, for who reads it without POP3


def count_maildir(path):
    return sum(len(os.listdir(os.path.join(path, sub))) for sub in ("new", "cur") if os.path.isdir(os.path.join(path, sub)))


def count_mbox(path):
    box = mailbox.mbox(path, create=False)
    try:
        return len(box)
    finally:
        box.close()


class Run:
    """One program's place for an account: its configuration, state and mail; several runs may share it."""

    # Programs that hold one message at a time are measured once: they take minutes.
    is_slow = False
    kinds = ("maildir", "mbox", "pipe")

    def __init__(self, account):
        self.account = account
        self.home = ground.fresh(type(self).__name__.lower())
        self.maildir = os.path.join(self.home, "Maildir")
        self.mbox = os.path.join(self.home, "mbox")
        for sub in ("cur", "new", "tmp"):
            os.makedirs(os.path.join(self.maildir, sub))
        self.write(".procmailrc", "MAILDIR=%s\nDEFAULT=%s/\n" % (self.home, self.maildir), 0o600)
        self.configure()

    def configure_again(self):
        """For an account that has changed; mail and state stay."""
        self.configure()

    def write(self, name, text, mode=0o600):
        path = os.path.join(self.home, name)
        with open(path, "w") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def procmail(self):
        return "procmail %s" % os.path.join(self.home, ".procmailrc")

    def without_root(self, *command):
        """The command as the user that Dovecot's mail belongs to, when we are root."""
        if os.geteuid() != 0:
            return list(command)
        user, group = ground.ids_of_dovecot_user()
        ground.own(self.home, (user, group))
        return ["setpriv", "--reuid", str(user), "--regid", str(group), "--clear-groups", *command]

    def delivered(self):
        return count_mbox(self.mbox) if self.account.kind == "mbox" else count_maildir(self.maildir)

    def run(self, **options):
        figures = ground.measure(self.command(), env=dict(HOME=self.home, **self.environment()), **options)
        if figures["status"] not in self.good_statuses or self.delivered() != self.account.count:
            with open(figures["output"], errors="replace") as output:
                raise Failed("%s ended with %d and delivered %d of %d messages:\n%s" % (
                    self.name, figures["status"], self.delivered(), self.account.count, output.read()[-2000:]))
        return figures

    good_statuses = (0,)

    def environment(self):
        return {}

    @classmethod
    def is_installed(cls):
        return shutil.which(cls.name) is not None

    @classmethod
    def version(cls):
        """The package's; where there is none, the program's own words."""
        for command in (["dpkg-query", "-W", "-f", "${Version}", cls.name], [cls.name, "--version"]):
            if shutil.which(command[0]) is not None:
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode == 0 and done.stdout.strip():
                    return done.stdout.splitlines()[0].strip()
        return "unknown"


class Pophaul(Run):
    name = "pophaul"
    extra = ""

    @classmethod
    def is_installed(cls):
        return True

    @classmethod
    def version(cls):
        return subprocess.run([ground.POPHAUL, "--version"], capture_output=True, text=True).stdout.split()[1]

    def configure(self):
        where = {"maildir": "maildir:" + self.maildir, "mbox": "mbox:" + self.mbox, "pipe": "pipe:" + self.procmail()}
        run_as = 'run-as = "root"' if self.account.kind == "pipe" and os.geteuid() == 0 else ""
        self.write("conf", """
state-dir = "{home}/state"
account "box" {{
	host = "localhost"
	port = {a.port}
	tls-trust-file = "{a.certificates.ca}"
	user = "{a.user}"
	password = "{password}"
	deliver = "{deliver}"
	{run_as}
	{extra}
}}
""".format(home=self.home, a=self.account, password=PASSWORD, deliver=where[self.account.kind], run_as=run_as,
           extra=self.extra))

    def command(self):
        return [ground.POPHAUL, "-q", "-c", os.path.join(self.home, "conf")]


class Mpop(Run):
    name = "mpop"
    extra = ""

    def configure(self):
        where = {"maildir": "maildir " + self.maildir, "mbox": "mbox " + self.mbox, "pipe": "mda " + self.procmail()}
        self.write_account("conf", self.account.user, where[self.account.kind], "uidls")

    def write_account(self, name, user, delivery, uidls):
        self.write(name, """
account default
host localhost
port {a.port}
tls on
tls_starttls off
tls_trust_file {a.certificates.ca}
auth plain
user {user}
password {password}
keep on
delivery {delivery}
uidls_file {home}/{uidls}
{extra}
""".format(home=self.home, a=self.account, user=user, password=PASSWORD, delivery=delivery, uidls=uidls,
           extra=self.extra))

    def command(self):
        return ["mpop", "-q", "-C", os.path.join(self.home, "conf")]


class MpopLockStep(Mpop):
    name = "mpop, no pipelining"
    extra = "pipelining off"

    @classmethod
    def is_installed(cls):
        return Mpop.is_installed()


class Getmail(Run):
    """It refuses to deliver as root."""

    name = "getmail6"
    is_slow = True

    @classmethod
    def is_installed(cls):
        return shutil.which("getmail") is not None

    def configure(self):
        os.makedirs(os.path.join(self.home, "getmail"), 0o700, exist_ok=True)
        kind = self.account.kind
        destination = {
            "maildir": "type = Maildir\npath = %s/\n" % self.maildir,
            "mbox": "type = Mboxrd\npath = %s\n" % self.mbox,
            "pipe": "type = MDA_external\npath = /usr/bin/procmail\narguments = (\"%s\",)\nunixfrom = True\n"
                    % os.path.join(self.home, ".procmailrc")}[kind]
        if kind == "mbox" and not os.path.exists(self.mbox):
            self.write("mbox", "")
        self.write("getmail/getmailrc", """
[retriever]
type = SimplePOP3SSLRetriever
server = localhost
port = {a.port}
username = {a.user}
password = {password}
ca_certs = {a.certificates.ca}
[destination]
{destination}
[options]
read_all = false
delete = false
verbose = 0
""".format(a=self.account, password=PASSWORD, destination=destination))

    def command(self):
        return self.without_root("getmail", "--getmaildir", os.path.join(self.home, "getmail"))


class Fdm(Run):
    """As root it would take a user of its own. It knows no trust file: it checks no certificate."""

    name = "fdm"
    is_slow = True

    def configure(self):
        where = {"maildir": 'maildir "%s"' % self.maildir, "mbox": 'mbox "%s"' % self.mbox,
                 "pipe": 'pipe "%s"' % self.procmail()}
        self.write("fdm.conf", """
set lock-file "{home}/lock"
set maximum-size 1G
action "keep" {deliver}
account "box" pop3s server "localhost" port {a.port} user "{a.user}" pass "{password}" new-only cache "{home}/cache" no-verify keep
match all action "keep"
""".format(home=self.home, a=self.account, password=PASSWORD, deliver=where[self.account.kind]))

    def command(self):
        return self.without_root("fdm", "-q", "-f", os.path.join(self.home, "fdm.conf"), "fetch")


class Fetchmail(Run):
    """By procmail always: it has no other way to a Maildir."""

    name = "fetchmail"
    is_slow = True
    kinds = ("maildir", "pipe")
    good_statuses = (0, 1)

    def configure(self):
        self.write(".fetchmailrc", """
set no syslog
poll localhost service {a.port} protocol POP3 uidl
	user "{a.user}" there has password "{password}"
	options ssl sslcertck sslcertfile "{a.certificates.ca}" keep
	mda "{procmail}"
""".format(a=self.account, password=PASSWORD, procmail=self.procmail()))

    def environment(self):
        return {"FETCHMAILHOME": self.home}

    def command(self):
        return ["fetchmail", "--silent", "--nodetach", "-f", os.path.join(self.home, ".fetchmailrc"),
                "-i", os.path.join(self.home, "fetchids"), "--pidfile", os.path.join(self.home, "pid")]


class ProcmailAlone(Run):
    """No fetcher: a shell starts procmail on each file of a Dovecot user's mail. Who starts one procmail a message,
    one behind the other, cannot be faster than that."""

    name = "procmail alone"
    kinds = ("pipe",)

    @classmethod
    def is_installed(cls):
        return shutil.which("procmail") is not None

    def configure(self):
        pass

    def command(self):
        files = os.path.join(self.account.mail, self.account.user, "Maildir")
        return ["sh", "-c", 'for file in "$1"/cur/* "$1"/new/*; do [ ! -f "$file" ] || %s <"$file" || exit; done'
                % self.procmail(), "sh", files]


class Probe(Run):
    """Not a fetcher: what reading alone takes."""

    name = "probe"

    @classmethod
    def is_installed(cls):
        return True

    def configure(self):
        pass

    def command(self):
        a = self.account
        return [os.path.join(ground.TOOLS, "probe"), str(a.port), a.certificates.ca, a.user, PASSWORD, str(a.count)]

    def delivered(self):
        return self.account.count

    @classmethod
    def version(cls):
        return "reads and throws away"


PEERS = (Pophaul, Probe, Mpop, Getmail, Fdm, Fetchmail)

"""What every workload stands on: folders, certificates, Dovecot, fakepop, the delay proxy, and one
measured run of a command. Everything that is started ends with the driver."""

import atexit
import ctypes
import os
import pwd
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

BUILD = os.environ["BUILD"]
TOOLS = os.path.join(BUILD, "tests", "bench")
POPHAUL = os.path.join(BUILD, "pophaul")
FAKEPOP = os.path.join(BUILD, "tests", "fakepop", "fakepop")
USER, PASSWORD = "jane", "secret"
# Who runs all this; procmail and others look up that user, and for one that is not they look everywhere.
LOGIN = pwd.getpwuid(os.geteuid()).pw_name
START_SECONDS = 20
RUN_SECONDS = 900

# On a disk and not in memory, with a short name (sockets), passable for the users that Dovecot runs as.
ROOT = tempfile.mkdtemp(prefix="pophaul-bench-", dir=os.environ.get("BENCH_DIR", "/var/tmp"))
os.chmod(ROOT, 0o711)

processes = []
counter = 0


def fail(*words):
    sys.exit("bench: " + " ".join(str(word) for word in words))


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def build_tools():
    """The programs of this folder that are in C, where they are older than their sources."""
    here = os.path.dirname(os.path.abspath(__file__))
    os.makedirs(TOOLS, exist_ok=True)
    for name, flags in (("meter", ()), ("delay", ()), ("probe", ("-lgnutls",)),
                        ("slow_sync.so", ("-shared", "-fPIC", "-ldl"))):
        source, program = os.path.join(here, name.split(".")[0] + ".c"), os.path.join(TOOLS, name)
        if os.path.exists(program) and os.path.getmtime(program) > os.path.getmtime(source):
            continue
        subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra",
                        "-o", program, source, *flags], check=True)


def start(argv, **options):
    """A server; it is ended when the driver ends."""
    log = open(os.path.join(ROOT, "servers.log"), "ab")
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                               preexec_fn=die_with_parent, **options)
    log.close()
    processes.append(process)
    return process


def stop(process):
    process.terminate()
    process.wait(timeout=START_SECONDS)
    processes.remove(process)


@atexit.register
def clean_up():
    for process in list(processes):
        stop(process)
    shutil.rmtree(ROOT, ignore_errors=True)


def fresh(name):
    """A new folder each time: creating files is slow for seconds where many were deleted."""
    global counter
    counter += 1
    path = os.path.join(ROOT, "%04d-%s" % (counter, name))
    os.mkdir(path, 0o711)
    return path


def wait_for(condition, what):
    limit = time.monotonic() + START_SECONDS
    while not condition():
        if time.monotonic() > limit:
            with open(os.path.join(ROOT, "servers.log"), errors="replace") as log:
                fail(what, "did not come in time:\n" + log.read()[-2000:])
        time.sleep(0.02)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def answers(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as s:
            return s.recv(3) == b"+OK"
    except OSError:
        return False


class Certificates:
    def __init__(self):
        self.folder = fresh("certificates")
        os.chmod(self.folder, 0o755)
        self.ca, self.cert, self.key = (self.path(n) for n in ("ca.pem", "server.pem", "server.key"))
        self.write("ca.template", "cn = \"pophaul bench CA\"\nca\ncert_signing_key\nexpiration_days = 30\n")
        self.write("server.template", "cn = \"localhost\"\ndns_name = \"localhost\"\nip_address = \"127.0.0.1\"\n"
                   "tls_www_server\nsigning_key\nexpiration_days = 30\n")
        self.certtool("--generate-privkey", "--key-type", "ecdsa", "--curve", "secp256r1", "--outfile", "ca.key")
        self.certtool("--generate-self-signed", "--load-privkey", "ca.key", "--template", "ca.template",
                      "--outfile", "ca.pem")
        self.certtool("--generate-privkey", "--key-type", "ecdsa", "--curve", "secp256r1", "--outfile", "server.key")
        self.certtool("--generate-certificate", "--load-privkey", "server.key", "--load-ca-certificate", "ca.pem",
                      "--load-ca-privkey", "ca.key", "--template", "server.template", "--outfile", "server.pem")
        os.chmod(self.ca, 0o644)
        os.chmod(self.cert, 0o644)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)

    def certtool(self, *arguments):
        done = subprocess.run(["certtool", *arguments], cwd=self.folder, capture_output=True, text=True)
        if done.returncode != 0:
            fail("certtool:", done.stderr)


class Mail:
    """A seeded source of messages: sizes are log-normal, kinds come in turn."""

    def __init__(self, seed, median=4096, sigma=1.32, kinds=("text", "dots", "base64", "8-bit"), largest=50 << 20):
        self.random = random.Random(seed)
        self.median, self.sigma, self.kinds, self.largest = median, sigma, kinds, largest

    def size(self):
        return max(64, min(int(self.median * self.random.lognormvariate(0, self.sigma)), self.largest))

    def lines(self, kind, size):
        words = b"lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor".split()
        while size > 0:
            if kind == "base64":
                line = b"".join(self.random.choices(
                    [b"TG9y", b"ZW0g", b"aXBz", b"dW0g", b"ZG9s", b"b3Ig", b"c2l0", b"IGFt"], k=19))
            elif kind == "short":
                line = b"ab"
            else:
                line = b" ".join(self.random.choices(words, k=self.random.randint(4, 14)))
            if kind == "dots" and self.random.random() < 0.1:
                line = b"." + line
            if kind == "8-bit":
                line = line.replace(b"o", b"\xc3\xb6")
            yield line
            size -= len(line) + 2

    def message(self, number):
        kind = self.kinds[number % len(self.kinds)]
        encoding = {"base64": "base64", "8-bit": "8bit"}.get(kind, "7bit")
        head = ("From: sender%d@example.org\nTo: jane@example.org\nSubject: message %d\n"
                "Message-ID: <%d@bench.example.org>\nDate: Sat, 28 Nov 2026 10:00:00 +0000\nMIME-Version: 1.0\n"
                "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: %s\n\n"
                % (number % 97, number, number, encoding)).encode()
        return head + b"\n".join(self.lines(kind, self.size() - len(head))) + b"\n"

    def fill(self, maildir, count, owner):
        """New files in a Maildir's new/; the octets as POP3 counts them."""
        total = 0
        for sub in ("cur", "new", "tmp"):
            os.makedirs(os.path.join(maildir, sub), exist_ok=True)
        for number in range(count):
            text = self.message(number)
            total += len(text) + text.count(b"\n")
            with open(os.path.join(maildir, "new", "17000%05d.M%07dP1.bench" % (number // 100, number)), "wb") as file:
                file.write(text)
        own(maildir, owner)
        return total


def own(path, owner):
    if os.geteuid() != 0:
        return
    for folder, _, names in os.walk(path):
        os.chown(folder, *owner)
        for name in names:
            os.chown(os.path.join(folder, name), *owner)


def ids_of_dovecot_user():
    """Dovecot serves no mail of root's."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


class Dovecot:
    """Real and unprivileged; as many users as wanted, all with one password."""

    def __init__(self, certificates):
        self.certificates = certificates
        self.owner = ids_of_dovecot_user()
        self.folder = fresh("dovecot")
        os.chmod(self.folder, 0o711)
        self.mail = os.path.join(self.folder, "mail")
        os.mkdir(self.mail, 0o755)
        for _ in range(5):
            self.port, self.tls_port = free_port(), free_port()
            self.configure()
            self.process = start([self.program(), "-F", "-c", os.path.join(self.folder, "conf")])
            wait_for(lambda: answers(self.port) or self.process.poll() is not None, "Dovecot")
            if self.process.poll() is None:
                return
            processes.remove(self.process)
        fail("Dovecot does not start")

    @staticmethod
    def program():
        return shutil.which("dovecot") or "/usr/sbin/dovecot"

    def configure(self):
        import grp
        user = pwd.getpwuid(self.owner[0]).pw_name
        group = grp.getgrgid(self.owner[1]).gr_name
        with open(os.path.join(self.folder, "conf"), "w") as file:
            file.write("""
base_dir = {f}/run
state_dir = {f}/state
log_path = {f}/log
protocols = pop3
listen = 127.0.0.1
default_internal_user = {u}
default_internal_group = {g}
default_login_user = {u}
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:~/Maildir
mail_max_userip_connections = 10000
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
ssl = yes
ssl_cert = <{c.cert}
ssl_key = <{c.key}
ssl_min_protocol = TLSv1.2
default_client_limit = 5000
default_vsz_limit = 1G
passdb {{
  driver = static
  args = password={w}
}}
userdb {{
  driver = static
  args = uid={u} gid={g} home={f}/mail/%u
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
# A process serves many sessions: else its start is most of what a short session takes.
service pop3 {{
  process_limit = 3000
  service_count = 1000
}}
service pop3-login {{
  chroot =
  service_count = 0
  client_limit = 3000
  process_min_avail = 1
  inet_listener pop3 {{
    port = {p}
  }}
  inet_listener pop3s {{
    port = {s}
    ssl = yes
  }}
}}
""".format(f=self.folder, u=user, g=group, c=self.certificates, p=self.port, s=self.tls_port,
           w=PASSWORD))

    def add(self, user, mail, count):
        """A user with so many messages; the octets of all."""
        home = os.path.join(self.mail, user)
        total = mail.fill(os.path.join(home, "Maildir"), count, self.owner)
        own(home, self.owner)
        self.warm(user)
        return total

    def warm(self, user):
        """A first login makes indexes and sizes: later ones are what is to be measured."""
        with socket.create_connection(("127.0.0.1", self.port)) as s, s.makefile("rb") as replies:
            for line in (None, "USER " + user, "PASS " + PASSWORD, "LIST", "UIDL"):
                if line is not None:
                    s.sendall(line.encode() + b"\r\n")
                if not replies.readline().startswith(b"+OK"):
                    fail("Dovecot refuses", line)
                if line in ("LIST", "UIDL"):
                    while replies.readline() != b".\r\n":
                        pass
            s.sendall(b"QUIT\r\n")
            replies.readline()


class Fakepop:
    """The bundled server, through TLS: as correct, and faster. Also scripted."""

    def __init__(self, certificates, *arguments, tls=True):
        folder = fresh("fakepop")
        ready = os.path.join(folder, "ready")
        argv = [FAKEPOP, "--user", USER, "--password", PASSWORD, "--ready", ready, "--max-seconds", "3600", *arguments]
        if tls:
            argv += ["--tls", certificates.cert, certificates.key]
        self.process = start(argv)
        wait_for(lambda: os.path.exists(ready) and os.path.getsize(ready) > 0, "fakepop")
        with open(ready) as file:
            self.port = int(file.read())

    def stop(self):
        stop(self.process)


class Delay:
    """A round trip of so many milliseconds in front of a port; counts them."""

    def __init__(self, port, round_trip):
        folder = fresh("delay")
        self.stats = os.path.join(folder, "stats")
        ready = os.path.join(folder, "ready")
        self.process = start([os.path.join(TOOLS, "delay"), str(port), str(round_trip / 2), ready, self.stats])
        wait_for(lambda: os.path.exists(ready) and os.path.getsize(ready) > 0, "delay")
        with open(ready) as file:
            self.port = int(file.read())
        self.seen = 0

    def stop(self):
        stop(self.process)

    def take(self):
        """The connections that ended since the last time: a list of round trips, TCP's own with them."""
        turns = []

        def all_have_ended():
            with open(self.stats) as file:
                lines = file.read().splitlines()
            turns[:] = [int(line.split()[1]) + 1 for line in lines if line.startswith("turns ")]
            return len(turns) == lines.count("open")

        wait_for(all_have_ended, "the end of the delayed connections")
        seen, self.seen = self.seen, len(turns)
        return turns[seen:]


class Figures(dict):
    """What one run took: wall, user, sys (seconds), peak (KiB), status, syncs."""

    @property
    def cpu(self):
        return self["user"] + self["sys"]


def measure(argv, env=None, sync_us=0, cwd=None, output=None):
    """Run a command once and tell what it took. Its words go to `output`, or to a file."""
    folder = fresh("run")
    figures, counter_file = os.path.join(folder, "figures"), os.path.join(folder, "syncs")
    with open(counter_file, "wb") as file:
        file.write(bytes(8))
    os.chmod(counter_file, 0o666)
    environment = {"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "LANG": "C.UTF-8", "HOME": folder,
                   "USER": LOGIN, "LOGNAME": LOGIN, "LD_PRELOAD": os.path.join(TOOLS, "slow_sync.so"),
                   "BENCH_SYNC_FILE": counter_file, "BENCH_SYNC_US": str(sync_us)}
    environment.update(env or {})
    path = output or os.path.join(folder, "output")
    with open(path, "wb") as out:
        # The meter itself must not be counted nor slowed: env(1) sets the library behind it.
        preload = ["env", "LD_PRELOAD=" + environment.pop("LD_PRELOAD")]
        done = subprocess.run([os.path.join(TOOLS, "meter"), figures, *preload, *argv], env=environment,
                              cwd=cwd or folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                              timeout=RUN_SECONDS)
    if done.returncode != 0:
        fail("meter:", open(path, errors="replace").read()[-2000:])
    result = Figures()
    with open(figures) as file:
        for line in file:
            name, value = line.split()
            result[name] = int(value) / 1e6 if name in ("wall", "user", "sys") else int(value)
    with open(counter_file, "rb") as file:
        result["syncs"] = struct.unpack("Q", file.read(8))[0]
    result["output"] = path
    return result

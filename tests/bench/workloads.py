"""The workloads, each a function that measures and yields rows. A row is one program's runs of one
workload: its label, the program, the figures of each run, the octets of mail, and what must hold."""

import os
import statistics
import subprocess
import sys
import time

import ground
import peers
from ground import Dovecot, Delay, Fakepop, Mail, PASSWORD, measure
from peers import Account, Fdm, Fetchmail, Getmail, Mpop, MpopLockStep, Pophaul, Probe, ProcmailAlone


class Row:
    def __init__(self, workload, program, octets=0, messages=0):
        self.workload, self.program, self.octets, self.messages = workload, program, octets, messages
        self.runs, self.failed = [], False
        self.turns = []  # round trips of each run, where they were counted

    def take(self, place, delay=None, **options):
        """A run more. Another program that fails is told of and left out; ours ends the bench."""
        try:
            self.runs.append(place.run(**options))
        except peers.Failed as failure:
            if isinstance(place, Pophaul):
                ground.fail(failure)
            print("bench: left out: %s" % failure, file=sys.stderr)
            self.failed, self.runs, self.turns = True, [], []
        if delay is not None:
            trips = sum(delay.take())
            self.turns += [] if self.failed else [trips]

    def median(self, name):
        values = [run.cpu if name == "cpu" else run[name] for run in self.runs if name == "cpu" or name in run]
        return statistics.median(values) if values else None

    @property
    def round_trips(self):
        return statistics.median(self.turns) if self.turns else None


class Mark:
    """A promise: a figure of a row, perhaps as a part of another row's, and its bound."""

    def __init__(self, text, value, bound, at_least=False):
        self.text, self.value, self.bound, self.at_least = text, value, bound, at_least

    @property
    def holds(self):
        return self.value >= self.bound if self.at_least else self.value <= self.bound


class World:
    """What workloads share: servers, and how large everything is."""

    def __init__(self, certificates, rounds, scale):
        self.certificates, self.rounds, self.scale = certificates, rounds, scale
        self._dovecot = None
        self.boxes = {}

    @property
    def dovecot(self):
        if self._dovecot is None:
            self._dovecot = Dovecot(self.certificates)
        return self._dovecot

    def scaled(self, count):
        return max(2, int(count * self.scale))

    def box(self, name, count, **how):
        """A user of Dovecot with so many messages, made once; their octets."""
        if name not in self.boxes:
            self.boxes[name] = self.dovecot.add(name, Mail(name, **how), count)
        return self.boxes[name]

    def compare(self, workload, programs, account, octets, delay=None, **options):
        """Run programs in turn, A B A B; slow ones once. Each run is into a fresh place."""
        rows = [Row(workload, program.name, octets, account.count) for program in programs if program.is_installed()]
        programs = [program for program in programs if program.is_installed()]
        for number in range(self.rounds):
            for row, program in zip(rows, programs):
                if row.failed or (program.is_slow and number > 0):
                    continue
                place = program(account)
                os.sync()
                row.take(place, delay, **options)
        return [row for row in rows if row.runs]


def find(rows, program, workload=None):
    return next((row for row in rows if row.program == program and workload in (None, row.workload)), None)


def ratio(rows, a, b, name="wall"):
    """The median of A's figures as a part of B's; None where one is missing."""
    first, second = find(rows, a), find(rows, b)
    if first is None or second is None or not second.median(name):
        return None
    return first.median(name) / second.median(name)


def marks_of(rows, *wanted):
    """(text, program A, program B, figure, bound) → marks, where both programs were there."""
    marks = []
    for text, a, b, name, bound in wanted:
        value = ratio(rows, a, b, name)
        if value is not None:
            marks.append(Mark(text, value, bound))
    return marks


# ---- one mailbox ----

def maildir(world):
    count = world.scaled(10000)
    octets = world.box("many", count)
    account = Account(world.dovecot.tls_port, world.certificates, user="many", count=count)
    rows = world.compare("maildir", peers.PEERS, account, octets)
    return rows, marks_of(rows, ("wall / mpop", "pophaul", "mpop", "wall", 0.35),
                          ("CPU / mpop", "pophaul", "mpop", "cpu", 0.5),
                          ("wall / fetchmail", "pophaul", "fetchmail", "wall", 0.04),
                          ("wall / probe", "pophaul", "probe", "wall", 1.8))


def mbox(world):
    count = world.scaled(10000)
    octets = world.box("many", count)
    account = Account(world.dovecot.tls_port, world.certificates, "mbox", "many", count)
    rows = world.compare("mbox", (Pophaul, Mpop), account, octets)
    return rows, marks_of(rows, ("wall / mpop", "pophaul", "mpop", "wall", 0.35))


def procmail(world):
    count = world.scaled(2000)
    octets = world.box("some", count)
    account = Account(world.dovecot.tls_port, world.certificates, "pipe", "some", count, world.dovecot.mail)
    rows = world.compare("procmail", (Pophaul, Mpop, Getmail, Fetchmail, ProcmailAlone), account, octets)
    return rows, marks_of(rows, ("wall / fetchmail", "pophaul", "fetchmail", "wall", 0.5))


def latency(world):
    count = world.scaled(1000)
    octets = world.box("thousand", count)
    delay = Delay(world.dovecot.tls_port, 40)
    account = Account(delay.port, world.certificates, user="thousand", count=count)
    rows = world.compare("40 ms", peers.PEERS, account, octets, delay)
    delay.stop()
    return rows, marks_of(rows, ("wall / mpop", "pophaul", "mpop", "wall", 0.45))


def lock_step(world):
    """A server that lists no PIPELINING: a round trip a message, none more."""
    count = world.scaled(200)
    fakepop = Fakepop(world.certificates, "--synthetic", str(count), "4000", "--no-pipelining")
    delay = Delay(fakepop.port, 40)
    account = Account(delay.port, world.certificates, count=count)
    rows = world.compare("40 ms, no pipelining", (Pophaul, MpopLockStep), account, count * 4000, delay)
    delay.stop()
    fakepop.stop()
    # Beside the messages: connection, TLS twice, CAPA, login, CAPA, UIDL, LIST, STAT, QUIT.
    return rows, [Mark("round trips beside the messages", find(rows, "pophaul").round_trips - count, 10)]


def flush(world):
    count = world.scaled(2000)
    octets = world.box("some", count)
    account = Account(world.dovecot.tls_port, world.certificates, user="some", count=count)
    rows = world.compare("flush takes 5 ms", (Pophaul, Mpop), account, octets, sync_us=5000)
    return rows, marks_of(rows, ("wall / mpop", "pophaul", "mpop", "wall", 0.05)) + [
        Mark("flushes", find(rows, "pophaul").median("syncs"), 60)]


def kinds(world):
    """What each kind of mail costs by the megabyte and by the message."""
    rows = []
    for kind, count, median in (("short", 1000, 100000), ("text", 20000, 300), ("base64", 100, 1 << 20)):
        count = world.scaled(count)
        label = {"short": "lines of two octets", "text": "tiny messages", "base64": "long base64"}[kind]
        user = "kind-" + kind
        octets = world.box(user, count, median=median, sigma=0.1, kinds=(kind,))
        account = Account(world.dovecot.tls_port, world.certificates, user=user, count=count)
        rows += world.compare(label, (Pophaul, Probe, Mpop), account, octets)
    return rows, []


def growth(world):
    """CPU a message must not grow with the mailbox."""
    rows, per_message = [], []
    for count in (1000, 3000, 10000, 30000):
        count = world.scaled(count)
        fakepop = Fakepop(world.certificates, "--synthetic", str(count), "4000")
        account = Account(fakepop.port, world.certificates, count=count)
        row, = world.compare("%d messages" % count, (Pophaul,), account, count * 4000)
        fakepop.stop()
        rows.append(row)
        per_message.append(row.median("cpu") / count)
    return rows, [Mark("CPU a message, 30,000 / 3,000", per_message[3] / per_message[1], 1.25)]


# ---- nothing new ----

def prime(place):
    """A first run, that is not measured; the state of it is the workload's ground. False: it failed."""
    row = Row("", place.name)
    row.take(place)
    return not row.failed


def repeat(world, workload, places, delay=None):
    """Runs that find nothing new, in turn."""
    rows = [Row(workload, place.name) for place in places]
    for _ in range(world.rounds):
        for row, place in zip(rows, places):
            if not row.failed:
                row.take(place, delay)
    return [row for row in rows if row.runs]


def idle(world):
    count = 10
    world.box("ten", count)
    near = Account(world.dovecot.tls_port, world.certificates, user="ten", count=count)
    delay = Delay(world.dovecot.tls_port, 200)
    places = []
    for program in (Pophaul, Mpop, Getmail, Fdm, Fetchmail):
        if program.is_installed():
            place = program(near)
            if not prime(place):
                continue
            place.account = Account(delay.port, world.certificates, user="ten", count=count)
            if program is Getmail:
                carry_getmail_state(place, near.port, delay.port)
            place.configure_again()
            places.append(place)
    rows = repeat(world, "idle poll, 200 ms", places, delay)
    delay.stop()
    # QUIT travels too, but nobody waits for it: what counts is the time.
    return rows, [Mark("round trips waited for", int(find(rows, "pophaul").median("wall") / 0.2), 6)]


def carry_getmail_state(place, old, new):
    folder = os.path.join(place.home, "getmail")
    for name in os.listdir(folder):
        if name.startswith("oldmail-") and "-%d-" % old in name:
            os.rename(os.path.join(folder, name), os.path.join(folder, name.replace("-%d-" % old, "-%d-" % new)))


def known(world):
    """A maildrop of which all is known: what reading the state and the listing takes."""
    rows, curve = [], []
    for count in (1000, 10000, 100000, 1000000):
        count = world.scaled(count)
        programs = (Pophaul, Mpop) if count >= world.scaled(100000) else (Pophaul,)
        fakepop = Fakepop(world.certificates, "--synthetic", str(count), "100")
        account = Account(fakepop.port, world.certificates, count=0)
        places = [known_place(program, account, count) for program in programs if program.is_installed()]
        found = repeat(world, "%d known" % count, places)
        fakepop.stop()
        rows += found
        curve.append((count, found[0].median("wall")))
    hundred, million = "%d known" % world.scaled(100000), "%d known" % world.scaled(1000000)
    at_100k = [row for row in rows if row.workload == hundred]
    own = find(rows, "pophaul", million)
    marks = marks_of(at_100k, ("100,000: wall / mpop", "pophaul", "mpop", "wall", 1.0))
    marks += [Mark("1,000,000: seconds", own.median("wall"), 2.5),
              Mark("1,000,000: MB of the biggest process", own.median("peak") / 1024, 128),
              Mark("seconds an id, 10^6 / 10^5", (curve[3][1] / curve[3][0]) / (curve[2][1] / curve[2][0]), 1.3)]
    return rows, marks, ("known", curve)


def known_place(program, account, count):
    """A state of so many ids as the program itself would have written it, without fetching them."""
    place = program(account)
    ids = ["uid-%d" % number for number in range(1, count + 1)]
    if program is Mpop:
        place.write("uidls", " %d localhost %s\n" % (count, account.user) +
                    "".join("%s\n" % uid for uid in sorted(ids)))
        return place
    state = os.path.join(place.home, "state")
    os.mkdir(state, 0o700)
    with open(os.path.join(state, "box.uidl"), "w") as file:
        file.write("pophaul-uidl 1\ndest maildir:%s\n" % place.maildir)
        now = int(time.time())
        file.writelines("got %d 100 %032x %s\n" % (now, number, uid) for number, uid in enumerate(ids))
    subprocess.run([os.path.join(os.path.dirname(ground.__file__), "..", "state-sum"),
                    os.path.join(state, "box.uidl")], check=True)
    return place


# ---- many accounts ----

class ManyPophaul(Pophaul):
    """All accounts in one configuration."""

    jobs = 50
    count_accounts = 200

    def configure(self):
        accounts = "".join("""
account "u{n}" {{
	user = "u{n}"
	password = "{password}"
	deliver = "maildir:{home}/mail/u{n}"
}}
""".format(n=n, password=PASSWORD, home=self.home) for n in range(self.count_accounts))
        self.write("conf", """
jobs = {jobs}
per-host = {jobs}
state-dir = "{home}/state"
defaults {{
	host = "localhost"
	port = {a.port}
	tls-trust-file = "{a.certificates.ca}"
}}
""".format(home=self.home, a=self.account, jobs=self.jobs) + accounts)
        os.makedirs(os.path.join(self.home, "mail"), exist_ok=True)

    def delivered(self):
        root = os.path.join(self.home, "mail")
        return sum(peers.count_maildir(os.path.join(root, name)) for name in os.listdir(root))


class ManyMpop(Mpop):
    """A process an account, so many at once."""

    at_once = 50
    count_accounts = 200
    name = "xargs -P50 mpop"

    @classmethod
    def is_installed(cls):
        return Mpop.is_installed()

    def configure(self):
        for n in range(self.count_accounts):
            path = os.path.join(self.home, "mail", "u%d" % n)
            for sub in ("cur", "new", "tmp"):
                os.makedirs(os.path.join(path, sub), exist_ok=True)
            self.write_account("u%d.conf" % n, "u%d" % n, "maildir " + path, "u%d.uidls" % n)

    def command(self):
        return ["sh", "-c", "seq 0 %d | xargs -P%d -I{} mpop -q -C %s/u{}.conf"
                % (self.count_accounts - 1, self.at_once, self.home)]

    delivered = ManyPophaul.delivered


class ManyMpopInTurn(ManyMpop):
    name = "mpop, one by one"
    at_once = 1
    is_slow = True


def accounts(world):
    count, each = world.scaled(200), 10
    octets = 0
    for n in range(count):
        octets += world.box("u%d" % n, each)
    for program in (ManyPophaul, ManyMpop):
        program.count_accounts = count
    delay = Delay(world.dovecot.tls_port, 40)
    account = Account(delay.port, world.certificates, count=count * each)
    programs = [program for program in (ManyPophaul, ManyMpop, ManyMpopInTurn) if program.is_installed()]
    rows = world.compare("%d accounts, 40 ms" % count, programs, account, octets)
    places = [program(account) for program in programs if not program.is_slow]
    places = [place for place in places if prime(place)]
    delay.take()
    again = repeat(world, "%d accounts, nothing new" % count, places)
    delay.stop()
    marks = marks_of(rows, ("wall / xargs -P50 mpop", "pophaul", "xargs -P50 mpop", "wall", 0.5),
                     ("wall / mpop one by one", "pophaul", "mpop, one by one", "wall", 0.03))
    return rows + again, marks + marks_of(again, ("nothing new: wall / xargs -P50 mpop", "pophaul",
                                                  "xargs -P50 mpop", "wall", 0.5))


def open_at_once(world):
    """A thousand accounts whose servers say nothing behind the login: what their processes hold."""
    rows, marks, costs = [], [], []
    for count in (250, 500, 1000):
        count = world.scaled(count)
        gate = os.path.join(ground.fresh("gate"), "open")
        fakepop = Fakepop(world.certificates, "-e", "any-user", "-e", "messages 1",
                          "-e", "on UIDL await %s; normal" % gate)
        ManyPophaul.count_accounts, ManyPophaul.jobs = count, 1000
        place = ManyPophaul(Account(fakepop.port, world.certificates, count=count))
        memory, poller_cpu = hold_open(place, count, gate)
        fakepop.stop()
        ManyPophaul.jobs = 50
        costs.append((count, poller_cpu))
        marks.append(Mark("%d open: private MB an account" % count, memory / count / 1024, 2.0))
    marks.append(Mark("poller's CPU an account, 1000 / 250",
                      (costs[2][1] / costs[2][0]) / max(costs[0][1] / costs[0][0], 1e-6), 1.5))
    return rows, marks


def hold_open(place, count, gate):
    """Start a run, wait until all accounts hang at the gate, look, open it. Private KiB of all
    processes but the poller; the poller's own seconds until then."""
    process = subprocess.Popen(place.command(), env={"HOME": place.home, "PATH": os.environ["PATH"]},
                               stdin=subprocess.DEVNULL, preexec_fn=ground.die_with_parent)
    try:
        limit = time.monotonic() + 300
        while len(descendants(process.pid)) < 2 * count or not all_sleep(process.pid, count):
            if process.poll() is not None or time.monotonic() > limit:
                ground.fail("the accounts did not all open:", len(descendants(process.pid)), "processes")
            time.sleep(0.2)
        cpu = cpu_of(process.pid)
        memory = sum(private_kib(pid) for pid in descendants(process.pid))
    finally:
        open(gate, "w").close()
    if process.wait(timeout=300) != 0 or place.delivered() != count:
        ground.fail("the accounts did not all end well")
    return memory, cpu


def descendants(root):
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name) as file:
                    children.setdefault(int(file.read().rsplit(")", 1)[1].split()[1]), []).append(int(name))
            except OSError:
                pass
    found, look = [], [root]
    while look:
        below = children.get(look.pop(), [])
        found += below
        look += below
    return found


def all_sleep(root, count):
    """Every fetcher waits behind its login: the whole of them has used no processor for a while."""
    before = sum(cpu_of(pid) for pid in descendants(root))
    time.sleep(1)
    return sum(cpu_of(pid) for pid in descendants(root)) - before < 0.02


def cpu_of(pid):
    try:
        with open("/proc/%d/stat" % pid) as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0


def private_kib(pid):
    try:
        with open("/proc/%d/smaps_rollup" % pid) as file:
            return sum(int(line.split()[1]) for line in file if line.startswith(("Private_Clean:", "Private_Dirty:")))
    except OSError:
        return 0


# ---- big and small ----

class BigMail(Mail):
    """A message of so many octets on the wire; one part of it over and over."""

    part_octets = 1 << 20

    def lines(self, kind, size):
        part = list(super().lines(kind, min(size, self.part_octets)))
        octets = sum(len(line) + 2 for line in part)
        for _ in range(size // octets):
            yield from part
        yield from super().lines(kind, size % octets)


def big(world):
    octets = int((1 << 30) * world.scale)
    mail = BigMail("big", median=octets, sigma=0, kinds=("base64",), largest=octets)
    octets = world.dovecot.add("big", mail, 1)
    account = Account(world.dovecot.tls_port, world.certificates, user="big", count=1)
    rows = world.compare("one message of 1 GiB", (Pophaul, Probe, Mpop), account, octets)
    return rows, [Mark("rate / probe's", 1 / ratio(rows, "pophaul", "probe"), 0.8, at_least=True),
                  Mark("MB of the biggest process", find(rows, "pophaul").median("peak") / 1024, 12)]


def stream(world):
    """The same from a server that leaves more of the processors to the programs."""
    octets = int((1 << 30) * world.scale)
    fakepop = Fakepop(world.certificates, "--synthetic", "1", str(octets))
    account = Account(fakepop.port, world.certificates, count=1)
    rows = world.compare("1 GiB from fakepop", (Pophaul, Probe, Mpop), account, octets)
    fakepop.stop()
    return rows, []


def starting(world):
    count = world.scaled(1000)
    ManyPophaul.count_accounts = count
    place = ManyPophaul(Account(1, world.certificates, count=count))
    rows = [Row("start", "pophaul --version"), Row("start", "pophaul -t, %d accounts" % count)]
    for _ in range(max(world.rounds, 5)):
        rows[0].runs.append(measure([ground.POPHAUL, "--version"]))
        rows[1].runs.append(measure([*place.command(), "-t"], env={"HOME": place.home}))
    return rows, [Mark("--version: ms", rows[0].median("wall") * 1000, 5),
                  Mark("-t on 1,000 accounts: ms", rows[1].median("wall") * 1000, 100)]


# In the order of the table; what is quick stands first.
WORKLOADS = {"start": starting, "idle": idle, "maildir": maildir, "mbox": mbox, "procmail": procmail,
             "latency": latency, "lock-step": lock_step, "flush": flush, "accounts": accounts, "known": known,
             "big": big, "stream": stream, "kinds": kinds, "growth": growth, "open": open_at_once}

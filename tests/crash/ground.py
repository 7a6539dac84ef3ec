"""The ground of the tests that disturb a session: what is set up, disturbed, run again and compared.

	ground = Ground(folder, build, "maildir")       messages, an earlier session's state; once
	trial = ground.trial()                          the same beginning again, with a server of its own
	run = trial.run("deliverer", "fsync:signal=KILL:when=3")
	...                                             run.status, run.stderr, run.hit, run.log, run.leftover
	problems = trial.early_problems()               is all that the server has lost here?
	run = trial.run()                               undisturbed, to the end
	problems += trial.problems(run)                 empty: as if nothing had happened
	trial.close()

Ground(folder, build, dest, keep, is_hasty): `folder` is made and is the caller's to remove; `build` is
where make builds; `dest` is maildir, mbox or pipe; `keep` is never, or 30d; a hasty server deletes at
DELE already, without waiting for QUIT.

There are 60 messages: 8 were delivered 40 days ago, 4 just now, 46 are new, 2 too large to
be fetched. With keep = never all but these 2 are deleted, with 30d only the 8. Two of the
new ones have the same UID, one of the new ones that of a message of the earlier session. They are tiny and
large, with From_ lines, dots, octets beyond ASCII and without a line end at the end. The server
pauses three times in the first session of a trial, so that the groups that are committed have about 5,
12, 3 and 26 messages; a command gets one at a time anyway.

trial.run(kind, inject, trace, after): the program, ended after LIMIT seconds in any case. `kind` names
the one process that strace is put on, from its first instruction (of the poller: from its exec) and
without its children: "poller", "deliverer" or "fetcher". `inject` is what strace's --inject takes,
`trace` what its --trace takes (the calls that are injected, or EFFECTS): run.log has them. `after`
"stop" expects an injection of signal=STOP: once it has stopped the process all processes are killed.
	run.status      of the poller; minus the signal that ended it; None: it was ended for its time
	run.stderr      of all processes; and stdout, which should be empty
	run.hit         whether the injection came to pass
	run.leftover    what was still running LINGER seconds after the poller's end, and was killed

A process that strace should get from its birth on is held there: the parent of all is seized with
ptrace(2) until the right fork, the child is stopped and let go, strace takes it over, and only
then it goes on. strace is an ancestor of what it traces, as Yama asks for.
"""
import ctypes
import fcntl
import hashlib
import json
import mailbox
import os
import pwd
import re
import shutil
import signal
import subprocess
import time
import zlib

LIMIT = 60
LINGER = 15

# The calls that have an effect beyond the process.
EFFECTS = (
    "write,writev,pwrite64,pwritev,sendto,sendmsg,sendfile,copy_file_range,splice,"
    "openat,open,creat,close,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,"
    "mkdir,mkdirat,rmdir,ftruncate,truncate,fallocate,fsync,fdatasync,syncfs,"
    "fcntl,flock,fchmod,fchmodat,utimensat,memfd_create,dup2,dup3,socketpair,socket,connect,shutdown,"
    "pipe2,clone,clone3,fork,vfork,execve,kill,wait4,waitid,exit_group"
)

COMMAND = """#!/bin/sh
# Delivers by one rename; a message that was cut, or a name that is taken, is not delivered.
cat > "$1/tmp/$$" && ln "$1/tmp/$$" "$1/new/$$" && exec rm "$1/tmp/$$"
exit 75
"""

OLD, SEEN, COUNT = 8, 12, 60
TOO_LARGE = (59, 60)
TWINS = ((20, 40), (10, 50))
PAUSES = (18, 30, 33)
PAUSE_MS = 90


def message(number):
    """The octets of message `number`, as the server has it."""
    head = (
        "Return-Path: <sender%d@example.net>\nFrom: Sender <sender%d@example.net>\n"
        "To: jane@example.org\nSubject: message %d\nMessage-ID: <%d@example.net>\n\n"
        % (number, number, number, number)
    ).encode()
    if number in TOO_LARGE:
        return head + b"much too large\n" * 20000
    line = b"%d: the quick brown fox jumps over the lazy dog\n" % number
    bodies = (
        b"",
        b"x",
        line * 3,
        b"From the beginning\n>From here\n\nFrom there\n" + line,
        b".\n..\n. dots\n.." + line,
        line + b"no line end",
        b"\xff\x00\xe9\r octets\n" * 50,
        line * 200,
        b"\n\n\n",
        line * 1500 if number % 20 == 9 else line * 40,
    )
    return head + bodies[number % len(bodies)]


def uid(number):
    for first, second in TWINS:
        if number == second:
            return uid(first)
    return "u%02d" % number


def digest(text):
    return hashlib.sha256(text).hexdigest()


def as_delivered(text):
    return text if text.endswith(b"\n") else text + b"\n"


class Run:
    def __init__(self, status, stderr, hit, log, leftover):
        self.status, self.stderr, self.hit = status, stderr, hit
        self.log, self.leftover = log, leftover


class Ground:
    def __init__(self, folder, build, dest, keep="never", is_hasty=False):
        self.folder, self.build = os.path.abspath(folder), os.path.abspath(build)
        self.dest, self.keep, self.is_hasty = dest, keep, is_hasty
        self.saved, self.live = self.folder + "/saved", self.folder + "/live"
        self.messages = {}
        os.makedirs(self.folder + "/messages")
        for number in range(1, COUNT + 1):
            text = message(number)
            with open("%s/messages/%02d" % (self.folder, number), "wb") as file:
                file.write(text)
            self.messages[digest(as_delivered(text))] = number
        assert len(self.messages) == COUNT
        self._prepare()

    def _prepare(self):
        """Sessions of 40 days ago and of now, undisturbed, which deliver the first 12."""
        os.makedirs(self.live + "/home")
        with open(self.live + "/home/deliver", "w") as file:
            file.write(COMMAND)
        os.chmod(self.live + "/home/deliver", 0o755)
        for count, ago in ((OLD, 40), (SEEN, 0)):
            trial = Trial(self, range(1, count + 1), "forever")
            try:
                run = trial.run(days_ago=ago)
                if run.status != 0 or run.stderr:
                    raise RuntimeError("the earlier session fails: %s %s" % (run.status, run.stderr))
                trial.put_commands_mail_aside()
            finally:
                trial.close()
        os.rename(self.live, self.saved)

    def trial(self):
        shutil.rmtree(self.live, ignore_errors=True)
        shutil.copytree(self.saved, self.live, symlinks=True)
        return Trial(self, range(1, COUNT + 1), self.keep)

    def expected_remaining(self):
        """What the server still has in the end."""
        if self.keep == "never":
            return set(TOO_LARGE)
        return set(range(OLD + 1, COUNT + 1))

    def expected_known(self):
        """The UIDs that the state has in the end, sorted."""
        return sorted(uid(n) for n in self.expected_remaining() - set(TOO_LARGE))


class Trial:
    def __init__(self, ground, numbers, keep):
        self.ground, self.numbers, self.keep = ground, list(numbers), keep
        self.folder = ground.live
        self.home, self.state = self.folder + "/home", self.folder + "/state"
        self.runs, self.server = 0, None
        self.commands_mail = []
        self._start_server()
        self._configure()

    # ---- the server ----

    def _start_server(self):
        lines = []
        for place, number in enumerate(self.numbers, 1):
            lines.append("file %s/messages/%02d" % (self.ground.folder, number))
            lines.append("uidl %d %s" % (place, uid(number)))
        if self.ground.dest != "pipe":
            for place in PAUSES:
                if place <= len(self.numbers):
                    lines.append("session 1 on RETR %d wait %d; normal" % (place, PAUSE_MS))
        if self.ground.is_hasty:
            lines.append("on DELE normal; commit")
        base = self.folder + "/fakepop"
        self.transcript = base + ".transcript"
        for name in (".ready", ".transcript"):
            if os.path.exists(base + name):
                os.unlink(base + name)
        with open(base + ".script", "w") as file:
            file.write("\n".join(lines) + "\n")
        with open(base + ".log", "w") as log:
            self.server = subprocess.Popen(
                [self.ground.build + "/tests/fakepop/fakepop", "--script", base + ".script",
                 "--ready", base + ".ready", "--transcript", self.transcript],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: os.path.exists(base + ".ready") or self.server.poll() is not None,
                 "fakepop to get ready")
        if self.server.poll() is not None:
            with open(base + ".log") as log:
                raise RuntimeError("fakepop has ended: " + log.read())
        with open(base + ".ready") as file:
            self.port = int(file.read())

    def close(self):
        if self.server is not None:
            self.server.terminate()
            self.server.wait()
            self.server = None

    def _events(self):
        try:
            with open(self.transcript, encoding="latin-1") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def _sessions_are_over(self):
        events = self._events()
        begun = sum(bool(re.match(r"\d+\* connect$", e)) for e in events)
        return begun == sum(bool(re.match(r"\d+\* end ", e)) for e in events)

    def remaining(self):
        """The numbers of the messages that the server still has."""
        wait_for(self._sessions_are_over, "the server's sessions to end")
        there, gone = list(self.numbers), {}
        for event in self._events():
            found = re.match(r"(\d+)\* deleted (\d+) ", event)
            if found:
                gone.setdefault(found[1], []).append(there[int(found[2]) - 1])
            elif re.match(r"\d+\* end ", event):
                session = event.split("*")[0]
                there = [n for n in there if n not in gone.get(session, ())]
        return set(there)

    # ---- the program ----

    def _configure(self):
        home, dest = self.home, self.ground.dest
        deliver = {
            "maildir": "maildir:%s/Maildir" % home,
            "mbox": "mbox:%s/mail/mbox" % home,
            "pipe": "pipe:%s/deliver %s/commands" % (home, home),
        }[dest]
        for part in ("new", "tmp"):
            os.makedirs("%s/commands/%s" % (home, part), exist_ok=True)
        self.configuration = self.folder + "/pophaul.conf"
        with open(self.configuration, "w") as file:
            file.write('state-dir = "%s"\naccount "home" {\n\thost = "127.0.0.1"\n\tport = %d\n'
                       '\ttls = "none"\n\tuser = "jane"\n\tpassword = "secret"\n\tkeep = "%s"\n'
                       '\tmax-size = "200K"\n\tdeliver = "%s"\n\trun-as = "%s"\n}\n'
                       % (self.state, self.port, self.keep, deliver,
                          pwd.getpwuid(os.geteuid()).pw_name))
        os.chmod(self.configuration, 0o600)

    def _environment(self, days_ago):
        environment = {
            "HOME": self.home, "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC",
            "ASAN_OPTIONS": ":".join(filter(None, (os.environ.get("ASAN_OPTIONS"), "detect_leaks=0"))),
        }
        if days_ago:
            library = subprocess.run(["faketime", "-f", "+0", "printenv", "LD_PRELOAD"], check=True,
                                     stdout=subprocess.PIPE, text=True).stdout.strip()
            environment.update(LD_PRELOAD=library, FAKETIME="-%dd" % days_ago)
            environment["ASAN_OPTIONS"] += ":verify_asan_link_order=0"
        return environment

    def run(self, kind=None, inject=None, trace=None, after=None, days_ago=0):
        self.runs += 1
        base = "%s/run-%d" % (self.folder, self.runs)
        argv = [self.ground.build + "/pophaul", "-c", self.configuration]
        strace = ["strace", "-qq", "-o", base + ".strace"]
        if kind is not None:
            calls = trace or (inject.split(":")[0] if inject else EFFECTS)
            # Some of the names are no calls of this machine.
            strace += ["-e", "trace=" + ",".join("?" + call for call in calls.split(","))]
            if inject:
                strace += ["-e", "inject=" + inject]
        result = supervise(argv, self._environment(days_ago), base, kind, strace, after)
        with open(base + ".stderr", encoding="utf-8", errors="replace") as file:
            stderr = file.read()
        if result.get("failure"):
            raise RuntimeError("%s (%s)" % (result["failure"], stderr))
        log = strace_log(base) if kind is not None else ""
        hit = "(INJECTED" in log or "killed by SIGKILL" in log or "stopped by SIGSTOP" in log
        return Run(result["status"], stderr, inject is not None and hit, log, result["leftover"])

    # ---- what has arrived ----

    def put_commands_mail_aside(self):
        """The next run's commands may get process ids again, and these are their names."""
        new = self.home + "/commands/new"
        for name in os.listdir(new):
            self.commands_mail.append(read(new + "/" + name))
            os.unlink(new + "/" + name)

    def _texts(self):
        """The texts of all messages delivered by this trial and the sessions before it."""
        if self.ground.dest == "maildir":
            folders = (self.home + "/Maildir/new", self.home + "/Maildir/cur")
            return [read(f + "/" + name) for f in folders for name in os.listdir(f)]
        if self.ground.dest == "mbox":
            return mbox_texts(self.home + "/mail/mbox")
        self.put_commands_mail_aside()
        return self.commands_mail

    def arrived(self):
        """How often each message is there, by number, and the texts that are none."""
        counts, strange = {}, []
        for text in self._texts():
            number = self.ground.messages.get(digest(text))
            if number is None:
                strange.append(text)
            else:
                counts[number] = counts.get(number, 0) + 1
        if self.ground.dest == "pipe":
            # What the sessions before it delivered is not kept.
            counts.update((n, 1) for n in range(1, SEEN + 1) if n not in counts)
        return counts, strange

    # ---- the judgement ----

    def early_problems(self):
        """Right after the disturbance: nothing is lost, and no reader sees half a message."""
        counts, strange = self.arrived()
        found = ["LOST: the server has deleted message %d, and it is not here" % n
                 for n in sorted(set(self.numbers) - self.remaining()) if not counts.get(n)]
        # The end of an mbox may be torn until the next session.
        if strange and self.ground.dest != "mbox":
            found.append("readers see a message that was never sent: %r" % strange[0][:60])
        return found

    def problems(self, run):
        """At the end, after the undisturbed `run`: how it differs from a world without disturbance."""
        found = []
        if run.status != 0 or run.stderr or run.leftover:
            found.append("the last session ends with status %s, leaves %s and says %r"
                         % (run.status, run.leftover, run.stderr))
        found += self._mail_problems() + self._state_problems() + self._stray_problems()
        remaining = self.remaining()
        if remaining != self.ground.expected_remaining():
            found.append("the server still has %s" % sorted(remaining))
        return found

    def _mail_problems(self):
        counts, strange = self.arrived()
        expected = set(self.numbers) - set(TOO_LARGE)
        found = ["LOST: message %d is not here" % n for n in sorted(expected - set(counts))]
        found += ["message %d is here and should not be" % n for n in sorted(set(counts) - expected)]
        found += ["a message that was never sent: %r" % text[:60] for text in strange]
        twice = {n: c for n, c in counts.items() if c > 1}
        allowed = 1 if self.ground.dest == "pipe" else 0
        if len(twice) > allowed or any(c > 2 for c in twice.values()):
            found.append("TWICE: messages came several times: %s" % twice)
        return found

    def _state_problems(self):
        try:
            state = State(self.state + "/home.uidl")
        except (OSError, ValueError) as error:
            return ["the state cannot be read: %s" % error]
        found = []
        if state.tries:
            found.append("the state has open tries: %s" % state.tries)
        if sorted(state.known) != self.ground.expected_known():
            found.append("the state knows %s" % sorted(state.known))
        with open(self.state + "/home.lock") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                found.append("the state is still locked")
        return found

    def _stray_problems(self):
        places = {self.state: {"home.uidl", "home.lock"}}
        if self.ground.dest == "maildir":
            places[self.home + "/Maildir"] = {"cur", "new", "tmp"}
            places[self.home + "/Maildir/tmp"] = set()
        if self.ground.dest == "mbox":
            places[self.home + "/mail"] = {"mbox"}
        found = []
        for place, wanted in places.items():
            names = set(os.listdir(place))
            if names != wanted:
                found.append("%s has %s besides, and lacks %s"
                             % (place, sorted(names - wanted), sorted(wanted - names)))
        return found


class State:
    """The state file as its format says, read without mercy: `known` UIDs and open `tries`."""

    SHAPES = {
        "dest": 1, "try": 4, "got": 4, "off": (2, 3), "gone": (2, 3), "bye": (1, 2), "drop": (1, 2),
        "end": 0, "fact": (2, 3, 4), "sum": 1,
    }

    def __init__(self, path):
        text = read(path)
        if not text.endswith(b"\n"):
            raise ValueError("it ends in the middle of a line")
        lines = text.decode("ascii").split("\n")[:-1]
        if lines[0] != "pophaul-uidl 1":
            raise ValueError("its first line is %r" % lines[0])
        self.known, self.tries, self.facts = [], [], {}
        self._digests = {}
        check_sums(lines)
        for line in lines[1:]:
            words = line.split(" ")
            shape = self.SHAPES.get(words[0])
            if shape is None or len(words) - 1 not in (shape if isinstance(shape, tuple) else (shape,)):
                raise ValueError("it has the line %r" % line)
            getattr(self, "_" + words[0])(*words[1:])

    def _dest(self, text):
        self.dest = text

    def _try(self, token, octets, message_digest, message_uid):
        self.tries.append((message_digest, message_uid))

    def _got(self, when, octets, message_digest, message_uid):
        if (message_digest, message_uid) in self.tries:
            self.tries.remove((message_digest, message_uid))
        self.known.append(message_uid)

    def _off(self, when, message_uid, message_digest=None):
        if message_uid in self.known:
            self.known.remove(message_uid)

    def _gone(self, when, message_uid, message_digest=None):
        self._off(when, message_uid, message_digest)

    def _bye(self, message_uid, message_digest=None):
        if message_uid in self.known:
            self.known.remove(message_uid)

    def _drop(self, message_digest, message_uid=None):
        pass

    def _end(self):
        self.tries.clear()

    def _fact(self, what, *values):
        self.facts[what] = values

    def _sum(self, value):
        pass


def check_sums(lines):
    """A sum behind each commit, the last one behind all; each goes on from the one before."""
    crc, summed = 0, False
    for line in lines:
        summed = line.startswith("sum ")
        if summed and line != "sum %08x" % crc:
            raise ValueError("it has the line %r where %08x is right" % (line, crc))
        if not summed:
            crc = zlib.crc32(line.encode() + b"\n", crc)
    if not summed:
        raise ValueError("its last line has no sum")


def write_sum(path):
    """What was written behind the last line of a state, as if the program had done so."""
    lines = [line for line in read(path).splitlines(True) if not line.startswith(b"sum ")]
    with open(path, "ab") as file:
        file.write(b"sum %08x\n" % zlib.crc32(b"".join(lines)))


def read(path):
    with open(path, "rb") as file:
        return file.read()


def mbox_texts(path):
    """The messages of an mboxrd, with their quoting undone."""
    if not os.path.exists(path):
        return []
    text = read(path)
    if text and not text.startswith(b"From "):
        return [text]
    box = mailbox.mbox(path, create=False)
    texts = []
    for key in box.iterkeys():
        body = box.get_bytes(key)
        texts.append(re.sub(rb"(?m)^>(>*From )", rb"\1", body))
    box.close()
    return texts


def strace_log(base):
    """What strace has written so far, from where the process was let go."""
    try:
        text = read(base + ".strace").decode("latin-1")
    except FileNotFoundError:
        return ""
    start = re.search(r"^--- SIGCONT .*\n", text, re.M)
    return text[start.end():] if start else ""


def wait_for(condition, what, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("waited in vain for " + what)
        time.sleep(0.002)


# ---- processes ----

PTRACE_CONT, PTRACE_DETACH, PTRACE_GETEVENTMSG = 7, 17, 0x4201
PTRACE_SEIZE, PTRACE_LISTEN = 0x4206, 0x4208
TRACE_FORKS = 0x2 | 0x4 | 0x8  # PTRACE_O_TRACEFORK, VFORK, CLONE
EVENT_STOP = 128
PR_SET_CHILD_SUBREAPER = 36
WALL = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, pid, data=0):
    if libc.ptrace(request, pid, None, data) == -1:
        raise OSError(ctypes.get_errno(), "ptrace %d" % request)


def process_state(pid):
    """The letter of /proc/PID/stat and the tracer; (None, 0): gone."""
    try:
        with open("/proc/%d/status" % pid) as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None, 0
    return re.search(r"^State:\t(\S)", text, re.M)[1], int(re.search(r"^TracerPid:\t(\d+)", text, re.M)[1])


def supervise(argv, environment, base, kind, strace, after):
    """
    Run argv in a process family of its own, with strace on the process of `kind`. All of the
    family is gone on return. A dict: status, leftover, failure.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        try:
            result = Family(argv, environment, base, kind, strace, after).run()
        except BaseException as error:  # a fork must never return into the caller's code
            result = {"failure": "%s: %s" % (type(error).__name__, error)}
        os.write(writer, json.dumps(result).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        text = file.read()
    os.waitpid(pid, 0)
    return json.loads(text) if text else {"failure": "the supervisor has died"}


class Family:
    """The supervisor's side: it is the parent of whatever loses its own."""

    def __init__(self, argv, environment, base, kind, strace, after):
        self.argv, self.environment, self.base = argv, environment, base
        self.kind, self.strace, self.after = kind, strace, after
        self.deadline = time.monotonic() + LIMIT

    def run(self):
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        status_pipe, target_pipe = os.pipe(), os.pipe()
        tracer = os.fork()
        if tracer == 0:
            self._guarded(lambda: self._be_tracer(status_pipe, target_pipe))
        os.close(status_pipe[1])
        os.close(target_pipe[1])
        self.status_fd = status_pipe[0]
        self.status = None
        try:
            if self.kind is not None:
                self._let_go(target_pipe[0], tracer)
            return self._wait()
        finally:
            self._kill_all()

    def _guarded(self, body):
        """A process of the family: never returns."""
        try:
            body()
        except BaseException as error:
            with open(self.base + ".stderr", "a") as file:
                file.write("%s: %s\n" % (type(error).__name__, error))
        os._exit(70)

    # -- in the tracer, which becomes strace

    def _be_tracer(self, status_pipe, target_pipe):
        ready, go = os.pipe(), os.pipe()
        if os.fork() == 0:
            self._guarded(lambda: self._be_watcher(status_pipe[1], ready[1], go[0]))
        os.close(status_pipe[1])
        program = int.from_bytes(os.read(ready[0], 4), "little")
        if self.kind is None:
            os.write(go[1], b"g")
            os._exit(0)
        target = self._hold(program, go[1], {"poller": 0, "deliverer": 1, "fetcher": 2}[self.kind])
        os.write(target_pipe[1], target.to_bytes(4, "little"))
        os.execvp(self.strace[0], self.strace + ["-p", str(target)])

    def _hold(self, program, go, depth):
        """Let the program run up to its depth-th fork in a row; the process made there, stopped."""
        # PTRACE_O_TRACEEXEC for the poller: what the loader does is not its own.
        libc_options = TRACE_FORKS if depth else 0x10
        ptrace(PTRACE_SEIZE, program, libc_options)
        os.write(go, b"g")
        target = program
        while True:
            event = self._next_event(target)
            if depth == 0:
                break
            message = ctypes.c_ulong()
            ptrace(PTRACE_GETEVENTMSG, target, ctypes.addressof(message))
            child = message.value
            os.waitpid(child, WALL)
            ptrace(PTRACE_DETACH, target)
            target, depth = child, depth - 1
            if depth == 0:
                break
            ptrace(PTRACE_CONT, target)
        assert event or depth == 0
        os.kill(target, signal.SIGSTOP)
        ptrace(PTRACE_DETACH, target)
        wait_for(lambda: process_state(target)[0] in ("T", None), "a process to stop")
        return target

    @staticmethod
    def _next_event(pid):
        """Pass signals on until the next ptrace event other than a stop."""
        while True:
            _, status = os.waitpid(pid, WALL)
            if not os.WIFSTOPPED(status):
                raise RuntimeError("the program ended before the process to be traced began")
            event = status >> 16
            if event not in (0, EVENT_STOP):
                return event
            ptrace(PTRACE_CONT, pid, 0 if event else os.WSTOPSIG(status))

    # -- in the watcher, the parent of the poller

    def _be_watcher(self, status_fd, ready, go):
        program = os.fork()
        if program == 0:
            self._guarded(lambda: self._be_program(go))
        os.write(ready, program.to_bytes(4, "little"))
        _, status = os.waitpid(program, 0)
        os.write(status_fd, os.waitstatus_to_exitcode(status).to_bytes(4, "little", signed=True))
        os._exit(0)

    def _be_program(self, go):
        os.read(go, 1)
        out = os.open(self.base + ".stderr", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = os.open("/dev/null", os.O_RDONLY)
        for old, new in ((null, 0), (out, 1), (out, 2)):
            os.dup2(old, new)
        os.closerange(3, 64)
        os.setpgid(0, 0)
        os.chdir(self.environment["HOME"])
        os.execve(self.argv[0], self.argv, self.environment)

    # -- in the supervisor

    def _let_go(self, target_fd, tracer):
        data = os.read(target_fd, 4)
        if len(data) != 4:
            raise RuntimeError("no process to be traced")
        self.target = int.from_bytes(data, "little")
        wait_for(lambda: process_state(self.target) == ("t", tracer), "strace to attach")
        os.kill(self.target, signal.SIGCONT)

    def _poll_status(self):
        if self.status is None:
            os.set_blocking(self.status_fd, False)
            try:
                data = os.read(self.status_fd, 4)
            except BlockingIOError:
                return
            if len(data) == 4:
                self.status = int.from_bytes(data, "little", signed=True)

    def _wait(self):
        """Until nothing of the family is left, or the time is up."""
        linger = None
        while True:
            if not self._reap():
                self._poll_status()
                return {"status": self.status, "leftover": []}
            self._poll_status()
            if self.after == "stop" and "stopped by SIGSTOP" in strace_log(self.base):
                self._kill_all()
                return {"status": None, "leftover": []}
            now = time.monotonic()
            if self.status is not None and linger is None:
                linger = now + LINGER
            if now > self.deadline or (linger is not None and now > linger):
                return {"status": self.status, "leftover": self._names()}
            time.sleep(0.002)

    @staticmethod
    def _reap():
        """False when no child is left."""
        try:
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
        except ChildProcessError:
            return False
        return True

    def _children(self, pid):
        try:
            with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
                return [int(word) for word in file.read().split()]
        except (FileNotFoundError, ProcessLookupError):
            return []

    def _descendants(self):
        found, todo = [], [os.getpid()]
        while todo:
            children = self._children(todo.pop())
            found += children
            todo += children
        return found

    def _names(self):
        names = []
        for pid in self._descendants():
            try:
                names.append(read("/proc/%d/cmdline" % pid).replace(b"\0", b" ").decode("utf-8", "replace"))
            except OSError:
                pass
        return names

    def _kill_all(self):
        """The traced process first: the others then are as they were when it stopped."""
        while self._reap():
            for pid in sorted(self._descendants(), key=lambda p: p != getattr(self, "target", 0)):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.001)

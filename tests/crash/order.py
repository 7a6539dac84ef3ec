#!/usr/bin/env python3
"""Prove from a log of strace(1) that a session would have survived a power cut at any moment.

	order.py --dest maildir:PATH|mbox:PATH|pipe --messages FOLDER LOG…

Several logs are of sessions one after the other on the same disk. A log comes from
`strace -f -yy -q -s 1000000 -e trace=%file,%desc,%network,%process`. FOLDER
has what the server serves: the name of each file is its UIDL, and a line "X-Order: NAME" is in
it, so that octets can be told apart wherever they appear. No session may use TLS.

What the program says of itself is not believed. Files, folders and the state are followed call
by call, with what a disk surely has of them (durable) beside what a program sees:

	octets become durable by a later fsync or fdatasync of their file that succeeds;
	names, by one of the folder; both, by syncfs, of which no more is believed than
	that it reaches the Maildir (the state may be on another disk);
	what was dirty when one of these calls failed is never durable again: the kernel may
	have dropped it, and a second success says nothing of it;
	what is not durable may be on the disk all the same, so a name that is being replaced
	means the old file or the new one, and what is needed must be in both.

Then each effect is held against what must be durable before it begins:

	a name in new/      all octets of the message, its name in tmp/, and its `try`
	octets in an mbox   the `try` of their place; the dot lock and the fcntl lock are held
	`got`               the name in new/; the octets in the mbox and the mbox's own name;
	                    the command has read the message and ended with 0. Of a `try`
	                    that is older than the logs: the folder or mbox was synced since
	a command           `got` of all messages that commands have taken before
	DELE                `got`; what an earlier session recorded is read from the state file
	QUIT                `fact deleting`, if anything is to be deleted
	a file leaves tmp/  no `try` of it was cut off the state and may come back
	`gone`              the server has said +OK to DELE and to QUIT
	a new state file    all of its octets; it knows all that the old one knew
	the dot lock's end  `got` for each message in the mbox
	the session's end   everything in the state, and the names of all new folders

Rename is taken to be atomic on the disk too, as journalling file systems do it.
"""
import argparse
import os
import re
import sys

TAG = re.compile(rb"^X-Order: (\S+)$", re.M)
CALL = re.compile(r"^(\d+) +([a-z0-9_]+)\((.*)$")
RESUMED = re.compile(r"^(\d+) +<\.\.\. ([a-z0-9_]+) resumed>(.*)$")
EXITED = re.compile(r"^(\d+) +\+\+\+ exited with (\d+) \+\+\+$")
RETURNED = re.compile(r"^(.*)\) += (-?\d+|\?|0x[0-9a-f]+)(.*)$")
FD = re.compile(r"^(-?\d+|AT_FDCWD)<(.*)>(?:\(deleted\))?$")
FORKS = ("fork", "vfork", "clone", "clone3")
SYNCS = ("fsync", "fdatasync", "syncfs")
# They could change a file behind this checker's back.
UNKNOWN_WRITES = ("pwrite64", "pwritev", "pwritev2", "copy_file_range", "sendfile", "splice",
                  "truncate", "fallocate", "io_uring_setup", "io_uring_enter")
ESCAPES = {"n": 10, "t": 9, "r": 13, "v": 11, "f": 12, "a": 7, "b": 8, "e": 27}


class Unreadable(Exception):
    """The log is not one that can be judged."""


def unescape(text):
    """The octets of a C string as strace writes it, with its quotes."""
    if not text.startswith('"') or not text.endswith('"'):
        raise Unreadable("the log cuts a string off: %.60s" % text)
    out = bytearray()
    for match in re.finditer(r"\\([0-7]{1,3})|\\x([0-9a-f]{2})|\\(.)|([^\\]+)", text[1:-1], re.S):
        octal, hexa, letter, plain = match.groups()
        if octal is not None:
            out.append(int(octal, 8))
        elif hexa is not None:
            out.append(int(hexa, 16))
        elif letter is not None:
            out.append(ESCAPES.get(letter, ord(letter)))
        else:
            out += plain.encode("utf-8", "surrogateescape")
    return bytes(out)


def split_arguments(text):
    """Split at the commas outside of strings, brackets and names of descriptors."""
    out, depth, start, i = [], 0, 0, 0
    while i < len(text):
        c = text[i]
        if c == '"':
            i += 1
            while text[i] != '"':
                i += 2 if text[i] == "\\" else 1
        elif c in "[{<(":
            depth += 1
        elif c in "]})" or (c == ">" and text[i - 1] != "-"):
            depth -= 1
        elif c == "," and depth == 0:
            out.append(text[start:i].strip())
            start = i + 1
        i += 1
    out.append(text[start:].strip())
    return out


class Call:
    """One call of one process; `start` and `end` are its places in the log."""

    def __init__(self, pid, name, start, line):
        self.pid, self.name, self.start, self.line = pid, name, start, line
        self.end = self.args = self.result = None

    def finish(self, text, end):
        match = RETURNED.match(text)
        if match is None:
            raise Unreadable("cannot read: %.200s" % text)
        self.args = split_arguments(match.group(1))
        self.result = -1 if match.group(2) == "?" else int(match.group(2), 0)
        self.end = end
        self.line = "%d %s(%s" % (self.pid, self.name, text)


def parse(lines):
    """All calls of the log that ended, and exits of processes as calls named "+exit"."""
    calls, open_calls = [], {}
    for place, line in enumerate(lines):
        line = line.rstrip("\n")
        match = EXITED.match(line)
        if match is not None:
            call = Call(int(match.group(1)), "+exit", place, line)
            call.end, call.args, call.result = place, [], int(match.group(2))
            calls.append(call)
            continue
        match = RESUMED.match(line)
        if match is not None:
            pid = int(match.group(1))
            call, text = open_calls.pop(pid, (None, ""))
            if call is None or call.name != match.group(2):
                raise Unreadable("resumed without a beginning: %.200s" % line)
            call.finish(text + match.group(3), place)
            continue
        match = CALL.match(line)
        if match is None:
            if not re.match(r"^\d+ +(---|\+\+\+) ", line):
                raise Unreadable("cannot read: %.200s" % line)
            continue
        call = Call(int(match.group(1)), match.group(2), place, line)
        calls.append(call)
        text = match.group(3)
        if text.endswith(" <unfinished ...>"):
            open_calls[call.pid] = (call, text[:-len(" <unfinished ...>")])
        else:
            call.finish(text, place)
    return [call for call in calls if call.end is not None]


DIRTY, DURABLE, LOST = "written and not synced", "durable", "lost by a sync that failed"


class Change:
    """Octets written at an offset, or (data None) the end moved to it."""

    def __init__(self, offset, data):
        self.offset, self.data, self.state = offset, data, DIRTY


class File:
    def __init__(self):
        self.initial = bytearray()  # durable since before the log
        self.changes = []

    def content(self, durable_only=False, durable_cuts=False):
        out = bytearray(self.initial)
        for change in self.changes:
            if durable_only and change.state != DURABLE:
                continue
            if durable_cuts and change.data is None and change.state != DURABLE:
                continue
            if change.data is None:
                del out[change.offset:]
                continue
            if len(out) < change.offset:
                out += bytes(change.offset - len(out))
            out[change.offset:change.offset + len(change.data)] = change.data
        return bytes(out)

    def worst(self, start=0, end=None):
        """The reason why these octets are not surely on the disk, or None."""
        for change in reversed(self.changes):
            at, length = change.offset, len(change.data or b"")
            if change.data is None and at <= start and change.state == DURABLE:
                return None
            touches = change.data is None or (at + length > start and (end is None or at < end))
            if touches and change.state != DURABLE:
                return change.state
        return None

    def has(self, states):
        """Whether octets in one of these states were not cut off again."""
        end = None
        for change in reversed(self.changes):
            if change.data is None:
                end = change.offset if end is None else min(end, change.offset)
            elif change.state in states and (end is None or change.offset < end):
                return True
        return False

    def sync(self, before, good):
        for change in self.changes[:before]:
            if change.state == DIRTY:
                change.state = DURABLE if good else LOST


class Entry:
    """A name that came to mean a file, or (None) nothing."""

    def __init__(self, file):
        self.file, self.state = file, DIRTY


class Names:
    """All names in all folders: what programs see, and what the disk may have."""

    def __init__(self):
        self.live, self.history, self.folders = {}, {}, {}

    def get(self, path):
        """What is there from before the log is durable."""
        if path not in self.live:
            self.live[path] = File()
        return self.live[path]

    def put(self, path, file):
        if path not in self.history:
            old = Entry(self.live.get(path))
            old.state = DURABLE
            self.history[path] = [old]
        self.live[path] = file
        self.history[path].append(Entry(file))

    def make_folder(self, path):
        entry = Entry(None)
        self.folders[path] = entry

    def entries_of(self, folder):
        for path, entries in self.history.items():
            if os.path.dirname(path) == folder:
                yield from entries
        for path, entry in self.folders.items():
            if os.path.dirname(path) == folder:
                yield entry

    def folder_reason(self, path):
        folder = os.path.dirname(path)
        while folder not in ("/", ""):
            entry = self.folders.get(folder)
            if entry is not None and entry.state != DURABLE:
                return "the name of folder %s is %s" % (folder, entry.state)
            folder = os.path.dirname(folder)
        return None

    def reason(self, path, file):
        """Why this name does not surely mean this file, or None."""
        for entry in reversed(self.history.get(path, [])):
            if entry.file is file and entry.state == DURABLE:
                return self.folder_reason(path)
            if entry.state == DURABLE or entry.file is not file:
                return "it has another meaning on the disk"
            return entry.state
        return self.folder_reason(path)

    def possible(self, path):
        """All files that the name may mean after a power cut; None stands for no file."""
        out = []
        for entry in reversed(self.history.get(path, [])):
            out.append(entry.file)
            if entry.state == DURABLE:
                return out
        return out or [self.live.get(path)]


class Records:
    """What a state file says."""

    def __init__(self, content):
        self.got, self.tries, self.gone = {}, {}, set()
        self.deleting, self.owner = False, None
        for line in content.split(b"\n")[:-1]:
            words = line.split(b" ")
            if words[0] == b"got" and len(words) == 5:
                self.got[words[4]] = True
                for token in [t for t, uid in self.tries.items() if uid == words[4]]:
                    self.tries[token] = None
            elif words[0] == b"try" and len(words) == 5:
                self.tries[words[1]] = words[4]
            elif words[0] == b"end":
                self.tries.clear()
            elif words[0] == b"gone":
                self.got.pop(words[2], None)
                self.gone.add(words[2])
            elif words[0] == b"drop" and len(words) == 3:
                self.gone.discard(words[2])
            elif words[0] in (b"bye", b"off"):
                self.got.pop(words[-1], None)
            elif words[:2] == [b"fact", b"deleting"]:
                self.deleting = words[2] != b"0"
            elif words[:2] == [b"fact", b"id"]:
                self.owner = int(words[2])

    def has_try(self, token, uid):
        return token in self.tries and self.tries[token] in (uid, None)

    def open_tries(self):
        return {token for token, uid in self.tries.items() if uid is not None}


class Connection:
    """The fetcher's, as octets of both directions."""

    def __init__(self):
        self.sent, self.received = b"", b""
        self.uids, self.deleted, self.quitting, self.quit_ok = {}, [], False, False


class Checker:
    def __init__(self, dest, messages):
        self.kind, _, self.path = dest.partition(":")
        self.messages = messages
        self.names = Names()
        self.objections = []
        self.synced = set()  # what fsync or fdatasync reached
        self.published = {}  # tag: (path, file)
        self.places = {}     # tag: (start, end) in the mbox
        self.positions = {}  # (pid, fd): offset, of files written to
        self.snapshots = {}
        self.connection = Connection()
        self.dotlocked = self.locked = self.has_failed_record = False
        self.appended = set()  # tags whose octets went to the mbox since the dot lock was taken
        self.state_path = self.state_pid = None
        self.parents, self.read_by, self.finished = {}, {}, set()
        self.summary = {"published": 0, "recorded": 0, "deleted": 0, "quit": 0, "compacted": 0}

    def begin_session(self):
        """New processes, and the disk as it was."""
        self.positions, self.snapshots, self.connection = {}, {}, Connection()
        self.parents, self.read_by = {}, {}
        self.dotlocked = self.locked = self.has_failed_record = False
        self.appended.clear()

    def object(self, call, text):
        self.objections.append("%s [line %d: %.160s]" % (text, call.start + 1, call.line))

    # ---- what the calls speak of ----

    def fd_path(self, argument):
        match = FD.match(argument)
        return match.group(2) if match is not None else None

    def path_of(self, folder, name):
        text = os.fsdecode(unescape(name))
        return os.path.normpath(os.path.join(self.fd_path(folder) or "/", text))

    def is_state(self, path):
        return path is not None and re.search(r"\.uidl(\.new)?$", path) is not None

    def is_watched(self, path):
        if path is None:
            return False
        if self.is_state(path):
            return True
        if self.kind == "maildir":
            return path.startswith(self.path + "/")
        return self.kind == "mbox" and path == self.path

    def is_tcp(self, argument):
        return "<TCP:" in argument

    # ---- the state as the disk surely has it ----

    def in_state(self, has, what):
        """None, or why a record is not surely there: `has(Records)` tells whether it is."""
        if self.state_path is None:
            return "there is no state"
        for file in self.names.possible(self.state_path):
            if file is None:
                return "the name of the state file is not durable (fsync of its folder)"
            if not has(Records(file.content())):
                return "%s was never written" % what
            if not has(Records(file.content(durable_only=True))):
                return "%s is not durable (fdatasync of the state)" % what
        return self.names.folder_reason(self.state_path)

    def require(self, call, tag, doing, reason):
        if reason is not None:
            self.object(call, "message %s: %s, but %s" % (os.fsdecode(tag), doing, reason))

    # ---- effects, held against what is durable when they begin ----

    def tag_of(self, file):
        match = TAG.search(file.content())
        return match.group(1) if match is not None else None

    def is_whole(self, tag, octets):
        return tag in self.messages and octets.endswith(self.messages[tag])

    def begin_publish(self, call, source, target):
        file = self.names.get(source)
        tag = self.tag_of(file)
        if tag is None:
            self.object(call, "a file without any octets of a message gets a name in new/")
            return
        token = os.fsencode(os.path.basename(target))
        doing = "it gets its name in new/"
        if not self.is_whole(tag, file.content()):
            self.require(call, tag, doing, "its octets are not complete")
        reason = file.worst()
        if reason is not None:
            self.require(call, tag, doing,
                         "its octets are %s (fsync of its file, or syncfs)" % reason)
        reason = self.names.reason(source, file)
        if reason is not None:
            self.require(call, tag, doing, "its name in tmp/ is %s (fsync of tmp/)" % reason)
        self.require(call, tag, doing,
                     self.in_state(lambda r: r.has_try(token, tag), "its `try`"))
        self.published[tag] = (target, file)

    def begin_stage(self, call, path):
        match = re.search(r"A([0-9a-f]{16})\.", os.path.basename(path))
        if match is None:
            self.object(call, "a file in tmp/ does not say whose it is")
            return
        owner = int(match.group(1), 16)
        reason = self.in_state(lambda r: r.owner == owner, "the number in its name")
        if reason is not None:
            self.object(call, "a file is made in tmp/, but " + reason)

    def begin_mbox_write(self, call, start, data):
        end = start + len(data)
        if not self.dotlocked:
            self.object(call, "octets go to the mbox without the dot lock")
        if not self.locked:
            self.object(call, "octets go to the mbox without the fcntl lock")
        ranges = self.mbox_ranges()
        if data.strip(b"\n") == b"" and len(data) <= 2 and any(s == end for _, s, _ in ranges):
            return
        inside = [(tag, s, e) for tag, s, e in ranges if s <= start and end <= e]
        if not inside:
            self.object(call, "octets go to the mbox at %d-%d, but no `try` speaks of them"
                        % (start, end))
        for tag, s, e in inside:
            self.places[tag] = (s, e)
            self.appended.add(tag)
            token = self.token_at(s, e)
            self.require(call, tag, "its octets go to the mbox",
                         self.in_state(lambda r: r.has_try(token, tag), "its `try`"))

    def mbox_ranges(self):
        """(tag, start, end) of all that the state, as programs see it, is trying."""
        out = []
        if self.state_path is not None:
            for token, tag in Records(self.names.get(self.state_path).content()).tries.items():
                numbers = token.split(b"-")
                if tag is not None and numbers[0].isdigit() and numbers[1].isdigit():
                    out.append((tag, int(numbers[0]), int(numbers[0]) + int(numbers[1])))
        return out

    def token_at(self, start, end):
        for token in Records(self.names.get(self.state_path).content()).tries:
            if token.startswith(b"%d-%d-" % (start, end - start)):
                return token
        return b""

    def begin_got(self, call, tag):
        doing = "`got` is written"
        if self.kind == "maildir":
            if tag not in self.published:
                self.require(call, tag, doing, self.recovery_reason(tag, self.path + "/new"))
                return
            path, file = self.published[tag]
            reason = self.names.reason(path, file)
            if reason is not None:
                self.require(call, tag, doing,
                             "its name in new/ is %s (fsync of new/)" % reason)
        elif self.kind == "mbox":
            self.begin_got_mbox(call, tag, doing)
        elif tag not in self.finished:
            self.require(call, tag, doing, "no command has read it and ended with 0")

    def recovery_reason(self, tag, place):
        """Why a message that no log has seen arrive may not be recorded, or None."""
        records = Records(bytes(self.names.get(self.state_path).initial))
        if tag not in records.tries.values():
            return "it has not arrived"
        return None if place in self.synced else "%s was not synced" % place

    def begin_command_run(self, call):
        for tag in sorted(self.finished):
            self.require(call, tag, "the next command runs",
                         self.in_state(lambda r: tag in r.got, "its `got`"))

    def begin_got_mbox(self, call, tag, doing):
        file = self.names.get(self.path)
        if tag not in self.places:
            self.require(call, tag, doing, self.recovery_reason(tag, self.path))
            return
        start, end = self.places[tag]
        octets = file.content()[start:end]
        if not (octets.startswith(b"From ") and self.is_whole(tag, octets[:-1])):
            self.require(call, tag, doing, "it is not whole in the mbox")
        reason = file.worst(start, end)
        if reason is not None:
            self.require(call, tag, doing, "its octets are %s (fsync of the mbox)" % reason)
        reason = self.names.reason(self.path, file)
        if reason is not None:
            self.require(call, tag, doing,
                         "the name of the mbox is %s (fsync of its folder)" % reason)

    def begin_state_write(self, call, path, data):
        """`data` follows whole lines: the program writes records whole."""
        if path.endswith(".new"):
            return
        for line in data.split(b"\n"):
            words = line.split(b" ")
            if words[0] == b"got" and len(words) == 5:
                self.begin_got(call, words[4])
            elif words[0] == b"gone":
                if not self.connection.quit_ok:
                    self.require(call, words[2], "`gone` is written",
                                 "the server has not confirmed QUIT")
                elif words[2] not in self.connection.deleted:
                    self.require(call, words[2], "`gone` is written", "it was not deleted")

    def begin_state_rename(self, call, source, target):
        new, old = self.names.get(source), self.names.live.get(target)
        reason = new.worst()
        if reason is not None:
            self.object(call, "a new state file takes the place of the old one, but its "
                        "octets are %s (fsync of the new file)" % reason)
        known = Records(new.content())
        if old is None:
            return
        self.summary["compacted"] += 1
        before = Records(old.content())
        for tag in before.got.keys() - known.got.keys():
            self.require(call, tag, "a new state file takes the place of the old one",
                         "it does not have its `got`")
        for tag in before.gone - known.gone:
            self.require(call, tag, "a new state file takes the place of the old one",
                         "it does not have its `gone`")
        for token in before.open_tries() - known.open_tries():
            self.object(call, "a new state file takes the place of the old one, but it does not "
                        "have the `try` of %s" % os.fsdecode(token))

    def begin_command(self, call, line):
        c = self.connection
        words = line.split(b" ")
        if c.quitting:
            self.object(call, "%s follows QUIT" % os.fsdecode(line))
        if words[0] == b"DELE":
            tag = c.uids.get(int(words[1]))
            if tag is None:
                self.object(call, "DELE of message %s, which was not listed" %
                            os.fsdecode(words[1]))
                return
            self.require(call, tag, "DELE is sent",
                         self.in_state(lambda r: tag in r.got, "its `got`"))
        elif words[0] == b"QUIT" and c.deleted:
            reason = self.in_state(lambda r: r.deleting, "the record of the deletions")
            if reason is not None:
                self.object(call, "QUIT is sent, but " + reason)

    def begin_unlock(self, call, path):
        if self.kind != "mbox" or path != self.path + ".lock":
            return
        # A state that could not be made durable leaves it to recovery, which looks only.
        for tag in self.appended if not self.has_failed_record else ():
            if tag not in self.places:
                continue
            reason = self.in_state(lambda r: tag in r.got, "its `got`")
            self.require(call, tag, "the dot lock is given back", reason)
        self.appended.clear()

    def begin_unstage(self, call, path):
        """A `try` that comes back when its file in tmp/ is gone would pass for delivered."""
        name = os.fsencode(os.path.basename(path)).split(b",")[0]
        for file in self.names.possible(self.state_path):
            if file is None:
                continue
            cut = (Records(file.content(durable_cuts=True)).open_tries()
                   - Records(file.content()).open_tries())
            if name in {token.split(b",")[0] for token in cut}:
                self.object(call, "a file in tmp/ is removed, but its `try`, cut off the state, "
                            "may be on the disk (fdatasync of the state)")

    def begin_unlink(self, call, path):
        if self.kind == "maildir" and os.path.dirname(path) == self.path + "/tmp":
            self.begin_unstage(call, path)
        if self.is_state(path) and not path.endswith(".new"):
            self.object(call, "the state file is removed")
        for tag, (target, _) in self.published.items():
            if path == target:
                self.require(call, tag, "its name in new/ is removed", "it was delivered")
        self.begin_unlock(call, path)

    def begin(self, call):
        name, args = call.name, call.args
        if name in SYNCS:
            self.snapshots[call] = self.begin_sync(call)
        elif name in ("rename", "renameat", "renameat2", "link", "linkat"):
            source, target = self.two_paths(call)
            if self.is_state(target) and name.startswith("rename"):
                self.begin_state_rename(call, source, target)
            elif self.kind == "maildir" and os.path.dirname(target) == self.path + "/new":
                self.begin_publish(call, source, target)
        elif name in ("unlink", "unlinkat"):
            self.begin_unlink(call, self.one_path(call))
        elif name == "openat" and self.kind == "maildir" and "O_EXCL" in call.args[2]:
            if os.path.dirname(self.one_path(call)) == self.path + "/tmp":
                self.begin_stage(call, self.one_path(call))
        elif name == "write" and self.is_watched(self.fd_path(args[0])):
            path, data = self.fd_path(args[0]), unescape(args[1])
            if self.is_state(path):
                self.begin_state_write(call, path, data)
            elif self.kind == "mbox":
                file = self.names.get(path)
                self.begin_mbox_write(call, self.position(call, file), data)
        elif name == "read" and self.kind == "pipe" and args[0].startswith("0</memfd"):
            self.begin_command_run(call)
        elif name in ("sendto", "write") and self.is_tcp(args[0]):
            offered = self.connection.sent + unescape(args[1])
            for line in offered.split(b"\r\n")[:-1]:
                self.begin_command(call, line)
        elif name in UNKNOWN_WRITES or name == "writev":
            self.begin_unknown(call)
        elif name == "mmap" and "PROT_WRITE" in args[2] and "MAP_SHARED" in args[3]:
            self.begin_unknown(call)

    def begin_unknown(self, call):
        if call.name.startswith("io_uring") or any(self.is_watched(self.fd_path(a)) or
                                                   self.is_tcp(a) for a in call.args):
            self.object(call, "%s() could do anything: teach the checker what it does"
                        % call.name)

    # ---- what the calls did ----

    def position(self, call, file):
        if self.is_state(self.fd_path(call.args[0])):
            return len(file.content())
        return self.positions.get((call.pid, call.args[0].split("<")[0]), len(file.content()))

    def begin_sync(self, call):
        """What it can reach is what was done before it began."""
        path = self.fd_path(call.args[0])
        root = os.path.dirname(path) if call.name == "syncfs" else None
        files, entries = [], []
        for other, file in self.names.live.items():
            if file is not None and (other == path or (root and other.startswith(root + "/"))):
                files.append((file, len(file.changes)))
        folders = {os.path.dirname(p) for p in [*self.names.history, *self.names.folders]}
        for folder in folders:
            if folder == path or (root and (folder + "/").startswith(root + "/")):
                entries += list(self.names.entries_of(folder))
        return files, entries

    def end_sync(self, call):
        files, entries = self.snapshots.pop(call)
        good = call.result == 0
        if good:
            self.synced.add(self.fd_path(call.args[0]))
        elif self.is_state(self.fd_path(call.args[0])):
            self.has_failed_record = True
        for file, count in files:
            file.sync(count, good)
        for entry in entries:
            if entry.state == DIRTY:
                entry.state = DURABLE if good else LOST

    def two_paths(self, call):
        args = call.args
        if call.name in ("rename", "link"):
            return self.path_of("", args[0]), self.path_of("", args[1])
        return self.path_of(args[0], args[1]), self.path_of(args[2], args[3])

    def one_path(self, call):
        if call.name in ("unlinkat", "openat", "mkdirat"):
            return self.path_of(call.args[0], call.args[1])
        return self.path_of("", call.args[0])

    def end_open(self, call):
        flags = call.args[2 if call.name == "openat" else 1]
        path = self.one_path(call)
        fd = re.match(r"\d+", call.line.rsplit(" = ", 1)[1]).group(0)
        self.positions.pop((call.pid, fd), None)
        if not self.is_watched(path):
            return
        if "O_TRUNC" in flags:
            self.object(call, "%s is emptied" % path)
        if "O_EXCL" in flags:
            self.names.put(path, File())
        if self.is_state(path) and not path.endswith(".new"):
            self.state_path, self.state_pid = path, call.pid

    def end_rename(self, call):
        source, target = self.two_paths(call)
        if not self.is_watched(source) and not self.is_watched(target):
            if self.kind == "mbox" and target == self.path + ".lock":
                self.dotlocked = True
            return
        if self.kind == "maildir" and os.path.dirname(target) == self.path + "/new":
            self.summary["published"] += 1
        file = self.names.get(source)
        self.names.put(target, file)
        if call.name.startswith("rename"):
            self.names.put(source, None)
        if self.is_state(target) and not target.endswith(".new"):
            self.state_path, self.state_pid = target, call.pid

    def end_write(self, call):
        path = self.fd_path(call.args[0])
        data = unescape(call.args[1])[:call.result]
        if self.is_tcp(call.args[0]):
            self.end_send(data)
            return
        if not self.is_watched(path):
            return
        file = self.names.get(path)
        at = self.position(call, file)
        file.changes.append(Change(at, data))
        self.positions[(call.pid, call.args[0].split("<")[0])] = at + len(data)
        if self.is_state(path) and not path.endswith(".new"):
            self.summary["recorded"] += sum(1 for line in data.split(b"\n")
                                            if line.startswith(b"got "))

    def end_send(self, data):
        c = self.connection
        *lines, c.sent = (c.sent + data).split(b"\r\n")
        for line in lines:
            if line.startswith(b"DELE "):
                c.deleted.append(c.uids.get(int(line[5:])))
                self.summary["deleted"] += 1
            elif line == b"QUIT":
                c.quitting = True
                self.summary["quit"] += 1

    def end_receive(self, call):
        c = self.connection
        *lines, c.received = (c.received + unescape(call.args[1])[:call.result]).split(b"\r\n")
        for line in lines:
            words = line.split(b" ")
            if len(words) == 2 and words[0].isdigit() and words[1] in self.messages:
                c.uids[int(words[0])] = words[1]
            if c.quitting and line.startswith(b"+OK"):
                c.quit_ok = True

    def end_read(self, call):
        path = self.fd_path(call.args[0])
        data = unescape(call.args[1])
        if self.is_tcp(call.args[0]):
            self.end_receive(call)
        elif self.is_state(path) and call.pid == self.state_pid:
            file = self.names.get(path)
            if not file.changes:
                file.initial += data
        elif call.args[0].startswith("0<"):
            tag = TAG.search(data)
            if tag is not None:
                self.read_by.setdefault(self.command_of(call.pid), set()).add(tag.group(1))

    def command_of(self, pid):
        """The child of the deliverer that this process is, or descends from."""
        while self.parents.get(pid) not in (None, self.state_pid):
            pid = self.parents[pid]
        return pid

    def end_exit(self, call):
        if call.pid == self.state_pid:
            self.end_session(call, (DIRTY,), "the session ends")
        elif self.parents.get(self.state_pid) == call.pid and call.result == 0:
            self.end_session(call, (LOST,), "the program ends with status 0")
        elif self.parents.get(call.pid) == self.state_pid and call.result == 0:
            self.finished |= self.read_by.get(call.pid, set())

    def end_session(self, call, states, what):
        file = self.names.get(self.state_path)
        if file.has(states):
            self.object(call, "%s, but the state is %s" % (what, states[0]))
        if self.names.reason(self.state_path, file) in states:
            self.object(call, "%s, but the name of the state file is %s" % (what, states[0]))
        for path, entry in self.names.folders.items():
            if entry.state in states:
                self.object(call, "%s, but the name of folder %s is %s" % (what, path, states[0]))

    def end(self, call):
        name, args = call.name, call.args
        if name == "+exit":
            self.end_exit(call)
        elif name in SYNCS:
            self.end_sync(call)
        elif call.result < 0:
            return
        elif name in ("open", "openat", "creat"):
            self.end_open(call)
        elif name in ("rename", "renameat", "renameat2", "link", "linkat"):
            self.end_rename(call)
        elif name in ("unlink", "unlinkat"):
            path = self.one_path(call)
            if self.is_watched(path):
                self.names.put(path, None)
            elif self.kind == "mbox" and path == self.path + ".lock":
                self.dotlocked = False
        elif name in ("mkdir", "mkdirat"):
            self.names.make_folder(self.one_path(call))
        elif name == "rmdir":
            self.names.folders.pop(self.one_path(call), None)
        elif name in ("write", "sendto"):
            self.end_write(call)
        elif name in ("read", "recvfrom"):
            self.end_read(call)
        elif name == "ftruncate" and self.is_watched(self.fd_path(args[0])):
            self.end_truncate(call)
        elif name == "lseek" and "SEEK_SET" in args[2]:
            self.positions[(call.pid, args[0].split("<")[0])] = call.result
        elif name == "fcntl" and args[1] in ("F_SETLK", "F_SETLKW") and "F_WRLCK" in args[2]:
            if self.is_watched(self.fd_path(args[0])):
                self.locked = True
        elif name == "close" and self.kind == "mbox" and self.fd_path(args[0]) == self.path:
            self.locked = False
        elif name in FORKS:
            self.parents[call.result] = call.pid

    def end_truncate(self, call):
        path, size = self.fd_path(call.args[0]), int(call.args[1])
        self.names.get(path).changes.append(Change(size, None))
        if self.kind != "mbox" or path != self.path:
            return
        self.places = {tag: place for tag, place in self.places.items() if place[1] <= size}

    def run(self, calls):
        events = [(call.start, 0, call) for call in calls if call.name != "+exit"]
        events += [(call.end, 1, call) for call in calls]
        for _, is_end, call in sorted(events, key=lambda event: event[:2]):
            if is_end:
                self.end(call)
            else:
                self.begin(call)
        return self.objections


def read_messages(folder):
    """The octets of each message as they reach the disk, by name."""
    out = {}
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as file:
            text = file.read().replace(b"\r\n", b"\n")
        out[os.fsencode(name)] = text if text.endswith(b"\n") else text + b"\n"
    return out


def read_log(path):
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return parse(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dest", required=True)
    parser.add_argument("--messages", required=True)
    parser.add_argument("logs", nargs="+", metavar="LOG")
    options = parser.parse_args()
    checker = Checker(options.dest, read_messages(options.messages))
    for log in options.logs:
        checker.begin_session()
        checker.run(read_log(log))
    for objection in checker.objections:
        print(objection)
    print(", ".join("%d %s" % (count, what) for what, count in checker.summary.items()))
    return 1 if checker.objections else 0


if __name__ == "__main__":
    sys.exit(main())

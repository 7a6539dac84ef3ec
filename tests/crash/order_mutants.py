#!/usr/bin/env python3
"""Does the order checker object to everything that it should?

	order_mutants.py --dest … --messages FOLDER LOG

Takes the log of a session that is in order and tells the checker of others that are not: each
barrier (a sync that succeeded) taken out, failed, failed and then tried again; and the steps
in other orders. Each must be objected to. A barrier may be missed only where another one serves
for it: then the two of them missing must be worse than that other one missing, and both are named.
"""
import argparse
import copy
import re
import sys

import order


class Session:
    def __init__(self, dest, messages, calls):
        self.dest, self.messages, self.calls = dest, messages, calls

    def objections(self, calls):
        checker = order.Checker(self.dest, self.messages)
        return checker.run(calls)

    def has_failed(self):
        return [call for call in self.calls if call.name == "+exit"][-1].result != 0

    def without(self, *gone):
        return [call for call in self.calls if call not in gone]


def bare(objections):
    """Without their places in the log."""
    return {re.sub(r" \[line .*", "", text) for text in objections}


def describe(call):
    return "line %d: %.150s" % (call.start + 1, call.line)


def failed(call):
    other = copy.copy(call)
    other.result = -1
    other.line = call.line.rsplit(" = ", 1)[0] + " = -1 EIO (Input/output error)"
    return other


def is_barrier(call):
    return call.name in order.SYNCS and call.result == 0


def reaches(call, barrier):
    """Whether a barrier is of the same file or folder, or of all that is around it."""
    path = call.args[0].split("<", 1)[1]
    around = barrier.args[0].split("<", 1)[1].rsplit("/", 1)[0]
    return barrier.args[0].endswith("<" + path) or (
        barrier.name == "syncfs" and (path.startswith(around + "/") or path == around + ">"))


def covering(session, call, barriers):
    """The barriers that serve for this one: one other, or any of those that follow it; or None."""
    others = [b for b in barriers if b is not call and reaches(call, b)]
    chains = [[b] for b in others]
    later = [b for b in others if b.start > call.start]
    chains += [later[:n] for n in range(2, len(later) + 1)]
    for chain in chains:
        alone = bare(session.objections(session.without(*chain)))
        both = bare(session.objections(session.without(call, *chain)))
        if both - alone:
            return chain
    return None


def try_barriers(session, report):
    barriers = [call for call in session.calls if is_barrier(call)]
    for call in barriers:
        at = session.calls.index(call)
        before, after = session.calls[:at], session.calls[at + 1:]
        mutants = {
            "taken out": before + after,
            "failed": before + [failed(call)] + after,
            "failed, then tried again": before + [failed(call), call] + after,
        }
        served_by = None
        for what, calls in mutants.items():
            found = session.objections(calls)
            if not found and what == "taken out":
                served_by = covering(session, call, barriers)
            if not found and what != "taken out" and session.has_failed():
                # Nothing rests on it, and the session has said that not all went well.
                continue
            if not found and served_by is None:
                report.needless(call, what)
            elif not found and what == "taken out":
                report.served(call, served_by)
            elif found:
                report.count += 1


def moved(session, call, other, delta):
    """`call` begins and ends right before (-1) or behind (1) `other`."""
    twin = copy.copy(call)
    place = other.start if delta < 0 else other.end
    twin.start = twin.end = place + delta * 0.5
    return [twin if c is call else c for c in session.calls]


def changed(session, call, **values):
    twin = copy.copy(call)
    for key, value in values.items():
        setattr(twin, key, value)
    return [twin if c is call else c for c in session.calls]


class Finder:
    """The calls of the session that the orders below speak of."""

    def __init__(self, session):
        self.session = session
        self.checker = order.Checker(session.dest, session.messages)

    def all(self, names, holds=lambda call: True):
        return [c for c in self.session.calls
                if c.name in names and c.result >= 0 and holds(c)]

    def writes(self, suffix, octets):
        """Writes of `octets` to a file whose name ends so, a pipe or a connection."""
        return self.all(("write", "sendto"), lambda c: octets in order.unescape(c.args[1]) and
                        re.search(suffix, c.args[0]))

    def sync_behind(self, call):
        fd = call.args[0]
        return next(c for c in self.session.calls if is_barrier(c) and c.start > call.end and
                    c.args[0] == fd)


def try_common(session, find, report):
    got = find.writes(r"\.uidl>$", b"got ")[0]
    dele = find.writes("TCP", b"DELE ")[0]
    quit_ = find.writes("TCP", b"QUIT\r\n")[0]
    gone = find.writes(r"\.uidl>$", b"gone ")[0]
    report.tried("DELE before the `got` is written",
                 session.objections(moved(session, dele, got, -1)), "DELE is sent, but its `got`")
    report.tried("DELE before the `got` is durable",
                 session.objections(moved(session, dele, find.sync_behind(got), -1)),
                 "DELE is sent, but its `got` is not durable")
    report.tried("QUIT before DELE", session.objections(moved(session, quit_, dele, -1)),
                 "DELE .* follows QUIT")
    report.tried("`gone` before QUIT", session.objections(moved(session, gone, quit_, -1)),
                 "`gone` is written, but the server has not confirmed QUIT")
    report.tried("`got` never written", session.objections(session.without(got)),
                 "DELE is sent, but its `got` was never written")
    report.tried("half of the `got` written",
                 session.objections(changed(session, got, result=got.result // 2)),
                 "DELE is sent, but its `got` was never written")


def try_maildir(session, find, report):
    attempt = find.writes(r"\.uidl>$", b"try ")[0]
    got = find.writes(r"\.uidl>$", b"got ")[0]
    publish = find.all(("renameat2",), lambda c: c.args[2].endswith("/new>"))[0]
    write = find.writes("/tmp/", b"X-Order: ")[0]
    new = next(c for c in session.calls if is_barrier(c) and c.args[0].endswith("/new>"))
    for what, mutant, wanted in (
            ("rename before the `try` is written", moved(session, publish, attempt, -1),
             "name in new/, but its `try` was never written"),
            ("rename before the `try` is durable",
             moved(session, publish, find.sync_behind(attempt), -1),
             "name in new/, but its `try` is not durable"),
            ("`got` before new/ is durable", moved(session, got, new, -1),
             "`got` is written, but its name in new/"),
            ("`got` before the rename", moved(session, got, publish, -1),
             "`got` is written, but it has not arrived"),
            ("new/ synced before the rename", moved(session, new, publish, -1),
             "`got` is written, but its name in new/"),
            ("half of a message written", changed(session, write, result=write.result // 2),
             "octets are not complete"),
            ("octets written behind the sync", moved(session, write, attempt, -1),
             "its octets are written and not synced")):
        report.tried(what, session.objections(mutant), wanted)


def try_mbox(session, find, report):
    attempt = find.writes(r"\.uidl>$", b"try ")[0]
    got = find.writes(r"\.uidl>$", b"got ")[0]
    path = session.dest.partition(":")[2]
    append = find.writes(re.escape(path) + ">", b"X-Order: ")[0]
    sync = find.sync_behind(append)
    lock = find.all(("link", "linkat"), lambda c: any(a.endswith('%s.lock"' % path) for a in c.args))[0]
    unlock = find.all(("unlink",), lambda c: c.args[0].endswith('%s.lock"' % path))[0]
    fcntl = find.all(("fcntl",), lambda c: c.args[1] == "F_SETLK")[0]
    for what, mutant, wanted in (
            ("append before the `try`", moved(session, attempt, append, 1), "no `try` speaks"),
            ("append before the `try` is durable",
             moved(session, find.sync_behind(attempt), append, 1), "`try` is not durable"),
            ("`got` before the mbox is durable", moved(session, got, sync, -1),
             "octets are written and not synced"),
            ("append behind the sync", moved(session, append, sync, 1), "`got` is written, but"),
            ("half of a message appended", changed(session, append, result=append.result // 2),
             "it is not whole"),
            ("no dot lock", session.without(lock), "without the dot lock"),
            ("no fcntl lock", session.without(fcntl), "without the fcntl lock"),
            ("fcntl lock refused", changed(session, fcntl, result=-1), "without the fcntl lock"),
            ("dot lock given back before `got`", moved(session, unlock, got, -1),
             "dot lock is given back, but its `got`")):
        report.tried(what, session.objections(mutant), wanted)


def try_pipe(session, find, report):
    got = find.writes(r"\.uidl>$", b"got ")[0]
    reads = find.all(("read",), lambda c: c.args[0].startswith("0<") and
                     b"X-Order: " in order.unescape(c.args[1]))
    ended = find.all(("+exit",), lambda c: c.pid == reads[0].pid)[0]
    for what, mutant, wanted in (
            ("the command ends with 1", changed(session, ended, result=1), "ended with 0"),
            ("the command ends behind `got`", moved(session, ended, got, 1), "ended with 0"),
            ("the command never ends", session.without(ended), "ended with 0"),
            ("the command reads nothing", session.without(reads[0]), "ended with 0")):
        report.tried(what, session.objections(mutant), wanted)


def try_compaction(session, find, report):
    """Only where a state is replaced, not made."""
    renames = find.all(("rename",), lambda c: c.args[1].endswith('.uidl"'))
    written = find.writes(r"\.uidl\.new>$", b"got ")
    if not written:
        return False
    fill, rename = written[0], renames[-1]
    sync = find.sync_behind(fill)
    text = fill.args[1]
    lacks = [fill.args[0], re.sub(r"got [^\\]*\\n", "", text, count=1), *fill.args[2:]]
    for what, mutant, wanted in (
            ("renamed before it is durable", moved(session, rename, sync, -1),
             "new state file takes the place of the old one, but its octets"),
            ("a `got` is left out", changed(session, fill, args=lacks), "does not have its `got`"),
            ("half written", changed(session, fill, result=fill.result // 2),
             "does not have its `got`")):
        report.tried("new state: " + what, session.objections(mutant), wanted)
    return True


class Report:
    def __init__(self):
        self.count, self.failures, self.covered, self.unneeded = 0, 0, 0, set()

    def tried(self, what, objections, wanted):
        self.count += 1
        if any(re.search(wanted, text) for text in objections):
            return
        self.failures += 1
        print("no objection%s: %s" % (" like '%s'" % wanted if wanted else "", what))
        for text in objections[:3]:
            print("\tbut: " + text)

    def served(self, call, others):
        self.covered += 1
        print(describe(call))
        for other in others:
            print("\tis served by %s" % describe(other))

    def needless(self, call, what):
        """Nothing depends on it, or the checker is blind."""
        if call not in self.unneeded:
            print("no objection: %s %s" % (describe(call), what))
        self.unneeded.add(call)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dest", required=True)
    parser.add_argument("--messages", required=True)
    parser.add_argument("--needless", type=int, default=0, help="syncs that may serve nothing")
    parser.add_argument("--compacts", action="store_true", help="the session replaces its state")
    parser.add_argument("log")
    options = parser.parse_args()
    session = Session(options.dest, order.read_messages(options.messages),
                      order.read_log(options.log))
    report = Report()
    if session.objections(session.calls):
        print("the session itself is not in order")
        return 1
    find = Finder(session)
    try_barriers(session, report)
    try_common(session, find, report)
    kinds = {"maildir": try_maildir, "mbox": try_mbox, "pipe": try_pipe}
    kinds[options.dest.partition(":")[0]](session, find, report)
    if try_compaction(session, find, report) != options.compacts:
        print("the session should %shave replaced its state" % ("" if options.compacts else "not "))
        report.failures += 1
    print("%d objected to, %d served by others, %d needless, %d not objected to" %
          (report.count - report.failures, report.covered, len(report.unneeded), report.failures))
    return 1 if report.failures or len(report.unneeded) != options.needless else 0


if __name__ == "__main__":
    sys.exit(main())

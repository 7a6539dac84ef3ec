# A power cut at any moment: the order of writes and syncs of real sessions, as the kernel saw
# it, is held against what must be on the disk before each step (crash/order.py says how). Then
# each barrier is taken out of the log, and steps are swapped: the checker must object.

load helper

# messages N: a folder "served" with m001 … of many sizes, of which "all" keeps a copy; more come behind what is there.
messages() {
	mkdir -p served all
	python3 - "$1" <<-'EOF'
		import os, sys
		first = len(os.listdir("all")) + 1
		for n in range(first, first + int(sys.argv[1])):
		    name = "m%03d" % n
		    text = "Subject: %s\nX-Order: %s\n\n" % (name, name)
		    text += "".join("line %d of %s\n.\n" % (line, name) for line in range(n * n % 97 * 3))
		    for folder in "served", "all":
		        with open("%s/%s" % (folder, name), "w", encoding="ascii") as file:
		            file.write(text + "end of %s\n" % name)
	EOF
}

serve() {
	start_fakepop --folder "$HOME/served" "$@"
}

# use DEST [LINE…]
use() {
	DEST=${1%% *}
	[[ $DEST != pipe:* ]] || DEST=pipe
	account home "deliver = \"$1\"" 'keep = never' "${@:2}" | write_config
}

# session LOG [STRACE-OPTION…]: the program, with all that it does written down.
session() {
	local log=$1

	shift
	ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 run --separate-stderr timeout -k 5 60 \
		strace -f -yy -q -s 1000000 -o "$log" -e trace=%file,%desc,%network,%process "$@" \
		"$BUILD/pophaul"
}

in_order() {
	run python3 "$TESTS/crash/order.py" --dest "$DEST" --messages all "$@"
	assert_status 0
}

# mutants LOG [OPTION…]: what is taken out of the log, failed or swapped is objected to.
mutants() {
	run python3 "$TESTS/crash/order_mutants.py" --dest "$DEST" --messages all "${@:2}" "$1"
	assert_status 0
}

@test "a power cut loses and doubles nothing of a few messages, each with its fsync" {
	messages 5
	serve
	use "maildir:$HOME/Maildir"
	session log
	assert_status 0
	in_order log
	assert_output_is '5 published, 5 recorded, 5 deleted, 1 quit, 0 compacted'
	grep -q 'fsync(.*Maildir/tmp/[0-9]' log
	mutants log
	refute_output_has syncfs
}

@test "a power cut loses and doubles nothing of many messages with one syncfs, which serves for tmp/ too" {
	messages 20
	serve
	use "maildir:$HOME/Maildir"
	session log
	assert_status 0
	in_order log
	assert_output_is '20 published, 20 recorded, 20 deleted, 1 quit, 0 compacted'
	mutants log
	assert_output_matches 'is served by .* syncfs\(.*Maildir/tmp>'
}

@test "a power cut loses and doubles nothing of an mbox, new or with others' mail without a last line end" {
	messages 5
	serve
	use "mbox:$HOME/mbox"
	session log
	assert_status 0
	in_order log
	assert_output_is '0 published, 5 recorded, 5 deleted, 1 quit, 0 compacted'
	# A new state's own number is of use to Maildirs alone.
	mutants log --needless 1
	printf 'From joe Thu Jan  1 00:00:00 1970\n\nnot ended' >mbox
	messages 3
	session log2
	assert_status 0
	in_order log2
	assert_output_is '0 published, 3 recorded, 3 deleted, 1 quit, 0 compacted'
	mutants log2
	in_order log log2
}

@test "a power cut between a command's end and its record repeats that message only; nothing is lost" {
	messages 4
	serve
	use "pipe:dd of=$HOME/out oflag=append conv=notrunc bs=64k status=none"
	session log
	assert_status 0
	in_order log
	assert_output_is '0 published, 4 recorded, 4 deleted, 1 quit, 0 compacted'
	# Nor are a new state's number and destination.
	mutants log --needless 2
}

@test "a power cut while the state is replaced by a shorter one takes nothing from it" {
	messages 4
	serve -e 'on DELE 1 send -ERR not now' -e 'on DELE 3 send -ERR not now'
	use "maildir:$HOME/Maildir"
	session log
	assert_status 1
	messages 60
	session log2
	assert_status 1
	in_order log log2
	assert_output_is '64 published, 64 recorded, 66 deleted, 2 quit, 1 compacted'
	# What is recorded last is in the new state too.
	mutants log2 --compacts --needless 1
}

@test "a power cut after a session that was killed at its rename, and the next, loses and doubles nothing" {
	messages 12
	serve
	use "maildir:$HOME/Maildir"
	session killed -e inject=renameat2:signal=KILL:when=5
	wait_until 20 grep -q 'end client' "$TRANSCRIPT"
	assert_equal "$(count_files Maildir/new) $(count_files Maildir/tmp)" '4 8'
	session log
	assert_status 0
	in_order log
	in_order killed log
	assert_output_is '12 published, 12 recorded, 12 deleted, 1 quit, 0 compacted'
	assert_equal "$(maildir_digests Maildir)" "$(folder_digests all)"
}

# fails_at_each_sync DEST MESSAGES TIMES SYNC…: each of these syncs in its turn fails, so many times in a row, and
# is not believed afterwards: neither session goes on as if what it lost were on the disk.
fails_at_each_sync() {
	local dest=$1 count=$2 times=$3 sync n failures=0

	shift 3
	for sync in "$@"; do
		for ((n = 1; ; n++)); do
			rm -rf served all "$STATE" Maildir
			printf 'From joe Thu Jan  1 00:00:00 1970\n\nhello\n\n' >mbox
			messages "$count"
			serve
			use "$dest"
			session log -e "inject=$sync:error=EIO:when=$n..$((n + times - 1))"
			grep -q INJECTED log || break
			[ "$status" -eq 0 ] || assert_stderr_has 'Input/output error'
			session log2
			assert_status 0
			in_order log log2 || fail "$sync $n"
			assert_output_matches ' 1 quit,| 2 quit,'
			assert_equal "$sync $n: $(cat Maildir/new/* mbox 2>/dev/null | grep -c '^end of')" "$sync $n: $count"
			stop_servers
			failures=$((failures + 1))
		done
		[ "$n" -gt 1 ] || fail "there is no $sync"
	done
	[ "$failures" -gt 4 ]
}

@test "what a failed sync of a Maildir's session lost is not taken for durable when a later one succeeds" {
	fails_at_each_sync "maildir:$HOME/Maildir" 2 1 fsync fdatasync
	fails_at_each_sync "maildir:$HOME/Maildir" 10 1 syncfs fdatasync
}

@test "what a failed sync of an mbox's session lost is not taken for durable when a later one succeeds" {
	fails_at_each_sync "mbox:$HOME/mbox" 2 1 fsync fdatasync
}

@test "a record whose sync failed is not left on the disk when it cannot be cut off durably either" {
	fails_at_each_sync "maildir:$HOME/Maildir" 3 2 fdatasync
	# A session that ends behind it, and one that writes the state anew, are in order too; the mark is gone.
	[ ! -e "$STATE/home.uidl.new" ]
}

#!/usr/bin/env bats
# What a listing costs: a server's is bounded, in rows and in octets of ids, and nothing comes of one that is
# beyond the bounds; a maildrop of a million messages is served within them.

load helper

measured() {
	run --separate-stderr pophaul_measured
}

# A million lines, into the file "out".
planned() {
	pophaul_measured -n >out
}

# knows N: a state of N messages, as fakepop lists them.
knows() {
	mkdir -p "$STATE"
	chmod 700 "$STATE"
	{
		echo 'pophaul-uidl 1'
		echo "dest maildir:$HOME/Maildir"
		awk -v n="$1" 'BEGIN { for (i = 1; i <= n; i++) printf "got 1795287600 1000 %032x uid-%d\n", i, i }'
	} >"$STATE/home.uidl"
	"$TESTS/state-sum" "$STATE/home.uidl"
}

# How much of the state is about messages.
records() {
	grep -cE '^(try|got|off|bye|drop) ' "$STATE/home.uidl" || :
}

# is_refused TEXT: the listing was none, and nothing came of it.
is_refused() {
	assert_status 76
	assert_equal "${stderr-}" "pophaul: home: $1"
	assert_memory_below 64
	assert_equal "$(count_files Maildir)" 0
	refute_sent RETR DELE QUIT
}

# refute_sent VERB…: in no session.
refute_sent() {
	local verb

	for verb in "$@"; do
		! grep -q "^[0-9]*> $verb" "$TRANSCRIPT" || fail "$verb was sent"
	done
}

@test "a listing of ten million messages ends at the limit, which is told, and nothing comes of it" {
	knows 3
	cp "$STATE/home.uidl" before
	start_fakepop --synthetic 10000000 1000
	use 'keep = never'
	measured
	is_refused 'the server lists more than 1048576 messages, which is the limit'
	assert_equal "$(grep ^got "$STATE/home.uidl")" "$(grep ^got before)"
	assert_equal "$(records)" 3
}

@test "a server without ids that lists ten million messages is refused alike" {
	start_fakepop --synthetic 10000000 1000 -e 'on UIDL send -ERR' -e 'capa -UIDL'
	use 'keep = never'
	measured
	is_refused 'the server lists more than 1048576 messages, which is the limit'
	assert_equal "$(records)" 0
}

@test "ten million rows of LIST behind a short UIDL are refused" {
	start_fakepop --synthetic 10000000 1000 -e 'on /^UIDL$/ raw "+OK\r\n1 a\r\n.\r\n"'
	use 'keep = never'
	measured
	is_refused "the server's LIST is longer than 1048576 lines"
	assert_equal "$(records)" 0
}

@test "a million ids of 4000 octets end at the limit, which is told, and nothing comes of it" {
	start_fakepop --synthetic 1000000 1000 --uidl-prefix "$(printf '%04000d' 7)"
	use 'keep = never'
	measured
	is_refused "the server's ids of new messages are longer than 29360128 octets in all, which is the limit"
	assert_equal "$(records)" 0
}

@test "as many ids as the limits allow take less than 64 MiB" {
	start_fakepop --synthetic 1048576 1000 --uidl-prefix 'an-id-of-27-octets--'
	use 'keep = forever' 'newest = 2'
	measured
	assert_status 0
	assert_memory_below 64
	assert_equal "$(count_files Maildir/new)" 2
	assert_equal "$(records)" 4
}

@test "a million new messages are planned, and shown, in less than 64 MiB" {
	start_fakepop --synthetic 1000000 1000
	use 'keep = forever'
	planned
	assert_equal "$(wc -l <out)" 1000001
	assert_equal "$(tail -n 1 out)" 'home: would fetch 1000000 messages (1000000000 octets), delete 0, leave 0, skip 0; nothing was changed'
	assert_memory_below 64
}

@test "a million known messages take no more than 128 MiB, and none of it in the fetcher" {
	local fetcher

	knows 1000000
	start_fakepop --synthetic 1000001 1000
	use 'keep = forever'
	measured
	assert_status 0
	assert_memory_below 128
	read -r _ fetcher _ < <(peak_memory)
	[ "$fetcher" -lt 65536 ] || grep -q __asan_init "$BUILD/pophaul" || fail "the fetcher: $fetcher KiB"
	assert_equal "$(count_files Maildir/new)" 1
	assert_equal "$(transcript | grep ^RETR)" 'RETR 1000001'
	refute_sent DELE
}

@test "a million new messages in no order are put in order in less than 64 MiB" {
	awk 'BEGIN { print "+OK\r"; for (i = 1000000; i > 0; i--) print i " uid-" i "\r"; print ".\r" }' >uidl
	awk 'BEGIN { print "+OK\r"; for (i = 0; i < 1000000; i++) { n = i * 613 % 1000000 + 1; print n, n "\r" } print ".\r" }' >list
	start_fakepop -e "on /^UIDL\$/ content $PWD/uidl" -e "on /^LIST\$/ content $PWD/list" -e 'synthetic 1000000 1000'
	use 'keep = forever' 'newest = 1'
	planned
	assert_equal "$(wc -l <out)" 1000001
	assert_equal "$(sed -n '1p;999999,1000000p' out)" '     1          1  uid-1  skip: not among the newest 1
999999     999999  uid-999999  skip: not among the newest 1
1000000    1000000  uid-1000000  fetch: new'
	assert_memory_below 64
}

@test "a million known messages that may be others since a QUIT without answer take no more than 128 MiB" {
	knows 1000000
	echo 'fact deleting 1795287700' >>"$STATE/home.uidl"
	"$TESTS/state-sum" "$STATE/home.uidl"
	start_fakepop --synthetic 1000000 1000
	use 'keep = forever'
	measured
	assert_status 0
	assert_memory_below 128
	refute_sent RETR DELE
	assert_equal "$(grep -c '^got 1795287600 - .* uid-' "$STATE/home.uidl")" 1000000
	assert_equal "$(records)" 1000000
}

@test "a million messages that vanish at once are recorded in no more than 96 MiB" {
	knows 1000000
	start_fakepop --synthetic 1 1000
	use 'keep = forever'
	measured
	assert_status 0
	assert_memory_below 96
	assert_equal "$(grep -c '^off ' "$STATE/home.uidl")" 999999
}

@test "a state file of a gigabyte of nothing costs no memory" {
	knows 3
	truncate -s 1G "$STATE/home.uidl"
	echo >>"$STATE/home.uidl"
	start_fakepop --synthetic 3 1000
	use 'keep = forever'
	measured
	assert_status 0
	assert_stderr_has 'the state was damaged'
	assert_memory_below 64
	[ "$(stat -c %s "$STATE/home.uidl")" -lt 2000 ]
}

@test "rows of a listing that broke are void once the server is asked again" {
	start_fakepop -e 'messages 4' -e 'session 1 on LIST drop' -e 'session 2+ hide 1' -e 'session 2+ uidl 3 other'
	use 'keep = forever'
	measured
	assert_status 0
	assert_equal "$(count_sessions)" 2
	assert_equal "$(count_files Maildir/new)" 3
	assert_equal "$(sed -n 's/^got .* //p' "$STATE/home.uidl")" 'uid-2
other
uid-4'
}

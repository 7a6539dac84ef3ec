#!/usr/bin/env bats
# One message at which every session breaks off must not keep the others from arriving, nor what
# is delivered from being deleted: it is left alone as long as there is anything else to do.

load helper

# poll STATUS [LINE…]: the account "box" of these lines, and how it must end.
poll() {
	local wanted=$1

	shift
	account box 'timeout = "1s"' "keep = \"$KEEP\"" "$@" | write_config
	run --separate-stderr pophaul
	[ "$status" -eq "$wanted" ] || fail "status is $status, not $wanted" "$stderr"
}

# The numbers of the mail in the Maildir.
mail() {
	sed -n 's/^Subject: Generated message //p' Maildir/new/* | sort -n | paste -sd ' '
}

# said N: what session N asked and deleted.
said() {
	transcript "$1" | grep -E '^(RETR|DELE|QUIT)' | paste -sd ' '
}

# The number of the last session: a server that breaks on a batch is connected to again.
last() {
	sed -n 's/^\([0-9]*\)\* connect.*/\1/p' "$TRANSCRIPT" | tail -n 1
}

# The last word of the state on each message that broke sessions.
broke() {
	awk '$1 == "fact" && $2 == "broke" { count[$4] = $3 } END { for (id in count) print id "=" count[id] }' \
		"$STATE/box.uidl" | sort | paste -sd ' '
}

# child_of PID: its only child.
child_of() {
	local file line

	for file in /proc/[0-9]*/stat; do
		{ read -r line <"$file"; } 2>/dev/null || continue
		# PID (NAME) STATE PARENT …, and a name may have any letter in it.
		[[ ${line##*) } == ?" $1 "* ]] && echo "${line%% *}"
	done
	return 0
}

setup() {
	default_setup
	KEEP=never
}

NO_END='raw "+OK\r\nSubject: x\r\n\r\ntext\r\n.\r"; stall'

@test "a message without an end waits while others arrive and are deleted, and is tried when it is alone" {
	serve 'messages 5' "session 1-3 on RETR 2 $NO_END" "session 4 on RETR 1 $NO_END" "session 5 on RETR 1 $NO_END" \
		'session 5+ message "Subject: Generated message 6\n\nx\n"'
	poll 69
	assert_equal "$(said 1)" 'RETR 1 RETR 2'
	assert_equal "$(mail) $(broke)" '1 uid-2=1'
	# Once may be the network.
	poll 69
	assert_equal "$(said 2) $(broke)" 'RETR 1 RETR 2 uid-2=2'
	poll 1
	assert_stderr_has 'message 2 (uid-2): left alone while there is anything else to do: 2 sessions in a row broke off at it'
	assert_equal "$(said 3)" 'RETR 1 RETR 3 RETR 4 RETR 5 DELE 1 DELE 3 DELE 4 DELE 5 QUIT'
	assert_equal "$(mail)" '1 3 4 5'
	# Alone it is tried, and breaks again; then it is not in the way of what is new.
	poll 69
	assert_equal "$(said 4) $(broke)" 'RETR 1 uid-2=3'
	poll 1
	assert_stderr_has 'message 1 (uid-2): left alone'
	assert_equal "$(said 5)" 'RETR 2 DELE 2 QUIT'
	assert_equal "$(mail)" '1 3 4 5 6'
	# A server that is mended gives it.
	poll 0
	assert_equal "$(said 6) $(broke)" 'RETR 1 DELE 1 QUIT uid-2=0'
	assert_equal "$(mail)" '1 2 3 4 5 6'
	assert_equal "$stderr" ''
}

@test "a server that hangs up when it is asked for a message, in lock step or not: the others arrive" {
	KEEP=forever
	for pipelining in off auto; do
		rm -rf Maildir "$STATE"
		serve 'messages 4' 'on RETR 2 drop'
		poll 69 "pipelining = \"$pipelining\""
		assert_equal "$(mail) $(broke)" '1 uid-2=1'
		poll 69 "pipelining = \"$pipelining\""
		poll 1 "pipelining = \"$pipelining\""
		assert_equal "$(said "$(last)") $(broke)" 'RETR 3 RETR 4 QUIT uid-2=2'
		assert_equal "$(mail)" '1 3 4'
		stop_servers
		# It is no longer listed: then there is nothing to be remembered.
		serve 'messages 4' 'hide 2'
		poll 0 "pipelining = \"$pipelining\""
		assert_equal "$(broke)" 'uid-2=0'
		stop_servers
	done
}

@test "several messages that break sessions: everything else arrives, and each of them has its turn" {
	KEEP=forever
	serve 'messages 6' 'session 1-8 on RETR 2 raw "+OK\r\nhalf"; drop' 'session 1-8 on RETR 4 reset' 'session 1-8 on RETR 6 cut 20'
	for session in 1 2 3 4 5 6; do
		poll 69 'pipelining = "off"'
	done
	assert_equal "$(broke)" 'uid-2=2 uid-4=2 uid-6=2'
	assert_equal "$(mail)" '1 3 5'
	# Nothing else is left to do: the first one breaks the session again, then it is the others' turn.
	poll 69 'pipelining = "off"'
	assert_equal "$(said 7) $(broke)" 'RETR 2 uid-2=3 uid-4=2 uid-6=2'
	poll 69 'pipelining = "off"'
	assert_equal "$(said 8) $(broke)" 'RETR 4 uid-2=3 uid-4=3 uid-6=2'
	assert_stderr_has 'message 2 (uid-2): left alone'
	for session in 9 10; do
		run --separate-stderr pophaul
	done
	assert_status 0
	assert_equal "$(mail) $(broke)" '1 2 3 4 5 6 uid-2=0 uid-4=0 uid-6=0'
}

@test "what ends a session for other reasons is no message's fault" {
	# Asked to stop, while a message stalls.
	serve 'messages 3' 'session 1 on RETR 2 raw "+OK\r\nSubject: half"; touch asked; stall'
	account box 'keep = "never"' 'timeout = "30s"' | write_config
	"$BUILD/pophaul" 3>&- 2>stopped &
	pid=$!
	wait_until 20 test -e asked
	kill -TERM "$pid"
	wait "$pid" || status=$?
	assert_equal "$status $(broke)" '75 '
	# The connection ends while messages are deleted, and behind a refusal.
	stop_servers
	serve 'messages 3' 'session 1 on DELE 2 drop' 'session 2 message "x\n"' \
		'session 2 on RETR send -ERR [SYS/TEMP] later'
	rm -rf Maildir "$STATE"
	poll 69
	poll 1
	assert_equal "$(broke)" ''
}

@test "a message at which the process that fetches crashes is left alone after two sessions" {
	local fetcher n

	# A sanitizer would make an orderly end of it.
	export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}handle_segv=0
	export UBSAN_OPTIONS=${UBSAN_OPTIONS:+$UBSAN_OPTIONS:}handle_segv=0
	serve 'messages 3' 'session 1-2 on RETR 2 raw "+OK\r\nSubject: half"; touch asked; stall'
	account box 'keep = "never"' 'timeout = "30s"' 'pipelining = "off"' | write_config
	for n in 1 2; do
		rm -f asked
		timeout -k 5 60 "$BUILD/pophaul" 3>&- 2>crashed &
		pid=$!
		wait_until 20 test -e asked
		# Of timeout the program, of that the worker, of that the fetcher.
		fetcher=$(child_of "$(child_of "$(child_of "$pid")")")
		kill -SEGV "$fetcher"
		status=0
		wait "$pid" || status=$?
		assert_equal "$status" 70
		grep -q 'the fetcher process was killed by signal 11' crashed
		assert_equal "$(broke)" "uid-2=$n"
	done
	poll 1
	assert_stderr_has 'message 2 (uid-2): left alone'
}

@test "two sessions that break at a message and a third in which it comes: it is as any other" {
	serve 'messages 3' "session 1 on RETR 2 raw \"+OK\r\nhalf\"; drop" 'session 3 on RETR 3 drop'
	poll 69
	assert_equal "$(broke)" 'uid-2=1'
	poll 0
	assert_equal "$(said 2) $(broke)" 'RETR 1 RETR 2 RETR 3 DELE 1 DELE 2 DELE 3 QUIT uid-2=0'
	assert_equal "$(mail)" '1 2 3'
}

@test "--dry-run says what is left alone, and a mailbox without ids stays as it is" {
	KEEP=forever
	serve 'messages 3' 'on RETR 2 drop'
	poll 69
	poll 69
	run --separate-stderr pophaul --dry-run
	assert_output_has 'the last sessions broke off at it: only when there is nothing else to do'
	stop_servers
	rm -rf Maildir "$STATE"
	KEEP=never
	serve 'messages 3' 'capa -UIDL' 'on UIDL send -ERR no' 'on RETR 2 drop'
	for n in 1 2 3; do
		poll 69
	done
	assert_equal "$(mail) $(broke)" '1 '
}

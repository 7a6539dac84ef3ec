#!/usr/bin/env bats
# Servers that are slow and not dead are waited for; who wants a session to end waits for none of them.

load helper

@test "a QUIT that takes longer than a signal's patience is left to the next session, although timeout is 5m" {
	start_fakepop -e 'messages 2' -e "session 1 on QUIT touch $HOME/quitting; stall"
	account box 'auth = "USER"' 'keep = "never"' | write_config
	# In the foreground timeout(1) hands on the signal once: a second one would end all at once.
	timeout --foreground -s KILL 120 "$BUILD/pophaul" </dev/null >out 2>&1 3>&- &
	run_pid=$!
	wait_until 20 test -e quitting
	kill -TERM "$run_pid"
	status=0
	# timeout(1) would end it after 120 s, the account's own timeout after 300.
	wait "$run_pid" || status=$?
	cat out
	assert_equal "$status" 75
	assert_equal "$(count_files Maildir/new)" 2
	run pophaul
	assert_status 0
	assert_equal "$(count_files Maildir/new)" 2
	wait_until 10 grep -q '^2\* end quit' "$TRANSCRIPT"
	assert_equal "$(grep -c '^2\* deleted' "$TRANSCRIPT")" 2
}

@test "silences before a message, within it and at QUIT do no harm while each is shorter than timeout" {
	start_fakepop -e 'messages 1' -e 'on RETR 1 wait 2500; raw "+OK\r\nX-Scanned: 1\r\n"; wait 2500; raw "\r\nx\r\n.\r\n"' \
		-e 'on QUIT wait 2500; normal'
	account box 'auth = "USER"' 'keep = "never"' 'timeout = "4s"' 'min-rate = "1"' | write_config
	run pophaul
	assert_status 0
	assert_equal "$(grep -c '^1\* deleted' "$TRANSCRIPT")" 1
	assert_equal "$(count_files Maildir/new)" 1
}

@test "timeout is 5 minutes where nobody says otherwise" {
	start_fakepop -e 'messages 1' -e 'on RETR 1 stall'
	account box 'auth = "USER"' 'pipelining = "off"' | write_config
	ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 timeout -k 5 60 strace -f -qq -o calls -e trace=poll "$BUILD/pophaul" </dev/null >out 2>&1 3>&- &
	run_pid=$!
	wait_until 20 grep -q 'RETR 1' "$TRANSCRIPT"
	# The fetcher's wait for the reply: what is left of five minutes.
	wait_until 15 grep -Eq 'POLLIN.*, (30000[01]|29[0-9]{4})' calls
	stop_servers
	wait "$run_pid" || :
}

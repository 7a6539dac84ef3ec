#!/usr/bin/env bats
# What one command, one run or one state folder leaves behind must not cost another message.

load helper

@test "a process that a command leaves behind, reading its input, gets nothing of the next messages" {
	start_fakepop -e 'messages 4 40000'
	cat >taker <<-'EOF'
		#!/bin/sh
		# The first command leaves a reader of its standard input behind.
		if mkdir first 2>/dev/null; then
			exec 9<&0
			setsid sh -c 'exec </dev/null >/dev/null 2>&1; touch ready; until [ -e go ]; do sleep 0.05; done; cat <&9 >stolen; touch stolen.done' &
			until [ -e ready ]; do sleep 0.01; done
			exit 0
		fi
		touch go
		until [ -e stolen.done ]; do sleep 0.01; done
		cat >>arrived
	EOF
	chmod 700 taker
	account home "deliver = \"pipe:$HOME/taker\"" 'keep = "never"' | write_config
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$(grep -c '^Subject: ' arrived)" 3
	assert_equal "$(grep -c '^Subject: ' stolen)" 1
}

# Subjects of what is in the Maildir.
mail() {
	cat Maildir/new/* | sed -n 's/^Subject: //p' | sort | paste -sd ' '
}

@test "an id that is used again after a QUIT without answer does not make a new message known" {
	start_fakepop -e 'message "Subject: alarm 1\n\nx\n"' -e 'uidl 1 X7' -e 'on QUIT commit; drop' \
		-e 'session 3+ message "Subject: alarm 2\n\nx\n"' -e 'session 3+ uidl 2 X7'
	account home 'keep = "never"' | write_config
	run --separate-stderr pophaul
	assert_status 69
	grep -q '^fact deleting [1-9]' "$STATE/home.uidl"
	# The mailbox is empty now, which tells nothing; then another message has the id.
	run --separate-stderr pophaul
	assert_status 0
	run --separate-stderr pophaul
	assert_equal "$(mail)" 'alarm 1 alarm 2'
}

@test "an id that is used again after the mailbox was empty does not make another message known" {
	start_fakepop -e 'message "Subject: one\n\nx\n"' -e 'message "Subject: same\n\nx\n"' \
		-e 'uidl 1 A' -e 'uidl 2 B' -e 'session 2 hide 1' -e 'session 2 hide 2' \
		-e 'session 3 replace 1 "Subject: two\n\nquite another length\n"' \
		-e 'session 4+ replace 1 "Subject: two\n\nquite another length\n"'
	account home | write_config
	run --separate-stderr pophaul
	assert_status 0
	run --separate-stderr pophaul
	assert_status 0
	grep -q '^fact emptied [1-9]' "$STATE/home.uidl"
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$(mail)" 'one same two'
	# What has its size is not fetched again, and the doubt is over.
	assert_equal "$(transcript 3 | grep RETR)" 'RETR 1'
	run --separate-stderr pophaul
	assert_equal "$(transcript 4 | grep RETR)" ''
	assert_equal "$(grep '^fact emptied' "$STATE/home.uidl" | tail -n 1)" 'fact emptied 0'
}

@test "a run with another state folder does not take what a dead session was about to publish" {
	start_fakepop -e 'messages 2'
	account home 'keep = "never"' | write_config
	# Dies between the record of what is to be published and the first rename.
	run --separate-stderr strace -f -qq -o /dev/null -e trace=renameat2 \
		-e inject=renameat2:signal=KILL:when=1 timeout -k 5 60 "$BUILD/pophaul"
	assert_status 70
	assert_stderr_has 'the worker process was killed by signal 9'
	[ "$(count_files Maildir/tmp)" -eq 2 ]
	# The same account and Maildir, known to another state, and no server to be reached.
	run --separate-stderr pophaul --state-dir "$HOME/other" --tls none
	[ "$(count_files Maildir/tmp)" -ge 2 ]
	rm -rf other
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$(cat Maildir/new/* | grep -c '^Subject: ')" 2
	[ "$(count_files Maildir/tmp)" -eq 0 ]
}

@test "asked to stop, a pipe runs no other command than the one that is running" {
	local pid status=0

	start_fakepop -e 'messages 5'
	cat >slow <<-'EOF'
		#!/bin/sh
		touch started
		until [ -e go ]; do sleep 0.02; done
		cat >>arrived
	EOF
	chmod 700 slow
	account home "deliver = \"pipe:$HOME/slow\"" 'keep = "never"' | write_config
	"$BUILD/pophaul" 3>&- 2>stopped.err &
	pid=$!
	wait_until 20 test -e started
	kill -TERM "$pid"
	wait_until 20 grep -q interrupted stopped.err
	touch go
	wait "$pid" || status=$?
	assert_equal "$status" 75
	assert_equal "$(grep -c '^Subject: ' arrived)" 1
	run --separate-stderr pophaul
	assert_status 0
	assert_equal "$(grep -c '^Subject: ' arrived)" 5
	assert_equal "$(grep '^Subject: ' arrived | sort -u | wc -l)" 5
}

# ---- ids that are used again by other messages of the same size, after a lost QUIT ----

# text SUBJECT: a script line for a message; all are of one size.
text() {
	echo "message \"Subject: $1\n\nx\n\""
}

# A command that refuses what has WORD in it, as long as there is no file "ok".
refuse() {
	cat >"$HOME/taker" <<-EOF
		#!/bin/sh
		cat >"\$HOME/arriving" || exit 75
		grep -q $1 "\$HOME/arriving" && [ ! -e "\$HOME/ok" ] && exit 75
		cat "\$HOME/arriving" >>"\$HOME/arrived"
	EOF
	chmod 700 taker
}

arrived() {
	sed -n 's/^Subject: //p' arrived | sort | paste -sd ' '
}

# times N: so many sessions, however they end.
times() {
	for ((n = 0; n < $1; n++)); do run --separate-stderr pophaul; done
}

@test "a message that could not be compared is compared later, although others wait for a QUIT" {
	start_fakepop -e "$(text old1)" -e "$(text old2)" -e 'uidl 1 X1' -e 'uidl 2 X2' -e 'capa +EXPIRE 0' \
		-e 'session 1 on QUIT commit; drop' -e "session 2+ $(text new1)" -e 'session 2+ uidl 3 X1' \
		-e "session 2+ $(text new2)" -e 'session 2+ uidl 4 X2'
	refuse new1
	account home "deliver = \"pipe:$HOME/taker\"" 'keep = "never"' | write_config
	times 3
	touch ok
	times 3
	assert_equal "$(arrived)" 'new1 new2 old1 old2'
}

@test "a session that only deletes and is not confirmed leaves nothing to be deleted unseen" {
	start_fakepop -e "$(text old1)" -e "$(text old2)" -e 'uidl 1 X1' -e 'uidl 2 X2' -e 'capa +EXPIRE 0' \
		-e 'session 2 on QUIT commit; drop' -e "session 3+ $(text new1)" -e 'session 3+ uidl 3 X1'
	refuse old2
	account home "deliver = \"pipe:$HOME/taker\"" 'keep = "never"' | write_config
	times 2
	touch ok
	times 3
	assert_equal "$(arrived)" 'new1 old1 old2'
}

@test "a limit puts comparing off, not out" {
	start_fakepop -e "$(text old1)" -e "$(text old2)" -e 'uidl 1 S' -e 'uidl 2 S' -e 'session 1 on QUIT commit; drop' \
		-e "session 2+ $(text fresh)" -e "session 2+ $(text new1)" -e "session 2+ $(text new2)" \
		-e 'session 2+ uidl 3 F' -e 'session 2+ uidl 4 S' -e 'session 2+ uidl 5 S'
	account home 'keep = "never"' | write_config
	times 1
	account home 'keep = "never"' 'max-messages = 1' | write_config
	times 4
	assert_equal "$(mail)" 'fresh new1 new2 old1 old2'

	# The same where max-size does it: the message stays until the limit is raised.
	rm -rf Maildir "$STATE"
	start_fakepop -e "$(text old1)" -e 'uidl 1 X1' -e 'session 1 on QUIT commit; drop' \
		-e "session 2+ $(text new1)" -e 'session 2+ uidl 2 X1'
	account home 'keep = "never"' | write_config
	times 1
	account home 'keep = "never"' 'max-size = 5' | write_config
	times 2
	assert_equal "$(transcript_events | grep -c deleted)" 1
	account home 'keep = "never"' | write_config
	times 1
	assert_equal "$(mail)" 'new1 old1'
}

@test "a lost QUIT leaves no id trusted, whatever keep says next" {
	start_fakepop -e "$(text old1)" -e 'uidl 1 X1' -e 'session 1 on QUIT commit; drop' \
		-e "session 2+ $(text 'new1, longer')" -e 'session 2+ uidl 2 X1'
	account home 'keep = "never"' | write_config
	times 1
	account home | write_config
	times 2
	assert_equal "$(mail)" 'new1, longer old1'
}

@test "what was known before the mailbox was empty is compared before it is deleted, however late" {
	start_fakepop -e "$(text old1)" -e 'uidl 1 X1' -e 'session 2+ hide 1' \
		-e "session 3+ $(text new1)" -e 'session 3+ uidl 2 X1'
	account home 'keep = "1h"' | write_config
	times 3
	account home 'keep = "never"' | write_config
	times 1
	assert_equal "$(mail)" 'new1 old1'
	assert_equal "$(transcript 4 | grep -E '^(RETR|DELE)' | paste -sd ' ')" 'RETR 1 DELE 1'
}

@test "mail that was old enough when a QUIT was lost is compared and deleted in the next session" {
	start_fakepop -e 'messages 3' -e 'session 2 on QUIT drop' -e 'session 3+ message "Subject: late\n\nx\n"'
	account home 'keep = "30d"' | write_config
	later -40d times 1
	times 2
	# Its age begins anew with its new record, and must not keep it for another 30 days.
	assert_equal "$(transcript 3 | grep -E '^(RETR|DELE)' | paste -sd ' ')" \
		'RETR 1 RETR 2 RETR 3 RETR 4 DELE 1 DELE 2 DELE 3'
	assert_equal "$(find Maildir/new -type f | wc -l)" 4
}

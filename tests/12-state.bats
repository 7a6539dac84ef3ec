#!/usr/bin/env bats
# What stays on the server, for how long, and what is known of it: a message comes once,
# whatever the server does to its ids, and none is taken for known that is not.

load helper

# The subjects of the mail in a Maildir (Maildir), sorted; generated messages by number.
mail() {
	find "${1:-Maildir}"/new "${1:-Maildir}"/cur -type f -exec awk '
		FNR == 1 { in_head = 1 }
		/^$/     { in_head = 0 }
		in_head && sub(/^Subject: (Generated message )?/, "")' {} + | sort -V | paste -sd ' '
}

# The ids that session N has deleted.
deleted() {
	transcript_events "$1" | sed -n 's/^deleted [0-9]* //p' | sort -V | paste -sd ' '
}

# session_is N RETR-NUMBERS DELETED-IDS
session_is() {
	assert_equal "fetched: $(asked "$1" RETR); deleted: $(deleted "$1")" "fetched: $2; deleted: $3"
}

put() {
	printf 'Subject: %s\n\n%s\n' "$1" "${2:-text of $1}" >"folder/$1"
}

@test "mail is left on the server over many runs, while some arrives and some vanishes" {
	mkdir folder
	put a && put b
	start_fakepop --folder folder
	use
	poll
	assert_status 0
	assert_equal "$output$stderr" ''
	assert_equal "$(mail)" 'a b'
	put c
	poll
	session_is 2 3 ''
	assert_equal "$(mail)" 'a b c'
	rm folder/a
	put d
	poll
	session_is 3 3 ''
	rm folder/*
	poll
	put b && put c && put e
	poll
	session_is 5 3 ''
	poll
	session_is 6 '' ''
	assert_status 0
	assert_equal "$(mail)" 'a b c d e'
}

@test "the same with Dovecot: only what is new is fetched, then all is deleted" {
	mkdir folder
	put a && put b
	start_dovecot
	put_messages folder jane
	use
	poll -v
	assert_status 0
	assert_output_has 'home: 2 messages'
	rm folder/*
	put c
	put_messages folder jane
	poll -v
	assert_output_has 'home: 1 message,'
	poll -v
	assert_output_has 'home: no new mail, 3 left'
	poll -v --keep never
	assert_output_has 'home: no new mail, 3 deleted, 0 left'
	assert_equal "$(mail)" 'a b c'
	assert_equal "$(count_files "$DOVECOT_DIR"/mail/jane/Maildir/{new,cur})" 0
}

@test "keep = never deletes what is delivered in the same session" {
	start_fakepop -e 'messages 3'
	use 'keep = never'
	poll
	assert_status 0
	session_is 1 '1 2 3' 'uid-1 uid-2 uid-3'
	poll
	session_is 2 '' ''
	assert_equal "$(mail)" '1 2 3'
}

@test "keep = forever deletes nothing, not after ten years either" {
	start_fakepop -e 'messages 3'
	use 'keep = forever'
	poll
	later +3650d poll
	assert_status 0
	session_is 2 '' ''
	assert_equal "$(mail)" '1 2 3'
}

@test "keep = AGE deletes what was delivered longer ago than that, not what is younger" {
	start_fakepop -e 'messages 4' -e 'session 1 hide 3' -e 'session 1-2 hide 4'
	use 'keep = 30d'
	poll
	session_is 1 '1 2' ''
	later +20d poll
	session_is 2 3 ''
	later +29d poll
	session_is 3 4 ''
	later +31d poll -v
	session_is 4 '' 'uid-1 uid-2'
	assert_stderr_has ', older than 30 days'
	later +49d poll
	session_is 5 '' ''
	later +51d poll
	session_is 6 '' uid-3
	later +60d poll
	session_is 7 '' uid-4
	assert_equal "$(mail)" '1 2 3 4'
}

@test "a delivery of the future, before the clock was set right, is not due for deletion" {
	start_fakepop -e 'messages 2'
	use 'keep = 1d'
	later +100d poll
	poll
	assert_status 0
	session_is 2 '' ''
	later +102d poll
	session_is 3 '' 'uid-1 uid-2'
}

@test "--keep overrides the account's keep, for one run" {
	start_fakepop -e 'messages 3' -e 'session 1-2 hide 3'
	use 'keep = never'
	poll --keep forever
	session_is 1 '1 2' ''
	poll --keep 2d
	session_is 2 '' ''
	poll
	session_is 3 3 'uid-1 uid-2 uid-3'
}

@test "a mailbox that is empty once and full again is not fetched again" {
	start_fakepop -e 'messages 3' -e 'session 2 hide 1' -e 'session 2 hide 2' -e 'session 2 hide 3'
	use
	poll
	poll -v
	assert_status 0
	assert_output_has 'no new mail, 0 left'
	run grep '^off ' "$STATE/home.uidl"
	assert_status 1
	poll
	session_is 3 '' ''
	assert_equal "$(mail)" '1 2 3'
}

@test "a listing that is cut fetches nothing and forgets nothing" {
	start_fakepop - <<-'EOS'
		messages 3
		capa -PIPELINING
		session 2 on UIDL send +OK; send 1 uid-1; drop
		session 3 on LIST send +OK; send 1 1000; drop
	EOS
	use 'keep = never'
	poll --keep forever
	for session in 2 3; do
		poll
		assert_status 69
		assert_stderr_has 'home: '
		session_is "$session" '' ''
	done
	run grep '^off ' "$STATE/home.uidl"
	assert_status 1
	poll
	assert_status 0
	session_is 4 '' 'uid-1 uid-2 uid-3'
	assert_equal "$(mail)" '1 2 3'
}

@test "a message that only LIST has is left for the next run" {
	start_fakepop -e 'messages 3' -e 'session 1 hide 3 UIDL'
	use
	poll -v
	assert_stderr_has 'in LIST and not in UIDL, so left alone this time: 1'
	session_is 1 '1 2' ''
	poll
	session_is 2 3 ''
}

# ---- what the digest settles ----

@test "an id with another size that is due for deletion is fetched: same text, deleted; other text, delivered" {
	start_fakepop - <<-'EOS'
		messages 3
		session 2+ size 2 2222
		session 2+ replace 3 "Subject: used again\n\ntext\n"
	EOS
	use
	poll
	poll -v --keep never
	assert_status 0
	assert_stderr_has ', size 2222, was 1000'
	session_is 2 '2 3' 'uid-1 uid-2 uid-3'
	assert_equal "$(mail)" '1 2 3 used again'
}

@test "an id used again that is not due for deletion stays known" {
	start_fakepop -e 'messages 2' -e 'session 2+ replace 2 "Subject: used again\n\ntext\n"'
	use
	poll
	poll
	session_is 2 '' ''
}

@test "an id used again is new mail and is kept as long as the new mail" {
	start_fakepop -e 'messages 2' -e 'session 2+ replace 2 "Subject: used again\n\ntext\n"'
	use 'keep = 30d'
	poll
	later +31d poll
	session_is 2 2 uid-1
	assert_equal "$(mail)" '1 2 used again'
	later +60d poll
	session_is 3 '' ''
	later +62d poll
	session_is 4 '' uid-2
}

@test "a server that renumbers its mailbox brings nothing twice, and new mail once" {
	start_fakepop -e 'messages 4' -e 'session 1 hide 4' -e 'session 2+ uidl-prefix other-'
	use
	poll
	poll -v
	assert_status 0
	assert_output_has 'home: 1 message,'
	session_is 2 '1 2 3 4' ''
	poll
	session_is 3 '' ''
	poll --keep never
	session_is 4 '' 'other-1 other-2 other-3 other-4'
	assert_equal "$(mail)" '1 2 3 4'
}

@test "a renumbered mailbox is deleted as keep says, without delivering it again" {
	start_fakepop -e 'messages 3' -e 'session 2+ uidl-prefix other-'
	use 'keep = never'
	poll --keep forever
	poll
	session_is 2 '1 2 3' 'other-1 other-2 other-3'
	assert_equal "$(mail)" '1 2 3'
}

@test "what has vanished is known for 30 days when it comes under another id, not for ever" {
	start_fakepop - <<-EOS
		messages 200 300
		$(printf 'session 2-3 hide %d\n' {1..199})
		session 4-6 uidl-prefix again-
		$(printf 'session 5-6 hide %d\n' {1..199})
		session 7 uidl-prefix third-
	EOS
	use
	poll
	later +1d poll
	later +29d poll
	later +30d poll
	assert_equal "$(transcript 4 | grep -c '^RETR ')" 200
	assert_equal "$(count_files Maildir)" 200
	later +31d poll
	later +62d poll
	later +63d poll -v
	assert_status 0
	assert_equal "$(transcript 7 | grep -c '^RETR ')" 200
	assert_output_has 'home: 199 messages,'
	assert_equal "$(count_files Maildir)" 399
}

@test "without UIDL, what died before QUIT is recognised, deleted and not delivered again" {
	start_fakepop - <<-'EOS'
		messages 4
		capa -UIDL
		on UIDL send -ERR no such command
		session 1 hide 4
		session 1 on QUIT drop
		session 2 on DELE 2 drop
	EOS
	use 'keep = never'
	poll
	assert_status 69
	assert_stderr_has 'deletions are not confirmed'
	session_is 1 '1 2 3' ''
	assert_equal "$(mail)" '1 2 3'
	poll
	assert_status 69
	assert_equal "$(mail)" '1 2 3 4'
	poll
	assert_status 0
	session_is 3 '1 2 3 4' 'uid-1 uid-2 uid-3 uid-4'
	assert_equal "$(mail)" '1 2 3 4'
	poll
	session_is 4 '' ''
}

@test "a server that learns UIDL brings nothing again of what it had before" {
	start_fakepop - <<-'EOS'
		messages 3
		session 1 capa -UIDL
		session 1 on UIDL send -ERR no such command
		session 1 on QUIT drop
		session 2+ message Subject: late
	EOS
	use 'keep = never'
	poll
	poll
	assert_status 0
	session_is 2 '1 2 3 4' 'uid-1 uid-2 uid-3 uid-4'
	assert_equal "$(mail)" '1 2 3 late'
}

@test "a server that loses UIDL brings nothing again of what it had before, nor when it has UIDL again" {
	start_fakepop - <<-'EOS'
		messages 3
		session 1 on QUIT drop
		session 2-3 capa -UIDL
		session 2-3 on UIDL send -ERR no such command
		session 2 on QUIT drop
		session 3 on QUIT drop
		session 3+ message Subject: late
	EOS
	use 'keep = never'
	poll
	poll
	session_is 2 '1 2 3' ''
	assert_equal "$(mail)" '1 2 3'
	poll
	assert_equal "$(mail)" '1 2 3 late'
	poll
	assert_status 0
	session_is 4 '1 2 3 4' 'uid-1 uid-2 uid-3 uid-4'
	assert_equal "$(mail)" '1 2 3 late'
}

@test "without UIDL, equal mails are as many as they are" {
	start_fakepop - <<-'EOS'
		message "Subject: same\n\ntext\n"
		message "Subject: same\n\ntext\n"
		session 2+ message "Subject: same\n\ntext\n"
		capa -UIDL
		on UIDL send -ERR no such command
		session 1 on QUIT drop
	EOS
	use 'keep = never'
	poll
	assert_equal "$(mail)" 'same same'
	poll
	assert_status 0
	session_is 2 '1 2 3' 'uid-1 uid-2 uid-3'
	assert_equal "$(mail)" 'same same same'
}

@test "a server without UIDL is refused unless keep is never, and nothing is fetched" {
	start_fakepop -e 'messages 2' -e 'capa -UIDL' -e 'on UIDL send -ERR no'
	for keep in forever 30d; do
		use "keep = $keep"
		poll
		assert_status 78
		assert_stderr_has 'home: the server gives no unique ids (UIDL): only keep = "never" works with it'
	done
	session_is 1 '' ''
	session_is 2 '' ''
	wait_until 5 grep -q '^2\* end quit' "$TRANSCRIPT"
	[ "$(count_files Maildir)" -eq 0 ]
}

@test "UIDL that is not listed is tried" {
	start_fakepop -e 'messages 2' -e 'capa -UIDL'
	use
	poll
	poll
	assert_status 0
	session_is 1 '1 2' ''
	session_is 2 '' ''
	start_fakepop -e 'messages 2' -e 'capa none'
	use
	poll
	assert_status 0
	session_is 1 '' ''
}

@test "UIDL that is listed and fails is a passing trouble: nothing is fetched again" {
	start_fakepop - <<-'EOS'
		messages 3
		session 1 on UIDL send -ERR out of memory
		session 3 on UIDL send -ERR out of memory
		session 4 on UIDL send -ERR [SYS/PERM] broken index
	EOS
	use 'keep = never'
	poll -v --keep forever
	assert_status 75
	assert_stderr_has '"out of memory"'
	poll --keep forever
	session_is 2 '1 2 3' ''
	poll
	assert_status 75
	assert_equal "$output$stderr" ''
	poll
	assert_status 69
	assert_stderr_has 'broken index'
	session_is 3 '' ''
	session_is 4 '' ''
	poll
	assert_status 0
	session_is 5 '' 'uid-1 uid-2 uid-3'
	assert_equal "$(mail)" '1 2 3'
}

@test "messages that share one id all come, once, and so does one that joins them" {
	start_fakepop - <<-'EOS'
		messages 4
		uidl 1 same
		uidl 2 same
		uidl 4 same
		session 1-2 hide 4
	EOS
	use
	poll
	session_is 1 '1 2 3' ''
	poll
	session_is 2 '' ''
	poll -v
	session_is 3 '1 2 4' ''
	assert_stderr_has 'id listed 3 times, known 2 times'
	assert_output_has 'home: 1 message,'
	poll
	session_is 4 '' ''
	poll --keep never
	assert_status 0
	session_is 5 '' 'same same same uid-3'
	assert_equal "$(mail)" '1 2 3 4'
}

@test "one of several with the same id goes, another comes in its place" {
	start_fakepop - <<-'EOS'
		messages 2
		message "Subject: of another size\n\ntext\n"
		uidl 1 same
		uidl 2 same
		uidl 3 same
		session 1 hide 3
		session 2+ hide 1
	EOS
	use
	poll
	poll -v
	assert_stderr_has 'id shared by 2 messages, sizes changed'
	session_is 2 '1 2' ''
	poll
	session_is 3 '' ''
	assert_equal "$(mail)" '1 2 of another size'
}

@test "two that shared an id and one that is left: it stays known" {
	start_fakepop -e 'messages 2' -e 'uidl 1 same' -e 'uidl 2 same' -e 'session 2+ hide 1'
	use
	poll
	poll
	session_is 2 1 ''
	poll
	session_is 3 '' ''
	poll --keep never
	session_is 4 '' same
	assert_equal "$(mail)" '1 2'
}

@test "ids may be empty, long, 8-bit, with spaces and percent signs" {
	long=$(printf 'x%.0s' {1..600})
	start_fakepop - <<-EOS
		messages 7
		uidl 1
		uidl 2 $long
		uidl 3 "\xe9\xff\x80"
		uidl 4 "two words  and more"
		uidl 5 "%20%"
		uidl 6 "%-"
		uidl 7 "<a/b:c@d>"
	EOS
	use
	poll
	assert_status 0
	session_is 1 '1 2 3 4 5 6 7' ''
	poll
	assert_status 0
	session_is 2 '' ''
	poll --keep never
	assert_status 0
	session_is 3 '' "$(transcript_events 3 | sed -n 's/^deleted [0-9]* //p' | sort -V | paste -sd ' ')"
	[ "$(transcript_events 3 | grep -c '^deleted ')" -eq 7 ]
	assert_equal "$(mail)" '1 2 3 4 5 6 7'
}

# ---- deleting ----

@test "deletions that QUIT does not confirm are done again, and nothing is delivered again" {
	start_fakepop - <<-'EOS'
		messages 3
		session 1 on QUIT send -ERR some deleted messages not removed
		session 2 on QUIT drop
		session 3 on DELE 2 drop
	EOS
	use 'keep = never'
	poll -v
	assert_status 75
	assert_stderr_has '"some deleted messages not removed"'
	poll
	assert_status 69
	assert_stderr_has 'deletions are not confirmed'
	poll
	assert_status 69
	# Whether they are gone, and their ids used again, is open each time: they are compared.
	for session in 1 2 3; do
		session_is "$session" '1 2 3' ''
	done
	poll
	assert_status 0
	# The third never came to its QUIT.
	session_is 4 '' 'uid-1 uid-2 uid-3'
	assert_equal "$(mail)" '1 2 3'
}

@test "deletions that were done although the answer to QUIT was lost are no trouble" {
	start_fakepop -e 'messages 3' -e 'session 1 on QUIT commit; drop' -e 'session 2+ message Subject: late'
	use 'keep = never'
	poll
	assert_status 69
	poll
	assert_status 0
	session_is 2 1 uid-4
	assert_equal "$(mail)" '1 2 3 late'
}

@test "a message that the server does not delete is told, and deleted later without a second copy" {
	start_fakepop -e 'messages 3' -e 'once on DELE 2 send -ERR no'
	use 'keep = never'
	poll
	assert_status 1
	assert_stderr_has 'message 2 (uid-2): kept here, but the server does not delete it: "no"'
	session_is 1 '1 2 3' 'uid-1 uid-3'
	poll
	assert_status 0
	session_is 2 '' uid-2
	assert_equal "$(mail)" '1 2 3'
}

@test "mail that was deleted and restored is new mail; what only vanished and came back is not" {
	mkdir folder
	put a && put b
	start_fakepop --folder folder
	use 'keep = never'
	poll
	[ "$(count_files folder)" -eq 0 ]
	# One listing without them shows that they were gone.
	put c
	poll
	put a && put b
	poll --keep forever
	session_is 3 '1 2' ''
	assert_equal "$(mail)" 'a a b b c'
	rm folder/a
	poll --keep forever
	put a
	poll --keep forever
	assert_status 0
	session_is 5 1 ''
	poll --keep forever
	session_is 6 '' ''
	assert_equal "$(mail)" 'a a b b c'
}

@test "what the server says it has deleted is gone when a listing lacks it, or after 30 days of empty ones" {
	mkdir folder
	put a && put b
	start_fakepop --folder folder
	use 'keep = never'
	later -40d poll
	assert_equal "$(mail)" 'a b'
	later -39d poll
	put a
	later -38d poll
	session_is 3 1 a
	assert_equal "$(mail)" 'a b'
	# That listing has shown that b is gone, and a is gone once more.
	put b
	later -37d poll
	session_is 4 1 b
	assert_equal "$(mail)" 'a b b'
	later -36d poll
	later -5d poll
	put b
	poll
	assert_status 0
	session_is 7 1 b
	assert_equal "$(mail)" 'a b b b'
}

@test "what could not be looked at again is not gone" {
	start_fakepop -e 'messages 3' -e 'session 1 on QUIT send +OK' -e 'session 2 on RETR 2 send -ERR no' \
		-e 'session 2-3 on QUIT send +OK' -e 'session 3 on RETR 3 raw "+OK\r\nSubject: half"; drop'
	use 'keep = never'
	poll
	# Refused, beyond a limit, cut.
	use 'keep = never' 'max-messages = 2'
	poll
	session_is 2 '1 2' ''
	use 'keep = never' 'pipelining = "off"'
	poll
	assert_status 69
	poll
	assert_status 0
	session_is 4 3 'uid-1 uid-2 uid-3'
	assert_equal "$(mail)" '1 2 3'
}

# ---- limits ----

@test "max-size leaves what is bigger, says so, and fetches it when it is raised" {
	start_fakepop -e 'messages 2 900' -e 'message "Subject: big\n\n'"$(printf 'x%.0s' {1..2000})"'\n"' \
		-e 'message "Subject: small\n\nx\n"'
	use 'max-size = 1K'
	poll -v
	assert_status 0
	assert_stderr_has 'message 3 (uid-3): bigger than max-size'
	assert_stderr_has 'left on the server: 1 message bigger than max-size (1024 octets)'
	assert_output_has ', 1 skipped'
	session_is 1 '1 2 4' ''
	poll --keep never
	session_is 2 '' 'uid-1 uid-2 uid-4'
	use 'max-size = 1M'
	poll
	session_is 3 1 ''
	assert_equal "$(mail)" '1 2 big small'
}

@test "max-messages fetches so many a session, the oldest first" {
	start_fakepop -e 'messages 5'
	use 'max-messages = 2'
	poll -v
	assert_status 0
	assert_stderr_has 'left for the next session: 3 messages, max-messages is 2'
	session_is 1 '1 2' ''
	poll
	session_is 2 '3 4' ''
	poll -v
	refute_stderr_has 'left for the next session'
	session_is 3 5 ''
	poll
	session_is 4 '' ''
	assert_equal "$(mail)" '1 2 3 4 5'
}

@test "max-messages counts what is fetched, not what is only deleted" {
	start_fakepop -e 'messages 5' -e 'session 1 hide 4' -e 'session 1 hide 5'
	use 'max-messages = 3'
	poll
	session_is 1 '1 2 3' ''
	poll --keep never
	session_is 2 '4 5' 'uid-1 uid-2 uid-3 uid-4 uid-5'
}

@test "newest fetches from the end of the mailbox only, in its order" {
	start_fakepop -e 'messages 6' -e 'session 1 hide 6'
	use 'newest = 2'
	poll -v
	assert_status 0
	assert_stderr_has 'message 3 (uid-3): not among the newest 2'
	session_is 1 '4 5' ''
	poll
	session_is 2 6 ''
	assert_equal "$(mail)" '4 5 6'
	use
	poll
	session_is 3 '1 2 3' ''
}

@test "mail is delivered in the order of the mailbox" {
	start_fakepop -e 'messages 30 300'
	use 'deliver = "mbox:~/mbox"'
	poll
	assert_status 0
	assert_equal "$(sed -n 's/^Subject: Generated message //p' mbox | paste -sd ' ')" "$(seq -s ' ' 30)"
}

# ---- what an account is ----

@test "two accounts for the same user of the same host know nothing of each other" {
	start_fakepop -e 'messages 2'
	{ account one && account two 'deliver = "maildir:~/Second"'; } | write_config
	poll
	assert_status 0
	assert_equal "$(mail) $(mail Second)" '1 2 1 2'
	poll --keep never one
	session_is 3 '' 'uid-1 uid-2'
	[ -e "$STATE/one.uidl" ] && [ -e "$STATE/two.uidl" ]
	poll two
	assert_status 0
}

@test "an account keeps its state when its host, port or user get other names; not when it does itself" {
	start_fakepop -e 'messages 2' -e any-user
	use
	poll
	use 'host = "127.1"' 'user = "jane@example.org"'
	poll
	assert_status 0
	session_is 2 '' ''
	account other | write_config
	poll
	session_is 3 '1 2' ''
	assert_equal "$(mail)" '1 1 2 2'
}

@test "another destination gets new mail only" {
	start_fakepop -e 'messages 3' -e 'session 1 hide 3'
	use
	poll
	use 'deliver = "mbox:~/mbox"'
	poll
	assert_status 0
	session_is 2 3 ''
	assert_equal "$(mail) | $(grep -c '^From ' mbox)" '1 2 | 1'
}

@test "fifty thousand known messages are not fetched again" {
	start_fakepop --synthetic 50000 100
	use 'deliver = "mbox:~/mbox"'
	poll
	assert_status 0
	assert_equal "$(grep -c '^From ' mbox) $(grep -c '^RETR ' <(transcript 1))" '50000 50000'
	poll -v
	assert_status 0
	assert_output_has 'home: no new mail, 50000 left'
	session_is 2 '' ''
}

@test "a state that is mostly dead is written anew and says the same" {
	start_fakepop -e 'messages 403 100' -e 'session 3+ message Subject: late' \
		-e 'on DELE 401 send -ERR no' -e 'on DELE 402 send -ERR no' -e 'on DELE 403 send -ERR no'
	use 'keep = never'
	poll -q
	assert_status 1
	# That 400 of them are gone the next listing shows.
	poll
	assert_status 0
	session_is 2 '' 'uid-401 uid-402 uid-403'
	[ "$(wc -l <"$STATE/home.uidl")" -lt 20 ] || fail "$(wc "$STATE/home.uidl")"
	assert_equal "$(grep -c '^gone ' "$STATE/home.uidl")" 3
	poll
	session_is 3 1 uid-404
	assert_equal "$(count_files Maildir)" 404
}
